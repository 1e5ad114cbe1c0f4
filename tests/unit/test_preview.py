"""What a plan foresees holds all that is then done, in its order: on devices of the model."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import permutations
from pathlib import Path
from typing import NamedTuple

import pytest

from nodeagent.agent import asking, waking
from nodeagent.agent.converge import Outcome, Told, converge
from nodeagent.agent.together import in_turn
from nodeagent.debts import Debts
from nodeagent.facts import switching
from nodeagent.model.seen import Unreadable
from nodeagent.model.switching import (
    Await,
    Debt,
    Decode,
    Rescan,
    Reset,
    Rest,
    Stage,
    Step,
    Target,
    Wake,
)
from nodeagent.model.words import CcMode
from nodeagent.plan.preview import Wave, foreseen
from nodeagent.sim.chips import B200, LS10, RTX_PRO_6000, Chip
from nodeagent.sim.machine import SimMachine
from tests.hosts.draft import GPU
from tests.kill.board import ASLEEP, FOUND, Board, Found, Run, Slot, addresses, base, chip
from tests.unit.looks import HOSTS
from tests.unit.recalled import recalled
from tests.unit.test_plan_gpu import STAGED, knobs, target

ON, OFF, DEVTOOLS, PPCIE = CcMode.ON, CcMode.OFF, CcMode.DEVTOOLS, CcMode.PPCIE
FIRST, SWITCH = addresses(1, 1)
Changes = dict[str, list[tuple[int, int]]]


class Knobs(dict[int, int]):
    """A device's knobs that keep what is written to them, in order."""

    def __init__(self, values: Mapping[int, int], written: list[tuple[int, int]]) -> None:
        super().__init__(values)
        self._written = written

    def __setitem__(self, knob: int, value: int) -> None:
        self._written.append((knob, value))
        super().__setitem__(knob, value)


class Place(NamedTuple):
    """A board, the notes of its debts, and the machine around it."""

    board: Board
    machine: SimMachine
    debts: Debts

    def rouse(self) -> None:
        """As `plan --ask-firmware` and `apply` do before they look."""
        waking.rouse(self.machine, self.debts, dict.fromkeys(self.board.places, 0))

    def targets(self, *, ask: bool) -> tuple[Target, ...]:
        found = switching.read(self.machine)
        assert not isinstance(found, Unreadable)
        if not ask:
            return found
        answers = asking.answers(self.machine, dict.fromkeys(self.board.places, 0))
        return asking.with_answers(found, answers)

    def foreseen(self, want: Mapping[str, CcMode], *, ask: bool) -> tuple[Wave, ...]:
        return foreseen(self.targets(ask=ask), want, self.debts.all())

    def listen(self) -> Changes:
        written: Changes = {bdf: [] for bdf in self.board.places}
        for bdf, place in self.board.places.items():
            place.device.fsp.knobs = Knobs(place.device.fsp.knobs, written[bdf])
        return written

    def converge(self, want: Mapping[str, CcMode]) -> tuple[Outcome, list[Step]]:
        done: list[Step] = []
        outcome = converge(
            self.machine,
            want,
            self.debts,
            mine=self.board.places,
            told=Told(begins=done.append),
            together=in_turn,
        )
        return outcome, done


def place(slots: Mapping[str, Slot], folder: Path) -> Place:
    board = Board(slots)
    switches = sum(slot.chip.is_switch for slot in slots.values())
    machine = Run(board, base(len(slots) - switches, switches)).machine
    return Place(board, machine, Debts(folder))


def one(found: Found, mode: CcMode, folder: Path) -> Place:
    return place({FIRST: Slot(chip(FIRST), found, mode)}, folder)


def steps(waves: Sequence[Wave], bdf: str = FIRST) -> list[Step]:
    return [step for wave in waves for step in wave.steps if step.bdf == bdf]


def in_order(part: Sequence[Step], whole: Sequence[Step]) -> bool:
    """Whether `part` is what is left of `whole` once some steps are taken out."""
    rest: Iterator[Step] = iter(whole)
    return all(step in rest for step in part)


class Look(NamedTuple):
    """How the plan is made: of devices as they were found, or woken first, and then asked."""

    roused: bool
    ask: bool


