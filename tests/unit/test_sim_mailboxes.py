"""The model's mailboxes and the firmware behind them, word by word (gpu-cc.md §5.3, §7, §13.4)."""

import pytest

from nodeagent.sim.chips import B200, CHIPS, H100, LS10, RTX_PRO_6000, Chip
from nodeagent.sim.clock import ManualClock
from nodeagent.sim.device import FIREWALL_S, Device

EMEMS = pytest.mark.parametrize("chip", [H100, LS10], ids=lambda chip: chip.name)
MNOCS = pytest.mark.parametrize("chip", [B200, RTX_PRO_6000], ids=lambda chip: chip.name)
EVERY = pytest.mark.parametrize("chip", CHIPS.values(), ids=lambda chip: chip.name)

# Channel 2, which is NVIDIA's tool's and ours.
HEAD, TAIL, ANSWER_HEAD, ANSWER_TAIL = 0x8F2C10, 0x8F2C14, 0x8F2C90, 0x8F2C94
CONTROL, WORDS = 0x8F2AD0, 0x8F2AD4
BASE, BOTH_WAYS = 0x800, 0x03000800
# Port 0.
TAKE, PUT, GIVE, GET = 0x8F1F84, 0x8F1F88, 0x8F1F04, 0x8F1F08
READY, CREDIT, ERROR = 1 << 24, 1 << 26, 1 << 25

ASKS = (0xC0000000, 0x1310DE7E)
OK, UNKNOWN, REFUSED, INVALID = 0, 0x1E3, 0xA0, 0xA1


def _read_knob(knob: int) -> tuple[int, ...]:
    return (*ASKS, 0x0C | 2 << 8 | knob << 16)


def _write_knob(knob: int, value: int) -> tuple[int, ...]:
    return (*ASKS, 0x0D | 2 << 8 | knob << 16, value)


def _device(chip: Chip = H100) -> Device:
    return Device(chip, ManualClock())


def _ask(device: Device, words: tuple[int, ...]) -> tuple[int, ...]:
    return _ask_mnoc(device, words) if device.chip.is_blackwell else _ask_emem(device, words)


def _put_emem(device: Device, words: tuple[int, ...]) -> None:
    device.write(CONTROL, BOTH_WAYS)
    for word in words:
        device.write(WORDS, word)
    device.write(TAIL, BASE + 4 * (len(words) - 1))
    device.write(HEAD, BASE)


def _ask_emem(device: Device, words: tuple[int, ...]) -> tuple[int, ...]:
    _put_emem(device, words)
    size = (device.read(ANSWER_TAIL) - device.read(ANSWER_HEAD)) // 4 + 1
    device.write(CONTROL, BOTH_WAYS)
    answer = tuple(device.read(WORDS) for _ in range(size))
    device.write(ANSWER_TAIL, device.read(ANSWER_HEAD))
    return answer


def _put_mnoc(device: Device, words: tuple[int, ...], size: int | None = None) -> None:
    device.write(TAKE, (4 * len(words) if size is None else size) | 1 << 20)
    for word in words:
        device.write(PUT, word)


def _ask_mnoc(device: Device, words: tuple[int, ...]) -> tuple[int, ...]:
    _put_mnoc(device, words)
    size = (device.read(GIVE) & 0xFFFFF) // 4
    return tuple(device.read(GET) for _ in range(size))


# The firmware


@EVERY
def test_a_knob_is_written_and_read_back(chip: Chip) -> None:
    device = _device(chip)

    assert _ask(device, _write_knob(8, 1)) == (0xC0000000, 0x1510DE7E, 0x3, 0x13, OK)
    *head, value = _ask(device, _read_knob(8))
    assert tuple(head) == (0xC0000000, 0x1510DE7E, 0x3, 0x13, OK)
    assert value & 0xFFFF == 1


@EVERY
def test_the_upper_half_of_a_value_means_nothing_and_is_not_zero(chip: Chip) -> None:
    assert _ask(_device(chip), _read_knob(8))[5] >> 16 != 0


def test_a_knob_holds_sixteen_bits() -> None:
    device = _device()

    _ask(device, _write_knob(8, 0xABCD0001))

    assert device.fsp.knobs[8] == 1


@pytest.mark.parametrize("knob", [0, 48, 0xFFFF])
def test_an_unknown_knob_has_a_code_of_its_own(knob: int) -> None:
    for words in (_read_knob(knob), _write_knob(knob, 1)):
        assert _ask(_device(), words) == (0xC0000000, 0x1510DE7E, 0x3, 0x13, UNKNOWN)


@pytest.mark.parametrize("knob", [44, 45])
def test_old_firmware_does_not_know_protected_pcie(knob: int) -> None:
    device = _device()
    assert _ask(device, _read_knob(knob))[4] == OK
    device.faults.no_ppcie = True

    assert _ask(device, _read_knob(knob))[4] == UNKNOWN
    assert _ask(device, _write_knob(knob, 1))[4] == UNKNOWN
    assert _ask(device, _read_knob(8))[4] == OK


