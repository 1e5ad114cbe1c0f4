"""The agent's two files on its node: what it is doing, and what has happened."""

import json
import os
import stat
import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from nodeagent.errors import HostError
from nodeagent.model import status as words
from nodeagent.model.status import Agent, Entry, Status

STATUS, HISTORY = "status.json", "history.jsonl"
MOST = 100
_LIMIT = 1 << 20
_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_MISSED = 3
_AT_LEAST_S = 100.0
"""A cycle may take longer than its period: a look at GPUs that sleep, a server that is slow."""


class Told(NamedTuple):
    """A status as it was found, and how long ago its agent last gave a sign of life."""

    status: Status
    is_alive: bool
    age_s: float
    heartbeat: float


def here() -> Agent:
    """This process."""
    from nodeagent.locks import started  # noqa: PLC0415 - most looks find no agent to compare with

    pid = os.getpid()
    return Agent(pid, started(pid) or 0, _namespace(), _boot_id())


def read_status(folder: str) -> Told | None:
    """None where no agent has left one. HostError where what is there is not one, or is hidden."""
    path = os.path.join(folder, STATUS)
    found = _read(path)
    if found is None:
        return None
    raw, heartbeat = found
    try:
        told = words.status(json.loads(raw))
    except (ValueError, RecursionError):
        told = None
    if told is None:
        raise HostError(
            f"{path} is not as this program writes it",
            hint="an agent that runs writes it anew in its next cycle",
        )
    age_s = max(0.0, time.time() - heartbeat)
    return Told(told, is_alive(told.agent, age_s), age_s, heartbeat)


def is_alive(agent: Agent, age_s: float) -> bool:
    """By its process; where that is in another namespace, such as a pod's, by its heartbeat."""
    if agent.boot_id != _boot_id():
        return False
    if agent.namespace == _namespace():
        return _runs(agent)
    return age_s <= max(_MISSED * agent.period_s, _AT_LEAST_S)


def _runs(agent: Agent) -> bool:
    from nodeagent.locks import started  # noqa: PLC0415

    return started(agent.pid) == agent.started


def read_history(folders: Iterable[str]) -> tuple[list[Entry], int] | None:
    """The last transitions, oldest first, and how many lines were none; None without any file."""
    found = [each for folder in dict.fromkeys(folders) if (each := _entries(folder)) is not None]
    if not found:
        return None
    entries = [entry for told, _ in found for entry in told]
    entries.sort(key=lambda entry: entry.at)  # stable: in the order of one file within a second
    return entries[-MOST:], sum(bad for _, bad in found)


def _entries(folder: str) -> tuple[list[Entry], int] | None:
    found = _read(os.path.join(folder, HISTORY))
    if found is None:
        return None
    entries, bad = [], 0
    for line in found[0].splitlines():
        entry = _entry(line)
        if entry is None:
            bad += bool(line.strip())
        else:
            entries.append(entry)
    return entries, bad


def _entry(line: bytes) -> Entry | None:
    try:
        return words.entry(json.loads(line))
    except (ValueError, RecursionError):
        return None


def write_status(folder: str, status: Status) -> None:
    """OSError where it cannot be."""
    _replace(folder, STATUS, json.dumps(words.document(status)).encode())


def write_history(folder: str, entries: Sequence[Entry]) -> None:
    """OSError where it cannot be."""
    lines = [json.dumps(words.document(entry)) for entry in entries[-MOST:]]
    _replace(folder, HISTORY, "".join(f"{line}\n" for line in lines).encode())


def make(folder: str) -> None:
    """The folder, where only it is missing; whether it can be used is seen by writing."""
    try:
        os.mkdir(folder, 0o755)
    except OSError:
        return


def _read(path: str) -> tuple[bytes, float] | None:
    """Its bytes and when it was last touched. A device or a pipe there is not waited for."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        fd = os.open(path, flags)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise HostError(f"cannot read {path}", hint="run as root") from error
    with open(fd, "rb") as file:
        seen = os.fstat(fd)
        if not stat.S_ISREG(seen.st_mode):
            raise HostError(f"{path} is no file")
        try:
            return file.read(_LIMIT), seen.st_mtime
        except OSError as error:
            raise HostError(f"cannot read {path}") from error


def _replace(folder: str, name: str, data: bytes) -> None:
    """Beside it, then renamed over: whoever reads sees the old file or the new one."""
    part = os.path.join(folder, f".{name}.part")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with open(os.open(part, flags, 0o644), "wb") as file:
        file.write(data)
    os.replace(part, os.path.join(folder, name))


def _namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _boot_id() -> str:
    try:
        with open(_BOOT_ID, encoding="ascii") as file:
            return file.read(64).strip()
    except OSError:
        return ""
