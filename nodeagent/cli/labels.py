"""`nodeagent labels`: what would be published."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Any

import click

from nodeagent.cli.options import host_options, output_option
from nodeagent.cli.output import say
from nodeagent.model.text import shown

if TYPE_CHECKING:
    from nodeagent.cli.options import Chosen
    from nodeagent.labels import Wanted


@click.command(
    "labels",
    epilog="""\b
Examples:
  nodeagent labels
  nodeagent labels -o json | jq -r '.labels | keys[]'
""",
)
@host_options
@click.option(
    "--publish-simulated",
    is_flag=True,
    help="As `nodeagent run` would with the same option.",
)
@output_option
def command(chosen: Chosen, *, publish_simulated: bool, output: str) -> None:
    """Show the labels, report and condition that this host would be given.

    Asks no cluster and writes nothing. A label that this one look can neither prove nor deny
    is named as unsure: the agent lets such a label stand for two cycles, and never sets it.
    """
    from nodeagent import labels as words  # noqa: PLC0415 - see the style guide, §6
    from nodeagent.cli import looking  # noqa: PLC0415
    from nodeagent.cli.run import live_boot_id  # noqa: PLC0415

    policy = chosen.policy
    with chosen.awake() as machine:
        facts, judgement = looking.look(
            machine, profile=chosen.profile, want=chosen.mode, policy=policy
        )
    prefix = chosen.config.prefix
    wanted = words.desired(
        judgement,
        simulated=facts.source.simulated,
        publish_simulated=publish_simulated,
        boot_id=live_boot_id(),
        prefix=prefix,
    )
    kind = words.condition_type(prefix)
    if output == "table":
        say("\n".join(_lines(wanted, kind)))
    else:
        from nodeagent.cli.check import serialise  # noqa: PLC0415

        say(serialise(_document(wanted, kind), output))


def _document(wanted: Wanted, kind: str) -> dict[str, Any]:
    condition = wanted.condition
    return {
        "version": 1,
        "labels": dict(wanted.labels),
        "unsure": sorted(wanted.unsure),
        "condition": {
            "type": kind,
            "status": condition.status.value,
            "reason": condition.reason,
            "message": condition.message,
        },
        "report": json.loads(wanted.report),
    }


def _lines(wanted: Wanted, kind: str) -> list[str]:
    condition = wanted.condition
    width = max((len(key) for key in (*wanted.labels, *wanted.unsure)), default=0)
    return [
        *(f"{key:<{width}}  {value}" for key, value in wanted.labels.items()),
        *(f"{key:<{width}}  (cannot tell)" for key in sorted(wanted.unsure)),
        "",
        f"{kind}={condition.status}, {condition.reason}",
        *textwrap.wrap(shown(condition.message), 80, initial_indent="  ", subsequent_indent="  "),
    ]
