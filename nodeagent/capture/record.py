"""A machine that remembers what it was asked and what it answered: the raw form of a capture."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

from nodeagent.capture.shape import NOT_CAPTURED
from nodeagent.model.cpu import CpuidRegs, CpuValues
from nodeagent.model.facts import Source
from nodeagent.model.host import Kvm, PspFailure, Uname
from nodeagent.model.seen import Seen, Unreadable
from nodeagent.seams import FILE_LIMIT, Files, Machine, Parts, Probes, Registers, as_text

_UNASKED = Unreadable("", NOT_CAPTURED)

Log = tuple[str, list[str]]
Bar0 = dict[int, int | Unreadable]


@dataclass(slots=True)
class Record:
    """Every question by its path or name, with the last answer to it.

    The last and not the first: a device that went to sleep while it was looked at must not
    look awake beside registers that it no longer answered for.
    """

    contents: dict[str, Seen[bytes]] = field(default_factory=dict)
    limits: dict[str, int] = field(default_factory=dict)
    pieces: dict[str, dict[int, bytes]] = field(default_factory=dict)
    listings: dict[str, Seen[tuple[str, ...]]] = field(default_factory=dict)
    links: dict[str, Seen[str]] = field(default_factory=dict)
    presence: dict[str, bool | Unreadable] = field(default_factory=dict)
    uname: Seen[Uname] = _UNASKED
    cpuid: dict[tuple[int, int], Seen[CpuidRegs]] = field(default_factory=dict)
    msrs: dict[int, Seen[CpuValues]] = field(default_factory=dict)
    sev: dict[int, Seen[bytes | PspFailure]] = field(default_factory=dict)
    kvm: Seen[Kvm] = _UNASKED
    log: Seen[Log] = _UNASKED
    versions: Seen[Mapping[str, str]] = _UNASKED
    bar0: dict[str, Bar0 | Unreadable] = field(default_factory=dict)
    knobs: dict[str, Mapping[int, int | Unreadable]] = field(default_factory=dict)


class RecordingParts:
    def __init__(self, parts: Parts, pieces: dict[int, bytes]) -> None:
        self._parts = parts
        self._pieces = pieces

    def read(self, offset: int, size: int) -> bytes | Unreadable:
        found = self._parts.read(offset, size)
        if isinstance(found, bytes) and len(found) >= len(self._pieces.get(offset, b"")):
            self._pieces[offset] = found
        return found


class RecordingFiles:
    def __init__(self, files: Files, record: Record) -> None:
        self._files = files
        self._record = record

    def read_bytes(self, path: str, limit: int = FILE_LIMIT) -> Seen[bytes]:
        found = self._files.read_bytes(path, limit)
        if limit >= self._record.limits.get(path, 0):
            self._record.limits[path] = limit
            self._record.contents[path] = found
        return found

    def read(self, path: str, limit: int = FILE_LIMIT) -> Seen[str]:
        return as_text(self.read_bytes(path, limit))

    @contextmanager
    def parts(self, path: str) -> Iterator[Seen[Parts]]:
        with self._files.parts(path) as found:
            if found is None or isinstance(found, Unreadable):
                self._record.contents.setdefault(path, found)
                yield found
            else:
                yield RecordingParts(found, self._record.pieces.setdefault(path, {}))

    def names(self, path: str) -> Seen[tuple[str, ...]]:
        found = self._record.listings[path] = self._files.names(path)
        return found

    def link(self, path: str) -> Seen[str]:
        found = self._record.links[path] = self._files.link(path)
        return found

    def has(self, path: str) -> bool | Unreadable:
        found = self._record.presence[path] = self._files.has(path)
        return found


class RecordingRegisters:
    def __init__(self, registers: Registers, values: Bar0) -> None:
        self._registers = registers
        self._values = values

    def read(self, offset: int) -> int | Unreadable:
        found = self._values[offset] = self._registers.read(offset)
        return found


class RecordingProbes:
    def __init__(self, probes: Probes, record: Record) -> None:
        self._probes = probes
        self._record = record

    def uname(self) -> Seen[Uname]:
        found = self._record.uname = self._probes.uname()
        return found

    def cpuid(self, leaf: int, subleaf: int = 0) -> Seen[CpuidRegs]:
        found = self._record.cpuid[leaf, subleaf] = self._probes.cpuid(leaf, subleaf)
        return found

    def msrs(self, cpus: Sequence[int], indexes: Sequence[int]) -> Mapping[int, Seen[CpuValues]]:
        found = self._probes.msrs(cpus, indexes)
        self._record.msrs.update(found)
        return found

    def sev(self, command: int) -> Seen[bytes | PspFailure]:
        found = self._record.sev[command] = self._probes.sev(command)
        return found

    def kvm(self) -> Seen[Kvm]:
        found = self._record.kvm = self._probes.kvm()
        return found

    def log_lines(self) -> Seen[tuple[str, Iterator[str]]]:
        found = self._probes.log_lines()
        if found is None or isinstance(found, Unreadable):
            self._record.log = found
            return found
        origin, lines = found[0], list(found[1])
        self._record.log = origin, lines
        return origin, iter(lines)

    def versions(self) -> Seen[Mapping[str, str]]:
        found = self._record.versions = self._probes.versions()
        return found

    def knobs(self, bdf: str) -> Seen[Mapping[int, int | Unreadable]]:
        """Those of a captured host; a live one's firmware is not asked for a capture."""
        found = self._probes.knobs(bdf)
        if found and not isinstance(found, Unreadable):
            self._record.knobs[bdf] = found
        return found

    def bar0(self, bdf: str) -> AbstractContextManager[Registers | Unreadable]:
        return self._bar0(bdf)

    @contextmanager
    def _bar0(self, bdf: str) -> Iterator[Registers | Unreadable]:
        with self._probes.bar0(bdf) as registers:
            if isinstance(registers, Unreadable):
                self._record.bar0[bdf] = registers
                yield registers
                return
            values: Bar0 = {}
            self._record.bar0[bdf] = values
            yield RecordingRegisters(registers, values)


class Recorder:
    """`machine`, with everything that a look asks of it kept in `record`."""

    def __init__(self, machine: Machine) -> None:
        self.record = Record()
        self._machine = machine
        self.files: Files = RecordingFiles(machine.files, self.record)
        self.probes: Probes = RecordingProbes(machine.probes, self.record)
        self.source: Source = machine.source
        self.bare_files: Files = machine.files
        """The machine's own, for questions whose answers are no part of the capture."""

    def look(self) -> AbstractContextManager[None]:
        return self._machine.look()
