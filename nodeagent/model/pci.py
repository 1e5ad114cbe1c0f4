"""PCI functions, IOMMU groups, and what a GPU showed of itself."""

from collections.abc import Mapping
from dataclasses import dataclass

from nodeagent.model.seen import Seen, Unreadable
from nodeagent.model.words import CcMode

NVIDIA = 0x10DE


@dataclass(frozen=True, slots=True)
class Bar:
    """One line of sysfs `resource`: `index` is the number of its resourceN file."""

    index: int
    start: int
    size: int
    flags: int


@dataclass(frozen=True, slots=True)
class PciFunction:
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
    def base_class(self) -> int:
        return self.pci_class >> 16

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


@dataclass(frozen=True, slots=True)
class IommuGroup:
    number: int
    type: Seen[str]
    members: Seen[tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Iommu:
    """`groups` is None where the kernel made no /sys/kernel/iommu_groups entries."""

    groups: Seen[Mapping[int, IommuGroup]]
    foreign: Mapping[str, PciFunction | Unreadable]
    """Every function that shares a group with a GPU or switch, by BDF."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that has a GPU's device node open."""

    pid: int
    command: str
    node: str

    def __str__(self) -> str:
        return f"{self.command} (pid {self.pid}, {self.node})"


@dataclass(frozen=True, slots=True)
class Sighting:
    """The last mode of this boot that a register proved, and when (RFC 3339)."""

    mode: CcMode
    at: str


@dataclass(frozen=True, slots=True)
class Asleep:
    """Not in D0, or its memory decode is off: what BAR0 reads then is not believed."""

    why: str


@dataclass(frozen=True, slots=True)
class Held:
    """A process has it open: it is left alone."""

    by: tuple[Holder, ...]


@dataclass(frozen=True, slots=True)
class GpuStatus:
    """Registers of one device as loaded from BAR0, one aligned load each.

    `boot0` PMC_BOOT_0, `boot` FSP boot complete (0xFF when done), `mode` the CC or PPCIe
    status register (gpu-cc.md §5.1). A field that could not be read is Unreadable.
    """

    boot0: int | Unreadable
    boot: int | Unreadable
    mode: int | Unreadable
    recovery: bool | Unreadable


Status = GpuStatus | Asleep | Held | Unreadable


@dataclass(frozen=True, slots=True)
class Chip:
    """What the device id says (gpu-cc.md §4); `family` picks the registers."""

    name: str
    family: str
    product: str | None
    c2c: bool = False


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU, or an NVSwitch, with everything that decides whether it may be used."""

    pci: PciFunction
    chip: Chip | None
    holders: Seen[tuple[Holder, ...]]
    vfio_nodes: Seen[tuple[str, ...]]
    status: Status
    remembered: Sighting | None

    @property
    def bdf(self) -> str:
        return self.pci.bdf


@dataclass(frozen=True, slots=True)
class Devices:
    """`functions`: every NVIDIA function, bridges and audio included."""

    gpus: tuple[Gpu, ...]
    switches: tuple[Gpu, ...]
    functions: tuple[PciFunction, ...]
    vfio: Seen[bool]
