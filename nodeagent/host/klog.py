"""This boot's kernel log: the ring, then the journal, then a log file."""

import os
import select
import time
from collections.abc import Iterator

from nodeagent.host.root import Root, why
from nodeagent.model.host import Uname
from nodeagent.model.seen import Seen, Unreadable

RING = "/dev/kmsg"
_JOURNALS = ("/var/log/journal", "/run/log/journal")
_FILES = ("/var/log/kern.log", "/var/log/messages", "/var/log/dmesg")
_BOOT = "Linux version "
_RING_LIMIT = 64 << 20
_LINE_LIMIT = 1024  # the kernel's own limit for one record
_PREFIX_LIMIT = 256
_TAIL = 8 << 20
_JOURNAL_DEADLINE_S = 10.0

Lines = tuple[str, Iterator[str]]


def clean(raw: str) -> str:
    """A line without the prefix of /dev/kmsg, dmesg, journal or syslog, and of bounded length."""
    return _text(raw[: _LINE_LIMIT + _PREFIX_LIMIT])[:_LINE_LIMIT]


def _text(raw: str) -> str:
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
        yield clean(record.decode(errors="replace").partition("\n")[0])


def journal(root: Root) -> Seen[Lines]:
    """This boot's kernel lines as journald kept them, read by our own journalctl.

    The boot is named: with a folder given, `-b` alone means the newest boot in that folder.
    """
    import shutil  # noqa: PLC0415 - only where the ring does not do

    program = shutil.which("journalctl", path="/usr/bin:/bin")
    boot = root.read("/proc/sys/kernel/random/boot_id", 64)
    if not program or not isinstance(boot, str):
        return None
    gap: Unreadable | None = None
    for name in _JOURNALS:
        try:
            folder = root.folder_descriptor(name)
        except OSError:
            continue
        text = _journal(program, boot.replace("-", ""), folder)
        if isinstance(text, str):
            return name, (clean(line) for line in text.split("\n"))
        gap = gap or Unreadable(name, text.why)
    return gap


def _journal(program: str, boot: str, folder: int) -> str | Unreadable:
    """At most _TAIL bytes, so that a journal of any size costs no more than that."""
    import subprocess  # noqa: PLC0415

    command = [program, "-kq", f"--boot={boot}", "--output=cat", "--no-pager"]
    child = subprocess.Popen(  # noqa: S603 - a fixed program; the boot id is the kernel's own
        [*command, f"--directory=/proc/self/fd/{folder}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pass_fds=(folder,),
    )
    with child:
        raw = _until(child.stdout.fileno() if child.stdout else -1, _JOURNAL_DEADLINE_S)
        child.kill()
    if not raw:
        return Unreadable(RING, "the journal has no kernel log of this boot")
    return raw.decode(errors="replace")


def _until(descriptor: int, deadline_s: float) -> bytes:
    """What arrives before the end, the deadline or _TAIL bytes, whichever is first."""
    end = time.monotonic() + deadline_s
    parts: list[bytes] = []
    size = 0
    while size < _TAIL and (left := end - time.monotonic()) > 0:
        if not select.select([descriptor], [], [], left)[0]:
            break
        part = os.read(descriptor, 1 << 16)
        if not part:
            break
        parts.append(part)
        size += len(part)
    return b"".join(parts)


def files(root: Root, banner: Uname | None, names: tuple[str, ...] = _FILES) -> Seen[Lines]:
    """A log file's last boot, if its banner is the running kernel's: else it is another's.

    Only the end of the file is looked at, however long it is.
    """
    gap: Unreadable | None = None
    for name in names:
        text = root.tail(name, _TAIL)
        if isinstance(text, Unreadable):
            gap = gap or text
            continue
        lines = [clean(line) for line in (text or "").split("\n")]
        starts = [number for number, line in enumerate(lines) if line.startswith(_BOOT)]
        if starts and banner and _is_banner(lines[starts[-1]], banner):
            return name, iter(lines[starts[-1] :])
    return gap


def _is_banner(line: str, uname: Uname) -> bool:
    return line.startswith(f"{_BOOT}{uname.release} ") and line.rstrip().endswith(uname.version)
