"""What `gpus`, `plan` and `apply` share: from one look to what a switch depends on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from nodeagent.errors import HostError, UsageError
from nodeagent.model.words import CcMode, Level, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nodeagent.cli.options import Chosen
    from nodeagent.model.facts import Facts
    from nodeagent.model.findings import Judgement, Outcome
    from nodeagent.model.pci import Devices
    from nodeagent.plan.wanted import Situation, Wish


def devices_of(facts: Facts) -> Devices:
    from nodeagent.model.seen import Unreadable  # noqa: PLC0415 - see the style guide, §6

    if isinstance(facts.devices, Unreadable):
        raise HostError(f"the GPUs cannot be looked at: {facts.devices}")
    return facts.devices


def lockdown_of(facts: Facts) -> str:
    lockdown = facts.kernel.lockdown
    return lockdown if isinstance(lockdown, str) else ""


def standings(facts: Facts) -> Mapping[str, CcMode | Outcome]:
    return standing_of(devices_of(facts), lockdown_of(facts))


def standing_of(devices: Devices, lockdown: str) -> Mapping[str, CcMode | Outcome]:
    """Each device's mode, or why it has none, as the checks judge it."""
    from nodeagent.checks.gpu import Mode, modes  # noqa: PLC0415

    found = modes((*devices.gpus, *devices.switches), lockdown)
    return {bdf: each.mode if isinstance(each, Mode) else each for bdf, each in found.items()}


def situation(facts: Facts, judgement: Judgement) -> Situation:
    from nodeagent.plan.wanted import Situation  # noqa: PLC0415

    # A CPU that cannot do SNP at all is no better than one that is not set up for it.
    capable, enabled = judgement.levels[Level.CAPABLE], judgement.levels[Level.ENABLED]
    level = capable if capable.verdict is Verdict.FAIL else enabled
    asked = Level.ENABLED in judgement.profile.required
    return Situation(
        devices=devices_of(facts),
        modes=standings(facts),
        lockdown=lockdown_of(facts),
        enabled=(level.verdict, _why_not(judgement, level.says)) if asked else None,
    )


def _why_not(judgement: Judgement, says: str) -> str:
    """The first reason of its own that the host is not enabled."""
    for finding in judgement.todo:
        if finding.level in {Level.CAPABLE, Level.ENABLED} and finding.verdict is Verdict.FAIL:
            return f"{finding.outcome.seen} ({finding.code})"
    return says


def wish(chosen: Chosen, gpus: tuple[str, ...], per_vm: int | None, *, force: bool) -> Wish:
    from nodeagent.plan.wanted import Wish  # noqa: PLC0415

    if chosen.mode is None:
        raise UsageError("no mode is asked for", hint=f"--mode {'|'.join(CcMode)}")
    return Wish(chosen.mode, gpus, per_vm, force)


def only_recover(gpus: tuple[str, ...], per_vm: int | None, *, force: bool) -> None:
    """What says how to switch has no meaning for a recovery."""
    context = click.get_current_context()
    is_asked = context.get_parameter_source("mode") is ParameterSource.COMMANDLINE
    if gpus or per_vm or force or is_asked:
        raise UsageError("--recover goes alone", hint="switch the mode once the device is back")


_OPTIONS = (
    click.option(
        "--gpu",
        "gpus",
        metavar="BDF",
        multiple=True,
        help="Only this GPU, such as 0000:41:00.0; may be given again.",
    ),
    click.option(
        "--gpus-per-vm",
        "per_vm",
        type=click.IntRange(min=1),
        metavar="NUMBER",
        help="How many GPUs one VM will get: 1 unless given, all of them with ppcie.",
    ),
    click.option(
        "--force",
        is_flag=True,
        help="Though this host cannot start a confidential VM: the GPUs then work for nobody.",
    ),
    click.option(
        "--recover",
        metavar="BDF",
        help="Instead of a mode: bring back a device that does not answer.",
    ),
)


def switch_options(command: Callable[..., int]) -> Callable[..., int]:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
