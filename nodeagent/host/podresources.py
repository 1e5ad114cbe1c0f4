"""Which pods hold devices of NVIDIA's, as the kubelet says, asked by a process that can be killed.

The kubelet speaks gRPC, which is HTTP/2; the agent shall hold neither in memory, nor wait for a
kubelet that hangs. kubelet_child.py is that process.
"""

import json
import os
import stat
import sys
from typing import NamedTuple

from nodeagent.host import mounts
from nodeagent.host.root import ABSENT, Root, why
from nodeagent.model.cluster import Guest
from nodeagent.model.seen import Seen, Unreadable
from nodeagent.model.text import printable

SOCKET = "/var/lib/kubelet/pod-resources/kubelet.sock"
DEADLINE_S = 5.0
_GRACE_S = 2.0  # for the child to start and to end
_NAME_CHARS = 253
_CHILD = os.path.join(os.path.dirname(__file__), "kubelet_child.py")


class Answer(NamedTuple):
    """`socket` is another one after each start of the kubelet; `made_s`: when, since the epoch."""

    guests: tuple[Guest, ...]
    socket: tuple[int, int, int]
    made_s: float


def ask(folder: str, path: str, *, deadline_s: float = DEADLINE_S) -> Seen[Answer]:
    """The host's socket `path`, beneath `folder`; absent where there is none."""
    root = Root(folder, parts=None if folder == "/" else mounts.parts(folder))
    try:
        # O_PATH: a socket cannot be opened, but it can be held, and connected to.
        descriptor = root.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        return None if error.errno in ABSENT else Unreadable(path, why(error))
    finally:
        root.close()
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISSOCK(status.st_mode):
            return Unreadable(path, "is no socket")
        guests = _parsed(path, _asked(descriptor, deadline_s), deadline_s)
    finally:
        os.close(descriptor)
    if isinstance(guests, Unreadable):
        return guests
    which = (status.st_dev, status.st_ino, status.st_ctime_ns)
    return Answer(guests, which, status.st_ctime)


def _asked(descriptor: int, deadline_s: float) -> bytes | None:
    """What the child printed; None where it had to be killed."""
    import subprocess  # noqa: PLC0415 - only where a switch is ahead

    child = subprocess.Popen(  # noqa: S603 - our own module, by our own interpreter
        # Isolated and by path, as the one that asks the PSP; h2 is in the interpreter's packages.
        [sys.executable, "-I", _CHILD, str(descriptor), str(deadline_s)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pass_fds=(descriptor,),
        env={"PATH": os.defpath},
        cwd="/",
    )
    with child:
        try:
            output, _ = child.communicate(timeout=deadline_s + _GRACE_S)
        except subprocess.TimeoutExpired:
            child.kill()
            return None
    return output


def _parsed(path: str, output: bytes | None, deadline_s: float) -> tuple[Guest, ...] | Unreadable:
    if output is None:
        return Unreadable(path, f"no answer within {deadline_s:g} s")
    try:
        answer = json.loads(output)
        if "pods" in answer:
            return tuple(
                Guest(
                    printable(each["namespace"], _NAME_CHARS),
                    printable(each["name"], _NAME_CHARS),
                    tuple(printable(text, _NAME_CHARS) for text in each["resources"]),
                )
                for each in answer["pods"]
            )
        return Unreadable(path, printable(answer["cannot"]))
    except (ValueError, KeyError, TypeError):
        return Unreadable(path, "the process that asks the kubelet died")
