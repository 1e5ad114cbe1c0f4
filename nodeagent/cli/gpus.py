"""`nodeagent gpus`: each GPU and switch, with its modes and who has it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import click

from nodeagent.cli.options import Seconds, host_options, output_option
from nodeagent.cli.output import say
from nodeagent.errors import HostError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nodeagent.agent.asking import Answers
    from nodeagent.cli.options import Chosen
    from nodeagent.model.findings import Outcome
    from nodeagent.model.pci import Devices, Gpu
    from nodeagent.model.words import CcMode
    from nodeagent.report.drift import Watched
    from nodeagent.report.gpus import Row
    from nodeagent.seams import Machine

_EVERY_S = 2.0


@click.command(
    "gpus",
    epilog="""\b
Examples:
  nodeagent gpus
  nodeagent gpus --ask-firmware -v
  nodeagent gpus -o json | jq -r '.devices[] | [.bdf, .active] | @tsv'
""",
)
@host_options
@output_option
@click.option("-v", "--verbose", is_flag=True, help="Whether each can do CC, and why.")
@click.option(
    "--ask-firmware",
    is_flag=True,
    help="Ask for the configured mode too: messages to the GPU, and so writes to its registers.",
)
@click.option("--watch", is_flag=True, help="Look again and again; say what changed.")
@click.option(
    "--every",
    type=Seconds(least=0.5),
    metavar="SECONDS",
    help="From one look of --watch to the next, if nothing happens; 2 unless given.",
)
def command(  # noqa: PLR0913 - one for each option
    chosen: Chosen,
    *,
    output: str,
    verbose: bool,
    ask_firmware: bool,
    watch: bool,
    every: float | None,
) -> int:
    """Show each GPU and NVSwitch: active, configured and pending mode, driver, who has it.

    ACTIVE is what its register says that it booted with. CONFIGURED is what its next reset
    brings; asking for that takes --ask-firmware. Idle devices are woken for the look.
    """
    if every is not None and not watch:
        raise UsageError("--every is of --watch", hint="give both")
    if watch and (output != "table" or verbose):
        raise UsageError("--watch shows the table and its changes", hint="leave out -o and -v")
    if watch:
        from nodeagent.cli.drifting import follow  # noqa: PLC0415 - see the style guide, §6

        return follow(
            lambda: _watched(chosen, ask=ask_firmware),
            every or _EVERY_S,
            live=chosen.capture is None and chosen.sim is None,
        )
    found = _rows(chosen, verbose=verbose, ask=ask_firmware)
    if output == "table":
        from nodeagent.report.gpus import text  # noqa: PLC0415

        say(text(found, verbose=verbose))
    else:
        from nodeagent.cli.check import serialise  # noqa: PLC0415
        from nodeagent.report.gpus import document  # noqa: PLC0415

        say(serialise(document(found), output))
    return 0


def _rows(chosen: Chosen, *, verbose: bool, ask: bool) -> list[Row]:
    """From the devices alone: the rest of the host is not looked at."""
    from nodeagent.cli.switching import standing_of  # noqa: PLC0415
    from nodeagent.facts import gpu, pci  # noqa: PLC0415
    from nodeagent.facts.kernel import read_lockdown  # noqa: PLC0415
    from nodeagent.facts.look import BOOT_ID  # noqa: PLC0415
    from nodeagent.model.pci import Known  # noqa: PLC0415
    from nodeagent.model.seen import Unreadable, known  # noqa: PLC0415

    with opened(chosen, ask=ask) as (machine, answers), machine.look():
        devices = gpu.read(
            machine,
            pci.nvidia_functions(machine.files),
            boot_id=machine.files.read(BOOT_ID, 64),
            known=Known(asked=answers),
        )
        if isinstance(devices, Unreadable):
            raise HostError(f"the GPUs cannot be looked at: {devices}")
        standing = standing_of(devices, known(read_lockdown(machine.files)) or "")
        return [_row(machine, each, standing, verbose=verbose) for each in _all(devices)]


def _watched(chosen: Chosen, *, ask: bool) -> tuple[list[Row], Watched]:
    """A row for each device, and what is watched of the whole host."""
    from nodeagent.cli.looking import look  # noqa: PLC0415
    from nodeagent.cli.switching import devices_of, standings  # noqa: PLC0415
    from nodeagent.model.pci import Known  # noqa: PLC0415
    from nodeagent.report.drift import watched  # noqa: PLC0415

    with opened(chosen, ask=ask) as (machine, answers):
        facts, judgement = look(
            machine, profile=chosen.profile, want=chosen.mode, known=Known(asked=answers)
        )
        standing = standings(facts)
        devices = _all(devices_of(facts))
        rows = [_row(machine, each, standing, verbose=False) for each in devices]
    return rows, watched(facts, judgement, standing)


def _all(devices: Devices) -> tuple[Gpu, ...]:
    return (*devices.gpus, *devices.switches)


def _row(
    machine: Machine, device: Gpu, standing: Mapping[str, CcMode | Outcome], *, verbose: bool
) -> Row:
    from nodeagent.report.gpus import Answer, row  # noqa: PLC0415

    if not verbose:
        return row(device, standing[device.bdf])
    from nodeagent.facts import capability  # noqa: PLC0415

    able = capability.read(machine, device)
    told = [
        Answer("architecture", *able.architecture),
        Answer("product", *able.product),
        Answer("this unit", *able.unit),
    ]
    return row(device, standing[device.bdf], told)


@contextlib.contextmanager
def opened(chosen: Chosen, *, ask: bool) -> Iterator[tuple[Machine, Answers]]:
    """The machine for a look, and what its devices' firmware answers where that was asked for."""
    if not ask:
        with chosen.awake() as machine:
            yield machine, {}
        return
    from nodeagent.agent.asking import asked  # noqa: PLC0415

    if chosen.capture is not None:
        raise UsageError("a capture answers no questions", hint="leave out --ask-firmware")
    with chosen.changing() as machine, asked(machine, chosen.state, wake=chosen.may_wake) as found:
        yield machine, found
