"""`nodeagent labels`: what would be published."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from nodeagent.cli.options import host_options

if TYPE_CHECKING:
    from nodeagent.cli.options import Chosen
    from nodeagent.labels import Wanted


@click.command(
    epilog="""\b
Examples:
  nodeagent labels
  nodeagent labels -o json | jq -r '.labels | keys[]'
"""
)
@host_options
@click.option(
    "--publish-simulated",
    is_flag=True,
    help="As `nodeagent run` would with the same option.",
)
@click.option(
    "--output",
    "-o",
    type=click.Choice(["table", "json", "yaml"]),
    default="table",
    show_default=True,
    help="For people, or for programs.",
)
def labels(chosen: Chosen, *, publish_simulated: bool, output: str) -> None:
    """Show the labels, report and condition that this host would be given.

    Asks no cluster and writes nothing. A label that this one look can neither prove nor deny
    is named as unsure: the agent lets such a label stand for two cycles, and never sets it.
    """
    from nodeagent import labels as words  # noqa: PLC0415 - see the style guide, §6
    from nodeagent.cli import looking  # noqa: PLC0415
    from nodeagent.cli.run import live_boot_id  # noqa: PLC0415

    facts, judgement = looking.look(
        chosen.open(), profile=chosen.profile, want=chosen.mode, remembered={}
    )
    prefix = chosen.config.prefix
    wanted = words.desired(
        judgement,
        simulated=facts.source.simulated,
        publish_simulated=publish_simulated,
        boot_id=live_boot_id(),
        prefix=prefix,
    )
    click.echo(_spelled(wanted, words.condition_type(prefix), output))


def _spelled(wanted: Wanted, kind: str, output: str) -> str:
    match output:
        case "json":
            return json.dumps(_document(wanted, kind), indent=2, ensure_ascii=False)
        case "yaml":
            import yaml  # noqa: PLC0415 - only where asked for

            spelled: str = yaml.safe_dump(
                _document(wanted, kind), sort_keys=False, allow_unicode=True, width=100
            )
            return spelled.rstrip("\n")
        case _:
            return "\n".join(_lines(wanted, kind))


def _document(wanted: Wanted, kind: str) -> dict[str, object]:
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
        f"  {condition.message}",
    ]
