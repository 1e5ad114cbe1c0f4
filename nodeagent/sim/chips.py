"""The chips that are modelled: where each keeps what (gpu-cc.md §4, §5, §13)."""

from typing import NamedTuple

MIB = 1 << 20


class Fault(NamedTuple):
    """Where configuration space has the security fault and the BAR firewall (§5.5).

    `capability` is its extended capability's id and offset; the words are relative to it.
    """

    capability: int
    at: int
    fault: int
    firewall: int | None
    firewall_bit: int = 0


class Chip(NamedTuple):
    """One kind of device. `scratch` are plain registers: that of FLR, and that of SBR alone."""

    name: str
    device: int
    subsystem: int
    pci_class: int
    boot0: int
    mode: int
    boot: int
    recovery: int
    scratch: tuple[int, ...]
    fault: Fault
    is_switch: bool = False
    is_blackwell: bool = False
    bar0_size: int = 16 * MIB


_GH100_FAULT = Fault(capability=0x0B, at=0x2A4, fault=0x10, firewall=None)
_GB100_FAULT = Fault(capability=0x23, at=0xAF0, fault=0x14, firewall=0x08, firewall_bit=20)
_GB202_FAULT = Fault(capability=0x0B, at=0x2A4, fault=0x10, firewall=0x14, firewall_bit=24)


_HOPPER = Chip(
    name="H100",
    device=0x2330,
    subsystem=0x16C1,
    pci_class=0x030200,
    boot0=0x180000A1,
    mode=0x1182CC,
    boot=0x200BC,
    recovery=0x20120,
    scratch=(0x1458, 0x91288),
    fault=_GH100_FAULT,
)
_BLACKWELL = _HOPPER._replace(mode=0x590, recovery=0x8AA128, is_blackwell=True, bar0_size=64 * MIB)

H100 = _HOPPER
H100_PCIE = _HOPPER._replace(name="H100-PCIe", device=0x2331, subsystem=0x1626)
H200 = _HOPPER._replace(name="H200", device=0x2335, subsystem=0x18BE)
B200 = _BLACKWELL._replace(
    name="B200", device=0x2901, subsystem=0x1999, boot0=0x1A0000A1, fault=_GB100_FAULT
)
RTX_PRO_6000 = _BLACKWELL._replace(
    name="RTX-PRO-6000",
    device=0x2BB5,
    subsystem=0x204E,
    boot0=0x1B2000A1,
    boot=0xAD00BC,
    fault=_GB202_FAULT,
)
LS10 = _HOPPER._replace(
    name="LS10",
    device=0x22A3,
    subsystem=0x1796,
    pci_class=0x068000,
    boot0=0x007000A1,
    mode=0x28C50,
    boot=0x660BC,
    recovery=0x66120,
    scratch=(0xDFE0, 0x91288),
    is_switch=True,
    bar0_size=32 * MIB,
)
_FAMILIES = (
    (range(0x22F0, 0x2380), H100),
    (range(0x2900, 0x2A00), B200),
    (range(0x3180, 0x3280), B200),
    *((range(start, start + 0x80), RTX_PRO_6000) for start in (0x2B80, 0x2C00, 0x2D00, 0x2D80)),
    (range(0x2F00, 0x2F80), RTX_PRO_6000),
    (range(0x22A0, 0x22A8), LS10),
)
"""Which chip's registers a device has, by its id (§4.1)."""

CHIPS = {each.name: each for each in (H100, H100_PCIE, H200, B200, RTX_PRO_6000, LS10)}


def of(device: int, subsystem: int, pci_class: int) -> Chip | None:
    """A chip with these ids: that of its own device id, or else one of its family."""
    own = [chip for chip in CHIPS.values() if chip.device == device]
    family = [chip for ids, chip in _FAMILIES if device in ids]
    if not family:
        return None
    chip = own[0] if own else family[0]._replace(name=f"{family[0].name} ({device:#06x})")
    return chip._replace(device=device, subsystem=subsystem, pci_class=pci_class)
