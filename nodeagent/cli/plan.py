"""`nodeagent plan`: the steps that `apply` would take, without taking any."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from nodeagent.cli.options import host_options, output_option
from nodeagent.cli.output import say
from nodeagent.cli.switching import only_recover, switch_options

if TYPE_CHECKING:
    from nodeagent.cli.options import Chosen


@click.command(
    "plan",
    epilog="""\b
Examples:
  nodeagent plan --mode on
  nodeagent plan --mode off --gpu 0000:41:00.0
  nodeagent plan --recover 0000:41:00.0
""",
)
@host_options
@switch_options
@click.option(
    "--ask-firmware",
    is_flag=True,
    help="Ask each GPU which knobs differ: messages to it, and so writes to its registers.",
)
@output_option
@click.option("-v", "--verbose", is_flag=True, help="Every device of every step by its address.")
def command(  # noqa: PLR0913 - one for each option
    chosen: Chosen,
    *,
    gpus: tuple[str, ...],
    per_vm: int | None,
    force: bool,
    recover: str | None,
    ask_firmware: bool,
    output: str,
    verbose: bool,
) -> None:
    """Show how every GPU and NVSwitch would be brought to --mode. Switches nothing.

    Devices of one step are done side by side. Nothing is reset before everything is staged.
    """
    from nodeagent.cli import planning  # noqa: PLC0415 - see the style guide, §6

    if recover is not None:
        only_recover(gpus, per_vm, force=force)
        say(planning.recovery(chosen, recover, output))
        return
    with planning.looked(chosen, gpus, per_vm, force=force, ask=ask_firmware) as plan:
        told = planning.told(plan, output, verbose=verbose)
    say(told)
