"""One switch of a node's devices to a mode: locked, done, rolled back once, and told."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from nodeagent import locks
from nodeagent.agent import marks
from nodeagent.agent.converge import SILENT, May, Outcome, Told, always, converge
from nodeagent.agent.together import Together, side_by_side
from nodeagent.debts import Debts
from nodeagent.errors import AgentError
from nodeagent.model.words import CcMode
from nodeagent.plan.gpu import BlockedError
from nodeagent.plan.wanted import Situation, attests_after_reboot
from nodeagent.seams import Changeable


class OnFailure(StrEnum):
    """What happens to the others once a device fails."""

    FINISH = "finish"
    ROLLBACK = "rollback"


class End(StrEnum):
    """How it ended for one device."""

    DONE = "done"
    REBOOT = "reboot"
    """In the mode, and not believed by an attestation service before the next boot."""
    FAILED = "failed"
    BACK = "rolled back"
    LEFT = "not switched"


class DeviceEnd(NamedTuple):
    bdf: str
    end: End
    want: CcMode
    before: CcMode | None
    error: AgentError | None = None


class Workplace(NamedTuple):
    """A machine whose devices are ours to change: locked, and with a hand for each."""

    machine: Changeable
    debts: Debts
    mine: Mapping[str, int]


@contextmanager
def workplace(
    machine: Changeable, folder: Path, bdfs: frozenset[str], *, command: str
) -> Iterator[Workplace]:
    """BusyError where another program has one of the devices; nothing was done then."""
    with locks.taken(folder, bdfs, command=command) as mine, machine.hands(mine):
        yield Workplace(machine, Debts(folder), mine)


def switch(  # noqa: PLR0913 - each is a thing of its own
    at: Workplace,
    want: Mapping[str, CcMode],
    now: Situation,
    *,
    on_failure: OnFailure = OnFailure.FINISH,
    told: Told = SILENT,
    stopped: Callable[[], bool] = lambda: False,
    may: May = always,
    together: Together = side_by_side,
) -> tuple[DeviceEnd, ...]:
    """Bring the devices to their modes; how it ended for each, in order of address."""
    protected = CcMode.PPCIE in {*want.values(), *now.modes.values()}
    leaving = _leaving(want, now) - marks.left(at.debts.folder)
    marks.leave(at.debts.folder, leaving)  # before: a crash must not forget it
    all_or_none = protected or on_failure is OnFailure.ROLLBACK

    def go(modes: Mapping[str, CcMode], *, is_rollback: bool = False) -> Outcome:
        return converge(
            at.machine,
            modes,
            at.debts,
            mine=at.mine.keys(),
            told=told,
            stopped=stopped,
            may=may,
            all_or_none=all_or_none and not is_rollback,
            is_rollback=is_rollback,
            together=together,
        )

    try:
        outcome = go(want)
    except BlockedError:
        marks.forget(at.debts.folder, leaving)  # nothing was done
        raise
    back: Outcome | None = None
    if outcome.failed and all_or_none:
        before = {bdf: outcome.before[bdf] for bdf in outcome.changed if bdf in outcome.before}
        marks.leave(at.debts.folder, _leaving(before, now._replace(modes=want)))
        back = go(before, is_rollback=True)  # and then gives back whatever is owed
    left_before = marks.left(at.debts.folder)
    return tuple(
        _end(bdf, mode, outcome, back, reboot=bdf in left_before)
        for bdf, mode in sorted(want.items())
    )


def _leaving(want: Mapping[str, CcMode], now: Situation) -> frozenset[str]:
    """Parts that attest only after a boot once they left the mode they are in, or may be in."""
    return frozenset(
        each.bdf
        for each in now.devices.gpus
        if want.get(each.bdf) is CcMode.OFF
        and now.modes.get(each.bdf) is not CcMode.OFF
        and attests_after_reboot(each)
    )


def _is_unsettled(bdf: str, outcome: Outcome, back: Outcome | None) -> bool:
    """A rollback was to bring it back, and was stopped before it could prove anything."""
    return back is not None and bdf in outcome.changed and bdf not in back.proven


def _end(
    bdf: str, want: CcMode, outcome: Outcome, back: Outcome | None, *, reboot: bool
) -> DeviceEnd:
    before = outcome.before.get(bdf)
    error = outcome.failed.get(bdf) or (back.failed.get(bdf) if back else None)
    if error is not None:
        return DeviceEnd(bdf, End.FAILED, want, before, error)
    if back is not None and bdf in back.proven and back.proven[bdf] is not want:
        return DeviceEnd(bdf, End.BACK, want, before)
    if bdf not in outcome.proven or _is_unsettled(bdf, outcome, back):
        return DeviceEnd(bdf, End.LEFT, want, before)
    needs_boot = reboot and want is not CcMode.OFF
    return DeviceEnd(bdf, End.REBOOT if needs_boot else End.DONE, want, before)
