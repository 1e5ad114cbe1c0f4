"""This boot's kernel log: the ring, then the journal, then a log file."""

import os
from collections.abc import Iterator
from itertools import islice

from nodeagent.host.root import Root, why
from nodeagent.model.seen import Seen, Unreadable

RING = "/dev/kmsg"
_JOURNALS = ("/var/log/journal", "/run/log/journal")
_FILES = ("/var/log/kern.log", "/var/log/messages", "/var/log/dmesg")
_BOOT = "Linux version "
_RING_LIMIT = 64 << 20
_LINE_LIMIT = 1024  # the kernel's own limit for one record
_MAX_LINES = 400_000
_JOURNAL_DEADLINE_S = 10.0

Lines = tuple[str, Iterator[str]]


def clean(raw: str) -> str:
    """A line without the prefix of /dev/kmsg, dmesg, journal or syslog."""
    head, semicolon, text = raw.partition(";")
    if semicolon and head[:1].isdecimal() and "," in head:
        return text
    if raw.startswith("["):
        return raw.partition("] ")[2] or raw
    at = raw.find(" kernel: ")
    if at < 0:
        return raw
    text = raw[at + len(" kernel: ") :]
    return text.partition("] ")[2] or text if text.startswith("[") else text


def ring(root: Root) -> Seen[Lines]:
    """The live ring buffer, one record a read; never waits for a next one."""
    try:
        descriptor = root.open(RING, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    except OSError as error:
        return Unreadable(RING, why(error))
    try:
        lines = list(_records(descriptor))
    except OSError as error:
        return Unreadable(RING, why(error))
    finally:
        os.close(descriptor)
    return RING, iter(lines)


def _records(descriptor: int) -> Iterator[str]:
    left = _RING_LIMIT
    while left > 0:
        try:
            record = os.read(descriptor, 8192)
        except BlockingIOError:
            return
        except BrokenPipeError:
            continue  # overwritten while we read: the next read goes on with what is there
        if not record:
            return
        left -= len(record)
        # Continuation lines (" KEY=value") describe the device, not the event.
        yield clean(record.decode(errors="replace").partition("\n")[0])[:_LINE_LIMIT]


def journal(root: Root) -> Seen[Lines]:
    """This boot's kernel lines as journald kept them, read by our own journalctl."""
    import shutil  # noqa: PLC0415 - only where the ring does not do
    import subprocess  # noqa: PLC0415

    program = shutil.which("journalctl", path="/usr/bin:/bin")
    name = next((name for name in _JOURNALS if root.has(name) is True), None)
    if not program or not name:
        return None
    try:
        folder = root.folder_descriptor(name)
        done = subprocess.run(  # noqa: S603 - a fixed program and no word from outside
            [program, "-kbq", "--output=cat", "--no-pager", f"--directory=/proc/self/fd/{folder}"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_JOURNAL_DEADLINE_S,
            check=False,
            pass_fds=(folder,),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Unreadable(name, str(error))
    if done.returncode or not done.stdout:
        return Unreadable(name, "journalctl found no kernel log of this boot")
    lines = done.stdout[:_RING_LIMIT].decode(errors="replace").split("\n")
    return name, (clean(line)[:_LINE_LIMIT] for line in lines)


def files(root: Root, names: tuple[str, ...] = _FILES) -> Seen[Lines]:
    """The last boot's part of a log file: everything from its last `Linux version` on."""
    gap: Unreadable | None = None
    for name in names:
        text = root.read(name, _RING_LIMIT)
        if isinstance(text, Unreadable):
            gap = gap or text
        elif text:
            lines = [clean(line)[:_LINE_LIMIT] for line in islice(text.split("\n"), _MAX_LINES)]
            starts = [number for number, line in enumerate(lines) if line.startswith(_BOOT)]
            if starts:
                return name, iter(lines[starts[-1] :])
    return gap
