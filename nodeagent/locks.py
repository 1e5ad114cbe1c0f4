"""A lock per device, so that two programs never change one: a file each under /run.

Whoever writes for a device keeps its descriptor, so the lock outlives us for as long as a write
that does not return does.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from nodeagent.errors import AgentError, HostError

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_LIMIT = 1 << 12
LOOK = "look"
_LOOK_S = 15.0  # a device that was just switched on is given time to boot by a look
_ENDED = frozenset("ZX")  # states of /proc/PID/stat


class BusyError(AgentError):
    """Somebody else changes the device, or a write of an earlier program is stuck in it."""


@contextmanager
def taken(folder: Path, bdfs: Iterable[str], *, command: str) -> Iterator[Mapping[str, int]]:
    """Every device's lock, as descriptors by address; BusyError names who has one already."""
    with ExitStack() as stack:
        locks = {bdf: _open(folder, bdf, stack) for bdf in sorted(set(bdfs))}
        for bdf, lock in locks.items():
            if not _lock_soon(lock):
                raise _busy(bdf, _told(lock))
        for lock in locks.values():
            _tell(lock, command)
        yield locks


@contextmanager
def free(folder: Path, bdfs: Iterable[str], *, command: str) -> Iterator[Mapping[str, int]]:
    """The locks that nobody has. HostError where the folder cannot be written."""
    with ExitStack() as stack:
        opened = {bdf: _open(folder, bdf, stack) for bdf in sorted(set(bdfs))}
        locks = {bdf: lock for bdf, lock in opened.items() if _lock(lock)}
        for lock in locks.values():
            _tell(lock, command)
        yield locks


def note_writer(lock: int, pid: int) -> None:
    """Which process writes for us: should we die, it may be what still has the lock."""
    _note(lock, {**_told(lock), "writer": pid, "writer_started": started(pid)})


def _tell(lock: int, command: str) -> None:
    pid, since = os.getpid(), time.strftime("%H:%M:%S")
    _note(lock, {"command": command, "since": since, "pid": pid, "started": started(pid)})


def _note(lock: int, noted: Mapping[str, object]) -> None:
    with suppress(OSError):  # for a message alone; the lock itself stands
        os.ftruncate(lock, 0)
        os.pwrite(lock, json.dumps(noted).encode(), 0)


def started(pid: int) -> int | None:
    """When a process began, in clock ticks since the boot; None where it lives no more.

    With its number it is one process: numbers alone come again (field 22 of /proc/PID/stat).
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            state, *rest = file.read(_LIMIT).rpartition(b")")[2].split()
        return None if state.decode() in _ENDED else int(rest[18])
    except (OSError, ValueError, IndexError):
        return None


def _busy(bdf: str, noted: Mapping[str, object]) -> BusyError:
    """What to say of a device whose lock another process has."""
    since = f" since {noted.get('since')}" if noted.get("since") else ""
    pid, writer = noted.get("pid"), noted.get("writer")
    if isinstance(pid, int) and started(pid) == noted.get("started"):
        return BusyError(
            f"{bdf} is being changed by nodeagent {noted.get('command', '?')} (pid {pid}){since}",
            hint="wait until it is done",
        )
    if isinstance(writer, int) and started(writer) == noted.get("writer_started"):
        return BusyError(
            f"a write to {bdf} is stuck{since}: pid {writer}{_sleeps_in(writer)}, left behind by "
            "a program that is gone",
            hint="end what uses the device; if it never returns, reboot. Nothing else is tried",
        )
    return BusyError(f"{bdf} is locked by another process{since}", hint="wait until it is done")


def _sleeps_in(pid: int) -> str:
    """The kernel function it waits in, where we may know."""
    try:
        with open(f"/proc/{pid}/wchan", encoding="ascii", errors="replace") as file:
            where = file.read(80).strip()
    except OSError:
        return ""
    return f" in {where}" if where.isidentifier() else ""


def _open(folder: Path, bdf: str, stack: ExitStack) -> int:
    try:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        lock = os.open(folder / f"{bdf}.lock", _FLAGS, 0o600)
    except OSError as error:
        raise HostError(
            f"cannot lock {bdf}: {folder}", hint="run as root, with /run writable"
        ) from error
    stack.callback(os.close, lock)
    return lock


def _lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _lock_soon(lock: int) -> bool:
    """A look has a device for a moment alone: that is waited for, whoever changes it is not."""
    until = time.monotonic() + _LOOK_S
    while not _lock(lock):
        if _told(lock).get("command") != LOOK or time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def _told(lock: int) -> Mapping[str, object]:
    try:
        found = json.loads(os.pread(lock, _LIMIT, 0))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
