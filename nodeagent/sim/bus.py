"""The kernel's side of the bus: drivers, resets, and what a write to sysfs does."""

import errno
import os
import threading
from collections.abc import Collection, Mapping

from nodeagent.errors import StuckWriteError
from nodeagent.sim.place import METHODS, Place

DEVICES = "/sys/bus/pci/devices"
DRIVER_FOLDERS = "/sys/bus/pci/drivers"
DRIVERS = ("vfio-pci", "nvidia", "nouveau")
"""Those that are loaded, unless said otherwise."""
_PCI = "/sys/bus/pci"
_BY_OVERRIDE_ALONE = ("vfio-pci", "nvgrace_gpu_vfio_pci", "vfio_pci")


class Bus:
    """Everything that changes a place goes by here, one effect a call.

    `locks` keep what is done to one device apart; nothing waits for another device.
    """

    def __init__(
        self,
        places: Mapping[str, Place],
        *,
        drivers: Collection[str],
        ids: Mapping[str, Collection[int]],
        others: Collection[str] = (),
    ) -> None:
        """`ids`: what a driver was told to take, by `new_id` or an option of its module.

        `others` are the functions that are not played; nothing changes them.
        """
        self.places = dict(places)
        self.locks = {bdf: threading.RLock() for bdf in self.places}
        self.harm: list[str] = []
        self.drivers = set(drivers)
        self._ids = ids
        self._others = frozenset(others) - self.places.keys()
        self._numbers = threading.Lock()
        self.settle()

    def settle(self) -> None:
        """Devices were put where they are by somebody else: number them, and let them rest."""
        for place in self.places.values():
            self._number(place)
            place.rest()

    def place(self, bdf: str) -> Place:
        found = self.places.get(bdf)
        if found is None or found.removed:
            raise _error(errno.ENODEV, bdf)
        return found

    def write(self, path: str, text: str) -> None:
        """OSError as the kernel would answer."""
        folder, _, name = path.rpartition("/")
        driver = folder.rpartition("/")[2]
        if path == f"{_PCI}/rescan":
            self._rescan(text)
        elif path == f"{_PCI}/drivers_probe":
            with self._locked(text):
                self._probe(text)
        elif folder.startswith(f"{DRIVER_FOLDERS}/") and name in {"bind", "unbind"}:
            with self._locked(text):
                if name == "bind":
                    self._bind(driver, text)
                else:
                    self._unbind(text, driver)
        else:
            bdf, _, name = path.removeprefix(f"{DEVICES}/").partition("/")
            with self._locked(bdf):
                self._write_device(bdf, name, text)

    def _locked(self, bdf: str) -> "threading.RLock":
        self.place(bdf)
        return self.locks[bdf]

    def _write_device(self, bdf: str, name: str, text: str) -> None:
        place = self.place(bdf)
        match name:
            case "reset" if text == "1":
                self._reset(bdf, place)
            case "reset_method":
                place.methods = _methods(text)
            case "remove" if text == "1":
                self._remove(bdf, place)
            case "driver/unbind":
                self._unbind(text)
            case "driver_override":
                place.override = text
            case "power/control" if text in {"on", "auto"}:
                place.control = text
                place.rest()
            case _:
                raise _error(errno.EINVAL, f"{DEVICES}/{bdf}/{name}")

    # Drivers.

    def _unbind(self, bdf: str, driver: str | None = None) -> None:
        place = self.place(bdf)
        if place.driver is None or driver not in {None, place.driver}:
            raise _error(errno.ENODEV, f"{bdf} is not bound to {driver}")
        if place.holders:
            self.harm.append(f"{bdf} was unbound while it was held")
            raise StuckWriteError(f"{bdf}/driver/unbind", 0.0)
        place.driver = None
        place.device.config.decodes_memory = False
        self._number(place)
        place.rest()

    def _probe(self, bdf: str) -> None:
        """Every driver is asked; the one that was told to take the device comes first."""
        place = self.place(bdf)
        told = sorted(name for name in self._ids if self._is_told(name, place))
        for name in (place.override,) if place.override else (*told, "nvidia"):
            if place.driver is None and name in self.drivers:
                self._bind(name, bdf)

    def _bind(self, driver: str, bdf: str) -> None:
        """An override names the only driver; without it those take a device that know its id."""
        place = self.place(bdf)
        fits = place.override in {"", driver}
        if driver in _BY_OVERRIDE_ALONE and not place.override:
            fits = self._is_told(driver, place)
        if driver not in self.drivers or place.driver is not None or not fits:
            raise _error(errno.ENODEV, f"{driver} does not take {bdf}")
        place.driver = driver
        place.device.config.decodes_memory = True
        self._number(place)
        place.rest()

    def _is_told(self, driver: str, place: Place) -> bool:
        return place.device.chip.device in self._ids.get(driver, ())

    def _number(self, place: Place) -> None:
        """The lowest number that is free, as vfio gives it out anew at every bind."""
        with self._numbers:
            if place.driver is None or "vfio" not in place.driver:
                place.vfio = None
            elif place.vfio is None:
                taken = {each.vfio for each in self.places.values()}
                place.vfio = next(n for n in range(len(taken) + 1) if n not in taken)

    # Resets, and what goes and comes.

    def _reset(self, bdf: str, place: Place) -> None:
        """The kernel wakes it, resets it by the first way that works, and brings it back."""
        if place.holders:
            self.harm.append(f"{bdf} was reset while it was held")
        if place.driver in {"nvidia", "nouveau"}:
            self.harm.append(f"{bdf} was reset under {place.driver}")
        for method in place.methods:
            if not place.device.faults.lost and (method == "flr" or self._is_alone(bdf)):
                place.device.reset(bus=method == "bus")
                return
        raise _error(errno.ENOTTY, f"{DEVICES}/{bdf}/reset")

    def _is_alone(self, bdf: str) -> bool:
        """A bus with others on it is not reset for one of them."""
        there = {other for other, place in self.places.items() if not place.removed}
        beside = (self._others | there) - {bdf}
        return not any(other[:-4] == bdf[:-4] for other in beside)

    def _remove(self, bdf: str, place: Place) -> None:
        if place.driver is not None:
            self._unbind(bdf)
        place.removed = True

    def _rescan(self, text: str) -> None:
        if text != "1":
            raise _error(errno.EINVAL, f"{_PCI}/rescan")
        for bdf, place in self.places.items():
            with self.locks[bdf]:
                if place.removed and not place.device.faults.lost:
                    self._find(bdf, place)

    def _find(self, bdf: str, place: Place) -> None:
        """As new: forbidden to sleep, no override, and probed."""
        place.removed = False
        place.override, place.control, place.methods = "", "on", METHODS
        place.device.find()
        self._probe(bdf)

    def hold(self, bdf: str, pid: int, command: str) -> None:
        """A VM starts: it opens the group, and the device wakes."""
        with self._locked(bdf):
            place = self.place(bdf)
            place.holders[pid] = command
            place.rest()

    def release(self, bdf: str) -> None:
        with self._locked(bdf):
            place = self.place(bdf)
            place.holders.clear()
            place.rest()

    def power_cycle(self) -> None:
        """The whole machine goes off and on: what was running is gone, knobs are not."""
        for bdf, place in self.places.items():
            with self.locks[bdf]:
                place.holders.clear()
                place.removed = False
                place.device.power_cycle()
                place.rest()


def _methods(text: str) -> tuple[str, ...]:
    if text == "default":
        return METHODS
    words = tuple(dict.fromkeys(text.split()))
    if not set(words) <= set(METHODS):
        raise _error(errno.EINVAL, f"reset_method {text}")
    return words


def _error(number: int, what: str) -> OSError:
    return OSError(number, f"{os.strerror(number)}: {what}")
