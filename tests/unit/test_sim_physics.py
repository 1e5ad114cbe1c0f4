"""What a modelled device is and does: registers, power, boots and resets (gpu-cc.md §13.3)."""

import pytest

from nodeagent.sim.chips import B200, CHIPS, H100, H200, LS10, RTX_PRO_6000, Chip
from nodeagent.sim.clock import ManualClock
from nodeagent.sim.config_space import BARS, fits
from nodeagent.sim.device import BOOT_S, FIREWALL_S, RESET_S, RETRY_S, Device

ALL_ONES = 0xFFFFFFFF
GPUS = (H100, H200, B200, RTX_PRO_6000)
EVERY = pytest.mark.parametrize("chip", CHIPS.values(), ids=lambda chip: chip.name)
BLACKWELLS = pytest.mark.parametrize("chip", [B200, RTX_PRO_6000], ids=lambda chip: chip.name)
_SOON = 0.001

BOOT_0 = {H100: 0x180000A1, H200: 0x180000A1, B200: 0x1A0000A1, RTX_PRO_6000: 0x1B2000A1}
BOOTED = {H100: 0x200BC, H200: 0x200BC, B200: 0x200BC, RTX_PRO_6000: 0xAD00BC, LS10: 0x660BC}
MODE = {H100: 0x1182CC, H200: 0x1182CC, B200: 0x590, RTX_PRO_6000: 0x590, LS10: 0x28C50}
RECOVERY = {H100: 0x20120, H200: 0x20120, B200: 0x8AA128, RTX_PRO_6000: 0x8AA128, LS10: 0x66120}
BOTH = BOOT_0 | {LS10: 0x007000A1}


def _device(chip: Chip = H100, knobs: dict[int, int] | None = None) -> tuple[Device, ManualClock]:
    clock = ManualClock()
    device = Device(chip, clock)
    device.fsp.knobs.update(knobs or {})
    return device, clock


def _boot(device: Device, clock: ManualClock, *, bus: bool = False) -> None:
    device.reset(bus=bus)
    clock.sleep(BOOT_S + _SOON)


# Registers


@pytest.mark.parametrize("chip", BOTH, ids=lambda chip: chip.name)
def test_a_booted_device_shows_who_it_is_and_that_it_booted(chip: Chip) -> None:
    device, _ = _device(chip)

    assert device.read(0x0) == BOTH[chip]
    assert device.read(BOOTED[chip]) == 0xFF
    assert device.read(MODE[chip]) == 0
    assert device.read(RECOVERY[chip]) == 0


@EVERY
@pytest.mark.parametrize(
    ("offset", "value"), [(0x8F012C, 0x1100), (0x8F0278, 0x01000100), (0x8F0ABC, 0x20)]
)
def test_the_microcontrollers_sizes_never_change(chip: Chip, offset: int, value: int) -> None:
    device, clock = _device(chip)
    assert device.read(offset) == value

    device.reset()
    clock.sleep(FIREWALL_S + _SOON)

    assert (device.read(offset), device.is_booted) == (value, False)


@pytest.mark.parametrize(
    "offset", [0x4, 0x224FC, 0x22800, 0x1400, 0x14FC, 0x8F0320, 0x9128C, 0x92DE0, 0x92DC0, 0xFFFFFC]
)
@EVERY
def test_everything_else_reads_as_zero(chip: Chip, offset: int) -> None:
    assert _device(chip)[0].read(offset) == 0


@pytest.mark.parametrize("offset", [0x12004C, 0x122204, 0x4, 0x224FC, 0x1182CC, 0x200BC])
def test_writes_to_what_is_no_scratch_are_taken_and_lost(offset: int) -> None:
    device, _ = _device()
    before = device.read(offset)

    device.write(offset, 0x4)

    assert device.read(offset) == before


def test_fuses_say_that_a_hopper_can_do_cc_unless_one_is_blown() -> None:
    device, _ = _device()
    fuses = (0x824E04, 0x824E08, 0x824E0C)

    assert tuple(map(device.read, fuses)) == (1, 1, 0)
    device.faults.not_capable = True
    assert tuple(map(device.read, fuses)) == (1, 1, 1)


def test_each_device_has_an_identity_of_its_own() -> None:
    clock = ManualClock()
    units = [Device(H100, clock, unit=n).read(0x820344) for n in range(8)]

    assert len(set(units)) == 8


@pytest.mark.parametrize("offset", [-4, 1, 2, 3, H100.bar0_size])
def test_no_register_lies_beside_a_word_or_beyond_the_bar(offset: int) -> None:
    device, _ = _device()

    with pytest.raises(ValueError, match="no register lies"):
        device.read(offset)
    with pytest.raises(ValueError, match="no register lies"):
        device.write(offset, 0)


