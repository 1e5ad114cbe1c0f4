"""Which parts of a host are mounted at a folder, where only some are, as in a pod."""

import os

MOUNTINFO = "/proc/self/mountinfo"
_LIMIT = 8 << 20


def parts(folder: str) -> frozenset[str] | None:
    """What of the host at `folder` may be believed, relative to it; None: the whole of it.

    Empty, where the table of mounts cannot be read: nothing is believed then.
    """
    try:
        with open(MOUNTINFO, "rb") as file:
            table = file.read(_LIMIT)
    except OSError:
        return frozenset()  # nothing can be told from what was not mounted
    return parts_of(os.path.realpath(folder), table.decode(errors="surrogateescape"))


def parts_of(folder: str, mountinfo: str) -> frozenset[str] | None:
    """The mount points beneath a folder that is none itself.

    Between them lie the container's own folders, which say nothing of the host. Where
    nothing is mounted beneath, or the folder itself is a mount, all of it is the host's.
    """
    points = {_unescaped(line.split(" ", 5)[4]) for line in mountinfo.split("\n") if line}
    above = folder.rstrip("/") + "/"
    if folder in points:
        return None
    return frozenset(point.removeprefix(above) for point in points if point.startswith(above)) or (
        None
    )


def _unescaped(point: str) -> str:
    """The kernel writes blanks and backslashes as three octal digits (proc(5))."""
    head, *rest = point.split("\\")
    return head + "".join(chr(int(part[:3], 8)) + part[3:] for part in rest)
