"""Hears what the kernel says of PCI devices, drivers and CPUs, so that a look comes at once."""

from __future__ import annotations

import logging
import select
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyudev

log = logging.getLogger(__name__)

_SUBSYSTEMS = ("pci", "cpu", "vfio", "drivers", "module")
_SETTLE_S = 0.1
"""One plug is several events, and a driver binds a moment after them: one look for all. A device
that comes and goes without end costs ten looks a second, and no more."""


class Ear:
    """Waits for a time, or until the kernel tells of something. Without it, for the time alone."""

    def __init__(self, monitor: pyudev.Monitor | None) -> None:
        self._monitor = monitor

    def fileno(self) -> int | None:
        return None if self._monitor is None else self._monitor.fileno()

    def wait(self, seconds: float) -> bool:
        """Whether something happened."""
        number = self.fileno()
        if number is None:
            time.sleep(seconds)
            return False
        select.select([number], [], [], seconds)
        return self.drain()

    def drain(self) -> bool:
        """Take what waits, and what comes right after it; whether there was anything."""
        if not self._taken():
            return False
        time.sleep(_SETTLE_S)
        self._taken()
        return True

    def _taken(self) -> bool:
        """A storm that the kernel could not hand over (ENOBUFS) is something that happened."""
        heard = False
        try:
            while self._monitor is not None and self._monitor.poll(timeout=0) is not None:
                heard = True
        except OSError as error:
            log.debug("events of the kernel were lost: %s", error)
            return True
        return heard


@contextmanager
def listening(*, live: bool) -> Iterator[Ear]:
    """For this machine alone; where the kernel cannot be heard, polling is all there is."""
    yield Ear(_monitor() if live else None)


def _monitor() -> pyudev.Monitor | None:
    try:
        import pyudev  # noqa: PLC0415 - loads libudev, which few commands need

        monitor = pyudev.Monitor.from_netlink(pyudev.Context(), source="kernel")
        for subsystem in _SUBSYSTEMS:
            monitor.filter_by(subsystem)
        monitor.start()
    except (ImportError, OSError) as error:
        log.debug("no events from the kernel, looking by the clock alone: %s", error)
        return None
    return monitor
