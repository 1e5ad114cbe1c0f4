"""Programs that end anywhere while devices fail: nothing is called done that is not, and all of it
comes right once the devices do."""

import random
from collections.abc import Callable, Sequence

import pytest

from nodeagent.agent.switch import DeviceEnd, End, OnFailure
from nodeagent.errors import AgentError
from nodeagent.model.words import CcMode
from nodeagent.seams import Machine
from nodeagent.sim.faults import Faults
from tests.kill.board import FOUND, OFF, PPCIE, Board, Modes, Run, Slot, addresses, base, chip
from tests.kill.cutting import KILLED
from tests.unit.looks import EXAMPLES

ROUNDS = 20
EACH = (10_000 if EXAMPLES > 1000 else 1_000) // ROUNDS
pytestmark = pytest.mark.timeout(3600)

BOARDS = [(1, 0), (2, 0), (1, 1), (3, 0), (2, 2)]


class Killed(BaseException):
    """Nothing of ours may catch it."""


Stopped = Callable[[], bool]
Wrong = Callable[[random.Random, Faults], None]


def _lost(_any: random.Random, faults: Faults) -> None:
    faults.lost = True


def _silent(chance: random.Random, faults: Faults) -> None:
    faults.lost_answers = chance.randint(1, 3)


def _stuck(_any: random.Random, faults: Faults) -> None:
    faults.stuck_queue = True


def _refuses(chance: random.Random, faults: Faults) -> None:
    faults.answer_code = chance.choice([0x9E, 0xA0, 0x1E3, 0x202])


def _late(chance: random.Random, faults: Faults) -> None:
    faults.boots_late_s = chance.uniform(0.1, 12)


def _never(_any: random.Random, faults: Faults) -> None:
    faults.never_boots = True


def _loop(run: Run, want: Modes, stopped: Stopped) -> Modes:
    outcome = run.converge(want, stopped=stopped)
    assert stopped() or set(outcome.proven) | set(outcome.failed) == set(want)
    return outcome.proven


def _finishing(run: Run, want: Modes, stopped: Stopped) -> Modes:
    return _believed(run.switch(want, stopped=stopped), want)


def _rolling_back(run: Run, want: Modes, stopped: Stopped) -> Modes:
    return _believed(run.switch(want, on_failure=OnFailure.ROLLBACK, stopped=stopped), want)


def _believed(ends: Sequence[DeviceEnd], want: Modes) -> Modes:
    """What is said of each device to be in its mode, new or old."""
    assert [each.bdf for each in ends] == sorted(want)
    found: dict[str, CcMode] = {}
    for each in ends:
        if each.end is End.DONE:
            found[each.bdf] = each.want
        elif each.end is End.BACK and each.before is not None:
            found[each.bdf] = each.before
    return found


def _looking(run: Run, _want: Modes, _stopped: Stopped) -> Modes:
    run.look()
    return {}


PROGRAMS = (_loop, _finishing, _rolling_back, _looking)
WRONG: tuple[Wrong, ...] = (_lost, _silent, _stuck, _refuses, _late, _never)


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_any_end_among_any_faults_is_survived(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(EACH):
        gpus, switches = chance.choice(BOARDS)
        _one(chance, addresses(gpus, switches), base(gpus, switches))
        KILLED["with faults, at random"] = KILLED.get("with faults, at random", 0) + 1


def _one(chance: random.Random, bdfs: list[str], host: Machine) -> None:
    before, after = chance.choice(list(CcMode)), chance.choice(list(CcMode))
    board = Board(
        {
            bdf: Slot(chip(bdf), chance.choice(list(FOUND.values())), _of(bdf, before))
            for bdf in bdfs
        }
    )
    want = {bdf: _of(bdf, after) for bdf in bdfs}
    for _ in range(chance.randint(1, 3)):
        _fall(chance, board, host, want)
    for place in board.places.values():
        _heal(place.device.faults)
        if not place.device.is_booted:
            place.device.boot()
    outcome = Run(board, host).converge(want)

    assert dict(outcome.proven) == want, outcome
    board.demand_whole(want)


def _fall(chance: random.Random, board: Board, host: Machine, want: Modes) -> None:
    """One program among faults that come at some write and go at another, ended at a third."""
    fuse, strikes = chance.randint(0, 500), chance.randint(0, 300)
    struck = board.places[chance.choice(list(board.places))].device.faults
    wrong = chance.choice(WRONG)
    stops = chance.randint(0, 300) if chance.random() < 0.3 else fuse  # told to stop, and obeys
    writes = 0

    def touch(_what: str) -> None:
        nonlocal writes
        writes += 1
        if writes == strikes:
            wrong(chance, struck)
        if writes > fuse:
            raise Killed

    held = chance.choice(list(board.places.values())) if chance.random() < 0.2 else None
    if held is not None:
        held.holders[4242] = "qemu-system-x86"  # a reset or unbinding of it would be harm
        held.rest()
    run = Run(board, host, touch)
    try:
        done = chance.choice(PROGRAMS)(run, want, lambda: writes > stops)
    except (Killed, AgentError):
        return
    finally:
        if held is not None:
            held.holders.clear()
            held.rest()
    for bdf, mode in done.items():
        if not board.places[bdf].device.faults.lost:  # it may be lost since
            assert board.mode(bdf) is mode, "called done, and is not"


def _heal(faults: Faults) -> None:
    for name, value in _values(Faults()).items():
        setattr(faults, name, value)


def _values(faults: Faults) -> dict[str, object]:
    return {name: getattr(faults, name) for name in faults.__slots__}


def _of(bdf: str, mode: CcMode) -> CcMode:
    """A switch knows protected PCIe and off alone."""
    is_switch = chip(bdf).is_switch
    return OFF if is_switch and mode is not PPCIE else mode
