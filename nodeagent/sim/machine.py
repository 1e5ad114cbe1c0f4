"""A whole machine around modelled devices: sysfs with its effects, drivers, holders, power.

What is not modelled comes from a base, any host that can be looked at: a captured one, usually.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from nodeagent.errors import StuckWriteError
from nodeagent.model.cpu import CpuidRegs, CpuValues
from nodeagent.model.facts import Source
from nodeagent.model.host import Kvm, PspFailure, Uname
from nodeagent.model.seen import Seen, Unreadable
from nodeagent.seams import Bar0, Clock, Files, Machine, Probes, Registers
from nodeagent.sim.device import Device
from nodeagent.sim.overlay import Absent, Entry, File, Folder, Link, OverlaidFiles

DEVICES = "/sys/bus/pci/devices"
DRIVERS = "/sys/bus/pci/drivers"
_BY_OVERRIDE_ALONE = ("vfio-pci", "nvgrace_gpu_vfio_pci", "vfio_pci")


@dataclass(slots=True)
class Place:
    """A device as the kernel has it. `idles`: left alone it goes to D3, as under vfio-pci."""

    device: Device
    group: int
    driver: str | None = "vfio-pci"
    override: str = "vfio-pci"
    control: str = "auto"
    idles: bool = True
    holders: dict[int, str] = field(default_factory=dict)
    """Processes that have its group open, by pid."""
    removed: bool = False


class SimMachine:
    """Keeps the seams of a live machine; `harm` lists what must never be done to a device."""

    def __init__(self, base: Machine, places: Mapping[str, Place], clock: Clock) -> None:
        self.places = dict(places)
        self.clock = clock
        self.harm: list[str] = []
        self.drivers = {"vfio-pci", "nvidia", "nouveau"}
        self.files: Files = OverlaidFiles(base.files, self._own)
        self.probes: Probes = SimProbes(base.probes, self.places)
        self.source = Source("a simulated machine", simulated=True, root=True)
        for place in self.places.values():
            self._rest(place)

    @contextmanager
    def look(self) -> Iterator[None]:
        yield

    @contextmanager
    def bar0(self, bdf: str) -> Iterator[Bar0]:
        """For driving it: every write goes by `touch` first."""
        yield _Watched(self, self.places[bdf].device)

    def touch(self, what: str) -> None:
        """Called before and after every write; a test may end the program here."""

    # Writing.

    @contextmanager
    def hands(self, locks: Mapping[str, int]) -> Iterator[None]:  # noqa: ARG002 - writes never outlive us
        yield

    def write(self, bdf: str, path: str, text: str) -> None:  # noqa: ARG002 - one writer for all
        """One write to an attribute of sysfs; OSError as the kernel would answer."""
        self.touch(f"before {path} {text}")
        self._write(path, text.strip())
        self.touch(f"after {path} {text}")

    def _write(self, path: str, text: str) -> None:
        folder, _, name = path.rpartition("/")
        driver = folder.rpartition("/")[2]
        if path == "/sys/bus/pci/drivers_probe":
            self._probe(text)
        elif folder.startswith(f"{DRIVERS}/") and name == "bind":
            self._bind(driver, text)
        elif folder.startswith(f"{DRIVERS}/") and name == "unbind":
            self._unbind(text, driver)
        else:
            self._write_device(path, text)

    def _write_device(self, path: str, text: str) -> None:
        bdf, _, name = path.removeprefix(f"{DEVICES}/").partition("/")
        place = self._place(bdf)
        match name:
            case "reset" if text == "1":
                self._reset(bdf, place)
            case "driver/unbind":
                self._unbind(text)
            case "driver_override":
                place.override = text
            case "power/control" if text in {"on", "auto"}:
                place.control = text
                self._rest(place)
            case _:
                raise OSError(22, f"Invalid argument: {path}")

    def set_decode(self, bdf: str, *, on: bool) -> None:
        """The one bit of configuration space that anybody but the kernel writes."""
        self.touch(f"before {bdf} decode {on}")
        self._place(bdf).device.config.decodes_memory = on
        self.touch(f"after {bdf} decode {on}")

    def _place(self, bdf: str) -> Place:
        place = self.places.get(bdf)
        if place is None or place.removed:
            raise OSError(19, f"No such device: {bdf}")
        return place

    def _unbind(self, bdf: str, driver: str | None = None) -> None:
        place = self._place(bdf)
        if place.driver is None or driver not in {None, place.driver}:
            raise OSError(19, f"No such device: {bdf} is not bound to {driver}")
        if place.holders:
            self.harm.append(f"{bdf} was unbound while it was held")
            raise StuckWriteError(f"{bdf}/driver/unbind", 0.0)
        place.driver = None
        place.device.config.decodes_memory = False
        self._rest(place)

    def _probe(self, bdf: str) -> None:
        place = self._place(bdf)
        name = place.override or ("nvidia" if "nvidia" in self.drivers else "")
        if place.driver is None and name in self.drivers:
            self._bind(name, bdf)

    def _bind(self, driver: str, bdf: str) -> None:
        place = self._place(bdf)
        fits = place.override in {"", driver}
        if driver in _BY_OVERRIDE_ALONE:
            fits = place.override == driver
        if driver not in self.drivers or place.driver is not None or not fits:
            raise OSError(19, f"No such device: {driver} does not take {bdf}")
        place.driver = driver
        place.device.config.decodes_memory = True
        self._rest(place)

    def _reset(self, bdf: str, place: Place) -> None:
        """The kernel wakes it, resets it, and brings configuration space back."""
        if place.holders:
            self.harm.append(f"{bdf} was reset while it was held")
        if place.driver in {"nvidia", "nouveau"}:
            self.harm.append(f"{bdf} was reset under {place.driver}")
        place.device.reset()

    def _rest(self, place: Place) -> None:
        """Runtime power management: awake while held or forbidden to sleep."""
        bound_idle = place.driver is not None and "vfio" in place.driver and place.idles
        asleep = bound_idle and place.control == "auto" and not place.holders
        place.device.config.power_state = 3 if asleep else 0

    def hold(self, bdf: str, pid: int, command: str) -> None:
        """A VM starts: it opens the group, and the device wakes."""
        place = self._place(bdf)
        place.holders[pid] = command
        self._rest(place)

    def release(self, bdf: str) -> None:
        place = self._place(bdf)
        place.holders.clear()
        self._rest(place)

    # Reading.

    def _own(self, path: str) -> Entry | None:
        """What of a path the model says; None for all that is the base's."""
        if path.startswith(f"{DEVICES}/"):
            bdf, _, name = path.removeprefix(f"{DEVICES}/").partition("/")
            place = self.places.get(bdf)
            return None if place is None else _attribute(place, bdf, name)
        if path.startswith("/proc"):
            return self._process(path)
        return None

    def _process(self, path: str) -> Entry | None:
        held = {
            pid: (place, command)
            for place in self.places.values()
            for pid, command in place.holders.items()
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
                return Link(f"/dev/vfio/{place.group}")
            case _:
                return Absent()


_STATES = {0: "D0", 3: "D3hot"}


def _attribute(place: Place, bdf: str, name: str) -> Entry | None:
    if place.removed:
        return Absent()
    if name in _TEXTS:
        return File(_TEXTS[name](place).encode())
    match name:
        case "driver":
            return Link(f"../../../bus/pci/drivers/{place.driver}") if place.driver else Absent()
        case "config":
            place.device.show()
            return File(place.device.config.read(0, 4096))
        case "iommu_group":
            return Link(f"../../../kernel/iommu_groups/{place.group}")
        case "vfio-dev":
            number = int(bdf.replace(":", "").replace(".", ""), 16)
            return Folder((f"vfio{number}",)) if place.driver == "vfio-pci" else Absent()
        case _:
            return None


_TEXTS: Mapping[str, Callable[[Place], str]] = {
    "power_state": lambda place: _STATES[place.device.config.power_state],
    "power/control": lambda place: place.control,
    "power/runtime_status": lambda place: (
        "suspended" if place.device.config.power_state else "active"
    ),
    "driver_override": lambda place: place.override or "(null)",
    "reset_method": lambda _: "flr bus",
}


class SimProbes:
    """The base's answers, but for the registers of the model's devices."""

    def __init__(self, base: Probes, places: Mapping[str, Place]) -> None:
        self._base = base
        self._places = places

    @contextmanager
    def bar0(self, bdf: str) -> Iterator[Registers | Unreadable]:
        place = self._places.get(bdf)
        if place is None:
            with self._base.bar0(bdf) as found:
                yield found
        elif place.removed:
            yield Unreadable(bdf, "is not there")
        else:
            yield place.device

    def knobs(self, bdf: str) -> Seen[Mapping[int, int | Unreadable]]:
        return None if bdf in self._places else self._base.knobs(bdf)

    def uname(self) -> Seen[Uname]:
        return self._base.uname()

    def cpuid(self, leaf: int, subleaf: int = 0) -> Seen[CpuidRegs]:
        return self._base.cpuid(leaf, subleaf)

    def msrs(self, cpus: Sequence[int], indexes: Sequence[int]) -> Mapping[int, Seen[CpuValues]]:
        return self._base.msrs(cpus, indexes)

    def sev(self, command: int) -> Seen[bytes | PspFailure]:
        return self._base.sev(command)

    def kvm(self) -> Seen[Kvm]:
        return self._base.kvm()

    def log_lines(self) -> Seen[tuple[str, Iterator[str]]]:
        return self._base.log_lines()

    def versions(self) -> Seen[Mapping[str, str]]:
        return self._base.versions()


class _Watched:
    """Registers whose every write may be the last."""

    def __init__(self, machine: SimMachine, device: Device) -> None:
        self._machine = machine
        self._device = device

    def read(self, offset: int) -> int:
        return self._device.read(offset)

    def write(self, offset: int, value: int) -> None:
        self._machine.touch(f"before register {offset:#x}")
        self._device.write(offset, value)
        self._machine.touch(f"after register {offset:#x}")
