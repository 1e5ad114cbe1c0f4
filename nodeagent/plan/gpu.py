"""Which steps bring devices to a mode, from how they are (style: the machine is the state)."""

from collections.abc import Iterator, Mapping, Sequence

from nodeagent.errors import AgentError
from nodeagent.model.knobs import Configured, is_possible, way_out, writes
from nodeagent.model.seen import Unreadable
from nodeagent.model.switching import (
    Await,
    Bind,
    Debt,
    Decode,
    Override,
    Rescan,
    Reset,
    Rest,
    Stage,
    Step,
    Target,
    Unbind,
    Wake,
)
from nodeagent.model.words import CcMode

_NOTHING = Debt()
_BEFORE_RESET = (Wake, Unbind, Decode, Await, Stage)


class BlockedError(AgentError):
    """It must not be done now, or not be done at all: a person or time must decide."""


def wave(
    targets: Sequence[Target], want: Mapping[str, CcMode], debts: Mapping[str, Debt]
) -> tuple[Step, ...]:
    """The steps to do now, side by side: they touch different devices.

    `want` names the devices to switch; of any other only what is owed is given back. Nothing
    is reset before everything is staged: a half of the node must not run ahead.
    """
    first = [
        step
        for target in targets
        if (step := next(_steps(target, want.get(target.bdf), debts.get(target.bdf)), None))
    ]
    there = {target.bdf for target in targets}
    lost = [Rescan(bdf) for bdf, debt in debts.items() if debt.removed and bdf not in there]
    early = [step for step in first if isinstance(step, _BEFORE_RESET) and step.bdf in want]
    return tuple(early or [*lost, *first])


def waking(targets: Sequence[Target]) -> tuple[Step, ...]:
    """What makes idle devices readable that nobody holds; nothing is taken from a driver."""
    return tuple(step for target in targets if (step := _waking(target)))


def _waking(target: Target) -> Step | None:
    if obstacle(target) is not None:
        return None
    if target.awake is not True:
        return Wake(target.bdf)
    return Decode(target.bdf) if target.decodes is False and target.driver is None else None


def obstacles(targets: Sequence[Target], want: Mapping[str, CcMode]) -> Mapping[str, BlockedError]:
    """What must not be switched now, and why: held, not to be looked at, or not possible."""
    return {
        target.bdf: reason
        for target in targets
        if target.bdf in want
        and not _is_so(target, want[target.bdf])
        and (reason := obstacle(target, want[target.bdf]))
    }


def obstacle(target: Target, mode: CcMode | None = None) -> BlockedError | None:
    """Why nothing may be done to the device, or None."""
    bdf = target.bdf
    seen = (target.driver, target.override, target.holders, target.awake, target.decodes)
    for gap in (*seen, target.control):
        if isinstance(gap, Unreadable):
            return BlockedError(f"will not change {bdf}: {gap}")
    if isinstance(target.holders, tuple) and target.holders:
        more = f" and {len(target.holders) - 1} more" if target.holders[1:] else ""
        return BlockedError(
            f"{bdf} is in use by {target.holders[0]}{more}", hint="stop what has it, then again"
        )
    configured = target.configured
    if isinstance(configured, Unreadable):
        return BlockedError(f"will not change {bdf}: {configured}")
    if mode and isinstance(configured, Configured) and not is_possible(configured, mode):
        return BlockedError(f"{bdf} cannot be {mode}", hint=way_out(configured.line, mode))
    return None


def _steps(target: Target, want: CcMode | None, debt: Debt | None) -> Iterator[Step]:
    """What is left to do with one device, the next step first."""
    if want is not None and not _is_so(target, want):
        yield from _switch(target, want)
    yield from _give_back(target, debt)


def must_ask(target: Target, want: CcMode | None) -> bool:
    """Whether what to do next depends on what the firmware says: in the mode already, or staged.

    A device that is bound and in another mode is unbound first in any case.
    """
    if want is None or target.booted is not True or target.decodes is not True or target.holders:
        return False
    return target.awake is True and (target.active is want or target.driver is None)


def is_so(targets: Sequence[Target], bdf: str, want: CcMode) -> bool:
    """Whether this device is in the mode, will stay in it, and was seen to be."""
    return any(_is_so(each, want) for each in targets if each.bdf == bdf)


def _is_so(target: Target, want: CcMode) -> bool:
    """In the mode, configured to stay in it, and booted: one alone proves nothing."""
    configured = target.configured
    if configured is None or isinstance(configured, Unreadable):
        return False
    if target.staged or not is_possible(configured, want):
        return False  # of the BAR0 filter no register shows whether this boot has it (§8.3)
    return target.booted is True and target.active is want and not writes(configured, want)


def _switch(target: Target, want: CcMode) -> Iterator[Step]:
    bdf, configured = target.bdf, target.configured
    if target.awake is not True or target.control == "auto":
        yield Wake(bdf)  # or it might fall asleep among the questions
    if isinstance(target.driver, str):
        yield Unbind(bdf, target.driver)
    if target.decodes is not True or isinstance(target.driver, str):
        yield Decode(bdf)
    if target.booted is False:
        yield Await(bdf)
    if configured is None or isinstance(configured, Unreadable) or writes(configured, want):
        yield Stage(bdf, want)
    yield Reset(bdf)
    yield Await(bdf)


def _give_back(target: Target, debt: Debt | None) -> Iterator[Step]:
    """A driver is bound by its name, whatever the override said; then that is as it was, too."""
    if debt is None:
        return
    bdf = target.bdf
    taken = isinstance(target.driver, str) and target.driver != debt.driver
    if debt.removed and taken and not target.holders:
        yield Unbind(bdf, str(target.driver))
    override = target.override if isinstance(target.override, str) else ""
    if debt.driver is not None and target.driver is None:
        if override not in {"", debt.driver} or (not override and "vfio" in debt.driver):
            yield Override(bdf, debt.driver)
            override = debt.driver
        yield Bind(bdf, debt.driver)
    if debt.override is not None and override != debt.override:
        yield Override(bdf, debt.override)
    yield Rest(bdf)