LOOKS = {
    "as found": Look(roused=False, ask=False),
    "awake": Look(roused=True, ask=False),
    "awake and asked": Look(roused=True, ask=True),
}


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("want", CcMode)
@pytest.mark.parametrize("was", CcMode)
@pytest.mark.parametrize("name", FOUND)
def test_all_that_is_done_was_foreseen_and_in_this_order(
    name: str, was: CcMode, want: CcMode, look: str, tmp_path: Path
) -> None:
    here = one(FOUND[name], was, tmp_path)
    if LOOKS[look].roused:
        here.rouse()

    waves = here.foreseen({FIRST: want}, ask=LOOKS[look].ask)
    outcome, done = here.converge({FIRST: want})

    assert outcome.proven == {FIRST: want}
    assert in_order(done, steps(waves))
    assert all(wave.steps and len(wave.steps) == len(wave.why) for wave in waves)


@pytest.mark.parametrize("want", CcMode)
@pytest.mark.parametrize("was", CcMode)
@pytest.mark.parametrize("name", FOUND)
def test_with_the_firmwares_answers_nothing_is_foreseen_in_vain(
    name: str, was: CcMode, want: CcMode, tmp_path: Path
) -> None:
    here = one(FOUND[name], was, tmp_path)
    here.rouse()

    waves = here.foreseen({FIRST: want}, ask=True)

    assert here.converge({FIRST: want})[1] == steps(waves)


@pytest.mark.parametrize("want", CcMode)
@pytest.mark.parametrize("was", CcMode)
@pytest.mark.parametrize("staged", CcMode)
def test_with_the_firmwares_answers_the_knobs_are_named_that_are_written(
    was: CcMode, staged: CcMode, want: CcMode, tmp_path: Path
) -> None:
    """Whatever it runs in, and whatever somebody else has staged meanwhile."""
    here = one(ASLEEP, was, tmp_path)
    device = here.board.places[FIRST].device
    other = one(ASLEEP, staged, tmp_path).board.places[FIRST].device
    device.fsp.knobs.update(other.fsp.knobs)
    here.rouse()
    written = here.listen()

    waves = here.foreseen({FIRST: want}, ask=True)
    here.converge({FIRST: want})

    said = ", ".join(f"{knob}={value}" for knob, value in written[FIRST])
    assert _named(waves) == ([f"knobs {said}"] if said else [])


def _named(waves: Sequence[Wave]) -> list[str]:
    """What the plan says beside each step that writes knobs."""
    found = [pair for wave in waves for pair in zip(*wave, strict=True)]
    return [why for step, why in found if isinstance(step, Stage)]


UNASKED = "its firmware is asked then, and knows which"


def test_without_answers_a_stage_says_that_it_will_ask(tmp_path: Path) -> None:
    here = one(ASLEEP, OFF, tmp_path)
    waves = here.foreseen({FIRST: ON}, ask=False)

    assert _named(waves) == [UNASKED]


@pytest.mark.parametrize("mode", CcMode)
@pytest.mark.parametrize(
    "name", ["vfio-pci, awake", "nvidia", "nouveau"], ids=["vfio-pci", "nvidia", "nouveau"]
)
def test_nothing_is_foreseen_when_all_is_so(name: str, mode: CcMode, tmp_path: Path) -> None:
    here = one(FOUND[name], mode, tmp_path)

    assert here.foreseen({FIRST: mode}, ask=True) == ()


@pytest.mark.parametrize("mode", CcMode)
def test_a_device_that_was_woken_for_the_question_is_laid_to_rest_alone(
    mode: CcMode, tmp_path: Path
) -> None:
    here = one(ASLEEP, mode, tmp_path)
    here.rouse()

    [wave] = here.foreseen({FIRST: mode}, ask=True)
    assert wave == ((Rest(FIRST),), ("power management and memory decode as they were",))


