"""A whole machine around modelled devices: sysfs with its effects, drivers, holders, power.

What is not modelled comes from a base, any host that can be looked at: a captured one, usually.
"""

import errno
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager

from nodeagent.errors import StuckWriteError
from nodeagent.model.cpu import CpuidRegs, CpuValues
from nodeagent.model.facts import Source
from nodeagent.model.host import Kvm, PspFailure, Uname
from nodeagent.model.seen import Seen, Unreadable
from nodeagent.seams import Bar0, Clock, Files, Machine, Parts, Probes, Registers
from nodeagent.sim.bus import DEVICES, DRIVERS, Bus
from nodeagent.sim.overlay import OverlaidFiles
from nodeagent.sim.place import Place
from nodeagent.sim.sysfs import Sysfs

__all__ = ["Place", "SimMachine"]

_LOCKDOWN = "/sys/kernel/security/lockdown"
_ALL_ONES = 0xFFFFFFFF
_NO_BAR = ("[integrity]", "[confidentiality]")


class SimMachine:
    """Keeps the seams of a live machine; `harm` lists what must never be done to a device."""

    def __init__(
        self,
        base: Machine,
        places: Mapping[str, Place],
        clock: Clock,
        *,
        drivers: Collection[str] = DRIVERS,
        ids: Mapping[str, Collection[int]] | None = None,
    ) -> None:
        """`drivers` are loaded; `ids` are the devices that one was told to take."""
        names = base.files.names(DEVICES)
        others = names if isinstance(names, tuple) else ()
        self.bus = Bus(places, drivers=drivers, ids=ids or {}, others=others)
        self.places = self.bus.places
        self.drivers = self.bus.drivers
        self.harm = self.bus.harm
        self.clock = clock
        self.stuck: set[str] = set()
        self.is_locked_down = _is_locked_down(base.files)
        self.files: Files = OverlaidFiles(base.files, Sysfs(self.bus, base.files).entry)
        self.probes: Probes = SimProbes(base.probes, self)
        self.source = Source("a simulated machine", simulated=True, root=True)

    @contextmanager
    def look(self) -> Iterator[None]:
        yield

    @contextmanager
    def bar0(self, bdf: str) -> Iterator[Bar0]:
        """For driving it: every write goes by `touch` first."""
        yield self.registers(bdf)

    def registers(self, bdf: str) -> Bar0:
        self._demand_open(f"{DEVICES}/{bdf}/resource0")
        self.bus.place(bdf)
        return _Watched(self, bdf)

    def touch(self, what: str) -> None:
        """Called before and after every write; a test may end the program here."""

    @contextmanager
    def hands(self, locks: Mapping[str, int]) -> Iterator[None]:  # noqa: ARG002 - writes never outlive us
        yield

    def write(self, bdf: str, path: str, text: str) -> None:
        """One write to an attribute of sysfs; OSError as the kernel would answer."""
        self.touch(f"before {path} {text}")
        try:
            self.bus.write(path, text.strip())
        except StuckWriteError:
            self.stuck.add(bdf)
            raise
        self.touch(f"after {path} {text}")

    def config(self, bdf: str) -> AbstractContextManager[Seen[Parts]]:
        return self.files.parts(f"/sys/bus/pci/devices/{bdf}/config")

    def set_decode(self, bdf: str, *, on: bool) -> None:
        """The one bit of configuration space that anybody but the kernel writes."""
        self._demand_open(f"{DEVICES}/{bdf}/config")
        self.touch(f"before {bdf} decode {on}")
        device = self.bus.place(bdf).device
        with self.bus.locks[bdf]:
            device.config.decodes_memory = on
        self.touch(f"after {bdf} decode {on}")

    def _demand_open(self, path: str) -> None:
        if self.is_locked_down:
            raise PermissionError(errno.EPERM, f"Operation not permitted: {path}")

    def hold(self, bdf: str, pid: int, command: str) -> None:
        self.bus.hold(bdf, pid, command)

    def release(self, bdf: str) -> None:
        self.bus.release(bdf)


def why_closed(bdf: str, error: OSError) -> Unreadable:
    name = errno.errorcode.get(error.errno or 0, "error")
    said = str(error.strerror).partition(":")[0]
    return Unreadable(f"{DEVICES}/{bdf}/resource0", f"{name}: {said}")


def _is_locked_down(files: Files) -> bool:
    """In either way the kernel closes registers and configuration space to everybody."""
    text = files.read(_LOCKDOWN, 128)
    return isinstance(text, str) and any(word in text for word in _NO_BAR)


class SimProbes:
    """The base's answers, but for the registers of the model's devices."""

    def __init__(self, base: Probes, machine: SimMachine) -> None:
        self._base = base
        self._machine = machine

    @contextmanager
    def bar0(self, bdf: str) -> Iterator[Registers | Unreadable]:
        if bdf not in self._machine.places:
            with self._base.bar0(bdf) as found:
                yield found
            return
        try:
            registers = self._machine.registers(bdf)
        except OSError as error:
            yield why_closed(bdf, error)
        else:
            yield registers

    def knobs(self, bdf: str) -> Seen[Mapping[int, int | Unreadable]]:
        return None if bdf in self._machine.places else self._base.knobs(bdf)

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

    def __init__(self, machine: SimMachine, bdf: str) -> None:
        self._machine = machine
        self._lock = machine.bus.locks[bdf]
        self._place = machine.places[bdf]
        self._device = self._place.device

    def read(self, offset: int) -> int:
        with self._lock:
            return _ALL_ONES if self._place.removed else self._device.read(offset)

    def write(self, offset: int, value: int) -> None:
        self._machine.touch(f"before register {offset:#x}")
        with self._lock:
            if not self._place.removed:
                self._device.write(offset, value)
        self._machine.touch(f"after register {offset:#x}")
