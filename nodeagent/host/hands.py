"""Processes that write to sysfs in our place, one a device, so that none can hold us up.

Started before there are threads, with the device's lock open in each (see locks.py).
"""

import contextlib
import os
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterator, Mapping

from nodeagent.errors import StuckWriteError

_CHILD = os.path.join(os.path.dirname(__file__), "hand.py")
_ORDERS, _LOCK = 0, 3
_END_S = 2.0

DEADLINES_S = {"reset": 90.0, "bind": 120.0, "unbind": 60.0}
"""A function level reset is waited for by the kernel for up to a minute; a driver may take long
to start eight GPUs."""
OTHERS_S = 30.0


class Hand:
    """One process, for one device."""

    def __init__(self, lock: int) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            # What is not named here is closed on exec; its own session, so that Ctrl-C is ours.
            self.pid = os.posix_spawn(
                sys.executable,
                [sys.executable, "-I", "-S", _CHILD, str(_ORDERS)],
                {"LC_ALL": "C"},
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, theirs.fileno(), _ORDERS),
                    # Whoever reads what we print must not wait for one that is stuck.
                    (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
                    (os.POSIX_SPAWN_DUP2, lock, _LOCK),
                ],
                setsid=True,
                setsigdef=[signal.SIGTERM, signal.SIGINT],
            )
        self._orders = ours
        self._stuck: StuckWriteError | None = None

    def write(self, descriptor: int, path: str, text: str, deadline_s: float) -> None:
        """OSError as the kernel answered; StuckWriteError now and for ever after the deadline."""
        if self._stuck is not None:
            raise self._stuck
        socket.send_fds(self._orders, [text.encode()], [descriptor])
        answered, _, _ = select.select([self._orders], [], [], deadline_s)
        answer = self._orders.recv(4) if answered else b""
        if not answered:
            self._stuck = StuckWriteError(path, deadline_s)
            raise self._stuck
        if len(answer) != 4:
            raise OSError(5, "the process that writes for this device has ended", path)
        errno: int = struct.unpack("<i", answer)[0]
        if errno:
            raise OSError(errno, os.strerror(errno), path)

    def close(self) -> None:
        """Let it end; one that is stuck in a write is left to it."""
        self._orders.close()
        until = time.monotonic() + _END_S
        while os.waitpid(self.pid, os.WNOHANG) == (0, 0):
            if self._stuck is not None or time.monotonic() > until:
                return
            time.sleep(0.001)


@contextlib.contextmanager
def started(locks: Mapping[str, int]) -> Iterator[Mapping[str, Hand]]:
    """A hand for each device, until the block ends."""
    with contextlib.ExitStack() as stack:
        found = {}
        for bdf, lock in locks.items():
            found[bdf] = Hand(lock)
            stack.callback(found[bdf].close)
        yield found
