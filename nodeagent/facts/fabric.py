"""Reads how GPUs are plugged in: bridges with ACS and windows, links, NUMA, fault state."""

from collections.abc import Iterable, Iterator, Mapping

from nodeagent import data
from nodeagent.facts import config_space, pci
from nodeagent.facts.config_space import Extended, Pcie, Space
from nodeagent.facts.parse import number, parsed, read_number
from nodeagent.model.fabric import Acs, Aperture, Bridge, Link, Security, Slot
from nodeagent.model.pci import NVIDIA, PciFunction
from nodeagent.model.seen import Seen, Unreadable
from nodeagent.seams import Files, Parts

_MAX_DEPTH = 16  # bridges on one path; switches behind switches make five
_ACS, _ATS, _VSEC, _DVSEC = 0x0D, 0x0F, 0x0B, 0x23
_ATS_ENABLED = 1 << 15
_FIREWALL_BIT = {"gb100": 1 << 20, "gb202": 1 << 24}
_FAULT_CAUSES = {"hopper": 0xFFFF}  # above them lies a position that is no cause
_FIRST_WINDOW, _MOST_WINDOWS = 7, 16
_MEMORY, _PREFETCHABLE = 0x200, 0x2000  # IORESOURCE_MEM, IORESOURCE_PREFETCH
_UNKNOWN_WIDTHS = frozenset({0, 63, 255})  # no link, a dead register, the kernel's "unknown"


def slot(files: Files, function: PciFunction, family: str | None) -> Slot:
    """Where one device sits. One that sleeps is not asked: that might wake it, or its port."""
    folder = f"{pci.DEVICES}/{function.bdf}"
    asleep = pci.left_alone(folder, function.power_state)
    link, ats, security = (
        (Link(asleep, asleep, asleep, asleep), asleep, asleep)
        if asleep
        else _awake(files, folder, family)
    )
    return Slot(
        path=path(files, function.bdf),
        numa=_numa(files, f"{folder}/numa_node"),
        link=link,
        d3cold=_flag(read_number(files, f"{folder}/d3cold_allowed")),
        ats=ats,
        security=security,
    )


def _awake(
    files: Files, folder: str, family: str | None
) -> tuple[Link, Seen[bool], Seen[Security]]:
    with config_space.opened(files, f"{folder}/config") as space:
        if isinstance(space, Unreadable):
            return _sysfs_link(files, folder), space, space
        pcie, extended = space.pcie(), space.extended()
        link = pcie.link if isinstance(pcie, Pcie) else _sysfs_link(files, folder)
        return link, _ats(space, extended), _security(space, extended, family)


def path(files: Files, bdf: str) -> Seen[tuple[str, ...]]:
    """The bridges above a device, from the root port down, by the text of its sysfs link."""
    where = f"{pci.DEVICES}/{bdf}"
    text = files.link(where)
    if not isinstance(text, str):
        return text
    *above, last = text.rstrip("/").split("/")
    bridges = tuple(step for step in above if pci.is_address(step))
    if last != bdf or len(bridges) > _MAX_DEPTH or len(set(bridges)) != len(bridges):
        return Unreadable(where, "is no path of bridges")
    return bridges


def bridges(files: Files, slots: Iterable[Slot]) -> Mapping[str, Bridge | Unreadable]:
    """Every bridge on the paths, each read once."""
    paths = [each.path for each in slots if isinstance(each.path, tuple)]
    return {bdf: bridge(files, bdf) for bdf in dict.fromkeys(bdf for each in paths for bdf in each)}


def bridge(files: Files, bdf: str) -> Bridge | Unreadable:
    folder = f"{pci.DEVICES}/{bdf}"
    asleep = pci.left_alone(folder, files.read(f"{folder}/power_state", 64))
    if asleep:
        return asleep
    with config_space.opened(files, f"{folder}/config") as space:
        if isinstance(space, Unreadable):
            return space
        header = space.header
        if header[0x0E] & 0x7F != 1:
            return Unreadable(f"{folder}/config", "is that of no bridge")
        pcie, where = space.pcie(), f"{folder}/resource"
        return Bridge(
            bdf=bdf,
            vendor=_number(header, 0x00, 2),
            device=_number(header, 0x02, 2),
            port=pcie.port if isinstance(pcie, Pcie) else pcie,
            buses=(header[0x19], header[0x1A]),
            windows=parsed(where, files.read(where, 1 << 14), windows),
            acs=_acs(space) if isinstance(pcie, Pcie) else pcie,
            link=pcie.link if isinstance(pcie, Pcie) else _sysfs_link(files, folder),
            group=pci.group(files, folder),
        )


def _acs(space: Space) -> Seen[Acs]:
    at = space.extended().first(_ACS)
    if not isinstance(at, int):
        return at
    word = space.word(at + 4)
    return word if isinstance(word, Unreadable) else Acs(word & 0x7F, word >> 16 & 0x7F)


def _ats(space: Space, extended: Extended) -> Seen[bool]:
    at = extended.first(_ATS)
    if not isinstance(at, int):
        return at
    word = space.word(at + 6, 2)
    return word if isinstance(word, Unreadable) else bool(word & _ATS_ENABLED)


def is_closed(path: str, parts: Seen[Parts], family: str) -> bool | None:
    """Whether a device's BARs answer nobody yet; None where it has no such firewall to show."""
    space = config_space.space(path, parts)
    if isinstance(space, Unreadable):
        return None
    found = _security(space, space.extended(), family)
    return found.firewall if isinstance(found, Security) else None