@pytest.mark.parametrize("value", [-1, 1 << 32])
def test_a_register_holds_no_more_than_a_word(value: int) -> None:
    with pytest.raises(ValueError, match="is no word"):
        _device()[0].write(0x1458, value)


# Modes


@pytest.mark.parametrize(
    ("chip", "knobs", "mode"),
    [
        (H100, {8: 1}, 0x1),
        (H100, {8: 1, 6: 1}, 0x3),
        (H100, {6: 1}, 0x2),
        (H100, {45: 1}, 0x20),
        (H100, {10: 2}, 0x0),
        (B200, {8: 1}, 0x1),
        (B200, {8: 1, 6: 1}, 0x3),
        (B200, {10: 2}, 0x4),
        (RTX_PRO_6000, {8: 1, 10: 2}, 0x5),
        (LS10, {45: 1}, 0x1),
        (LS10, {8: 1, 10: 2}, 0x0),
    ],
)
def test_a_boot_makes_the_mode_of_the_knobs(chip: Chip, knobs: dict[int, int], mode: int) -> None:
    device, clock = _device(chip, knobs)
    assert device.read(MODE[chip]) == 0

    _boot(device, clock)

    assert device.read(MODE[chip]) == mode


@pytest.mark.parametrize(("value", "filtered"), [(0, False), (1, False), (2, True)])
def test_a_boot_brings_the_filter_of_its_knob(value: int, filtered: bool) -> None:
    device, clock = _device(H100, {10: value})
    assert not device.filtered

    _boot(device, clock)

    assert device.filtered is filtered


@EVERY
def test_knobs_outlive_resets_and_power(chip: Chip) -> None:
    device, clock = _device(chip, {8: 1, 10: 2, 45: 1})
    before = dict(device.fsp.knobs)

    _boot(device, clock)
    _boot(device, clock, bus=True)
    device.power_cycle()

    assert device.fsp.knobs == before


def test_a_power_cycle_applies_the_knobs() -> None:
    device, clock = _device(H100, {8: 1})

    device.power_cycle()
    assert device.read(0x200BC) == 0
    clock.sleep(BOOT_S + _SOON)

    assert (device.read(0x200BC), device.read(0x1182CC)) == (0xFF, 1)


@EVERY
def test_power_takes_all_that_is_no_knob(chip: Chip) -> None:
    device, clock = _device(chip)
    before = device.read_config(0, 4096)
    device.write(chip.scratch[0], 1)
    device.write(chip.scratch[1], 1)
    device.write(0x8F2C00, 4)
    device.write_config(0x10, bytes(8))
    device.config.power_state = 3

    device.power_cycle()
    clock.sleep(BOOT_S + _SOON)

    assert device.read_config(0, 4096) == before
    assert [device.read(at) for at in (*chip.scratch, 0x8F2C00)] == [0, 0, 0]


def test_a_device_that_is_found_is_awake_and_decodes_nothing_yet() -> None:
    device, _ = _device()
    device.config.power_state = 3

    device.find()

    assert (device.config.power_state, device.config.decodes_memory) == (0, False)


# Who does not answer


@EVERY
def test_without_memory_decode_everything_reads_as_ones_and_writes_are_lost(chip: Chip) -> None:
    device, _ = _device(chip)
    device.config.decodes_memory = False
    device.write(chip.scratch[0], 1)

    assert device.read(0) == ALL_ONES
    device.config.decodes_memory = True
    assert device.read(chip.scratch[0]) == 0


def test_asleep_everything_reads_as_ones() -> None:
    device, _ = _device()
    device.config.power_state = 3

    assert {device.read(offset) for offset in (0, 0x1182CC, 0x8F2C10)} == {ALL_ONES}
    device.config.power_state = 0
    assert device.read(0) == 0x180000A1


def test_without_its_address_nothing_answers() -> None:
    device, _ = _device()
    bars = device.config.read(0x10, 8)
    device.write_config(0x10, bytes(8))

    assert device.read(0) == ALL_ONES
    device.write_config(0x10, bars)
    assert device.read(0) == 0x180000A1


def test_what_is_lost_answers_nowhere() -> None:
    device, _ = _device()
    device.faults.lost = True

    assert device.read(0) == ALL_ONES
    assert device.read_config(0, 4) == b"\xff" * 4
    device.reset()
    assert device.resets == 0


# Time


