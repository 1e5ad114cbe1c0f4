"""BAR0, mapped: each access is one aligned 32-bit load, or store where it is for driving."""

import errno
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager

from nodeagent.host.root import Root, why
from nodeagent.model.seen import Unreadable

_MAX_BAR = 1 << 30
_WORD = 4
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_SYNC


class MappedRegisters:
    """Loads through an aligned C int: a slice of bytes might become wide or byte accesses."""

    def __init__(self, view: memoryview) -> None:
        self._words = view.cast("B").cast("I")

    def read(self, offset: int) -> int | Unreadable:
        if offset % 4 or offset // 4 >= len(self._words):
            return Unreadable(f"register {offset:#x}", "is not in this BAR")
        return int(self._words[offset // 4])

    def release(self) -> None:
        self._words.release()


@contextmanager
def mapped(root: Root, resource: str) -> Iterator[MappedRegisters | Unreadable]:
    """The file `resource` beneath `root`, mapped read-only for the length of the block."""
    try:
        area = _map(root, resource)
    except (OSError, ValueError) as error:
        cause = why(error) if isinstance(error, OSError) else str(error)
        yield Unreadable(resource, cause)
        return
    with area, memoryview(area) as view:
        registers = MappedRegisters(view)
        try:
            yield registers
        finally:
            registers.release()


class DrivenRegisters:
    """Loads and stores; what the caller asks for lies in the BAR, or OSError."""

    def __init__(self, view: memoryview) -> None:
        self._words = view.cast("B").cast("I")

    def read(self, offset: int) -> int:
        return int(self._words[self._index(offset)])

    def write(self, offset: int, value: int) -> None:
        self._words[self._index(offset)] = value

    def _index(self, offset: int) -> int:
        if offset % _WORD or not 0 <= offset // _WORD < len(self._words):
            raise OSError(errno.EINVAL, f"register {offset:#x} is not in this BAR")
        return offset // _WORD

    def release(self) -> None:
        self._words.release()


@contextmanager
def writable(descriptor: int) -> Iterator[DrivenRegisters]:
    """The open file of a BAR, ours to close, mapped for the length of the block; raises OSError."""
    try:
        area = _mapped(descriptor, mmap.PROT_READ | mmap.PROT_WRITE)
    except ValueError as error:
        raise OSError(errno.EINVAL, str(error)) from error
    with area, memoryview(area) as view:
        registers = DrivenRegisters(view)
        try:
            yield registers
        finally:
            registers.release()


def _map(root: Root, resource: str) -> mmap.mmap:
    return _mapped(root.open(resource, _OPEN), mmap.PROT_READ)


def _mapped(descriptor: int, protection: int) -> mmap.mmap:
    """The whole file; its descriptor is closed."""
    try:
        size = os.fstat(descriptor).st_size
        if not 0 < size <= _MAX_BAR or size % _WORD:
            raise ValueError(f"has an unlikely size of {size} bytes")
        return mmap.mmap(descriptor, size, mmap.MAP_SHARED, protection)
    finally:
        os.close(descriptor)