@pytest.mark.parametrize("ask", [False, True])
@pytest.mark.parametrize(
    ("was", "want"),
    [
        ((OFF, OFF, OFF), (ON, ON, OFF)),
        ((ON, OFF, OFF), (ON, ON, OFF)),
        ((PPCIE, PPCIE, PPCIE), (OFF, OFF, OFF)),
        ((OFF, DEVTOOLS, OFF), (PPCIE, PPCIE, PPCIE)),
        ((PPCIE, PPCIE, OFF), (PPCIE, PPCIE, PPCIE)),
    ],
)
def test_of_a_board_every_device_is_foreseen(
    was: tuple[CcMode, ...], want: tuple[CcMode, ...], ask: bool, tmp_path: Path
) -> None:
    bdfs = addresses(2, 1)
    slots = {bdf: Slot(chip(bdf), ASLEEP, mode) for bdf, mode in zip(bdfs, was, strict=True)}
    here = place(slots, tmp_path)
    here.rouse()
    modes = dict(zip(bdfs, want, strict=True))

    waves = here.foreseen(modes, ask=ask)
    outcome, done = here.converge(modes)

    assert outcome.proven == modes
    for bdf in bdfs:
        assert in_order([step for step in done if step.bdf == bdf], steps(waves, bdf))


def test_no_reset_is_foreseen_before_the_last_stage() -> None:
    """One is staged already, and waits for the other."""
    ahead, late = target(FIRST, configured=knobs(STAGED)), target(SWITCH)
    waves = foreseen([ahead, late], {FIRST: ON, SWITCH: ON}, {})

    kinds = [{type(step) for step in wave.steps} for wave in waves]
    assert kinds[:2] == [{Stage}, {Reset}]
    assert len(waves[1].steps) == 2


def test_what_was_taken_by_a_program_that_died_is_foreseen_to_come_back() -> None:
    done = target(FIRST, active=ON, configured=knobs(STAGED), override="")
    owed = {FIRST: Debt(driver="vfio-pci", override="", control="auto")}

    [override, bind, back, rest] = foreseen([done], {FIRST: ON}, owed)

    assert [str(step) for wave in (override, bind, back, rest) for step in wave.steps] == [
        f"let vfio-pci take {FIRST}",
        f"give {FIRST} back to vfio-pci",
        f"let any driver take {FIRST}",
        f"let {FIRST} rest as before",
    ]


def test_a_device_that_nobody_drives_is_woken_and_made_to_answer() -> None:
    asleep = target(FIRST, awake=False, decodes=False, booted=None, active=None, configured=None)
    waves = foreseen([asleep], {FIRST: ON}, {})

    assert [type(step) for step in steps(waves)] == [Wake, Decode, Stage, Reset, Await, Rest]


def test_what_comes_after_a_rescan_is_not_foreseen() -> None:
    waves = foreseen([], {FIRST: ON}, {FIRST: Debt(removed=True)})

    assert [wave.steps for wave in waves] == [(Rescan(FIRST),)]


class Kind(NamedTuple):
    """Another device, a captured host that has it, and the modes that it knows."""

    chip: Chip
    host: str
    bdf: str
    modes: tuple[CcMode, ...]


OTHERS = (
    Kind(B200, "turin-hgx-b200", FIRST, (OFF, ON, DEVTOOLS)),
    Kind(RTX_PRO_6000, "genoa-rtx-pro-6000", GPU, (OFF, ON, DEVTOOLS)),
    Kind(LS10, "genoa-hgx-h100", SWITCH, (OFF, PPCIE)),
)
CHANGES = [(kind, was, want) for kind in OTHERS for was, want in permutations(kind.modes, 2)]


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize(
    ("kind", "was", "want"), CHANGES, ids=[f"{kind.chip.name} {a} {b}" for kind, a, b in CHANGES]
)
def test_of_other_devices_all_that_is_done_was_foreseen(
    kind: Kind, was: CcMode, want: CcMode, look: str, tmp_path: Path
) -> None:
    with recalled(str(HOSTS / kind.host)) as host:
        board = Board({kind.bdf: Slot(kind.chip, ASLEEP, was)}, host)
        here = Place(board, SimMachine(host, board.places, board.clock), Debts(tmp_path))
        if LOOKS[look].roused:
            here.rouse()
        written = here.listen()

        waves = here.foreseen({kind.bdf: want}, ask=LOOKS[look].ask)
        outcome, done = here.converge({kind.bdf: want})

    assert outcome.proven == {kind.bdf: want}
    assert in_order(done, steps(waves, kind.bdf))
    said = "knobs " + ", ".join(f"{knob}={value}" for knob, value in written[kind.bdf])
    assert _named(waves) == [said if LOOKS[look].ask else UNASKED]
