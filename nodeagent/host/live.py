"""This machine, or one mounted at a folder: the live side of the seams."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

from nodeagent.host import devices, klog, mmio, mounts, sev
from nodeagent.host.root import Root
from nodeagent.model.cpu import CpuidRegs, CpuValues
from nodeagent.model.facts import Source
from nodeagent.model.host import Kvm, PspFailure, Uname
from nodeagent.model.seen import Seen, Unreadable, known
from nodeagent.seams import FILE_LIMIT, Files, Parts, Registers

T = TypeVar("T")


class LiveProbes:
    """What is no file, asked of the running kernel through the devices beneath `root`."""

    def __init__(self, root: Root, files: Files, psp: sev.Psp) -> None:
        self._root = root
        self._files = files
        self._psp = psp

    def uname(self) -> Seen[Uname]:
        """Ours is the host's: containers share the kernel."""
        return Uname(*(getattr(os.uname(), name) for name in ("release", "version", "machine")))

    def cpuid(self, leaf: int, subleaf: int = 0) -> Seen[CpuidRegs]:
        return self._or_unseen("/dev/cpu/0/cpuid", devices.cpuid(self._root, leaf, subleaf))

    def msrs(self, cpus: Sequence[int], indexes: Sequence[int]) -> Mapping[int, Seen[CpuValues]]:
        found = devices.msrs(self._root, cpus, indexes)
        if any(found.values()):
            return found
        return {index: self._or_unseen("/dev/cpu/0/msr", seen) for index, seen in found.items()}

    def sev(self, command: int) -> Seen[bytes | PspFailure]:
        return self._or_unseen(sev.DEVICE, self._psp.ask(self._root, command))

    def kvm(self) -> Seen[Kvm]:
        return self._or_unseen("/dev/kvm", devices.kvm(self._root))

    def log_lines(self) -> Seen[tuple[str, Iterator[str]]]:
        """The ring; where it is closed to us or has turned over, the journal or a file."""
        found = klog.ring(self._root)
        if isinstance(found, tuple):
            origin, lines = found[0], list(found[1])
            if lines and lines[0].startswith("Linux version "):
                return origin, iter(lines)
            found = origin, iter(lines)
        kept = klog.journal(self._root)
        if not isinstance(kept, tuple):
            kept = klog.files(self._root, known(self.uname()))
        return kept if isinstance(kept, tuple) else self._or_unseen(klog.RING, found)

    def versions(self) -> Seen[Mapping[str, str]]:
        return None

    def bar0(self, bdf: str) -> AbstractContextManager[Registers | Unreadable]:
        return mmio.mapped(self._root, f"/sys/bus/pci/devices/{bdf}/resource0")

    def knobs(self, bdf: str) -> Seen[Mapping[int, int | Unreadable]]:  # noqa: ARG002
        """Asking takes writes to a mailbox, which no plain look makes."""
        return None

    def _or_unseen(self, path: str, found: Seen[T]) -> Seen[T]:
        """A device of a folder that is not mounted was not looked for: it is not absent."""
        here = self._files.has(path) if found is None else True
        return here if isinstance(here, Unreadable) else found


class MountedFiles:
    """Files of a host of which only some folders may be mounted at `root`, as in a pod.

    What lies in a top-level folder that is not there was not mounted: nobody looked, so it
    is unreadable and not absent. Deeper mounts are the root's own `parts`.
    """

    def __init__(self, root: Root) -> None:
        self._root = root

    def read_bytes(self, path: str, limit: int = FILE_LIMIT) -> Seen[bytes]:
        return self._or_unmounted(path, self._root.read_bytes(path, limit))

    def read(self, path: str, limit: int = FILE_LIMIT) -> Seen[str]:
        return self._or_unmounted(path, self._root.read(path, limit))

    @contextmanager
    def parts(self, path: str) -> Iterator[Seen[Parts]]:
        with self._root.parts(path) as found:
            yield self._or_unmounted(path, found)

    def names(self, path: str) -> Seen[tuple[str, ...]]:
        return self._or_unmounted(path, self._root.names(path))

    def link(self, path: str) -> Seen[str]:
        return self._or_unmounted(path, self._root.link(path))

    def has(self, path: str) -> bool | Unreadable:
        found = self._root.has(path)
        gap = self._unmounted(path) if found is False else None
        return gap or found

    def _or_unmounted(self, path: str, found: Seen[T]) -> Seen[T]:
        return self._unmounted(path) if found is None else found

    def _unmounted(self, path: str) -> Unreadable | None:
        top = path.lstrip("/").partition("/")[0]
        if self._root.has(f"/{top}") is not False:
            return None
        return Unreadable(path, f"/{top} is not mounted here")


class LiveMachine:
    """The host at `folder`; `/` is this one."""

    def __init__(self, folder: str = "/", psp: sev.Psp | None = None) -> None:
        self._root = Root(folder, parts=None if folder == "/" else mounts.parts(folder))
        self.files: Files = self._root if folder == "/" else MountedFiles(self._root)
        self.probes = LiveProbes(self._root, self.files, psp or sev.Psp())
        where = "this machine" if folder == "/" else f"the host at {folder}"
        self.source = Source(where=where, simulated=False, root=os.geteuid() == 0)

    @contextmanager
    def look(self) -> Iterator[None]:
        try:
            yield
        finally:
            self._root.forget()

    def close(self) -> None:
        self._root.close()
