"""A simulated machine in another process, through the seams of a live one.

Any number of threads may use one: each question takes a connection that is free, or makes one.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager

from nodeagent import locks as locking
from nodeagent.errors import StuckWriteError
from nodeagent.model.cpu import CpuidRegs, CpuValues
from nodeagent.model.facts import Source
from nodeagent.model.host import Kvm, PspFailure, Uname
from nodeagent.model.seen import Seen, Unreadable
from nodeagent.model.words import CcMode
from nodeagent.seams import FILE_LIMIT, Bar0, Clock, Files, Parts, Probes, Registers, as_text
from nodeagent.sim import values, wire
from nodeagent.sim.clock import RealClock
from nodeagent.sim.lines import PATIENCE_S, Lines, SilentError
from nodeagent.sim.wire import ONE_WORD, READ_WORD, WRITE_WORD

_SPACE = 4096


def connect(path: str) -> "RemoteMachine":
    """The machine that is served at the socket `path`; to be closed."""
    lines = Lines(path)
    try:
        return RemoteMachine(lines)
    except BaseException:
        lines.close()
        raise


class RemoteMachine:
    """Every seam of a machine that may be changed, and hands on whoever plays with the model."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        greeting = lines.demand(values.greeting, "hello", wire.VERSION)
        self.clock: Clock = RealClock(greeting.rate)
        self.source = Source(greeting.where, simulated=True, root=True, note=greeting.note)
        self.files: Files = RemoteFiles(lines)
        self.probes: Probes = RemoteProbes(lines)
        self._locks: Mapping[str, int] = {}
        self.stuck: set[str] = set()

    @contextmanager
    def look(self) -> Iterator[None]:
        yield

    @contextmanager
    def hands(self, locks: Mapping[str, int]) -> Iterator[None]:
        """The server writes for us: it gets each device's lock along with what it is to write."""
        before, self._locks = self._locks, {**self._locks, **locks}
        for lock in locks.values():
            locking.note_writer(lock, self._lines.server)
        try:
            yield
        finally:
            self._locks = before

    def write(self, bdf: str, path: str, text: str) -> None:
        lock = self._locks.get(bdf)
        fds = () if lock is None else (lock,)
        try:
            self._lines.do("write", bdf, path, text, fds=fds, path=path)
        except StuckWriteError:
            self.stuck.add(bdf)
            raise
        except SilentError as error:
            self.stuck.add(bdf)
            raise StuckWriteError(path, PATIENCE_S) from error

    def config(self, bdf: str) -> AbstractContextManager[Seen[Parts]]:
        return self.files.parts(f"/sys/bus/pci/devices/{bdf}/config")

    def set_decode(self, bdf: str, *, on: bool) -> None:
        self._lines.do("decode", bdf, on)

    @contextmanager
    def bar0(self, bdf: str) -> Iterator[Bar0]:
        yield RemoteBar0(self._lines, self._lines.demand(values.number, "bar0", bdf))

    def close(self) -> None:
        self._lines.close()

    # What only a model can be asked for.

    def hold(self, bdf: str, pid: int, command: str) -> None:
        self._lines.do("hold", bdf, pid, command)

    def release(self, bdf: str) -> None:
        self._lines.do("release", bdf)

    def set_fault(self, bdf: str, name: str, value: bool | float | Sequence[int] | None) -> None:
        """One of those in faults.py, by its name; HostError where there is no such one."""
        self._lines.do("fault", bdf, name, value)

    def modes(self) -> Mapping[str, CcMode | None]:
        """What each device runs in, asleep or not; None of one that has not booted."""
        return self._lines.demand(values.modes, "modes")

    @property
    def harm(self) -> tuple[str, ...]:
        """What was done to a device that must never be done to one."""
        return self._lines.demand(values.texts, "harm")

    def power_cycle(self) -> None:
        self._lines.do("power_cycle")


