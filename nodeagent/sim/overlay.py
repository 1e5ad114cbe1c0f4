"""Files of which some come from the model as it is now, and all others from a base."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from nodeagent.model.seen import Seen, Unreadable
from nodeagent.seams import FILE_LIMIT, Files, Parts


class File(NamedTuple):
    content: bytes


class Link(NamedTuple):
    text: str


class Folder(NamedTuple):
    """`more`: names beside those that the base has there."""

    names: tuple[str, ...]
    more: bool = False


class Absent(NamedTuple):
    """Not there, whatever the base has."""


Entry = File | Link | Folder | Absent


class _Bytes:
    def __init__(self, content: bytes) -> None:
        self._content = content

    def read(self, offset: int, size: int) -> bytes | Unreadable:
        return self._content[offset : offset + size]


class OverlaidFiles:
    """`own` answers for a path of the model's; None leaves it to the base."""

    def __init__(self, base: Files, own: Callable[[str], Entry | None]) -> None:
        self._base = base
        self._own = own

    def read_bytes(self, path: str, limit: int = FILE_LIMIT) -> Seen[bytes]:
        match self._own(path):
            case File(content):
                return content[:limit]
            case None:
                return self._base.read_bytes(path, limit)
            case Absent():
                return None
            case _:
                return Unreadable(path, "is no regular file")

    def read(self, path: str, limit: int = FILE_LIMIT) -> Seen[str]:
        raw = self.read_bytes(path, limit)
        if isinstance(raw, bytes):
            return raw.decode(errors="surrogateescape").strip("\0\t\r\n ")
        return raw

    @contextmanager
    def parts(self, path: str) -> Iterator[Seen[Parts]]:
        match self._own(path):
            case File(content):
                yield _Bytes(content)
            case None:
                with self._base.parts(path) as found:
                    yield found
            case Absent():
                yield None
            case _:
                yield Unreadable(path, "is no regular file")

    def names(self, path: str) -> Seen[tuple[str, ...]]:
        match self._own(path):
            case Folder(names, more=True):
                there = self._base.names(path)
                return tuple(sorted({*names, *(there if isinstance(there, tuple) else ())}))
            case Folder(names):
                return tuple(sorted(names))
            case None:
                return self._base.names(path)
            case Absent():
                return None
            case _:
                return Unreadable(path, "is no folder")

    def link(self, path: str) -> Seen[str]:
        match self._own(path):
            case Link(text):
                return text
            case None:
                return self._base.link(path)
            case Absent():
                return None
            case _:
                return Unreadable(path, "is no symbolic link")

    def has(self, path: str) -> bool | Unreadable:
        entry = self._own(path)
        if entry is None:
            return self._base.has(path)
        return not isinstance(entry, Absent)
