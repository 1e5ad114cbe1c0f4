"""A wire to a server that can be cut, slowed, and held so that nobody hears anything any more."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from typing import Self

_CHUNK = 1 << 16


class Wire:
    """Bytes from a port of its own to `port` and back, for as long as a `with` block lasts.

    `delay_s` holds up each piece. While `is_held` nothing passes, and nobody is told.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._end = threading.Event()
        self.delay_s = 0.0
        self.is_held = False

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """Every connection there is; new ones may come."""
        with self._lock:
            ends, self._open = self._open, set()
        for each in ends:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        while not self._end.is_set():
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._to), timeout=5)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            with self._lock:
                self._open |= {near, far}
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(source, sink), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError, ValueError):
            while data := source.recv(_CHUNK):
                time.sleep(self.delay_s)
                while self.is_held and not self._end.is_set():
                    time.sleep(0.02)
                sink.sendall(data)
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
