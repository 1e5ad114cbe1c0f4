"""Our side of the mailboxes against the model: modes come true, and errors are told."""

import pytest

from nodeagent.errors import HostError
from nodeagent.host.gpu.fsp import Fsp, HalfwayError, RefusedError, open_fsp
from nodeagent.host.gpu.messages import FspError
from nodeagent.host.gpu.reads import DeadReadError
from nodeagent.host.gpu.waiting import StuckError
from nodeagent.model.knobs import Knob, Line
from nodeagent.model.words import CcMode
from nodeagent.sim.chips import B200, CHIPS, H100, H200, LS10, RTX_PRO_6000, Chip
from nodeagent.sim.clock import ManualClock
from nodeagent.sim.device import BOOT_S, Device

ON, OFF, DEVTOOLS, PPCIE = CcMode.ON, CcMode.OFF, CcMode.DEVTOOLS, CcMode.PPCIE
MODES = [
    *[(chip, mode) for chip in (H100, H200) for mode in CcMode],
    *[(chip, mode) for chip in (B200, RTX_PRO_6000) for mode in (ON, OFF, DEVTOOLS)],
    (LS10, PPCIE),
    (LS10, OFF),
]
BITS = {OFF: 0, ON: 1, DEVTOOLS: 3, PPCIE: 1 << 5}


def _line(chip: Chip) -> Line:
    if chip.is_switch:
        return Line.SWITCH
    return Line.BLACKWELL if chip.is_blackwell else Line.HOPPER


def _device(chip: Chip = H100) -> tuple[Device, ManualClock]:
    clock = ManualClock()
    return Device(chip, clock), clock


def _open(device: Device, clock: ManualClock) -> Fsp:
    return open_fsp(device, clock, _line(device.chip), firmware="4.17")


@pytest.mark.parametrize(("chip", "mode"), MODES)
def test_a_staged_mode_is_active_after_the_next_reset_and_not_before(
    chip: Chip, mode: CcMode
) -> None:
    device, clock = _device(chip)
    before = device.read(chip.mode)

    _open(device, clock).stage(mode)

    assert device.read(chip.mode) == before
    device.reset()
    clock.sleep(BOOT_S)
    expected = 1 if (chip.is_switch and mode is PPCIE) else BITS[mode]
    assert device.read(chip.mode) == expected
    assert _open(device, clock).configured().mode is mode


@pytest.mark.parametrize(
    ("before", "after"), [(a, b) for a in CcMode for b in CcMode if a is not b]
)
def test_from_any_mode_to_any_other(before: CcMode, after: CcMode) -> None:
    device, clock = _device()
    for mode in (before, after):
        _open(device, clock).stage(mode)

    device.reset()
    clock.sleep(BOOT_S)

    assert device.read(H100.mode) == BITS[after]
    assert device.filtered is (after in {ON, PPCIE})


@pytest.mark.parametrize("chip", CHIPS.values(), ids=lambda chip: chip.name)
def test_asking_changes_no_knob(chip: Chip) -> None:
    device, clock = _device(chip)
    knobs = dict(device.fsp.knobs)

    assert _open(device, clock).configured().mode is OFF
    assert device.fsp.knobs == knobs


@pytest.mark.parametrize(
    ("knob", "mode"),
    [
        (Knob.CC_IN_BAND, ON),
        (Knob.FILTER_IN_BAND, ON),
        (Knob.DEVTOOLS_IN_BAND, DEVTOOLS),
        (Knob.PPCIE_IN_BAND, PPCIE),
    ],
)
def test_what_the_bmc_keeps_to_itself_is_not_even_tried(knob: Knob, mode: CcMode) -> None:
    device, clock = _device()
    device.fsp.knobs[knob] = 0
    knobs = dict(device.fsp.knobs)

    with pytest.raises(RefusedError, match=rf"{knob.name} \(knob {knob}\) is 0"):
        _open(device, clock).stage(mode)

    assert device.fsp.knobs == knobs


def test_firmware_without_ppcie_is_no_fault_until_ppcie_is_asked_for() -> None:
    device, clock = _device()
    device.faults.no_ppcie = True

    assert _open(device, clock).stage(ON)
    with pytest.raises(RefusedError, match="cannot be ppcie") as error:
        _open(device, clock).stage(PPCIE)
    assert error.value.hint
    assert "update the VBIOS" in error.value.hint


@pytest.mark.parametrize("chip", [H100, B200, LS10], ids=lambda chip: chip.name)
def test_an_error_code_is_told_with_the_firmware(chip: Chip) -> None:
    device, clock = _device(chip)
    device.faults.answer_code = 0x202

    with pytest.raises(FspError, match=r"error 0x202, .*\(FSP firmware 4.17\)"):
        _open(device, clock).configured()


@pytest.mark.parametrize("chip", [H100, B200, LS10], ids=lambda chip: chip.name)
def test_a_lost_answer_is_waited_for_and_the_next_question_is_answered(chip: Chip) -> None:
    device, clock = _device(chip)
    fsp = _open(device, clock)
    device.faults.lost_answers = 1
    began = clock.now()

    with pytest.raises(StuckError, match="did not answer within 5 s"):
        fsp.configured()

    assert 5 <= clock.now() - began < 5.1
    assert fsp.configured().mode is OFF


def test_a_stuck_queue_is_told_with_its_pointers_and_resynchronised() -> None:
    """As seen in the field: a knob write of four words that nobody takes."""
    device, clock = _device()
    fsp = _open(device, clock)
    device.faults.stuck_queue = True
    with pytest.raises(StuckError):
        fsp.write(8, 1)

    device.faults.stuck_queue = False

    assert fsp.read(8) == 0


def test_what_somebody_left_in_the_queue_is_not_taken_for_ours() -> None:
    device, clock = _device()
    device.faults.stuck_queue = True
    with pytest.raises(StuckError):
        _open(device, clock).read(8)
    device.faults.stuck_queue = False
    device.write(0x8F2C10, 0x800)  # a head of its own: as if its program had died here
    device.write(0x8F2C14, 0x80C)

    assert _open(device, clock).configured().mode is OFF


@pytest.mark.parametrize("chip", [H100, B200, LS10], ids=lambda chip: chip.name)
def test_a_device_that_is_gone_is_said_to_be_at_once(chip: Chip) -> None:
    device, clock = _device(chip)
    device.faults.lost = True
    began = clock.now()

    with pytest.raises(DeadReadError, match="as all ones"):
        _open(device, clock).configured()

    assert clock.now() == began


def test_a_failure_between_two_knobs_names_what_is_written() -> None:
    device, clock = _device()
    fsp = _open(device, clock)
    asked = fsp.write

    def write(knob: int, value: int) -> None:
        asked(knob, value)
        device.faults.answer_code = 0x9E

    fsp.write = write  # type: ignore[method-assign]
    with pytest.raises(HalfwayError, match="knobs 10=2 are written, and knob 8 is not"):
        fsp.stage(ON)


def test_a_knob_that_does_not_hold_is_not_believed() -> None:
    device, clock = _device()
    fsp = _open(device, clock)
    device.fsp.knobs[8] = 0
    device.fsp.knobs = _Forgetful(device.fsp.knobs)

    with pytest.raises(HostError, match="knob 8 reads 0 after 1 was written"):
        fsp.write(8, 1)


class _Forgetful(dict[int, int]):
    """Knobs of a firmware that answers well and keeps nothing."""

    def __setitem__(self, knob: int, value: int) -> None:
        pass
