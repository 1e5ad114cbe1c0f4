"""How a GPU is plugged in: the bridges above it, its link, its place on the board."""

from typing import NamedTuple

from nodeagent.model.seen import Seen, Unreadable

ROOT_PORT, UPSTREAM, DOWNSTREAM = 4, 5, 6
"""PCIe port types (flags of the PCIe capability, bits 7:4)."""


class Link(NamedTuple):
    """A link as it was trained, and what this end of it could do. Speeds in GT/s."""

    width: Seen[int]
    max_width: Seen[int]
    speed: Seen[float]
    max_speed: Seen[float]


class Aperture(NamedTuple):
    """Addresses that a bridge lets through, first and last."""

    start: int
    end: int
    prefetchable: bool

    @property
    def size(self) -> int:
        return self.end - self.start + 1

    def holds(self, start: int, size: int) -> bool:
        return self.start <= start and start + size - 1 <= self.end


ACS_NAMES = {0x01: "SV", 0x02: "TB", 0x04: "RR", 0x08: "CR", 0x10: "UF", 0x20: "EC", 0x40: "DT"}
"""Access Control Services, as lspci abbreviates them."""

_ISOLATING = 0x01 | 0x04 | 0x08 | 0x10  # REQ_ACS_FLAGS of drivers/iommu/iommu.c


class Acs(NamedTuple):
    """Access Control Services of a port: what it can do, and what of it is switched on."""

    can: int
    on: int

    @property
    def missing(self) -> int:
        """What isolation needs and is off. A service that a port cannot switch counts as
        wired on, as the kernel has it (pci_acs_flags_enabled in drivers/pci/pci.c)."""
        return _ISOLATING & self.can & ~self.on


class Bridge(NamedTuple):
    """One bridge on a path. A `port` of None: it is none of PCIe. `windows` may be closed all."""

    bdf: str
    vendor: int
    device: int
    port: Seen[int]
    buses: tuple[int, int]
    windows: Seen[tuple[Aperture, ...]]
    acs: Seen[Acs]
    link: Link
    group: Seen[int]

    @property
    def should_isolate(self) -> bool:
        """Root and downstream ports do; of other bridges ACS says nothing (PCIe 6.12.1)."""
        return self.port in {ROOT_PORT, DOWNSTREAM}


class Security(NamedTuple):
    """A GPU's word on itself in configuration space (gpu-cc.md §5.5).

    `fault`: the cause bits, 0 for none, and `causes` their names. `firewall`: whether its BARs
    are still closed; None where the family does not say.
    """

    fault: int
    causes: tuple[str, ...]
    firewall: bool | None


_NOT_LOOKED = Unreadable("the slot", "not looked at")


class Slot(NamedTuple):
    """`path`: the bridges from the root port down. An `ats` of None: the device has none."""

    path: Seen[tuple[str, ...]] = _NOT_LOOKED
    numa: Seen[int] = _NOT_LOOKED
    link: Link = Link(_NOT_LOOKED, _NOT_LOOKED, _NOT_LOOKED, _NOT_LOOKED)
    d3cold: Seen[bool] = _NOT_LOOKED
    ats: Seen[bool] = _NOT_LOOKED
    security: Seen[Security] = _NOT_LOOKED