def changed(path: str, parts: Seen[Parts], device: int, bar0: int | None) -> str | None:
    """What it shows of itself after a reset that it did not before (gpu-cc.md §10.2)."""
    space = config_space.space(path, parts)
    if isinstance(space, Unreadable):
        return None  # it is not there any more, or not ours to read: neither makes it another
    found = _number(space.header, 0x02, 2)
    if found != device:
        return f"the device id {found:#06x} and was {device:#06x}"
    if bar0 is not None and space.bar0() != bar0:
        return f"its registers at {space.bar0():#x}, and they were at {bar0:#x}"
    return None


def status(path: str, parts: Seen[Parts], family: str) -> str:
    """Of a device that does not boot, for a person (gpu-cc.md §9.4)."""
    space = config_space.space(path, parts)
    if isinstance(space, Unreadable):
        return str(space)
    power, security = space.power(), _security(space, space.extended(), family)
    told = [f"vendor {_number(space.header, 0x00, 2):#06x}"]
    told.append(f"command {_number(space.header, 0x04, 2):#06x}")
    if isinstance(power, int):
        told.append(f"PMCSR {power:#06x}")
    if isinstance(security, Security):
        told.append(f"security fault {security.fault:#x}")
    return ", ".join(told)


def _security(space: Space, extended: Extended, family: str | None) -> Seen[Security]:
    """Fault causes and the BAR firewall: in NVIDIA's own capability, which one by family."""
    if family == "gb100":
        at = _own(space, extended, _DVSEC)
        offsets = (0x14, 0x08)
    elif family in {"hopper", "gb202"}:
        at = _own(space, extended, _VSEC)
        offsets = (0x10, 0x14)
    else:
        return None
    if not isinstance(at, int):
        return at
    fault, state = (space.word(at + offset) for offset in offsets)
    if isinstance(fault, Unreadable):
        return fault
    if fault == 0xFFFFFFFF:
        return Unreadable("the security fault register", "reads as all ones")
    bit = _FIREWALL_BIT.get(family)
    firewall = bool(state & bit) if bit and isinstance(state, int) else None
    fault &= _FAULT_CAUSES.get(family, fault)
    return Security(fault, tuple(_causes(fault, family)) if fault else (), firewall)


def _causes(fault: int, family: str) -> Iterator[str]:
    """By name where gpu-cc.md §5.5 has one."""
    names: dict[str, str] = data.load("chips.json")["faults"][family]
    for bit in range(32):
        if fault >> bit & 1:
            yield names.get(str(bit), f"bit {bit}")


def _own(space: Space, extended: Extended, kind: int) -> Seen[int]:
    """DVSEC: vendor 0x10de, id 0. VSEC: id 1, revision 1 (gpu-cc.md §5.5)."""
    for at in extended.found.get(kind, ()):
        word = space.word(at + 4)
        more = space.word(at + 8, 2) if kind == _DVSEC else 0
        if isinstance(word, Unreadable) or isinstance(more, Unreadable):
            return Unreadable("the security fault register", "lies beyond what is shown")
        if kind == _DVSEC and (word & 0xFFFF, more) == (NVIDIA, 0):
            return at
        if kind == _VSEC and word & 0xFFFFF == 0x10001:
            return at
    return extended.gap


def windows(text: str) -> tuple[Aperture, ...]:
    """The memory windows of a bridge's sysfs `resource`: they follow its BARs and its ROM.

    CPU addresses, as its devices' lines are; what configuration space holds may be offset.
    """
    return tuple(_windows(text.split("\n")[_FIRST_WINDOW:]))


def _windows(lines: list[str]) -> Iterator[Aperture]:
    for line in lines[:_MOST_WINDOWS]:
        start, end, flags = (number(word) for word in line.split())
        if flags & _MEMORY and 0 < start <= end:
            yield Aperture(start, end, bool(flags & _PREFETCHABLE))


def _number(raw: bytes, offset: int, size: int) -> int:
    return int.from_bytes(raw[offset : offset + size], "little")


def _sysfs_link(files: Files, folder: str) -> Link:
    """The kernel's attributes, for those who are not shown the capability itself."""
    return Link(
        width=_width(files, f"{folder}/current_link_width"),
        max_width=_width(files, f"{folder}/max_link_width"),
        speed=_speed(files, f"{folder}/current_link_speed"),
        max_speed=_speed(files, f"{folder}/max_link_speed"),
    )


def _width(files: Files, where: str) -> Seen[int]:
    width = parsed(where, files.read(where, 64), number)
    return None if width in _UNKNOWN_WIDTHS else width


def _speed(files: Files, where: str) -> Seen[float]:
    return parsed(where, files.read(where, 64), speed)


def speed(text: str) -> float | None:
    """`32.0 GT/s PCIe`; the kernel says Unknown where it does not know."""
    word = text.split(" ", 1)[0]
    if word == "Unknown":
        return None
    whole, _, tenths = word.partition(".")
    if not (text[len(word) :].startswith(" GT/s") and len(word) < 8):
        raise ValueError(text)
    return number(whole) + (number(tenths[:1]) / 10 if tenths else 0)


def _numa(files: Files, where: str) -> Seen[int]:
    """-1: the firmware did not say."""
    text = files.read(where, 16)
    return None if text == "-1" else parsed(where, text, number)


def _flag(value: Seen[int]) -> Seen[bool]:
    return bool(value) if isinstance(value, int) else value
