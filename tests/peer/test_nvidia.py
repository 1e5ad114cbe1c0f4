"""NVIDIA's own tool drives our model; ours says and does what it does (gpu-cc.md §13.5, §13.6).

The traces are the written ones, of a run against somebody else's model, not recorded from ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nodeagent.agent.waking import awake
from nodeagent.host.gpu.fsp import open_fsp
from nodeagent.host.gpu.status import read_status
from nodeagent.model.knobs import Line
from nodeagent.model.words import CcMode
from nodeagent.sim.chips import B200, CHIPS, H100, H100_PCIE, H200, LS10, RTX_PRO_6000, Chip
from nodeagent.sim.clock import ManualClock
from nodeagent.sim.device import Device
from nodeagent.sim.node import node
from tests.peer.nvidia.machine import Machine
from tests.unit.recalled import recalled

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

BDF = "0000:41:00.0"
RESET = ("--reset-after-cc-mode-switch",)
PPCIE_RESET = ("--reset-after-ppcie-mode-switch",)
GPUS = [H100, H100_PCIE, H200, B200, RTX_PRO_6000]
ALL = [*GPUS, LS10]

HOPPER_BEGINS = ["R 0x0", "R 0x0", "W 0x12004c=0x4", "W 0x122204=0x2", "R 0x224fc"]
BLACKWELL_BEGINS = ["R 0x0", "R 0x0", "R 0x224fc"]
SWITCH_BEGINS = ["R 0x0"]
HOPPER_WARNS = [
    *("R 0x20120", "R 0x0", "R 0x200bc", "R 0x200bc", "R 0x1182cc"),
    *("R 0x200bc", "R 0x200bc", "R 0x1182cc"),
]
HARDWARE = ["R 0x8f012c", "R 0x8f012c", "R 0x8f0278", "R 0x8f0278"] * 2
FSP_OPENS = [
    *HARDWARE,
    *("R 0x8f0abc", "R 0x8f0abc"),
    *("R 0x8f2c10", "R 0x8f2c14", "R 0x8f2c90", "R 0x8f2c94") * 2,
    *("R 0x8f2c08", "R 0x8f2c0c", "R 0x8f2c88", "R 0x8f2c8c") * 2,
]
EMEM_READ = [
    *("R 0x8f2c10", "R 0x8f2c14", "W 0x8f2ad0=0x3000800"),
    *("W 0x8f2ad4=0xc0000000", "W 0x8f2ad4=0x1310de7e", "W 0x8f2ad4=0x8020c"),
    *("R 0x8f2c14", "W 0x8f2c14=0x808", "R 0x8f2c14"),
    *("R 0x8f2c10", "W 0x8f2c10=0x800", "R 0x8f2c10"),
    *("R 0x8f2c90", "R 0x8f2c94", "R 0x8f2c90", "R 0x8f2c94", "W 0x8f2ad0=0x3000800"),
    *["R 0x8f2ad4"] * 6,
    *("R 0x8f2c94", "W 0x8f2c94=0x800", "R 0x8f2c94"),
]
MNOC_READ = [
    # Its release of 2025-11 looks for an error only after it has sent.
    *("R 0x8f1f84", "W 0x8f1f84=0x10000c", "R 0x8f1f84"),
    *("W 0x8f1f88=0xc0000000", "W 0x8f1f88=0x1310de7e", "W 0x8f1f88=0x8020c", "R 0x8f1f84"),
    *("R 0x8f1f04", "R 0x8f1f04", *["R 0x8f1f08"] * 6, "R 0x8f1f04"),
]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Callable[[Chip], Machine]]:
    running: list[Machine] = []

    def start(chip: Chip) -> Machine:
        running.append(Machine(tmp_path / str(len(running)), b41=chip).__enter__())
        return running[-1]

    yield start
    for each in running:
        each.__exit__(None, None, None)


def run(machine: Machine, *words: str, fails: bool = False) -> subprocess.CompletedProcess[str]:
    done = machine.run(f"--gpu-bdf={BDF}", *words)
    assert (done.returncode != 0) is fails, done.stdout + done.stderr
    return done


def said(machine: Machine) -> list[str]:
    """Every knob that was asked for or written, from the words that went into a mailbox."""
    words = [each.value for each in machine.trace if each.is_write and each.offset in _DATA]
    found, rest = [], iter(words)
    for word in rest:
        if word != 0x1310DE7E:
            continue
        what = next(rest)
        if what & 0xFF == 0x0C:
            found.append(f"rd{what >> 16}")
        else:
            found.append(f"wr{what >> 16}={next(rest)}")
    return found


_DATA = frozenset({0x8F2AD4, 0x8F1F88})


@pytest.mark.parametrize(
    ("chip", "words", "trace"),
    [
        (H100, "--query-cc-mode", [*HOPPER_BEGINS, "R 0x200bc", "R 0x1182cc", *HOPPER_WARNS]),
        (H200, "--query-cc-mode", [*HOPPER_BEGINS, "R 0x200bc", "R 0x1182cc", *HOPPER_WARNS]),
        (H100, "--query-ppcie-mode", [*HOPPER_BEGINS, *HOPPER_WARNS, "R 0x200bc", "R 0x1182cc"]),
        (
            B200,
            "--query-cc-mode",
            [
                *(*BLACKWELL_BEGINS, "R 0x200bc", "R 0x590"),
                *("R 0x8aa128", "R 0x200bc", "R 0x200bc", "R 0x590"),
            ],
        ),
        (
            RTX_PRO_6000,
            "--query-cc-mode",
            [
                *(*BLACKWELL_BEGINS, "R 0xad00bc", "R 0x590"),
                *("R 0x8aa128", "R 0xad00bc", "R 0xad00bc", "R 0x590"),
            ],
        ),
        (
            LS10,
            "--query-ppcie-mode",
            [
                *(*SWITCH_BEGINS, "R 0x66120", "R 0x660bc", "R 0x660bc", "R 0x28c50"),
                *("R 0x660bc", "R 0x28c50"),
            ],
        ),
    ],
)
def test_a_query_makes_the_written_accesses(
    chip: Chip, words: str, trace: list[str], machine: Callable[[Chip], Machine]
) -> None:
    started = machine(chip)

    done = run(started, words)

    assert "mode is off" in done.stdout + done.stderr
    assert started.accesses(BDF) == trace


def test_the_mailbox_of_a_hopper_is_opened_and_read_as_written(
    machine: Callable[[Chip], Machine],
) -> None:
    started = machine(H100)
    run(started, "--query-cc-settings")

    accesses = started.accesses(BDF)
    start = [*HOPPER_BEGINS, "R 0x200bc", *FSP_OPENS]
    assert accesses[: len(start)] == start
    assert accesses[len(start) : len(start) + len(EMEM_READ)] == EMEM_READ


def test_the_mailbox_of_a_blackwell_is_read_as_written(machine: Callable[[Chip], Machine]) -> None:
    started = machine(B200)
    run(started, "--query-cc-settings")

    accesses = started.accesses(BDF)
    at = next(n for n, each in enumerate(accesses) if "0x8f1f" in each)
    assert accesses[at : at + len(MNOC_READ)] == MNOC_READ


@pytest.mark.parametrize("chip", GPUS, ids=lambda chip: chip.name)
def test_settings_are_asked_for_in_the_written_order(
    chip: Chip, machine: Callable[[Chip], Machine]
) -> None:
    started = machine(chip)
    run(started, "--query-cc-settings")

    assert said(started) == ["rd8", "rd6", "rd10", "rd7", "rd5", "rd9"]


OLD = ["rd2", "rd4", "rd34"]
# Knob 34 comes last of these in its release of 2025-11, as in that of 2026 (§12.2).
PPCIE_CLEARS = ["rd2", "rd4", "rd6", "rd8", "rd34"]


@pytest.mark.parametrize(
    ("chip", "words", "messages"),
    [
        (
            H100,
            ("--set-cc-mode=on", *RESET),
            ["rd45", *OLD, "rd45", "rd10", "wr10=2", "rd8", "wr8=1", "rd6"],
        ),
        (
            H100,
            ("--set-cc-mode=devtools", *RESET),
            ["rd45", *OLD, "rd45", "rd10", "rd8", "wr8=1", "rd6", "wr6=1"],
        ),
        (H100, ("--set-cc-mode=off", *RESET), ["rd45", "rd10", "rd6", "rd8"]),
        # Its release of 2025-11 asks for knob 34 on Hopper and switches only.
        (B200, ("--set-cc-mode=on", *RESET), ["rd2", "rd4", "rd8", "wr8=1", "rd6"]),
        (RTX_PRO_6000, ("--set-cc-mode=on", *RESET), ["rd2", "rd4", "rd8", "wr8=1", "rd6"]),
        (
            H100,
            ("--set-ppcie-mode=on", *PPCIE_RESET),
            ["rd8", *PPCIE_CLEARS, "rd10", "wr10=2", "rd45", "wr45=1"],
        ),
        (
            LS10,
            ("--set-ppcie-mode=on", *PPCIE_RESET),
            ["rd8", *PPCIE_CLEARS, "rd10", "rd45", "wr45=1"],
        ),
    ],
)
def test_a_switch_sends_the_written_messages_and_comes_true(
    chip: Chip, words: tuple[str, ...], messages: list[str], machine: Callable[[Chip], Machine]
) -> None:
    started = machine(chip)

    run(started, *words)

    assert said(started) == messages
    device = started.devices[BDF]
    assert device.resets == 1
    want = words[0].partition("=")[2]
    mode = CcMode.PPCIE if "ppcie" in words[0] else CcMode(want)
    assert device.read(chip.mode) & 0x23 == _bits(chip, mode)


def _bits(chip: Chip, mode: CcMode) -> int:
    if chip.is_switch:
        return int(mode is CcMode.PPCIE)
    return {CcMode.OFF: 0, CcMode.ON: 1, CcMode.DEVTOOLS: 3, CcMode.PPCIE: 1 << 5}[mode]


# Both directions.


def _ours(device: Device) -> tuple[Device, CcMode | None]:
    """What our side reads of the knobs that another program left."""
    clock = ManualClock()
    copy = Device(device.chip, clock, knobs=dict(device.fsp.knobs))
    return copy, open_fsp(copy, clock, _line(device.chip)).configured().mode


def _line(chip: Chip) -> Line:
    if chip.is_switch:
        return Line.SWITCH
    return Line.BLACKWELL if chip.is_blackwell else Line.HOPPER


SETS = [
    *[(chip, mode) for chip in GPUS for mode in (CcMode.ON, CcMode.DEVTOOLS, CcMode.OFF)],
    *[(chip, CcMode.PPCIE) for chip in (H100, H200, LS10)],
]


@pytest.mark.parametrize(("chip", "mode"), SETS)
def test_what_its_tool_sets_ours_reads(
    chip: Chip, mode: CcMode, machine: Callable[[Chip], Machine]
) -> None:
    started = machine(chip)
    words = "--set-ppcie-mode=on" if mode is CcMode.PPCIE else f"--set-cc-mode={mode}"

    run(started, words)

    assert _ours(started.devices[BDF])[1] is mode


@pytest.mark.parametrize(("chip", "mode"), SETS)
def test_what_ours_sets_its_tool_reads(
    chip: Chip, mode: CcMode, machine: Callable[[Chip], Machine]
) -> None:
    started = machine(chip)
    device = started.devices[BDF]
    open_fsp(device, started.clock, _line(chip)).stage(mode)
    device.reset()
    is_ppcie = mode is CcMode.PPCIE

    done = run(started, f"--query-{'ppcie' if is_ppcie else 'cc'}-mode")

    assert f"mode is {'on' if is_ppcie else mode}" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("chip", "mode"),
    [
        *[(chip, CcMode.ON) for chip in GPUS],
        (H100, CcMode.PPCIE),
        (LS10, CcMode.PPCIE),
        (B200, CcMode.DEVTOOLS),
    ],
)
def test_ours_writes_the_same_knobs_in_the_same_order(
    chip: Chip, mode: CcMode, machine: Callable[[Chip], Machine]
) -> None:
    started = machine(chip)
    words = "--set-ppcie-mode=on" if mode is CcMode.PPCIE else f"--set-cc-mode={mode}"
    run(started, words)
    theirs = [each for each in said(started) if each.startswith("wr")]

    device, _ = _ours(Device(chip, ManualClock()))
    ours = open_fsp(device, ManualClock(), _line(chip)).stage(mode)

    assert [f"wr{each.knob}={each.value}" for each in ours] == theirs


# Where the two must differ.


def test_off_in_its_tool_bares_a_gpu_that_stays_in_ppcie_and_ours_does_not(
    machine: Callable[[Chip], Machine],
) -> None:
    """Its `set cc off` writes the shared knob 10 and leaves PPCIe as it is (§8.3)."""
    started = machine(H100)
    run(started, "--set-ppcie-mode=on", *PPCIE_RESET)
    device = started.devices[BDF]
    knobs = dict(device.fsp.knobs)

    run(started, "--set-cc-mode=off", *RESET)

    assert (device.read(H100.mode), device.filtered) == (1 << 5, False)
    ours = Device(H100, ManualClock(), knobs=knobs)
    open_fsp(ours, ManualClock(), Line.HOPPER).stage(CcMode.OFF)
    ours.reset()
    assert (ours.fsp.knobs[45], ours.fsp.knobs[10]) == (0, 0)


def test_on_its_way_to_devtools_its_tool_has_a_mode_without_its_filter(
    machine: Callable[[Chip], Machine],
) -> None:
    """CC is on before devtools is: whoever resets in between gets it unfiltered. Ours has it up."""
    started = machine(H100)
    run(started, "--set-cc-mode=devtools")

    writes = [each for each in said(started) if each.startswith("wr")]
    device, _ = _ours(Device(H100, ManualClock()))
    ours = open_fsp(device, ManualClock(), Line.HOPPER).stage(CcMode.DEVTOOLS)

    assert writes == ["wr8=1", "wr6=1"]
    assert [(each.knob, each.value) for each in ours] == [(10, 2), (8, 1), (6, 1), (10, 0)]


def test_its_query_writes_registers_and_ours_none(machine: Callable[[Chip], Machine]) -> None:
    started = machine(H100)
    run(started, "--query-cc-mode")

    device = _Watched(H100, ManualClock())
    status = read_status(device, "hopper")

    assert [each for each in started.trace if each.is_write]
    assert status.mode == 0
    assert device.written == set()


def test_its_query_wakes_and_opens_a_device_for_good_and_ours_for_the_look(
    machine: Callable[[Chip], Machine], tmp_path: Path, hosts: Path
) -> None:
    """Its tool puts power control back and leaves memory decode on; ours gives back both."""
    started = machine(H100)
    device = started.devices[BDF]
    device.config.decodes_memory = False
    started.put(BDF)

    run(started, "--query-cc-mode")

    assert device.config.decodes_memory
    with recalled(str(hosts / "genoa-gpu-decode-off")) as base:
        ours = node(base, ManualClock())
        place = ours.places[BDF]
        place.driver, place.override, place.device.config.decodes_memory = None, "", False
        seen = []
        with awake(ours, tmp_path):
            seen.append(place.device.config.decodes_memory)
        seen.append(place.device.config.decodes_memory)
    assert (seen, ours.harm) == ([True, False], [])


@pytest.mark.parametrize("chip", ALL, ids=lambda chip: chip.name)
def test_ours_makes_none_of_the_accesses_that_have_nothing_to_do_with_it(chip: Chip) -> None:
    """No private ring, no falcon's hardware, no scan of units, no scratch (§5.2)."""
    device = _Watched(chip, ManualClock())
    open_fsp(device, ManualClock(), _line(chip)).stage(CcMode.OFF)

    assert device.touched <= {*range(0x8F2AC0, 0x8F2CA0, 4), *range(0x8F1F00, 0x8F1FA4, 4)}


