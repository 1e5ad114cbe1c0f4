"""What a switch will do, as a list: the very planner that does it, on devices as they will be."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, assert_never

from nodeagent.model.knobs import FILTER_ON, Configured, Knob, Line, writes
from nodeagent.model.switching import (
    Await,
    Bind,
    Debt,
    Decode,
    Override,
    Remove,
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
from nodeagent.plan import gpu as plan

_MOST_WAVES = 40  # a device takes eight or nine; more would be a planner that goes in circles


class Wave(NamedTuple):
    """Steps that are done side by side. `why`, for each of them."""

    steps: tuple[Step, ...]
    why: tuple[str, ...]


def foreseen(
    targets: Sequence[Target], want: Mapping[str, CcMode], debts: Mapping[str, Debt]
) -> tuple[Wave, ...]:
    """Every wave until nothing is left. What the firmware was not asked is taken as different."""
    return tuple(_foreseen(targets, want, debts))


def _foreseen(
    targets: Sequence[Target], want: Mapping[str, CcMode], debts: Mapping[str, Debt]
) -> Iterator[Wave]:
    now = {each.bdf: each for each in targets}
    owed = dict(debts)
    done: set[str] = set()
    for _ in range(_MOST_WAVES):
        done |= {bdf for bdf, mode in want.items() if plan.is_so(list(now.values()), bdf, mode)}
        left = {bdf: mode for bdf, mode in want.items() if bdf not in done}
        steps = plan.wave(list(now.values()), left, owed)
        if not steps:
            return
        yield Wave(steps, tuple(_why(step, now.get(step.bdf)) for step in steps))
        for step in steps:
            _owe(step, now.get(step.bdf), owed)
            if step.bdf in now:
                now[step.bdf] = _after(step, now[step.bdf])
    raise RuntimeError("the plan does not end")


def _after(step: Step, target: Target) -> Target:
    """The device as it should be once the step is done."""
    match step:
        case Wake():
            return target._replace(awake=True, control="on")
        case Unbind():
            return target._replace(driver=None, decodes=False)
        case Decode():
            booted = True if target.booted is None else target.booted
            return target._replace(decodes=True, booted=booted)
        case Await():
            # After a reset it has what was staged; before one, whatever it had.
            staged = target.configured.mode if isinstance(target.configured, Configured) else None
            return target._replace(booted=True, active=target.active or staged)
        case Stage(mode=mode):
            return target._replace(configured=_staged(target, mode), staged=True)
        case Reset():
            return target._replace(booted=False, active=None, staged=False)
        case Override(driver=driver):
            return target._replace(override=driver or None)
        case Bind(driver=driver):
            return target._replace(driver=driver, decodes=True)
        case Remove() | Rescan() | Rest():
            return target
        case _:
            assert_never(step)


def _staged(target: Target, mode: CcMode) -> Configured:
    """What tells the mode: of the knobs beside these none differs any more."""
    filtered = target.line is Line.HOPPER and mode in {CcMode.ON, CcMode.PPCIE}
    values = {
        Knob.CC: int(mode in {CcMode.ON, CcMode.DEVTOOLS}),
        Knob.DEVTOOLS: int(mode is CcMode.DEVTOOLS),
        Knob.FILTER: FILTER_ON * filtered,
        Knob.PPCIE: int(mode is CcMode.PPCIE),
    }
    return Configured(target.line, {int(knob): value for knob, value in values.items()})


def _owe(step: Step, target: Target | None, owed: dict[str, Debt]) -> None:
    """As steps do it: what is owed already stays as it was first seen."""
    old = owed.get(step.bdf, Debt())
    match step:
        case Wake() if target is not None:
            control = target.control if isinstance(target.control, str) else "auto"
            owed[step.bdf] = old._replace(control=old.control or control)
        case Unbind(driver=driver) if target is not None:
            override = target.override if isinstance(target.override, str) else ""
            before = old.override if old.override is not None else override
            owed[step.bdf] = old._replace(driver=old.driver or driver, override=before)
        case Decode() if old.decode is None:
            owed[step.bdf] = old._replace(decode=False)
        case Rest():
            owed.pop(step.bdf, None)
        case Rescan() if target is None:
            owed.pop(step.bdf, None)  # whether it comes back, and how, nobody can foresee
        case _:
            pass


def _why(step: Step, target: Target | None) -> str:  # noqa: C901, PLR0911 - one for each
    match step:
        case Wake():
            return "asleep its registers do not answer"
        case Unbind():
            return "nobody may have it open while it is reset"
        case Decode():
            return "without a driver its registers are not to be reached"
        case Await() if target is not None and target.configured is None:
            return "its firmware answers once it has booted"
        case Await():
            return "only then its mode register counts, and is read"
        case Stage(mode=mode):
            return _knobs(target, mode)
        case Reset():
            return "what is staged counts from the next boot on"
        case Override() | Bind():
            return "as it was found"
        case Remove() | Rescan():
            return "the kernel then finds it as if it had just been plugged in"
        case Rest():
            return "power management and memory decode as they were"
        case _:
            assert_never(step)


def _knobs(target: Target | None, mode: CcMode) -> str:
    if target is None or not isinstance(target.configured, Configured):
        return "its firmware is asked then, and knows which"
    todo = writes(target.configured, mode)
    return "knobs " + ", ".join(f"{each.knob}={each.value}" for each in todo)
