"""`nodeagent topology`: where GPUs and switches hang, and what that means."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from nodeagent.cli.options import Words, host_options
from nodeagent.cli.output import say
from nodeagent.model.words import Ready

if TYPE_CHECKING:
    from nodeagent.cli.options import Chosen
    from nodeagent.model.facts import Facts
    from nodeagent.report.topology import Standing


@click.command(
    "topology",
    epilog="""\b
Examples:
  nodeagent topology
  nodeagent topology -o svg > /tmp/topology.svg
  nodeagent topology -o json | jq -r '.devices[] | [.bdf, .mode] | @tsv'
""",
)
@host_options
@click.option(
    "-o",
    "--output",
    type=Words("table", "json", "yaml", "svg"),
    default="table",
    show_default=True,
    metavar="table|json|yaml|svg",
    help="How to print it.",
)
def command(chosen: Chosen, output: str) -> int:
    """Show the PCIe tree from root ports to GPUs and NVSwitches. Changes nothing.

    Each device with its mode, driver, IOMMU group and link, each bridge with ACS, by NUMA node.
    A `*` marks a group that holds more than the card.
    """
    from nodeagent.facts.look import look  # noqa: PLC0415 - see the style guide, §6
    from nodeagent.report.topology import topology  # noqa: PLC0415

    with chosen.awake() as machine:
        facts = look(machine)
    seen = topology(facts, standings(facts))
    if output == "table":
        from nodeagent.cli.check import painter  # noqa: PLC0415
        from nodeagent.report.topology_text import text  # noqa: PLC0415

        say(text(seen, paint=painter()))
    elif output == "svg":
        from nodeagent.report.svg import svg  # noqa: PLC0415

        say(svg(seen))
    else:
        from nodeagent.cli.check import serialise  # noqa: PLC0415
        from nodeagent.report.topology_document import document  # noqa: PLC0415

        say(serialise(document(seen, facts), output))
    from nodeagent.model.seen import Unreadable  # noqa: PLC0415

    return Ready.CANNOT_TELL.exit_code if isinstance(facts.devices, Unreadable) else 0


def standings(facts: Facts) -> dict[str, Standing]:
    """As the checks judge them."""
    from nodeagent.checks.gpu import Mode, modes  # noqa: PLC0415
    from nodeagent.model.seen import Unreadable, known  # noqa: PLC0415
    from nodeagent.model.words import Verdict  # noqa: PLC0415
    from nodeagent.report.topology import Standing  # noqa: PLC0415

    devices = facts.devices
    if isinstance(devices, Unreadable):
        return {}
    lockdown = known(facts.kernel.lockdown) or ""
    return {
        bdf: Standing(each.mode, None, False, each.says)
        if isinstance(each, Mode)
        else Standing(None, each.code, each.verdict is Verdict.FAIL, each.seen)
        for bdf, each in modes((*devices.gpus, *devices.switches), lockdown).items()
    }
