"""Finds processes by name: those that start pods."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from nodeagent.model.seen import Unreadable
from nodeagent.seams import Files

_CHILDREN = "/proc/1/task/1/children"
_CMDLINE_LIMIT = 64 << 10
_MAX_PROCESSES = 1 << 17


class Process(NamedTuple):
    """A running process, and the words that it was started with."""

    pid: int
    name: str
    words: tuple[str, ...] | Unreadable


class Found(NamedTuple):
    """Services of the host before all others. `closed`: what kept us from seeing them all."""

    processes: tuple[Process, ...]
    closed: Unreadable | None

    def of(self, names: Collection[str]) -> Process | None:
        return next((each for each in self.processes if each.name in names), None)


def find(files: Files, *kinds: Collection[str]) -> Found:
    """Processes by /proc/PID/comm, until there is one of each kind of names.

    Children of the first process come first: services are among them, and the thousands of
    kernel threads of a large host are not.
    """
    listed = files.names("/proc")
    if not isinstance(listed, tuple):
        return Found((), listed or Unreadable("/proc", "is absent"))
    pids = sorted((name for name in listed if name.isdecimal()), key=int)[:_MAX_PROCESSES]
    # Mounted with hidepid, it shows to each only its own.
    closed = None if pids[:1] == ["1"] else Unreadable("/proc", "hides the first process")
    found: list[Process] = []
    missing = list(kinds)
    for pid in _services_first(files, pids):
        if not missing:
            break
        name = files.read(f"/proc/{pid}/comm", 64)
        if isinstance(name, Unreadable):
            closed = closed or name
        elif name and any(name in kind for kind in kinds):
            found.append(Process(int(pid), name, _words(files, pid)))
            missing = [kind for kind in missing if name not in kind]
    return Found(tuple(found), closed)


def _services_first(files: Files, pids: Sequence[str]) -> Sequence[str]:
    text = files.read(_CHILDREN, 1 << 16)
    children = text.split() if isinstance(text, str) else []
    there = set(pids)
    return list(dict.fromkeys([*(pid for pid in children if pid in there), *pids]))


def _words(files: Files, pid: str) -> tuple[str, ...] | Unreadable:
    path = f"/proc/{pid}/cmdline"
    raw = files.read_bytes(path, _CMDLINE_LIMIT)
    if not isinstance(raw, bytes) or not raw:
        return raw if isinstance(raw, Unreadable) else Unreadable(path, "is empty")
    return tuple(word.decode(errors="surrogateescape") for word in raw.rstrip(b"\0").split(b"\0"))
