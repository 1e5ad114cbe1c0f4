"""Files beneath a root: a mounted host, a captured tree and an image are strangers' trees."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from nodeagent.errors import HostError
from nodeagent.model.seen import Seen, Unreadable
from nodeagent.seams import FILE_LIMIT, Parts, as_text

_MAX_HOPS = 40  # what Linux itself allows on one path
_MAX_OPEN_FOLDERS = 512
_MAX_NAMES = 100_000
ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENODEV, errno.ENXIO})
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without O_NONBLOCK a planted FIFO would hold us up for ever.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


class _LostError(OSError):
    """A path that led nowhere we are willing to go."""


class OpenFile:
    """An open regular file, read at any offset."""

    def __init__(self, path: str, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    def read(self, offset: int, size: int) -> bytes | Unreadable:
        try:
            return os.pread(self._descriptor, size, offset)
        except OSError as error:
            return Unreadable(self._path, why(error))


class UnseenError(OSError):
    """A place of the host that this root does not show: nobody looked whether it is there."""

    def __init__(self, reason: str) -> None:
        super().__init__(errno.EXDEV, reason)


class Root:
    """Reads files beneath one folder, walking component by component.

    A symbolic link is resolved by us as if the folder were `/`, so that neither an absolute
    link nor `..` leaves it; the kernel is never asked to follow one. Folders stay open until
    `forget`, so that thousands of sysfs reads cost one `open` each.
    """

    def __init__(
        self, folder: str, *, through_link: bool = True, parts: frozenset[str] | None = None
    ) -> None:
        """`through_link`: whether the folder itself may be a link; a stranger's may not.

        `parts`: the only places beneath it that show the host (see mounts.py).
        """
        self.folder = folder
        self._parts = parts
        self._above = {""}
        for part in parts or ():
            self._above |= {part[:at] for at, char in enumerate(part) if char == "/"}
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        try:
            self._top = os.open(folder, flags if through_link else flags | os.O_NOFOLLOW)
        except OSError as error:
            raise HostError(
                f"cannot open the root {folder}: {error.strerror}",
                hint="it must be a folder that this user may read",
            ) from error
        self._open: dict[str, tuple[int, str]] = {"": (self._top, "")}
        self._hops = 0

    def forget(self) -> None:
        """Close the folders of the last look: devices come and go."""
        for descriptor, _ in self._open.values():
            if descriptor != self._top:
                os.close(descriptor)
        self._open = {"": (self._top, "")}

    def close(self) -> None:
        self.forget()
        os.close(self._top)

    def _begin(self, path: str) -> None:
        """Before each walk, never within one: no folder is closed under a walk's feet."""
        self._hops = 0
        if len(self._open) > _MAX_OPEN_FOLDERS:
            self.forget()
        if "\0" in path or not (path.isascii() or _can_be_named(path)):
            raise _LostError(errno.ENOENT, "No such file or directory")

    def read_bytes(self, path: str, limit: int = FILE_LIMIT) -> Seen[bytes]:
        """At most `limit` bytes of a regular file; anything else is unreadable."""
        try:
            descriptor = self.open(path)
        except OSError as error:
            return _answer(path, error)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return Unreadable(path, "is no regular file")
            return _read(descriptor, limit)
        except OSError as error:
            return _answer(path, error)
        finally:
            os.close(descriptor)

    def read(self, path: str, limit: int = FILE_LIMIT) -> Seen[str]:
        return as_text(self.read_bytes(path, limit))

    @contextmanager
    def parts(self, path: str) -> Iterator[Seen[Parts]]:
        """A regular file, open for the length of the block; anything else is unreadable."""
        try:
            descriptor = self.open(path)
        except OSError as error:
            yield _answer(path, error)
            return
        try:
            plain = stat.S_ISREG(os.fstat(descriptor).st_mode)
            found = OpenFile(path, descriptor) if plain else Unreadable(path, "is no regular file")
            yield found
        finally:
            os.close(descriptor)

    def tail(self, path: str, limit: int) -> Seen[str]:
        """The last `limit` bytes of a regular file as text."""
        try:
            descriptor = self.open(path)
        except OSError as error:
            return _answer(path, error)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                return Unreadable(path, "is no regular file")
            os.lseek(descriptor, max(0, status.st_size - limit), os.SEEK_SET)
            return _read(descriptor, limit).decode(errors="replace")
        except OSError as error:
            return _answer(path, error)
        finally:
            os.close(descriptor)

    def names(self, path: str) -> Seen[tuple[str, ...]]:
        try:
            self._begin(path)
            descriptor, real = self._folder(path.strip("/"))
            self._demand(real)
            with os.scandir(descriptor) as entries:
                found = [entry.name for entry, _ in zip(entries, range(_MAX_NAMES), strict=False)]
        except OSError as error:
            return _answer(path, error)
        return tuple(sorted(found))

    def link(self, path: str) -> Seen[str]:
        folder, _, name = path.strip("/").rpartition("/")
        try:
            self._begin(path)
            descriptor, real = self._folder(folder)
            self._demand(f"{real}/{name}")
            return os.readlink(name, dir_fd=descriptor)
        except OSError as error:
            if error.errno == errno.EINVAL:
                return Unreadable(path, "is no symbolic link")
            return _answer(path, error)

    def has(self, path: str) -> bool | Unreadable:
        folder, _, name = path.strip("/").rpartition("/")
        try:
            self._begin(path)
            descriptor, real = self._folder(folder)
            self._demand(f"{real}/{name}", or_above=True)
            os.stat(name, dir_fd=descriptor, follow_symlinks=False)
        except OSError as error:
            answer = _answer(path, error)
            return False if answer is None else answer
        return True

    def open(self, path: str, flags: int = _FILE) -> int:
        """A descriptor of what `path` names beneath the root; raises OSError."""
        self._begin(path)
        return self._file(path.strip("/"), flags)

    def folder_descriptor(self, path: str) -> int:
        """The open folder itself, ours until `forget`; raises OSError."""
        self._begin(path)
        descriptor, real = self._folder(path.strip("/"))
        self._demand(real)
        return descriptor

    def _file(self, path: str, flags: int) -> int:
        folder, _, name = path.rpartition("/")
        if name in {"", ".", ".."}:
            raise _LostError(errno.EISDIR, "Is a directory")
        descriptor, real = self._folder(folder)
        self._demand(f"{real}/{name}")
        try:
            return self._fresh(os.open(name, flags, dir_fd=descriptor), f"{real}/{name}")
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
        return self._file(self._target(descriptor, real, name), flags)

    def _folder(self, path: str) -> tuple[int, str]:
        """The folder's descriptor and its real path, which holds no link and no `..`."""
        found = self._open.get(path)
        if found:
            return found
        parent, _, name = path.rpartition("/")
        if name in {"", "."}:
            return self._folder(parent)
        up, real = self._folder(parent)
        if name == "..":
            return self._folder(real.rpartition("/")[0])
        here = f"{real}/{name}".lstrip("/")
        self._demand(here, or_above=True)
        try:
            found = self._fresh(os.open(name, _FOLDER, dir_fd=up), here), here
        except OSError as error:
            # A link answers ENOTDIR here, like a plain file; readlink tells them apart.
            if error.errno not in {errno.ELOOP, errno.ENOTDIR}:
                raise
            return self._folder(self._target(up, real, name))
        self._open[path] = found
        return found

    def _demand(self, real: str, *, or_above: bool = False) -> None:
        """Raise where a real path lies in no part; `or_above` lets pass what leads to one."""
        if self._parts is None:
            return
        at = real.strip("/")
        if or_above and at in self._above:
            return
        while at:
            if at in self._parts:
                return
            at = at.rpartition("/")[0]
        raise UnseenError(f"/{real.strip('/')} is not mounted here")

    def _fresh(self, descriptor: int, real: str) -> int:
        """A mount keeps a file or folder that the host has replaced since: it tells the past."""
        part = self._parts is not None and real.lstrip("/") in self._parts
        if part and os.fstat(descriptor).st_nlink == 0:
            os.close(descriptor)
            raise UnseenError(f"/{real.strip('/')} was replaced on the host after it was mounted")
        return descriptor

    def _target(self, folder: int, real: str, name: str) -> str:
        """Where the link `name` points, as a path from the root without `..`."""
        self._hops += 1
        if self._hops > _MAX_HOPS:
            raise _LostError(errno.ELOOP, "Too many symbolic links")
        try:
            text = os.readlink(name, dir_fd=folder)
        except OSError as error:
            if error.errno == errno.EINVAL:
                raise _LostError(errno.ENOTDIR, "Not a directory") from error
            raise
        at = "" if text.startswith("/") else real
        *steps, last = [step for step in text.split("/") if step not in {"", "."}] or [".."]
        for step in steps:
            at = (
                at.rpartition("/")[0]
                if step == ".."
                else self._folder(f"{at}/{step}".strip("/"))[1]
            )
        return at.rpartition("/")[0] if last == ".." else f"{at}/{last}".strip("/")


def _can_be_named(path: str) -> bool:
    """Whether bytes of a file name stand behind it: text of a capture's JSON may be anything."""
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return False
    return True


def _read(descriptor: int, limit: int) -> bytes:
    """Up to `limit` bytes: procfs and sysfs give no size, and short reads are normal."""
    parts = []
    while limit > 0 and (part := os.read(descriptor, min(limit, 1 << 16))):
        parts.append(part)
        limit -= len(part)
    return b"".join(parts)


def _answer(path: str, error: OSError) -> Unreadable | None:
    if error.errno in ABSENT:
        return None
    return Unreadable(path, why(error))


def why(error: OSError) -> str:
    """`EPERM: Operation not permitted`."""
    if isinstance(error, UnseenError):
        return str(error.strerror)
    name = errno.errorcode.get(error.errno or 0, "error")
    return f"{name}: {error.strerror or error}"
