"""`nodeagent apply`: brings GPUs and switches to a mode."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from nodeagent.cli.options import Words, host_options, output_option
from nodeagent.cli.output import say
from nodeagent.cli.switching import only_recover, switch_options, wish
from nodeagent.errors import HostError, UnfinishedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nodeagent.agent.switch import DeviceEnd, OnFailure, Workplace
    from nodeagent.cli.options import Chosen
    from nodeagent.cli.planning import Plan
    from nodeagent.plan.wanted import Wish


@click.command(
    "apply",
    epilog="""\b
Examples:
  nodeagent apply --mode on
  nodeagent apply --mode off --gpu 0000:41:00.0 --yes
  nodeagent apply --recover 0000:41:00.0

\b
Exit codes:
  0  every device is in the mode
  1  a device is not
  2  the words are off
  3  it did not begin: the one reason is said, and nothing was written
""",
)
@host_options
@switch_options
@click.option(
    "--on-failure",
    type=Words("finish", "rollback"),
    default="finish",
    show_default=True,
    metavar="finish|rollback",
    help="Once a device fails: let the others finish, or bring all back. ppcie always goes back.",
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask before the first step.")
@output_option
def command(  # noqa: PLR0913 - one for each option
    chosen: Chosen,
    *,
    gpus: tuple[str, ...],
    per_vm: int | None,
    force: bool,
    recover: str | None,
    on_failure: str,
    yes: bool,
    output: str,
) -> int:
    """Bring every GPU and NVSwitch to --mode, side by side, and prove it.

    Shows the plan first. A device that somebody has open is never touched. Drivers come back
    as they were. Safe to end at any moment: the same command again goes on from where it is.
    """
    if not yes and not (sys.stdin and sys.stdin.isatty()):
        raise UsageError("nobody is there to say yes", hint="add --yes")
    if recover is not None:
        only_recover(gpus, per_vm, force=force)
        if output != "table":
            raise UsageError("--recover tells how it goes in lines", hint="leave out -o")
        if chosen.capture is not None:
            raise UsageError("a capture cannot be changed", hint="`nodeagent plan` takes one")
        return _recover(chosen, recover, yes=yes)
    return _apply(
        chosen, wish(chosen, gpus, per_vm, force=force), on_failure, yes=yes, output=output
    )


def _apply(chosen: Chosen, asks: Wish, on_failure: str, *, yes: bool, output: str) -> int:
    from nodeagent.agent import asking, waking  # noqa: PLC0415 - see the style guide, §6
    from nodeagent.agent import switch as switching  # noqa: PLC0415
    from nodeagent.cli import planning  # noqa: PLC0415
    from nodeagent.plan.wanted import address  # noqa: PLC0415

    quiet = output != "table"
    chosen.settle()
    with chosen.changing() as machine:
        there = frozenset(each.bdf for each in asking.targets(machine))
        bdfs = there & set(map(address, asks.only)) if asks.only else there
        with switching.workplace(machine, chosen.state, bdfs, command="apply") as at:
            planning.make(chosen, machine, {}, asks=asks, debts=at.debts)  # refused before a write
            try:
                if chosen.may_wake:
                    waking.rouse(machine, at.debts, at.mine)
                plan = planning.make(chosen, machine, {}, asks=asks, debts=at.debts)
                _demand_locked(plan, at)
                if not chosen.may_wake:
                    _demand_awake(plan)
                if not _agreed(plan, quiet=quiet, yes=yes):
                    return 1
                ends = _switch(at, plan, switching.OnFailure(on_failure), quiet=quiet)
            finally:
                waking.give_back(machine, at.debts, frozenset(at.mine))
    say(_document(ends, output) if quiet else _text(ends))
    return 0 if all(each.end in {"done", "reboot"} for each in ends) else 1


def _demand_locked(plan: Plan, at: Workplace) -> None:
    """A device that was plugged in a moment ago is nobody's yet."""
    new = plan.wanted.modes.keys() - at.mine.keys()
    if new:
        raise HostError(f"{min(new)} has just appeared", hint="the same command again")


def _demand_awake(plan: Plan) -> None:
    from nodeagent.model.findings import Outcome  # noqa: PLC0415
    from nodeagent.plan.gpu import BlockedError  # noqa: PLC0415

    for bdf in plan.wanted.modes:
        standing = plan.now.modes.get(bdf)
        if isinstance(standing, Outcome) and standing.code == "GPU_ASLEEP":
            raise BlockedError(f"{bdf} sleeps, and --no-wake forbids to wake it")


def _agreed(plan: Plan, *, quiet: bool, yes: bool) -> bool:
    from nodeagent.cli import planning  # noqa: PLC0415

    told = planning.told(plan, "table", verbose=False)
    if quiet:
        click.echo(told, err=True)
    else:
        say(told)
    if yes or not _changes(plan):
        return True
    return click.confirm("Go ahead?", err=quiet)


def _changes(plan: Plan) -> bool:
    """Whether anything but letting devices sleep again is left to do."""
    from nodeagent.model.switching import Rest  # noqa: PLC0415

    return any(not isinstance(step, Rest) for wave in plan.waves for step in wave.steps)


def _switch(
    at: Workplace,
    plan: Plan,
    on_failure: OnFailure,
    *,
    quiet: bool,
) -> Sequence[DeviceEnd]:
    from nodeagent.agent.switch import switch  # noqa: PLC0415
    from nodeagent.cli.progress import shown  # noqa: PLC0415
    from nodeagent.cli.stopping import stops  # noqa: PLC0415

    bdfs = sorted({step.bdf for wave in plan.waves for step in wave.steps})
    try:
        with stops() as stopped, shown(bdfs, sys.stderr if quiet else None) as told:
            return switch(
                at, plan.wanted.modes, plan.now, on_failure=on_failure, told=told, stopped=stopped
            )
    except HostError as error:
        raise UnfinishedError(
            "the switch was begun and is not finished", hint="the same command again goes on"
        ) from error


def _text(ends: Sequence[DeviceEnd]) -> str:
    from nodeagent.report.ends import text  # noqa: PLC0415

    return text(ends)


def _document(ends: Sequence[DeviceEnd], output: str) -> str:
    from nodeagent.cli.check import serialise  # noqa: PLC0415
    from nodeagent.report.ends import document  # noqa: PLC0415

    return serialise(document(ends), output)


def _recover(chosen: Chosen, word: str, *, yes: bool) -> int:
    from nodeagent.agent.recover import recover  # noqa: PLC0415
    from nodeagent.agent.switch import workplace  # noqa: PLC0415
    from nodeagent.cli import planning  # noqa: PLC0415
    from nodeagent.cli.progress import shown  # noqa: PLC0415
    from nodeagent.cli.stopping import stops  # noqa: PLC0415
    from nodeagent.plan.wanted import address  # noqa: PLC0415

    bdf = address(word)
    say(planning.recovery(chosen, bdf, "table"))
    if not yes and not click.confirm("Go ahead?"):
        return 1
    with (
        chosen.changing() as machine,
        workplace(machine, chosen.state, frozenset({bdf}), command="apply --recover") as at,
        stops() as stopped,
    ):
        try:
            with shown([bdf]) as told:
                helped = recover(at, bdf, told=told, stopped=stopped)
        except HostError as error:
            say(f"{error}" + (f"\n  try: {error.hint}" if error.hint else ""))
            return 1
    say(f"{bdf} answers again after a {helped.rung}; its modes are those that it had")
    return 0
