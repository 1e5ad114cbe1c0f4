"""The claims of a look, on a real Hopper GPU or newer: nothing is written, nothing is woken.

`make hardware` runs them, as root, on a machine that has one.
"""

import shutil
import subprocess
from pathlib import Path

import pytest

from nodeagent.checks.gpu import Mode, mode_of
from nodeagent.facts import capability, gpu, pci
from nodeagent.host.live import LiveMachine
from nodeagent.model.modes import ARCHITECTURES
from nodeagent.model.pci import Devices, Gpu, GpuStatus, Held
from nodeagent.model.words import CcMode

pytestmark = pytest.mark.hardware

_SYS = Path("/sys/bus/pci/devices")
_WATCHED = ("power/control", "power_state", "driver_override", "reset_method")


def devices() -> list[Gpu]:
    machine = LiveMachine()
    try:
        with machine.look():
            found = gpu.read(machine, pci.nvidia_functions(machine.files), boot_id=None)
    finally:
        machine.close()
    assert isinstance(found, Devices), found
    return [each for each in (*found.gpus, *found.switches) if each.chip is not None]


@pytest.fixture(scope="module")
def found() -> list[Gpu]:
    there = devices()
    assert there, "no GPU of Hopper or newer is here"
    return there


def test_its_boot_register_agrees_with_its_id(found: list[Gpu]) -> None:
    for each in found:
        if isinstance(each.status, GpuStatus):
            assert each.chip
            assert isinstance(each.status.boot0, int)
            assert each.status.boot0 >> 24 & 0x1F == ARCHITECTURES[each.chip.family]


def test_every_device_has_a_mode_or_is_held(found: list[Gpu]) -> None:
    for each in found:
        assert isinstance(each.status, Held) or isinstance(mode_of(each, ""), Mode), each


def test_looking_changes_nothing(found: list[Gpu]) -> None:
    def shown() -> list[object]:
        return [
            [(_SYS / each.bdf / name).read_text() for name in _WATCHED]
            + [(_SYS / each.bdf / "config").read_bytes()[:64]]
            for each in found
        ]

    before = shown()
    again = devices()

    assert shown() == before
    assert [each.pci for each in again] == [each.pci for each in found]


def test_the_driver_says_the_same(found: list[Gpu]) -> None:
    """Where NVIDIA's driver has it: CC on or off, as its own tool reads it from the driver."""
    smi = shutil.which("nvidia-smi")
    bound = [each for each in found if each.pci.driver == "nvidia"]
    assert smi or not bound, "a GPU is bound to nvidia, and nvidia-smi is not here to ask"
    for each in bound:
        mode = mode_of(each, "")
        if isinstance(mode, Mode) and smi:
            told = subprocess.run(
                [smi, "conf-compute", "-f"], capture_output=True, text=True, check=True, timeout=60
            )
            assert ("ON" in told.stdout) is (mode.mode in {CcMode.ON, CcMode.DEVTOOLS})


def test_whether_it_can_do_cc_is_told_with_a_reason(found: list[Gpu]) -> None:
    machine = LiveMachine()
    try:
        for each in found:
            able = capability.read(machine, each)
            assert able.architecture[0] is True, able
            assert all(why for _, why in able)
    finally:
        machine.close()