class _Watched(Device):
    """Remembers which registers were touched."""

    def __init__(self, chip: Chip, clock: ManualClock) -> None:
        super().__init__(chip, clock)
        self.touched: set[int] = set()
        self.written: set[int] = set()

    def read(self, offset: int) -> int:
        self.touched.add(offset)
        return super().read(offset)

    def write(self, offset: int, value: int) -> None:
        self.touched.add(offset)
        self.written.add(offset)
        super().write(offset, value)


# What §13.6 asks of the model.


def test_firmware_that_knows_no_ppcie(machine: Callable[[Chip], Machine]) -> None:
    started = machine(H100)
    started.devices[BDF].faults.no_ppcie = True

    run(started, "--set-cc-mode=on", *RESET)
    done = run(started, "--set-ppcie-mode=on", fails=True)

    assert "update" in (done.stdout + done.stderr).lower()


def test_devtools_alone_is_invalid_and_any_mode_cures_it(
    machine: Callable[[Chip], Machine],
) -> None:
    started = machine(H100)
    device = started.devices[BDF]
    device.fsp.knobs[6] = 1
    device.reset()

    done = run(started, "--query-cc-mode")
    run(started, "--set-cc-mode=on", *RESET)

    assert "invalid-devtools-only" in done.stdout + done.stderr
    assert device.read(H100.mode) == 1


