"""A client's connections to a served machine: what is asked, and what an answer means."""

import socket
import struct
from collections.abc import Callable, Sequence
from typing import NoReturn, TypeVar

from nodeagent.errors import HostError, StuckWriteError
from nodeagent.model.seen import Seen, Unreadable
from nodeagent.sim import values, wire
from nodeagent.sim.values import Json
from nodeagent.sim.wire import Line, WireError

T = TypeVar("T")
Answer = tuple[bytes, bytes]

PATIENCE_S = 120.0
"""Longer than the kernel takes to give a reset up; by our time, however fast the model's is."""
_PEER = struct.Struct("3i")


class SilentError(HostError):
    """The server is there, and does not answer in time."""


class Lines:
    """Connections to one server, kept for the next who asks."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.server = 0
        self._free: list[Line] = []

    def ask(self, kind: bytes, payload: bytes, fds: Sequence[int] = ()) -> Answer:
        """One answer. HostError for what is none; a connection that failed is not used again."""
        line = self._take()
        try:
            line.send(kind, payload, fds)
            answer = line.answer()
        except TimeoutError as error:
            line.close()
            raise SilentError(f"{self._named} did not answer in {PATIENCE_S:g} s") from error
        except WireError as error:
            line.close()
            raise HostError(f"{self._named} {error}", hint="look at its server") from error
        except BaseException:
            line.close()
            raise
        self._free.append(line)
        return answer

    @property
    def _named(self) -> str:
        return f"the simulated machine at {self.path}"

    def call(self, *words: Json, fds: Sequence[int] = ()) -> Answer:
        return self.ask(wire.CALL, wire.dump(words), fds)

    def read(self, parse: Callable[[Json], T], *words: Json) -> Seen[T]:
        """A value, absent, or unreadable; what the server refuses is an error."""
        return self._seen(parse, *self.call(*words))

    def _seen(self, parse: Callable[[Json], T], kind: bytes, payload: bytes) -> Seen[T]:
        if kind == wire.VALUE:
            return self.parsed(parse, payload)
        if kind == wire.UNREADABLE:
            return self.parsed(values.unreadable, payload)
        if kind != wire.ABSENT:
            self.fail(kind, payload)
        return None

    def demand(self, parse: Callable[[Json], T], *words: Json) -> T:
        """The same of what cannot be absent."""
        found = self.read(parse, *words)
        if found is None or isinstance(found, Unreadable):
            raise self._broken(f"does not answer {words[0]}")
        return found

    def content(self, *words: Json) -> Seen[bytes]:
        return self.content_or(_no_value, *words)

    def content_or(self, parse: Callable[[Json], T], *words: Json) -> Seen[bytes | T]:
        """Bytes as they are, or else a value."""
        kind, payload = self.call(*words)
        return payload if kind == wire.BYTES else self._seen(parse, kind, payload)

    def do(self, *words: Json, fds: Sequence[int] = (), path: str = "") -> None:
        """For its effect. `path` is what a write that is stuck was made to."""
        kind, payload = self.call(*words, fds=fds)
        if kind != wire.VALUE:
            self.fail(kind, payload, path)

    def parsed(self, parse: Callable[[Json], T], payload: bytes) -> T:
        try:
            return parse(wire.load(payload))
        except WireError as error:
            raise self._broken(str(error)) from error

    def fail(self, kind: bytes, payload: bytes, path: str = "") -> NoReturn:
        """Raise what the server's side raised."""
        what = self.parsed(_table, payload) if kind == wire.ERROR else {}
        number, said = what.get("errno"), str(what.get("text", ""))
        if type(number) is int:
            raise OSError(number, said)
        if "host" in what:
            hint = what.get("hint")
            raise HostError(str(what["host"]), hint=hint if isinstance(hint, str) else None)
        if "stuck" in what:
            raise StuckWriteError(path, 0.0)
        raise self._broken(f"refused what we sent: {what.get('refused', 'it does not say why')}")

    def _broken(self, why: str) -> HostError:
        return HostError(f"{self._named} {why}", hint="is it of this nodeagent?")

    def _take(self) -> Line:
        try:
            return self._free.pop()
        except IndexError:
            return self._new()

    def _new(self) -> Line:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.settimeout(PATIENCE_S)
            connection.connect(self.path)
            peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
        except OSError as error:
            connection.close()
            raise HostError(
                f"no simulated machine is served at {self.path}",
                hint="`nodeagent sim serve DIR` serves one at DIR/socket",
            ) from error
        self.server = _PEER.unpack(peer)[0]
        return Line(connection, wire.ANSWERED_LIMIT)

    def close(self) -> None:
        while self._free:
            self._free.pop().close()


def _no_value(_value: Json) -> NoReturn:
    raise WireError("sent a value where bytes should be")


def _table(value: Json) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise WireError("sent no table")
    return value
