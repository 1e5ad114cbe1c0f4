"""The protocols that the live host and a captured one both keep.

Reading through them never raises for what a host may look like: absent is None, what
could not be looked at is Unreadable.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from nodeagent.model.cpu import CpuidRegs, CpuValues
from nodeagent.model.facts import Source
from nodeagent.model.host import Kvm, PspFailure, Uname
from nodeagent.model.seen import Seen, Unreadable

FILE_LIMIT = 1 << 20


def as_text(raw: Seen[bytes]) -> Seen[str]:
    """A file's text as every `Files` gives it: whatever the bytes, and no blanks around it."""
    if isinstance(raw, bytes):
        return raw.decode(errors="surrogateescape").strip("\0\t\r\n ")
    return raw


class Parts(Protocol):
    """An open file, read here and there: each word of configuration space is a bus cycle."""

    def read(self, offset: int, size: int) -> bytes | Unreadable:
        """Fewer bytes than asked for where the file ends."""


class Files(Protocol):
    """A host's files by absolute path; no answer ever comes from outside its root."""

    def read(self, path: str, limit: int = FILE_LIMIT) -> Seen[str]:
        """Text without surrounding blanks; at most `limit` bytes are looked at."""

    def read_bytes(self, path: str, limit: int = FILE_LIMIT) -> Seen[bytes]: ...

    def parts(self, path: str) -> AbstractContextManager[Seen[Parts]]:
        """A file of which only some places are wanted, open for the length of the block."""

    def names(self, path: str) -> Seen[tuple[str, ...]]:
        """The names in a directory, sorted."""

    def link(self, path: str) -> Seen[str]:
        """A symbolic link's own text."""

    def has(self, path: str) -> bool | Unreadable:
        """Whether something of any kind is there."""


class Registers(Protocol):
    """32-bit registers by byte offset. A dead device reads as all ones."""

    def read(self, offset: int) -> int | Unreadable: ...


class Bar0(Protocol):
    """A device's registers, for driving it: each access is one aligned 32-bit load or store.

    A device that does not answer reads as all ones, and what is written to it is lost.
    """

    def read(self, offset: int) -> int: ...

    def write(self, offset: int, value: int) -> None: ...


class Clock(Protocol):
    """Seconds that only go forward: real ones, or a model's."""

    def now(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...


class Probes(Protocol):
    """What is no file."""

    def uname(self) -> Seen[Uname]: ...

    def cpuid(self, leaf: int, subleaf: int = 0) -> Seen[CpuidRegs]: ...

    def msrs(self, cpus: Sequence[int], indexes: Sequence[int]) -> Mapping[int, Seen[CpuValues]]:
        """Every register of every CPU named; a CPU that faults is in `unreadable`."""

    def sev(self, command: int) -> Seen[bytes | PspFailure]:
        """One question to the PSP: sub-commands 1 and 9 only (snp-host.md §0.3)."""

    def kvm(self) -> Seen[Kvm]:
        """What /dev/kvm answers without a VM; absent where there is no such device."""

    def log_lines(self) -> Seen[tuple[str, Iterator[str]]]:
        """This boot's kernel log: where it comes from, and its lines without prefixes."""

    def versions(self) -> Seen[Mapping[str, str]]:
        """What somebody asked programs for when they captured them; nobody asks a live one."""

    def bar0(self, bdf: str) -> AbstractContextManager[Registers | Unreadable]:
        """A device's registers, mapped for reading only."""

    def knobs(self, bdf: str) -> Seen[Mapping[int, int | Unreadable]]:
        """What its firmware answered somebody who asked; None where nobody did."""


class Machine(Protocol):
    """A host to look at: this one, one mounted somewhere, or a captured one."""

    @property
    def files(self) -> Files: ...

    @property
    def probes(self) -> Probes: ...

    @property
    def source(self) -> Source: ...

    def look(self) -> AbstractContextManager[None]:
        """Around one look: what may be remembered within it is forgotten after."""


class Changeable(Machine, Protocol):
    """A host that can be changed. Each call is one effect, or none with OSError."""

    def hands(self, locks: Mapping[str, int]) -> AbstractContextManager[None]:
        """Be ready to write for these devices, by address, for the length of the block.

        Whatever writes for a device keeps its lock (a descriptor) open for as long as the write
        lasts, though we may be gone by then.
        """

    def write(self, bdf: str, path: str, text: str) -> None:
        """One write to an attribute of sysfs, such as `reset`, for the sake of one device.

        StuckWriteError where it does not return in the time it has for it.
        """

    @property
    def stuck(self) -> Collection[str]:
        """Devices in which a write of ours did not return: nothing else is done to them, and
        they are not looked at, since the kernel would make a reader wait as well."""

    def set_decode(self, bdf: str, *, on: bool) -> None:
        """The memory bit of a function's command register; nothing else there is written."""

    def bar0(self, bdf: str) -> AbstractContextManager[Bar0]:
        """A device's registers, mapped for writing for the length of the block."""

    def config(self, bdf: str) -> AbstractContextManager[Seen[Parts]]:
        """A device's configuration space, for reading while devices are driven side by side."""

    @property
    def clock(self) -> Clock: ...
