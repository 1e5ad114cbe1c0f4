"""What switching and asking cost: ratios within one run, absolute figures printed beside."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from nodeagent.agent.converge import converge
from nodeagent.agent.switch import workplace
from nodeagent.capture.archive import open_capture
from nodeagent.data import path
from nodeagent.model.words import CcMode
from nodeagent.sim.chips import H100, Chip
from nodeagent.sim.clock import RealClock
from nodeagent.sim.config_space import ConfigSpace
from nodeagent.sim.device import BOOT_S, RESET_S, Device
from nodeagent.sim.machine import SimMachine
from nodeagent.sim.node import node
from tests.bench.measure import alternately
from tests.machine.simulated import served

pytestmark = pytest.mark.timeout(600)

Figure = Callable[[str], None]
SWITCH_GOAL, SWITCH_LIMIT = 1.1, 1.5
QUERY_LIMIT = 2.0
OWN_S = RESET_S + BOOT_S
PORT = "0000:00:01.0"


def _gpus(machine: SimMachine) -> list[str]:
    return [bdf for bdf, place in machine.places.items() if not place.device.chip.is_switch]


def test_eight_gpus_are_switched_in_the_time_of_one(figure: Figure) -> None:
    with ExitStack() as stack:
        base = stack.enter_context(open_capture(path("hgx.tar.gz")))
        machine = node(base, RealClock())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        gpus = _gpus(machine)
        at = stack.enter_context(workplace(machine, folder, frozenset(gpus), command="bench"))
        took = []
        for mode in (CcMode.ON, CcMode.OFF, CcMode.ON):
            began = time.monotonic()
            done = converge(machine, dict.fromkeys(gpus, mode), at.debts, mine=at.mine.keys())
            took.append(time.monotonic() - began)
            assert len(done.proven) == len(gpus) == 8
    best_s = min(took)

    figure(
        f"switch of 8 GPUs: {best_s / OWN_S:.2f} × reset and boot of one "
        f"(goal {SWITCH_GOAL:g}, limit {SWITCH_LIMIT:g}; {best_s:.2f} s of {OWN_S:.2f} s)"
    )
    assert best_s / OWN_S <= SWITCH_LIMIT


def test_the_whole_command_is_not_much_slower(tmp_path: Path, figure: Figure) -> None:
    """With its start, three looks at a host of 192 CPUs, and a socket to the model between."""
    with served(tmp_path / "hgx", rate=1.0) as machine:
        began = time.monotonic()
        done = machine.run("apply", "--mode", "on", "--yes")
        took_s = time.monotonic() - began
    assert done.returncode == 0, done.stdout + done.stderr

    figure(
        f"`nodeagent apply` on 8 GPUs, a process beside a served machine: "
        f"{took_s / OWN_S:.2f} × reset and boot of one ({took_s:.2f} s)"
    )


def test_a_query_costs_no_multiple_of_nvidias_tool(tmp_path: Path, figure: Figure) -> None:
    """Both unmodified, on the same files in place of /sys: eight H100 that have booted.

    Ours also looks at drivers, groups, power states, and at every process for who has a GPU.
    """
    tree = tmp_path / "sys"
    _plant(tree, H100)
    in_place = 'mount --bind "$1" /sys; shift; exec "$@"'
    private = ["unshare", "--mount", "--", "sh", "-c", in_place, "sh", str(tree)]
    ours = [*private, sys.executable, "-m", "nodeagent", "gpus"]
    theirs = [*private, sys.executable, "-m", "nvidia_gpu_tools", "--devices", "gpus"]
    theirs += ["--query-cc-mode"]
    for command, said in ((ours, "H100"), (theirs, "CC mode is on")):
        shown = subprocess.run(command, capture_output=True, text=True, check=True)
        assert (shown.stdout + shown.stderr).count(said) == 8

    theirs_s, ours_s = alternately(theirs, ours, rounds=7)

    figure(
        f"query of 8 GPUs: {ours_s / theirs_s:.2f} × NVIDIA's tool "
        f"(limit {QUERY_LIMIT:g}; {ours_s * 1000:.0f} ms of {theirs_s * 1000:.0f} ms CPU)"
    )
    assert ours_s / theirs_s <= QUERY_LIMIT


def _plant(tree: Path, chip: Chip) -> None:
    """As much of sysfs as both tools read; registers are sparse files."""
    (tree / "bus/pci/devices").mkdir(parents=True)
    port = tree / "devices/pci0000:00" / PORT
    port.mkdir(parents=True)
    config = bytearray(256)
    config[0x00:0x04] = bytes.fromhex("22108514")
    config[0x06], config[0x0E], config[0x34] = 0x10, 1, 0x60
    config[0x60:0x64] = (0x10 | 0x42 << 16).to_bytes(4, "little")  # a root port
    (port / "config").write_bytes(config)
    _put(port, vendor="0x1022", device="0x1485", kind="0x060400")
    (port / "resource").write_text("0x0 0x0 0x0\n" * 13)
    (tree / "bus/pci/devices" / PORT).symlink_to(f"../../../devices/pci0000:00/{PORT}")
    for number in range(8):
        _plant_gpu(tree, port, chip, f"0000:{0x41 + number:02x}:00.0", number)


def _plant_gpu(tree: Path, port: Path, chip: Chip, bdf: str, number: int) -> None:
    home = port / bdf
    (home / "power").mkdir(parents=True)
    (home / "power/control").write_text("on\n")
    (home / "power_state").write_text("D0\n")
    start = 0x2000_0000_0000 + (number << 40)
    config = ConfigSpace(chip, bars=(start, start + (1 << 39)))
    config.show(fault=0, firewall=False)
    (home / "config").write_bytes(bytes(config.raw))
    _put(home, vendor="0x10de", device=f"{chip.device:#06x}", kind=f"{chip.pci_class:#08x}")
    bars = [(start, chip.bar0_size), None, (start + (1 << 39), 1 << 20), *[None] * 10]
    lines = [
        f"{bar[0]:#018x} {bar[0] + bar[1] - 1:#018x} {0x14220C:#018x}\n" if bar else _NO_BAR
        for bar in bars
    ]
    (home / "resource").write_text("".join(lines))
    _registers(home / "resource0", Device(chip, RealClock(), knobs=None), chip)
    with (home / "resource2").open("wb") as file:
        file.truncate(1 << 20)
    (tree / "bus/pci/devices" / bdf).symlink_to(f"../../../devices/pci0000:00/{PORT}/{bdf}")


_NO_BAR = f"{0:#018x} {0:#018x} {0:#018x}\n"


def _registers(file: Path, device: Device, chip: Chip) -> None:
    words = {0x0: device.read(0x0), chip.boot: 0xFF, chip.mode: 1}
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)
    os.truncate(descriptor, chip.bar0_size)
    for offset, word in words.items():
        os.pwrite(descriptor, word.to_bytes(4, "little"), offset)
    os.close(descriptor)


def _put(home: Path, *, vendor: str, device: str, kind: str) -> None:
    for name, text in (("vendor", vendor), ("device", device), ("class", kind)):
        (home / name).write_text(f"{text}\n")
    (home / "subsystem_vendor").write_text(f"{vendor}\n")
    (home / "subsystem_device").write_text("0x16c1\n")