@pytest.mark.parametrize(("permission", "knob"), [(5, 6), (7, 8), (9, 10), (35, 36), (44, 45)])
def test_a_knob_that_is_forbidden_can_be_read_and_not_written(permission: int, knob: int) -> None:
    device = _device()
    device.fsp.knobs[permission] = 0

    assert _ask(device, _write_knob(knob, 1))[4] == REFUSED
    assert device.fsp.knobs[knob] == 0
    assert _ask(device, _read_knob(knob))[4] == OK


@EVERY
@pytest.mark.parametrize("code", [0x202, 0x9E])
def test_every_question_can_fail_with_a_code(chip: Chip, code: int) -> None:
    device = _device(chip)
    device.faults.answer_code = code

    for words in (_read_knob(8), _write_knob(8, 1)):
        assert _ask(device, words) == (0xC0000000, 0x1510DE7E, 0x3, 0x13, code)
    assert device.fsp.knobs[8] == 0


@pytest.mark.parametrize(
    "words",
    [
        (0x80000000, *_read_knob(8)[1:]),
        (0xC0000000, 0x1310DE7F, _read_knob(8)[2]),
        (*ASKS,),
        (*_read_knob(8), 0),
        _write_knob(8, 1)[:3],
        (*_write_knob(8, 1), 0),
        (*ASKS, 0x77),
    ],
)
def test_what_is_no_message_is_invalid_and_changes_nothing(words: tuple[int, ...]) -> None:
    device = _device()
    before = dict(device.fsp.knobs)

    assert _ask(device, words)[4] != OK
    assert device.fsp.knobs == before


# EMEM


@EMEMS
def test_data_goes_on_by_itself_where_the_control_register_says_so(chip: Chip) -> None:
    device = _device(chip)
    device.write(CONTROL, BASE | 1 << 24)
    for word in (11, 22, 33):
        device.write(WORDS, word)
    assert device.read(CONTROL) == BASE + 12 | 1 << 24

    device.write(CONTROL, BASE | 1 << 25)
    assert [device.read(WORDS) for _ in range(3)] == [11, 22, 33]
    assert device.read(CONTROL) == BASE + 12 | 1 << 25

    device.write(CONTROL, BASE)
    assert [device.read(WORDS) for _ in range(3)] == [11, 11, 11]
    device.write(WORDS, 44)
    assert (device.read(WORDS), device.read(CONTROL)) == (44, BASE)


@EMEMS
def test_channels_keep_to_their_own(chip: Chip) -> None:
    device = _device(chip)
    device.write(0x8F2AC0, 0x03000000)
    device.write(0x8F2AC4, 7)

    device.write(CONTROL, BOTH_WAYS)
    assert device.read(WORDS) == 0
    assert _ask_emem(device, _read_knob(8))[4] == OK
    assert [device.read(0x8F2C00 + 8 * n) for n in (0, 1, 3)] == [0, 0, 0]


@EMEMS
def test_the_queue_is_empty_once_the_packet_is_taken(chip: Chip) -> None:
    device = _device(chip)

    _put_emem(device, _write_knob(8, 1))

    assert device.read(HEAD) == device.read(TAIL) == BASE + 12
    assert (device.read(ANSWER_HEAD), device.read(ANSWER_TAIL)) == (BASE, BASE + 16)
    device.write(ANSWER_TAIL, BASE)
    assert device.read(ANSWER_HEAD) == device.read(ANSWER_TAIL)


@EMEMS
def test_only_the_head_starts_it(chip: Chip) -> None:
    device = _device(chip)
    device.write(CONTROL, BOTH_WAYS)
    for word in _write_knob(8, 1):
        device.write(WORDS, word)
    device.write(TAIL, BASE + 12)
    assert device.fsp.knobs[8] == 0

    device.write(HEAD, BASE)
    assert device.fsp.knobs[8] == 1


@EMEMS
def test_making_a_queue_empty_by_hand_sends_nothing(chip: Chip) -> None:
    device = _device(chip)
    device.write(CONTROL, BOTH_WAYS)
    for word in _write_knob(8, 1):
        device.write(WORDS, word)

    device.write(TAIL, BASE)
    device.write(HEAD, BASE)

    assert device.fsp.knobs[8] == 0
    assert device.read(ANSWER_HEAD) == device.read(ANSWER_TAIL) == 0


@EMEMS
def test_a_stuck_queue_stays_as_it_was_left(chip: Chip) -> None:
    device = _device(chip)
    device.faults.stuck_queue = True

    _put_emem(device, _write_knob(8, 1))

    assert (device.read(HEAD), device.read(TAIL)) == (BASE, BASE + 12)
    assert (device.read(ANSWER_HEAD), device.fsp.knobs[8]) == (0, 0)