class RemoteBar0:
    """One access is one question: some tens of microseconds."""

    def __init__(self, lines: Lines, device: int) -> None:
        self._lines = lines
        self._device = device

    def read(self, offset: int) -> int:
        return self._word(wire.READ, READ_WORD.pack(self._device, offset))

    def write(self, offset: int, value: int) -> None:
        self._word(wire.WRITE, WRITE_WORD.pack(self._device, offset, value))

    def _word(self, kind: bytes, payload: bytes) -> int:
        answer, word = self._lines.ask(kind, payload)
        if answer != wire.WORD or len(word) != ONE_WORD.size:
            self._lines.fail(answer, word)
        value: int = ONE_WORD.unpack(word)[0]
        return value


class RemoteFiles:
    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    def read(self, path: str, limit: int = FILE_LIMIT) -> Seen[str]:
        return as_text(self.read_bytes(path, limit))

    def read_bytes(self, path: str, limit: int = FILE_LIMIT) -> Seen[bytes]:
        found = self._lines.content("read", path, limit)
        return found[:limit] if isinstance(found, bytes) else found

    @contextmanager
    def parts(self, path: str) -> Iterator[Seen[Parts]]:
        """All of a configuration space comes at once; of what is longer, each part by itself."""
        found = self._lines.content("part", path, 0, _SPACE)
        yield RemoteParts(self._lines, path, found) if isinstance(found, bytes) else found

    def names(self, path: str) -> Seen[tuple[str, ...]]:
        return self._lines.read(values.texts, "names", path)

    def link(self, path: str) -> Seen[str]:
        return self._lines.read(values.text, "link", path)

    def has(self, path: str) -> bool | Unreadable:
        found = self._lines.read(values.flag, "has", path)
        return False if found is None else found


class RemoteParts:
    def __init__(self, lines: Lines, path: str, start: bytes) -> None:
        self._lines = lines
        self._path = path
        self._start = start

    def read(self, offset: int, size: int) -> bytes | Unreadable:
        if offset + size <= len(self._start) or len(self._start) < _SPACE:
            return self._start[offset : offset + size]
        found = self._lines.content("part", self._path, offset, size)
        return b"" if found is None else found


class RemoteProbes:
    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    @contextmanager
    def bar0(self, bdf: str) -> Iterator[Registers | Unreadable]:
        device = self._lines.read(values.number, "registers", bdf)
        if isinstance(device, int):
            yield RemoteBar0(self._lines, device)
        else:
            yield RemoteRegisters(self._lines, bdf) if device is None else device

    def knobs(self, bdf: str) -> Seen[Mapping[int, int | Unreadable]]:
        return self._lines.read(values.knobs, "knobs", bdf)

    def uname(self) -> Seen[Uname]:
        return self._lines.read(values.uname, "uname")

    def cpuid(self, leaf: int, subleaf: int = 0) -> Seen[CpuidRegs]:
        return self._lines.read(values.cpuid, "cpuid", leaf, subleaf)

    def msrs(self, cpus: Sequence[int], indexes: Sequence[int]) -> Mapping[int, Seen[CpuValues]]:
        found = self._lines.demand(values.cpus, "msrs", list(cpus), list(indexes))
        return {index: found.get(index) for index in indexes}

    def sev(self, command: int) -> Seen[bytes | PspFailure]:
        return self._lines.content_or(values.psp_failure, "sev", command)

    def kvm(self) -> Seen[Kvm]:
        return self._lines.read(values.kvm, "kvm")

    def log_lines(self) -> Seen[tuple[str, Iterator[str]]]:
        return self._lines.read(values.log, "log")

    def versions(self) -> Seen[Mapping[str, str]]:
        return self._lines.read(values.versions, "versions")


class RemoteRegisters:
    """Of a device that the model does not play: the base's, each looked at by itself."""

    def __init__(self, lines: Lines, bdf: str) -> None:
        self._lines = lines
        self._bdf = bdf

    def read(self, offset: int) -> int | Unreadable:
        found = self._lines.read(values.number, "register", self._bdf, offset)
        return Unreadable(self._bdf, "is absent") if found is None else found
