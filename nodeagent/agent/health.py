"""Liveness, readiness and metrics over HTTP (kubernetes.md §6.3, §6.4)."""

import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, ClassVar

from nodeagent.errors import HostError, UsageError

PERIODS = 3
AT_LEAST_S = 10.0
"""A busy machine may keep us from running for seconds; that is no reason to restart us."""
CYCLE_S = 90.0
"""What one cycle may take on top: four calls that all run into their timeouts, and the look."""


Told = Callable[[], tuple[bytes, str]]


class Pulse:
    """Whether the loop goes round, and whether it has done its first job."""

    def __init__(self, period_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._period_s = period_s
        self._last = clock()
        self._working = False
        self.is_ready = False

    def beat(self) -> None:
        self._last = self._clock()

    @contextmanager
    def working(self) -> Iterator[None]:
        self.beat()
        self._working = True
        try:
            yield
        finally:
            self._working = False
            self.beat()

    @property
    def is_alive(self) -> bool:
        """Says nothing of the API, the GPUs or the findings: to restart us would not help."""
        allowed = max(PERIODS * self._period_s, AT_LEAST_S)
        if self._working:
            allowed += CYCLE_S
        return self._clock() - self._last <= allowed


@contextmanager
def serving(address: str, pulse: Pulse, metrics: Told | None = None) -> Iterator[None]:
    """Answer on HOST:PORT while inside; an empty address answers nowhere.

    `metrics` gives what /metrics answers, and of which type that is.

    Raises UsageError for another shape of address, HostError where it cannot be had.
    """
    if not address:
        yield
        return
    server = _listen(*_parsed(address), pulse)
    server.metrics = metrics
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


def _parsed(address: str) -> tuple[str, int]:
    host, colon, port = address.rpartition(":")
    if not (colon and port.isdecimal() and int(port) < 1 << 16):
        raise UsageError(f"{address!r} is no HOST:PORT", hint="for example 127.0.0.1:8081")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _listen(host: str, port: int, pulse: Pulse) -> "_Server":
    try:
        return _Server(host, port, pulse)
    except OSError as error:
        raise HostError(
            f"cannot listen on {host}:{port}", hint="choose another address with --health"
        ) from error


class _Server(socketserver.ThreadingTCPServer):
    """Not http.server's: that one asks the DNS for its own name before it listens.

    A thread a request, so that a caller who says nothing holds up only itself.
    """

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def __init__(self, host: str, port: int, pulse: Pulse) -> None:
        self._both = not host and socket.has_dualstack_ipv6()
        wide = self._both or ":" in host
        self.address_family = socket.AF_INET6 if wide else socket.AF_INET
        self.pulse = pulse
        self.metrics: Told | None = None
        super().__init__((host, port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """A caller that hangs up is no news, and no reason for a traceback in the log."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)

    def server_bind(self) -> None:
        """No host means every address: a cluster's pods may have IPv6 ones alone."""
        if self._both:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


class _Handler(BaseHTTPRequestHandler):
    timeout: ClassVar[float] = 5.0
    server: _Server

    def do_GET(self) -> None:
        pulse = self.server.pulse
        match self.path.partition("?")[0]:
            case "/healthz":
                self._answer(pulse.is_alive, "the loop has stopped")
            case "/readyz":
                self._answer(pulse.is_ready, "nothing was published yet")
            case "/metrics" if self.server.metrics:
                self._send(HTTPStatus.OK, *self.server.metrics())
            case _:
                self._say(HTTPStatus.NOT_FOUND, "there are /healthz, /readyz and /metrics")

    def _answer(self, good: bool, otherwise: str) -> None:
        if good:
            self._say(HTTPStatus.OK, "ok")
        else:
            self._say(HTTPStatus.SERVICE_UNAVAILABLE, otherwise)

    def _say(self, status: HTTPStatus, line: str) -> None:
        self._send(status, f"{line}\n".encode(), "text/plain; charset=utf-8")

    def _send(self, status: HTTPStatus, body: bytes, kind: str) -> None:
        self.send_response_only(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """A probe every few seconds is no news."""
