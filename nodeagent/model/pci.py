"""PCI functions, IOMMU groups, and what a GPU showed of itself."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from nodeagent.model.fabric import Bridge, Slot
from nodeagent.model.seen import Seen, Unreadable
from nodeagent.model.words import CcMode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nodeagent.model.knobs import Configured

NVIDIA = 0x10DE


class Bar(NamedTuple):
    """One line of sysfs `resource`: `number` is that of its resourceN file."""

    number: int
    start: int
    size: int
    flags: int


class PciFunction(NamedTuple):
    """One PCI function as sysfs shows it. `group` is the IOMMU group's number."""

    bdf: str
    vendor: int
    device: int
    pci_class: int
    subsystem: tuple[int, int] | None
    driver: Seen[str]
    override: Seen[str]
    group: Seen[int]
    power_state: Seen[str]
    runtime_status: Seen[str]
    bars: Seen[tuple[Bar, ...]]
    command: Seen[int]
    is_vf: bool

    @property
    def is_gpu(self) -> bool:
        return self.vendor == NVIDIA and self.pci_class >> 8 in {0x0300, 0x0302} and not self.is_vf

    @property
    def is_nvswitch(self) -> bool:
        """Third-generation switches only: earlier ones have no protected mode."""
        return (
            self.vendor == NVIDIA
            and self.pci_class >> 8 == 0x0680
            and 0x22A0 <= self.device <= 0x22A7
        )


class IommuGroup(NamedTuple):
    """A group's default domain type and the functions in it."""

    number: int
    type: Seen[str]
    members: Seen[tuple[str, ...]]


class Iommu(NamedTuple):
    """`groups` is None where the kernel made no /sys/kernel/iommu_groups entries."""

    groups: Seen[Mapping[int, IommuGroup]]
    foreign: Mapping[str, PciFunction | Unreadable]
    """Every function that shares a group with a GPU or switch, by BDF."""


class Holder(NamedTuple):
    """A process that has a GPU's device node open."""

    pid: int
    command: str
    node: str

    def __str__(self) -> str:
        return f"{self.command} (pid {self.pid}, {self.node})"


class Sibling(NamedTuple):
    """Another function on a device's bus."""

    bdf: str
    driver: Seen[str]
    holders: Seen[tuple[Holder, ...]]

    def __str__(self) -> str:
        return f"{self.bdf} ({self.driver})" if isinstance(self.driver, str) else self.bdf


_NODE_FOLDERS = ("/dev/vfio/", "/dev/nvidia", "/dev/dri/")
_CONTAINER = "/dev/vfio/vfio"


def held_node(link: str) -> str | None:
    """The device node that an open file's link names, if a GPU is held by it.

    A capture keeps these links relative to its root; only what follows /dev counts.
    """
    at = link.find("/dev/")
    node = link[at:] if at >= 0 else ""
    return node if node.startswith(_NODE_FOLDERS) and node != _CONTAINER else None


class Sighting(NamedTuple):
    """The last mode of this boot that a register proved, and when (RFC 3339)."""

    mode: CcMode
    at: str


class Known(NamedTuple):
    """What a caller knows of devices, by address, beside what a look shows.

    `remembered`: sightings of this boot. `asked`: what the firmware of some answered.
    """

    remembered: Mapping[str, Sighting] = MappingProxyType({})
    asked: Mapping[str, Configured | Unreadable] = MappingProxyType({})


class Asleep(NamedTuple):
    """Not in D0, or its memory decode is off: what BAR0 reads then is not believed."""

    why: str


class Held(NamedTuple):
    """A process has it open: it is left alone."""

    by: tuple[Holder, ...]


def is_dead(value: int) -> bool:
    """No completion, or an error of the GPU's internal bus (gpu-cc.md §3)."""
    return value == 0xFFFFFFFF or value & 0xFFF00000 == 0xBAD00000


class GpuStatus(NamedTuple):
    """Registers of one device as loaded from BAR0, one aligned load each.

    `boot0` PMC_BOOT_0, `boot` FSP boot complete (0xFF when done), `mode` the CC or PPCIe
    status register (gpu-cc.md §5.1), `boot1` PMC_BOOT_1, `fsp` the version of the FSP's
    microcode, None where the family has no such register. A field that could not be read is
    Unreadable.
    """

    boot0: int | Unreadable
    boot: int | Unreadable
    mode: int | Unreadable
    recovery: bool | Unreadable
    boot1: Seen[int] = None
    fsp: Seen[tuple[int, int]] = None


Status = GpuStatus | Asleep | Held | Unreadable


class Chip(NamedTuple):
    """What the ids say (gpu-cc.md §4); `family` picks the registers. `c2c`: tied to a Grace CPU."""

    name: str
    family: str
    product: str | None
    c2c: bool = False


class Gpu(NamedTuple):
    """A GPU, or an NVSwitch, with everything that decides whether it may be used."""

    pci: PciFunction
    chip: Chip | None
    holders: Seen[tuple[Holder, ...]]
    vfio_nodes: Seen[tuple[str, ...]]
    status: Status
    remembered: Sighting | None
    slot: Slot = Slot()
    configured: Configured | Unreadable | None = None
    """What its firmware says that the next reset brings; None where it was not asked."""
    left_cc: Seen[bool] = None
    """Whether it left a confidential mode in this boot: of parts alone that attest no more then."""

    @property
    def bdf(self) -> str:
        return self.pci.bdf


class Devices(NamedTuple):
    """`functions`: every NVIDIA function, bridges and audio included. `bridges`: those above
    the GPUs and switches, by address."""

    gpus: tuple[Gpu, ...]
    switches: tuple[Gpu, ...]
    functions: tuple[PciFunction, ...]
    vfio: Seen[bool]
    iommufd: Seen[bool] = None
    bridges: Mapping[str, Bridge | Unreadable] = MappingProxyType({})