@EVERY
def test_a_boot_takes_its_time(chip: Chip) -> None:
    device, clock = _device(chip)
    device.reset()
    assert clock.now() == pytest.approx(RESET_S)

    clock.sleep(BOOT_S - _SOON)
    assert device.read(chip.boot) == 0
    clock.sleep(2 * _SOON)
    assert device.read(chip.boot) == 0xFF


def test_a_slow_boot_takes_longer_and_some_never_end() -> None:
    device, clock = _device()
    device.faults.boots_late_s = 5.0
    _boot(device, clock)
    assert device.read(0x200BC) == 0
    clock.sleep(5.0)
    assert device.read(0x200BC) == 0xFF

    device.faults.never_boots = True
    device.reset()
    clock.sleep(3600)
    assert device.read(0x200BC) == 0


@BLACKWELLS
def test_a_firewall_hides_registers_for_part_of_a_boot(chip: Chip) -> None:
    device, clock = _device(chip)
    device.reset()
    clock.sleep(FIREWALL_S - _SOON)
    assert (device.read(0), device.firewall) == (ALL_ONES, True)

    clock.sleep(2 * _SOON)
    assert (device.read(0), device.firewall) == (chip.boot0, False)


@BLACKWELLS
def test_configuration_space_shows_the_firewall(chip: Chip) -> None:
    device, clock = _device(chip)
    at, bit = {B200: (0xAF8, 20), RTX_PRO_6000: (0x2B8, 24)}[chip]

    def shown() -> int:
        return int.from_bytes(device.read_config(at, 4), "little") >> bit & 1

    assert shown() == 0
    device.reset()
    assert shown() == 1
    clock.sleep(FIREWALL_S + _SOON)
    assert shown() == 0
    device.faults.firewall_stays = True
    assert shown() == 1


@pytest.mark.parametrize("chip", [H100, LS10], ids=lambda chip: chip.name)
def test_who_has_no_firewall_answers_at_once_after_a_reset(chip: Chip) -> None:
    device, _ = _device(chip)

    device.reset()

    assert device.read(0) == chip.boot0


# Resets


@EVERY
def test_what_each_reset_clears(chip: Chip) -> None:
    device, clock = _device(chip)
    function, bus = chip.scratch
    for offset in chip.scratch:
        device.write(offset, 1)

    _boot(device, clock)
    assert (device.read(function), device.read(bus)) == (0, 1)
    _boot(device, clock, bus=True)
    assert (device.read(function), device.read(bus)) == (0, 0)


def test_the_kernel_brings_configuration_space_back() -> None:
    device, _ = _device()
    before = device.read_config(0, 256)

    device.reset()

    assert device.read_config(0, 256) == before


def test_a_reset_through_the_control_register_returns_at_once_and_takes_all_with_it() -> None:
    device, clock = _device(H100, {8: 1})
    devctl = 0x68
    before = device.read_config(0x10, 0x18)

    device.write_config(devctl, (1 << 15).to_bytes(2, "little"))

    assert (clock.now(), device.resets) == (0.0, 1)
    assert device.read_config(0, 4) == (0xFFFF0001).to_bytes(4, "little")
    clock.sleep(RETRY_S + _SOON)
    assert device.read_config(0, 4) == bytes.fromhex("de103023")
    assert device.read_config(devctl, 2) == bytes(2)
    assert device.read_config(0x10, 0x18) == bytes(0x18)
    assert device.read(0) == ALL_ONES
    device.write_config(0x10, before)
    device.config.decodes_memory = True
    assert (device.read(0), device.read(0x200BC)) == (0x180000A1, 0)
    clock.sleep(BOOT_S)
    assert (device.read(0x200BC), device.read(0x1182CC)) == (0xFF, 1)


def test_a_reset_wakes_what_slept_and_closes_its_memory() -> None:
    device, clock = _device()
    device.config.power_state = 3

    device.write_config(0x68, (1 << 15).to_bytes(2, "little"))
    clock.sleep(RETRY_S + _SOON)

    assert device.config.power_state == 0
    assert device.read_config(0x04, 2) == bytes(2)


OWN = {
    H100: (0x2A4, 0x0001000B, 0x01810001),
    H200: (0x2A4, 0x0001000B, 0x01810001),
    LS10: (0x2A4, 0x0001000B, 0x01810001),
    RTX_PRO_6000: (0x2A4, 0x0001000B, 0x01810001),
    B200: (0xAF0, 0x00010023, 0x01C110DE),
}
"""NVIDIA's capability: where, its header, and the word after it (§5.5, §13.2)."""


