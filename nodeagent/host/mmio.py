"""BAR0 mapped for reading only: each register is one aligned 32-bit load."""

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


def _map(root: Root, resource: str) -> mmap.mmap:
    descriptor = root.open(resource, _OPEN)
    try:
        size = os.fstat(descriptor).st_size
        if not 0 < size <= _MAX_BAR or size % _WORD:
            raise ValueError(f"has an unlikely size of {size} bytes")
        return mmap.mmap(descriptor, size, mmap.MAP_SHARED, mmap.PROT_READ)
    finally:
        os.close(descriptor)