@EMEMS
def test_a_lost_answer_was_a_question_all_the_same(chip: Chip) -> None:
    device = _device(chip)
    device.faults.lost_answers = 1

    _put_emem(device, _read_knob(8))
    assert device.read(HEAD) == device.read(TAIL)
    assert device.read(ANSWER_HEAD) == device.read(ANSWER_TAIL)
    assert _ask_emem(device, _read_knob(8))[4] == OK


@EMEMS
def test_a_reset_empties_queues_and_memory(chip: Chip) -> None:
    device = _device(chip)
    _put_emem(device, _read_knob(8))

    device.reset()

    assert {device.read(at) for at in (HEAD, TAIL, ANSWER_HEAD, ANSWER_TAIL, CONTROL)} == {0}


@pytest.mark.parametrize(("tail", "head"), [(0x0, 0x800), (0xFFFFFFFC, 0x0), (0x1FFC, 0x0)])
def test_pointers_out_of_all_bounds_harm_nothing(tail: int, head: int) -> None:
    device = _device()
    device.write(TAIL, tail)
    device.write(HEAD, head)

    assert _ask_emem(device, _read_knob(8))[4] in {OK, INVALID}
    assert device.fsp.knobs[8] == 0


# MNOC


@MNOCS
def test_a_box_is_ready_and_has_credit(chip: Chip) -> None:
    device = _device(chip)

    assert device.read(TAKE) == READY | CREDIT
    assert device.read(GIVE) & (READY | ERROR) == 0


@MNOCS
def test_a_message_is_taken_with_its_last_word(chip: Chip) -> None:
    device = _device(chip)
    words = _write_knob(8, 1)
    device.write(TAKE, 16 | 1 << 20)
    for word in words[:-1]:
        device.write(PUT, word)
    assert (device.fsp.knobs[8], device.read(GIVE) & READY) == (0, 0)

    device.write(PUT, words[-1])

    assert device.fsp.knobs[8] == 1
    assert device.read(GIVE) == 20 | READY


@MNOCS
def test_a_size_is_rounded_up_to_words(chip: Chip) -> None:
    device = _device(chip)

    _put_mnoc(device, _read_knob(8), size=10)

    assert device.read(GIVE) == 24 | READY


@MNOCS
def test_an_answer_is_ready_until_all_of_it_is_read(chip: Chip) -> None:
    device = _device(chip)
    _put_mnoc(device, _read_knob(8))

    for _ in range(5):
        device.read(GET)
        assert device.read(GIVE) == 24 | READY
    device.read(GET)
    assert device.read(GIVE) & READY == 0
    assert device.read(GET) == 0


@MNOCS
def test_without_the_trigger_nothing_is_collected(chip: Chip) -> None:
    device = _device(chip)
    device.write(TAKE, 16)
    for word in _write_knob(8, 1):
        device.write(PUT, word)

    assert device.fsp.knobs[8] == 0


@MNOCS
def test_words_beyond_the_size_are_lost(chip: Chip) -> None:
    device = _device(chip)

    _put_mnoc(device, (*_read_knob(8), 1, 2, 3), size=12)

    assert device.read(GIVE) == 24 | READY


@MNOCS
def test_ports_keep_to_their_own(chip: Chip) -> None:
    device = _device(chip)
    _put_mnoc(device, _read_knob(8))

    assert device.read(GIVE + 12) & READY == 0
    assert device.read(GIVE) & READY


@MNOCS
def test_a_stuck_box_is_not_ready(chip: Chip) -> None:
    device = _device(chip)
    device.faults.stuck_queue = True

    assert device.read(TAKE) & READY == 0


@MNOCS
def test_a_lost_answer_is_one_alone(chip: Chip) -> None:
    device = _device(chip)
    device.faults.lost_answers = 1

    _put_mnoc(device, _write_knob(8, 1))
    assert device.read(GIVE) & READY == 0
    assert _ask_mnoc(device, _read_knob(8))[4] == OK


@MNOCS
def test_a_reset_empties_the_boxes(chip: Chip) -> None:
    clock = ManualClock()
    device = Device(chip, clock)
    _put_mnoc(device, _read_knob(8))

    device.reset()
    clock.sleep(FIREWALL_S + 0.001)

    assert device.read(GIVE) & READY == 0


# Either


@EVERY
def test_nobody_takes_a_message_before_the_boot_is_over(chip: Chip) -> None:
    clock = ManualClock()
    device = Device(chip, clock)
    device.reset()
    clock.sleep(1.0)

    if chip.is_blackwell:
        _put_mnoc(device, _write_knob(8, 1))
    else:
        _put_emem(device, _write_knob(8, 1))

    assert device.fsp.knobs[8] == 0


@EVERY
def test_looking_changes_nothing_but_the_data_registers(chip: Chip) -> None:
    device = _device(chip)
    offsets = [at for at in range(0x8F1E00, 0x8F3000, 4) if at not in {GET, WORDS}]
    before = [device.read(at) for at in offsets]

    assert [device.read(at) for at in offsets] == before
