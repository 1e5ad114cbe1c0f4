"""Talk to the service manager: sd_notify(3) without its library."""

import logging
import os
import socket
from collections.abc import Mapping

log = logging.getLogger(__name__)


class Notifier:
    """Says nothing where no service manager listens. `interval_s`: how often it wants a sign."""

    def __init__(self, environment: Mapping[str, str], pid: int) -> None:
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        self.interval_s = _interval(environment, pid) if self._address else None
        self._is_ready = False
        self._status = ""

    def ready(self) -> None:
        """To be said again and again: it is sent until the manager took it once."""
        if not self._is_ready:
            self._is_ready = self._send("READY=1")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def alive(self) -> None:
        if self.interval_s is not None:
            self._send("WATCHDOG=1")

    def status(self, line: str) -> None:
        """One line, sent only when it changes."""
        if line != self._status and self._send("STATUS=" + line.replace("\n", " ")):
            self._status = line

    def _send(self, text: str) -> bool:
        """Whether the manager took it. Never waits: its queue holds a handful of messages."""
        if not self._address:
            return False
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
                channel.setblocking(False)
                channel.sendto(text.encode(errors="replace"), self._address)
        except OSError as error:
            # The manager restarts a silent service; it is no reason to end by ourselves.
            log.debug("cannot notify the service manager: %s", error)
            return False
        return True


def _address(told: str) -> str:
    """`@name` means the abstract namespace. Other families (vsock) are not spoken."""
    if told.startswith("@"):
        return "\0" + told[1:]
    return told if os.path.isabs(told) else ""


def _interval(environment: Mapping[str, str], pid: int) -> float | None:
    """Half of what the manager waits for, as sd_watchdog_enabled(3) recommends."""
    if environment.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    limit = environment.get("WATCHDOG_USEC", "")
    if not (limit.isdecimal() and int(limit) > 0):
        return None
    return int(limit) / 2e6
