"""A captured host that is read from the disk once, for tests that look at it a thousand times."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache

from nodeagent.capture.archive import open_capture
from nodeagent.model.cpu import CpuidRegs, CpuValues
from nodeagent.model.facts import Source
from nodeagent.model.host import Kvm, PspFailure, Uname
from nodeagent.model.seen import Seen, Unreadable
from nodeagent.seams import FILE_LIMIT, Files, Machine, Parts, Probes, Registers
from tests.unit.looks import Bytes


class RecalledFiles:
    def __init__(self, files: Files) -> None:
        self._bytes = cache(files.read_bytes)
        self._text = cache(files.read)
        self._names = cache(files.names)
        self._link = cache(files.link)
        self._has = cache(files.has)

    def read(self, path: str, limit: int = FILE_LIMIT) -> Seen[str]:
        return self._text(path, limit)

    def read_bytes(self, path: str, limit: int = FILE_LIMIT) -> Seen[bytes]:
        return self._bytes(path, limit)

    @contextmanager
    def parts(self, path: str) -> Iterator[Seen[Parts]]:
        found = self._bytes(path, FILE_LIMIT)
        yield Bytes(found) if isinstance(found, bytes) else found

    def names(self, path: str) -> Seen[tuple[str, ...]]:
        return self._names(path)

    def link(self, path: str) -> Seen[str]:
        return self._link(path)

    def has(self, path: str) -> bool | Unreadable:
        return self._has(path)


class RecalledProbes:
    def __init__(self, probes: Probes) -> None:
        self._probes = probes
        self._msrs = cache(probes.msrs)
        self._log = cache(self._read_log)

    def uname(self) -> Seen[Uname]:
        return self._probes.uname()

    def cpuid(self, leaf: int, subleaf: int = 0) -> Seen[CpuidRegs]:
        return self._probes.cpuid(leaf, subleaf)

    def msrs(self, cpus: Sequence[int], indexes: Sequence[int]) -> Mapping[int, Seen[CpuValues]]:
        return self._msrs(tuple(cpus), tuple(indexes))

    def sev(self, command: int) -> Seen[bytes | PspFailure]:
        return self._probes.sev(command)

    def kvm(self) -> Seen[Kvm]:
        return self._probes.kvm()

    def log_lines(self) -> Seen[tuple[str, Iterator[str]]]:
        found = self._log()
        return (found[0], iter(found[1])) if isinstance(found, tuple) else found

    def _read_log(self) -> Seen[tuple[str, tuple[str, ...]]]:
        found = self._probes.log_lines()
        return (found[0], tuple(found[1])) if isinstance(found, tuple) else found

    def versions(self) -> Seen[Mapping[str, str]]:
        return self._probes.versions()

    def bar0(self, bdf: str) -> AbstractContextManager[Registers | Unreadable]:
        return self._probes.bar0(bdf)

    def knobs(self, bdf: str) -> Seen[Mapping[int, int | Unreadable]]:
        return self._probes.knobs(bdf)


class Recalled:
    def __init__(self, machine: Machine) -> None:
        self.files: Files = RecalledFiles(machine.files)
        self.probes: Probes = RecalledProbes(machine.probes)
        self.source: Source = machine.source

    def look(self) -> AbstractContextManager[None]:
        return nullcontext()


@contextmanager
def recalled(host: str) -> Iterator[Machine]:
    with open_capture(host) as machine:
        yield Recalled(machine)