@pytest.mark.parametrize("chip", [H100, B200], ids=lambda chip: chip.name)
@pytest.mark.parametrize("fault", ["stuck_queue", "lost_answers", "never_boots"])
def test_what_never_comes_times_out_and_ends_in_an_error(
    fault: str, chip: Chip, machine: Callable[[Chip], Machine]
) -> None:
    started = machine(chip)
    device = started.devices[BDF]
    if fault == "never_boots":
        device.faults.never_boots = True
        device.reset()
    else:
        setattr(device.faults, fault, 1)

    run(started, "--set-cc-mode=on", *RESET, fails=True)

    assert device.fsp.knobs[8] == 0


@pytest.mark.parametrize("boot0", [0xFFFFFFFF, 0xBADF0200, 0xBADF1234])
def test_a_gpu_whose_first_register_is_odd_is_broken(
    boot0: int, machine: Callable[[Chip], Machine]
) -> None:
    started = machine(H100)
    started.devices[BDF].faults.boot0 = boot0

    done = started.run(f"--gpu-bdf={BDF}")

    assert "broken" in (done.stdout + done.stderr).lower()


def test_a_gpu_in_recovery_is_said_to_be(machine: Callable[[Chip], Machine]) -> None:
    started = machine(H100)
    started.devices[BDF].faults.recovery = True

    done = run(started, "--query-cc-mode")

    assert "recovery" in (done.stdout + done.stderr).lower()


def test_every_chip_of_the_model_was_judged() -> None:
    assert {chip.name for chip in ALL} == CHIPS.keys()
