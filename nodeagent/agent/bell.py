"""What wakes the loop: time, signals, and the kernel's events."""

import select
import signal
import socket
from contextlib import suppress
from enum import Enum, auto
from types import FrameType
from typing import Self

from nodeagent.agent.uevents import Ear


class Rang(Enum):
    TIME = auto()
    LOOK = auto()
    STOP = auto()


class Bell:
    """SIGTERM and SIGINT stop, SIGHUP asks for a look; both wake a wait at once.

    A pipe and not an Event: a handler that runs while its own thread is inside Event.wait
    would wait for the lock which that thread holds. Main thread only.
    """

    _STOP = (signal.SIGTERM, signal.SIGINT)

    def __init__(self, kernel: Ear | None = None) -> None:
        """`kernel`: whose events ask for a look as well."""
        self._stop = False
        self._look = False
        self._kernel = kernel

    def __enter__(self) -> Self:
        self._ear, self._cord = socket.socketpair()
        self._ear.setblocking(False)
        self._cord.setblocking(False)
        self._before = signal.set_wakeup_fd(self._cord.fileno(), warn_on_full_buffer=False)
        watched = (*self._STOP, signal.SIGHUP)
        self._handlers = {number: signal.signal(number, self._heard) for number in watched}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._before)
        self._ear.close()
        self._cord.close()

    def _heard(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if number in self._STOP:
            self._stop = True
        else:
            self._look = True

    def ring(self) -> None:
        """Ask for a look, from any thread."""
        self._look = True
        with suppress(OSError):  # full of rings that nobody has heard yet
            self._cord.send(b"\0")

    @property
    def stopped(self) -> bool:
        return self._stop

    def wait(self, seconds: float) -> Rang:
        """Until something rings, or for that long."""
        number = self._kernel.fileno() if self._kernel else None
        heard = [self._ear.fileno()] if number is None else [self._ear.fileno(), number]
        if not (self._stop or self._look):
            select.select(heard, [], [], max(0.0, seconds))
        self._drain()
        self._look = bool(self._kernel and self._kernel.drain()) or self._look
        if self._stop:
            return Rang.STOP
        rang = Rang.LOOK if self._look else Rang.TIME
        self._look = False
        return rang

    def _drain(self) -> None:
        try:
            while self._ear.recv(64):
                pass
        except BlockingIOError:
            pass
