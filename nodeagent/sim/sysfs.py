"""What sysfs, procfs and /dev show of modelled devices; all else is the base's."""

from collections.abc import Callable, Iterable, Mapping

from nodeagent.seams import Files
from nodeagent.sim.bus import DEVICES, DRIVER_FOLDERS, Bus
from nodeagent.sim.overlay import Absent, Entry, File, Folder, Link
from nodeagent.sim.place import Place

_GROUPS = "/sys/kernel/iommu_groups"
_NODES = "/dev/vfio"
_OWN_NODES = f"{_NODES}/devices"
_STATES = {0: "D0", 3: "D3hot"}


_OPENED = {
    "nvidia": "/dev/nvidiactl",
    "nvidia-nvswitch": "/dev/nvidia-nvswitch0",
    "nouveau": "/dev/dri/renderD128",
}
"""What a process has open that uses a device through such a driver."""


class Sysfs:
    """Answers for one path at a time; None is for the base to answer."""

    def __init__(self, bus: Bus, base: Files) -> None:
        self._bus = bus
        self._base = base
        self._numbers = {f"vfio{each.vfio}" for each in bus.places.values()}

    def entry(self, path: str) -> Entry | None:
        if path.startswith(f"{DEVICES}/"):
            bdf, _, name = path.removeprefix(f"{DEVICES}/").partition("/")
            place = self._bus.places.get(bdf)
            return None if place is None else self._attribute(place, bdf, name)
        if path.startswith("/proc"):
            return self._process(path)
        if path == DEVICES:
            gone = {bdf for bdf, place in self._bus.places.items() if place.removed}
            return self._folder(path, without=gone) if gone else None
        if path.startswith(f"{DRIVER_FOLDERS}/"):
            return self._driver(path)
        if path == _GROUPS:
            empty = {number for number in self._reduced() if not self._members(number)}
            return self._folder(path, without=empty) if empty else None
        if path.startswith(f"{_GROUPS}/"):
            return self._group(path)
        return self._node(path) if path.startswith(f"{_NODES}/") else None

    def _attribute(  # noqa: PLR0911 - one for each attribute
        self, place: Place, bdf: str, name: str
    ) -> Entry | None:
        if place.removed:
            return Absent()
        if name in _TEXTS:
            return File(_TEXTS[name](place).encode())
        match name:
            case "driver":
                return Link(f"../../../bus/pci/drivers/{place.driver}") if place.driver else _GONE
            case "config":
                with self._bus.locks[bdf]:
                    return File(place.device.read_config(0, 4096))
            case "iommu_group":
                return Link(f"../../../kernel/iommu_groups/{place.group}")
            case "vfio-dev":
                return _GONE if place.vfio is None else Folder((f"vfio{place.vfio}",))
            case "drm":
                return Folder(("card0", "renderD128")) if place.driver == "nouveau" else _GONE
            case "reset":
                return File(b"") if place.methods else _GONE
            case "remove":
                return File(b"")
            case _:
                return None

    def _driver(self, path: str) -> Entry | None:
        """The devices in a driver's folder are links to theirs."""
        driver, _, bdf = path.removeprefix(f"{DRIVER_FOLDERS}/").partition("/")
        mine = {each: place for each, place in self._bus.places.items() if not place.removed}
        bound = [each for each, place in mine.items() if place.driver == driver]
        if not bdf:
            return self._folder(path, without=self._bus.places, more=bound)
        if bdf not in self._bus.places:
            return None
        return Link(f"../../../../bus/pci/devices/{bdf}") if bdf in bound else _GONE

    def _group(self, path: str) -> Entry | None:
        """A group loses what is removed, and goes with the last of it."""
        number, _, name = path.removeprefix(f"{_GROUPS}/").partition("/")
        if number not in self._reduced():
            return None
        left = self._members(number)
        if not left:
            return _GONE
        return Folder(tuple(left)) if name == "devices" else None

    def _reduced(self) -> set[str]:
        """The groups that something was removed from."""
        return {str(place.group) for place in self._bus.places.values() if place.removed}

    def _members(self, number: str) -> set[str]:
        names = self._base.names(f"{_GROUPS}/{number}/devices")
        there = set(names) if isinstance(names, tuple) else set()
        return there - {bdf for bdf, place in self._bus.places.items() if place.removed}

    def _node(self, path: str) -> Entry | None:
        """A node is there while vfio has the device, or for a group, any of its devices."""
        places = self._bus.places.values()
        own = {f"vfio{place.vfio}" for place in places if place.vfio is not None}
        if path == _OWN_NODES:
            return self._folder(path, without=self._numbers, more=own)
        if path.startswith(f"{_OWN_NODES}/"):
            name = path.removeprefix(f"{_OWN_NODES}/")
            return File(b"") if name in own else _GONE if name in self._numbers else None
        group = path.removeprefix(f"{_NODES}/")
        played = [place for place in places if str(place.group) == group]
        if not played:
            return None
        return File(b"") if any(place.vfio is not None for place in played) else _GONE

    def _process(self, path: str) -> Entry | None:
        held = {
            pid: (place, command)
            for place in self._bus.places.values()
            for pid, command in tuple(place.holders.items())
        }
        if path == "/proc":
            return Folder(tuple(map(str, held)), more=True)
        pid, _, name = path.removeprefix("/proc/").partition("/")
        if not pid.isdecimal() or int(pid) not in held:
            return None
        place, command = held[int(pid)]
        match name:
            case "comm":
                return File(command.encode())
            case "fd":
                return Folder(("7",))
            case "fd/7":
                return Link(_OPENED.get(place.driver or "", f"{_NODES}/{place.group}"))
            case _:
                return _GONE

    def _folder(
        self, path: str, *, without: Iterable[str] = (), more: Iterable[str] = ()
    ) -> Folder | None:
        """The base's names, changed; a folder that it lacks or hides stays so."""
        names = self._base.names(path)
        if not isinstance(names, tuple):
            return None
        return Folder(tuple({*names} - {*without} | {*more}))


_GONE = Absent()
_TEXTS: Mapping[str, Callable[[Place], str]] = {
    "power_state": lambda place: _STATES[place.device.config.power_state],
    "power/control": lambda place: place.control,
    "power/runtime_status": lambda place: (
        "suspended" if place.device.config.power_state else "active"
    ),
    "driver_override": lambda place: place.override or "(null)",
    "reset_method": lambda place: " ".join(place.methods),
}
