"""Reads PCI functions from sysfs."""

from collections.abc import Collection, Iterator

from nodeagent.facts.parse import number, parsed, read_number
from nodeagent.model.pci import NVIDIA, Bar, PciFunction
from nodeagent.model.seen import Seen, Unreadable
from nodeagent.seams import Files, Machine

DEVICES = "/sys/bus/pci/devices"
_COMMAND = 0x04
_MEMORY = 1 << 1
_IO = 1
_BAR_COUNT = 6
_HEX = frozenset("0123456789abcdef")


def nvidia_functions(
    files: Files, without: Collection[str] = ()
) -> tuple[PciFunction, ...] | Unreadable:
    """Every NVIDIA function, by address. Only the vendor of the others is looked at.

    One that goes while it is looked at is not there; those of `without` are not looked at.
    """
    names = files.names(DEVICES)
    if names is None:
        return ()
    if isinstance(names, Unreadable):
        return names
    found = []
    for bdf in sorted({*filter(is_address, names)} - {*without}, key=address):
        vendor = read_number(files, f"{DEVICES}/{bdf}/vendor")
        if isinstance(vendor, Unreadable):
            return vendor
        if vendor == NVIDIA:
            function = read(files, bdf)
            if isinstance(function, Unreadable):
                if files.has(f"{DEVICES}/{bdf}") is False:
                    continue
                return function
            found.append(function)
    return tuple(found)


def is_any_silent(machine: Machine) -> bool:
    """Whether some GPU or switch sleeps, or has its memory decode off: then it says nothing."""
    with machine.look():
        found = nvidia_functions(machine.files)
    if isinstance(found, Unreadable):
        return False
    return any(_is_silent(each) for each in found if each.is_gpu or each.is_nvswitch)


def _is_silent(function: PciFunction) -> bool:
    command = function.command
    asleep = isinstance(function.power_state, str) and function.power_state != "D0"
    return asleep or (isinstance(command, int) and not command & _MEMORY)


def is_address(name: str) -> bool:
    """`0000:41:00.0`; in a stranger's tree a folder may have any name."""
    domain, _, rest = name.partition(":")
    shape = (len(rest), rest[2:3], rest[5:6])
    digits = domain + rest[:2] + rest[3:5] + rest[6:]
    return 4 <= len(domain) <= 8 and shape == (7, ":", ".") and set(digits) <= _HEX


def address(bdf: str) -> tuple[int, str]:
    """A sort key: domains may have more than four digits."""
    return len(bdf), bdf


def read(files: Files, bdf: str) -> PciFunction | Unreadable:
    """One function; without its ids nothing could be said of it."""
    folder = f"{DEVICES}/{bdf}"
    ids: dict[str, int] = {}
    for name in ("vendor", "device", "class"):
        value = read_number(files, f"{folder}/{name}")
        if not isinstance(value, int):
            return value or Unreadable(f"{folder}/{name}", "is missing")
        ids[name] = value
    power = files.read(f"{folder}/power_state", 64)
    return PciFunction(
        bdf=bdf,
        vendor=ids["vendor"],
        device=ids["device"],
        pci_class=ids["class"],
        subsystem=_subsystem(files, folder),
        driver=_last(files.link(f"{folder}/driver")),
        override=_override(files.read(f"{folder}/driver_override", 256)),
        group=group(files, folder),
        power_state=power,
        runtime_status=files.read(f"{folder}/power/runtime_status", 64),
        bars=parsed(f"{folder}/resource", files.read(f"{folder}/resource", 1 << 14), bars),
        command=left_alone(folder, power) or _command(files, folder),
        is_vf=files.has(f"{folder}/physfn") is True,
    )


def left_alone(folder: str, power: Seen[str]) -> Unreadable | None:
    """Why configuration space of a sleeping function is not read: the kernel would wake one in
    D3cold for it, and the port above one in D3hot (config_read in drivers/pci/pci-sysfs.c)."""
    if not isinstance(power, str) or power == "D0" or not power.startswith("D"):
        return None
    return Unreadable(f"{folder}/config", f"left alone: it sleeps in {power}")


def _subsystem(files: Files, folder: str) -> tuple[int, int] | None:
    vendor = read_number(files, f"{folder}/subsystem_vendor")
    device = read_number(files, f"{folder}/subsystem_device")
    return (vendor, device) if isinstance(vendor, int) and isinstance(device, int) else None


def _last(link: Seen[str]) -> Seen[str]:
    return link.rstrip("/").rpartition("/")[2] if isinstance(link, str) else link


def _override(text: Seen[str]) -> Seen[str]:
    return None if text in {"(null)", ""} else text


def group(files: Files, folder: str) -> Seen[int]:
    return parsed(f"{folder}/iommu_group", _last(files.link(f"{folder}/iommu_group")), number)


def _command(files: Files, folder: str) -> Seen[int]:
    """The command register; it lies in the 64 bytes that everyone may read."""
    path = f"{folder}/config"
    raw = files.read_bytes(path, 64)
    if not isinstance(raw, bytes):
        return raw
    if len(raw) < _COMMAND + 2:
        return Unreadable(path, f"has {len(raw)} bytes")
    return int.from_bytes(raw[_COMMAND : _COMMAND + 2], "little")


def bars(text: str) -> tuple[Bar, ...]:
    """The memory BARs of sysfs `resource`; a size with start 0 was never assigned."""
    return tuple(_bars(text.split("\n")[:_BAR_COUNT]))


def _bars(lines: list[str]) -> Iterator[Bar]:
    for index, line in enumerate(lines):
        start, end, flags = (number(word) for word in line.split())
        if flags and not flags >> 8 & _IO and end >= start:
            yield Bar(index, start, end - start + 1 if end else 0, flags)