@pytest.mark.parametrize("chip", OWN, ids=lambda chip: chip.name)
def test_a_space_that_is_made_has_what_the_tool_looks_for(chip: Chip) -> None:
    device, _ = _device(chip)

    def word(at: int, size: int = 4) -> int:
        return int.from_bytes(device.read_config(at, size), "little")

    at, header, more = OWN[chip]
    assert (word(0x34, 1), word(0x40) & 0xFFFF, word(0x60, 1)) == (0x40, 0x6001, 0x10)
    assert word(0x64) >> 28 & 1 == 1
    assert (word(0x100) & 0xFFFF, word(0x100) >> 20) == (0x0001, at)
    assert (word(at), word(at + 4)) == (header, more)
    assert word(0xF0, 2) != 0xFFFF
    assert (word(0x10) & ~0xF | word(0x14) << 32, word(0x18) & ~0xF | word(0x1C) << 32) == BARS


@pytest.mark.parametrize(("at", "circle"), [(0x41, b"\x40"), (0x102, b"\x01\x10")])
def test_a_captured_space_that_goes_in_circles_is_not_taken(at: int, circle: bytes) -> None:
    raw = bytearray(_device()[0].read_config(0, 4096))
    assert fits(bytes(raw), H100)
    raw[at : at + len(circle)] = circle

    assert not fits(bytes(raw), H100)


@pytest.mark.parametrize("raw", [b"", bytes(64), bytes(4096), b"\xff" * 4096])
def test_a_captured_space_that_is_cut_or_dead_is_not_taken(raw: bytes) -> None:
    assert not fits(raw, H100)


def test_ids_cannot_be_written() -> None:
    device, _ = _device()
    before = device.read_config(0, 0x40)

    for at in (0x00, 0x02, 0x08, 0x0C, 0x2C, 0x34):
        device.write_config(at, b"\xa5")

    assert device.read_config(0, 0x40) == before


# Faults, and what cures them


@pytest.mark.parametrize("chip", GPUS, ids=lambda chip: chip.name)
def test_a_security_fault_is_cured_by_power_alone(chip: Chip) -> None:
    device, clock = _device(chip)
    device.faults.security = 0x4
    at = chip.fault.at + chip.fault.fault

    for bus in (False, True):
        _boot(device, clock, bus=bus)
        assert (device.read(0), device.read(0x590)) == (0xBADF0200, 0xBADF0200)
        assert device.read_config(at, 4) == b"\x04\0\0\0"
    device.power_cycle()
    clock.sleep(BOOT_S + _SOON)
    assert (device.read(0), device.read_config(at, 4)) == (chip.boot0, bytes(4))


def test_a_wedged_device_is_cured_by_a_bus_reset_and_not_by_its_own() -> None:
    device, clock = _device()
    device.faults.wedged = True

    _boot(device, clock)
    assert device.read(0) >> 16 == 0xBADF
    _boot(device, clock, bus=True)
    assert device.read(0) == 0x180000A1


def test_a_stale_device_must_be_found_again_after_a_bus_reset() -> None:
    device, clock = _device()
    device.faults.stale = True

    device.find()
    assert device.faults.stale
    _boot(device, clock)
    device.find()
    assert device.faults.stale
    _boot(device, clock, bus=True)
    assert device.read(0) == ALL_ONES
    device.find()
    device.config.decodes_memory = True
    assert device.read(0) == 0x180000A1
    device.faults.stale = True
    device.find()
    assert device.faults.stale, "an earlier reset cures no later fault"


@pytest.mark.parametrize("fault", ["lost", "wedged", "stale"])
def test_power_cures_what_a_reset_cannot(fault: str) -> None:
    device, clock = _device()
    setattr(device.faults, fault, True)

    device.power_cycle()
    clock.sleep(BOOT_S + _SOON)

    assert device.read(0) == 0x180000A1


def test_a_bad_register_is_a_bus_error_and_its_neighbours_are_not() -> None:
    device, _ = _device()
    device.faults.bad_registers = {0x8F0334}

    assert device.read(0x8F0334) >> 16 == 0xBADF
    assert device.read(0) == 0x180000A1


@pytest.mark.parametrize(
    ("chip", "flag"), [(H100, 1 << 30), (LS10, 1 << 30), (B200, 2), (RTX_PRO_6000, 2)]
)
def test_recovery_is_told_where_each_family_tells_it(chip: Chip, flag: int) -> None:
    device, _ = _device(chip)
    device.faults.recovery = True

    assert device.read(RECOVERY[chip]) == flag
    assert (device.read(0) == 0) is (chip is H100)


@pytest.mark.parametrize("value", [ALL_ONES, 0xBADF0200, 0xBADF1234, 0])
def test_the_first_register_can_read_as_anything(value: int) -> None:
    device, _ = _device()
    device.faults.boot0 = value

    assert device.read(0) == value
