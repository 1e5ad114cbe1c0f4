"""How a device that does not answer is brought back: from the gentlest reset to the last resort."""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from nodeagent.model.pci import Sibling
from nodeagent.model.seen import Unreadable
from nodeagent.model.switching import Await, Decode, Remove, Rescan, Reset, Step, Target, Unbind
from nodeagent.plan.gpu import BlockedError, obstacle


class Rung(StrEnum):
    """What is tried, in this order; the next one only where the one before did not help."""

    FLR = "function level reset"
    BUS = "bus reset"
    AGAIN = "remove and rescan"


class Attempt(NamedTuple):
    """`steps` in order. `not_here`: why the rung is left out on this device."""

    rung: Rung
    steps: tuple[Step, ...]
    not_here: str | None = None


def attempts(target: Target, siblings: Sequence[Sibling]) -> tuple[Attempt, ...]:
    """All three rungs; a sibling on the bus rules the second one out, as the kernel would."""
    bdf = target.bdf
    first: tuple[Step, ...] = (
        (Unbind(bdf, target.driver),) if isinstance(target.driver, str) else ()
    )
    answers: tuple[Step, ...] = (Decode(bdf), Await(bdf))
    named = ", ".join(map(str, siblings))
    return (
        _attempt(Rung.FLR, (*first, Reset(bdf, "flr"), *answers), _lacks(target, "flr")),
        _attempt(
            Rung.BUS,
            (*first, Reset(bdf, "bus"), *answers),
            f"its bus has {named} as well" if siblings else _lacks(target, "bus"),
        ),
        _attempt(Rung.AGAIN, (*first, Remove(bdf), Rescan(bdf), *answers), None),
    )


def _attempt(rung: Rung, steps: tuple[Step, ...], not_here: str | None) -> Attempt:
    return Attempt(rung, () if not_here else steps, not_here)


def _lacks(target: Target, method: str) -> str | None:
    """Whether the kernel knows no such reset of it; a list that cannot be read decides nothing."""
    methods = target.reset_method
    if not isinstance(methods, str) or method in methods.split():
        return None
    return f"the kernel has no {method} reset for it (reset_method: {methods or 'none'})"


def demand_free(target: Target, siblings: Sequence[Sibling] | Unreadable) -> Sequence[Sibling]:
    """Raise where somebody has the device or a sibling open, or might: a reset strikes them too."""
    reason = obstacle(target._replace(configured=None, awake=True, decodes=True))
    if reason:
        raise reason
    if isinstance(siblings, Unreadable):
        raise BlockedError(
            f"will not reset {target.bdf}: who shares its bus is unknown: {siblings}"
        )
    for each in siblings:
        if isinstance(each.holders, Unreadable):
            raise BlockedError(f"will not reset {target.bdf}: {each.bdf}: {each.holders}")
        if each.holders:
            raise BlockedError(
                f"{each.bdf}, on the bus of {target.bdf}, is in use by {each.holders[0]}",
                hint="stop what has it, then again",
            )
    return siblings
