"""Dying before or after any register, sysfs or file write, and running again: nothing is lost."""

from collections.abc import Callable

import pytest

from nodeagent.model.switching import Debt
from nodeagent.model.words import CcMode
from nodeagent.sim.device import RESET_S
from tests.kill.board import (
    ASLEEP,
    DEVTOOLS,
    FOUND,
    KNOBS,
    OFF,
    ON,
    PPCIE,
    Board,
    Modes,
    Slot,
    addresses,
    base,
    boot,
    chip,
    owe,
)
from tests.kill.cutting import cuts, go_on
from tests.unit.looks import EXAMPLES

pytestmark = pytest.mark.timeout(900)

MODES = [(before, after) for before in CcMode for after in CcMode]
SOME = [(OFF, ON), (ON, OFF), (ON, PPCIE), (DEVTOOLS, ON)]
WHOLE = {"vfio-pci, asleep", "nvidia"}
"""All sixteen ways; the full counts take them of every way to find a device."""
IS_FULL = EXAMPLES > 1000
ONE = [
    (name, before, after)
    for name in FOUND
    for before, after in (MODES if IS_FULL or name in WHOLE else SOME)
]


@pytest.mark.parametrize(("name", "before", "after"), ONE)
def test_one_gpu(name: str, before: CcMode, after: CcMode) -> None:
    [bdf] = addresses(1)
    board = Board({bdf: Slot(chip(bdf), FOUND[name], before)})

    _survives(board, 1, 0, {bdf: after}, "one GPU")


@pytest.mark.parametrize(("before", "after"), MODES if IS_FULL else SOME)
@pytest.mark.parametrize("other", ["vfio-pci, asleep", "nvidia", "no driver"])
def test_two_gpus(other: str, before: CcMode, after: CcMode) -> None:
    one, two = addresses(2)
    slots = {one: Slot(chip(one), ASLEEP, before), two: Slot(chip(two), FOUND[other], before)}

    _survives(Board(slots), 2, 0, {one: after, two: after}, "two GPUs")


@pytest.mark.parametrize(
    ("before", "after"), [(OFF, PPCIE), (PPCIE, OFF), (ON, PPCIE), (PPCIE, ON)]
)
def test_a_gpu_and_a_switch(before: CcMode, after: CcMode) -> None:
    gpu, switch = addresses(1, 1)
    slots = {
        gpu: Slot(chip(gpu), ASLEEP, before),
        switch: Slot(chip(switch), ASLEEP, _of_switch(before)),
    }

    _survives(Board(slots), 1, 1, {gpu: after, switch: _of_switch(after)}, "a GPU and a switch")


def _of_switch(mode: CcMode) -> CcMode:
    return mode if mode is PPCIE else OFF


def _survives(board: Board, gpus: int, switches: int, want: Modes, kind: str) -> None:
    host = base(gpus, switches)
    for cut in cuts(board, host, want):
        go_on(cut, host, want, kind)


# One device of many, and all others in one of the states in which a program may have left them.


def _untouched(_board: Board, _bdf: str, _mode: CcMode) -> None:
    pass


def _staged(board: Board, bdf: str, mode: CcMode) -> None:
    place = board.places[bdf]
    owe(board, bdf, Debt(place.driver, place.override, place.control, decode=False))
    board.owed[f"{bdf}.staged"] = b""
    place.control, place.driver = "on", None
    place.rest()
    place.device.config.decodes_memory = True
    place.device.fsp.knobs.update({8: 0, 6: 0, 10: 0, 45: 0} | KNOBS[mode])
    if place.device.chip.is_switch:
        place.device.fsp.knobs[10] = 0


def _resetting(board: Board, bdf: str, mode: CcMode) -> None:
    """The reset is over, and the boot is not."""
    _staged(board, bdf, mode)
    before = board.clock.now()
    board.places[bdf].device.reset()
    assert board.clock.now() - before == pytest.approx(RESET_S)


def _booted(board: Board, bdf: str, mode: CcMode) -> None:
    _staged(board, bdf, mode)
    boot(board, bdf)
    del board.owed[f"{bdf}.staged"]


STATES = {"untouched": _untouched, "staged": _staged, "resetting": _resetting, "booted": _booted}
State = Callable[[Board, str, CcMode], None]


@pytest.mark.parametrize("state", STATES)
def test_one_of_eight_gpus(state: str) -> None:
    _one_of(addresses(8), addresses(8)[2], OFF, ON, STATES[state], f"8 GPUs, others {state}")


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("which", ["GPU", "NVSwitch"])
def test_one_of_eight_gpus_and_four_switches(which: str, state: str) -> None:
    everything = addresses(8, 4)
    one = everything[3 if which == "GPU" else 9]

    _one_of(everything, one, OFF, PPCIE, STATES[state], f"8 + 4, others {state}, a {which} cut")


def _one_of(  # noqa: PLR0917 - a table's row
    everything: list[str], one: str, before: CcMode, after: CcMode, state: State, kind: str
) -> None:
    """Each write of one device, beside all others in that state; then all go on together."""
    host = base(8, len(everything) - 8)
    want = dict.fromkeys(everything, after)
    board = Board({bdf: Slot(chip(bdf), ASLEEP, before) for bdf in everything})
    for cut in cuts(board, host, {one: after}):
        for bdf in everything:
            if bdf != one:
                state(cut.board, bdf, after)
        go_on(cut, host, want, kind)
