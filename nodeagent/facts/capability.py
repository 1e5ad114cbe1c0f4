"""Reads what says whether a GPU can do CC: its architecture, its product, this very unit."""

from typing import Any, NamedTuple

from nodeagent import data
from nodeagent.model.knobs import Configured
from nodeagent.model.modes import ARCHITECTURES, FIRST_UNKNOWN
from nodeagent.model.pci import Gpu, GpuStatus, is_dead
from nodeagent.model.seen import Unreadable
from nodeagent.seams import Machine

_FUSES = {0x824E04: 1, 0x824E08: 1, 0x824E0C: 0}
"""GH100's SPARE_BIT_0 to 2: bit 0 of each in a unit that may do CC (gpu-cc.md §4.3)."""


class Capability(NamedTuple):
    """Yes, no, or None where nothing tells; each with its reason."""

    architecture: tuple[bool | None, str]
    product: tuple[bool | None, str]
    unit: tuple[bool | None, str]


def read(machine: Machine, gpu: Gpu) -> Capability:
    """Registers are read of a device that its look found awake; nothing is written."""
    return Capability(_architecture(gpu), _product(gpu), _unit(machine, gpu))


def _architecture(gpu: Gpu) -> tuple[bool | None, str]:
    device = f"device id {gpu.pci.device:#06x}"
    if gpu.chip is None and gpu.pci.device >= FIRST_UNKNOWN:
        return None, f"{device} is newer than what is known"
    if gpu.chip is None:
        return False, f"{device} is in no range of chips that can"
    boot0 = gpu.status.boot0 if isinstance(gpu.status, GpuStatus) else None
    if not isinstance(boot0, int) or is_dead(boot0):
        return True, f"{gpu.chip.name} by {device}; BOOT_0 does not tell"
    if not _agrees(boot0, gpu.chip.family):
        return None, f"{gpu.chip.name} by {device}, which BOOT_0 {boot0:#010x} contradicts"
    return True, f"{gpu.chip.name} by {device}; BOOT_0 {boot0:#010x} agrees"


def _agrees(boot0: int, family: str) -> bool:
    return boot0 >> 24 & 0x1F == ARCHITECTURES[family]


def _product(gpu: Gpu) -> tuple[bool | None, str]:
    table: Any = data.load("chips.json")["supported"]
    if gpu.chip is None and gpu.pci.device >= FIRST_UNKNOWN:
        return None, "not among the products that are known here"
    if gpu.chip is None:
        return False, "none of NVIDIA's confidential products"
    if gpu.chip.c2c:
        return False, f"{gpu.chip.product or gpu.chip.name} is tied to a Grace CPU"
    if gpu.pci.is_nvswitch:
        return True, "a third-generation NVSwitch, for protected PCIe"
    key = f"{gpu.pci.device:#06x}"
    if key in table["ids"] or gpu.chip.product in table["products"]:
        return True, f"{gpu.chip.product or key} is one that NVIDIA supports"
    name = gpu.chip.product or key
    return None, f"{name} is not in NVIDIA's statements; it may work as its chip does"


def _unit(machine: Machine, gpu: Gpu) -> tuple[bool | None, str]:
    if gpu.chip is None:
        return None if gpu.pci.device >= FIRST_UNKNOWN else False, "nothing to ask"
    if isinstance(gpu.configured, Configured):
        return True, "its firmware answers for its knobs"
    if isinstance(gpu.configured, Unreadable):
        return None, gpu.configured.why
    if gpu.chip.name != "gh100":
        return None, "only its firmware knows: --ask-firmware"
    if not isinstance(gpu.status, GpuStatus):
        return None, "its fuses were not read"
    boot0 = gpu.status.boot0
    if isinstance(boot0, int) and not is_dead(boot0) and not _agrees(boot0, gpu.chip.family):
        return None, "BOOT_0 tells of no GH100, so where its fuses are is not known"
    return _fuses(machine, gpu.bdf)


def _fuses(machine: Machine, bdf: str) -> tuple[bool | None, str]:
    with machine.probes.bar0(bdf) as registers:
        if isinstance(registers, Unreadable):
            return None, registers.why
        found = {at: registers.read(at) for at in _FUSES}
    words = {at: value for at, value in found.items() if isinstance(value, int)}
    if len(words) < len(_FUSES) or any(map(is_dead, words.values())):
        return None, "its fuses cannot be read: --ask-firmware asks its firmware"
    told = ", ".join(f"{at:#x}={value:#x}" for at, value in words.items())
    fits = all(words[at] & 1 == wanted for at, wanted in _FUSES.items())
    return fits, f"fuses {told}"
