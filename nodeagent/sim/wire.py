"""How a served machine and its client talk: frames over a stream, version 1.

A frame is a kind, a length, and that many bytes. The client asks, the server answers each in
turn. Accesses to registers have a frame of their own, since a switch makes thousands; all else
is JSON, and bytes of files as they are. A stranger may sit at either end: sizes are bounded.
"""

import json
import os
import socket
import struct
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

VERSION = 1

CALL, READ, WRITE = b"C", b"R", b"W"
"""What a client sends: a list of a name and its arguments, or an access to a register."""
WORD, VALUE, BYTES, ABSENT, UNREADABLE, ERROR = b"V", b"J", b"B", b"N", b"U", b"E"
"""What a server answers."""

READ_WORD, WRITE_WORD, ONE_WORD = struct.Struct("<HI"), struct.Struct("<HII"), struct.Struct("<I")
"""A device is its place in the list that the greeting has."""

ASKED_LIMIT = 1 << 18
ANSWERED_LIMIT = 1 << 26
_HEAD = struct.Struct("<cI")
_PART = 1 << 16
_MOST_FDS = 4
_LONGEST_PATH = 107  # struct sockaddr_un


class WireError(Exception):
    """The other side does not keep the protocol, or is gone."""


class Line:
    """One connection. `limit` is the longest frame that the other side may send.

    `takes_fds`: descriptors may come with it, and are kept until they are taken.
    """

    def __init__(self, connection: socket.socket, limit: int, *, takes_fds: bool = False) -> None:
        self._socket = connection
        self._limit = limit
        self._takes_fds = takes_fds
        self._read = bytearray()
        self._fds: list[int] = []

    def send(self, kind: bytes, payload: bytes = b"", fds: Sequence[int] = ()) -> None:
        frame = _HEAD.pack(kind, len(payload)) + payload
        try:
            sent = socket.send_fds(self._socket, [frame], fds) if fds else 0
            self._socket.sendall(frame[sent:])
        except TimeoutError as error:
            raise WireError("does not take what is sent") from error
        except OSError as error:
            raise WireError("is gone") from error

    def receive(self) -> tuple[bytes, bytes]:
        """One frame; an empty kind where the other side has nothing more to say."""
        read = self._read
        while len(read) < _HEAD.size:
            if not self._more():
                if read:
                    raise WireError("ended within a frame")
                return b"", b""
        kind, length = _HEAD.unpack_from(read)
        if length > self._limit:
            raise WireError(f"sent a frame of {length} bytes")
        end = _HEAD.size + length
        while len(read) < end:
            if not self._more():
                raise WireError("ended within a frame")
        payload = bytes(read[_HEAD.size : end])
        del read[:end]
        return kind, payload

    def answer(self) -> tuple[bytes, bytes]:
        """One frame that must come."""
        kind, payload = self.receive()
        if not kind:
            raise WireError("is gone")
        return kind, payload

    def _more(self) -> bool:
        """TimeoutError where nothing comes in time."""
        try:
            if self._takes_fds:
                data, fds, _, _ = socket.recv_fds(self._socket, _PART, _MOST_FDS)
                self._fds += fds
            else:
                data = self._socket.recv(_PART)
        except TimeoutError:
            raise
        except OSError as error:
            raise WireError("is gone") from error
        if len(self._fds) > _MOST_FDS:
            raise WireError("sent too many descriptors")
        self._read += data
        return bool(data)

    def drop_fds(self) -> None:
        """Close what came with the frames so far."""
        while self._fds:
            os.close(self._fds.pop())

    def hang_up(self) -> None:
        """End it for both sides; whoever waits for a frame wakes."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.drop_fds()
        self._socket.close()


def dump(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def load(payload: bytes) -> Any:  # noqa: ANN401 - whoever asks gives it a type
    try:
        return json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise WireError("sent what is no JSON") from error


def is_too_long(path: str) -> bool:
    """A socket's address has room for no more."""
    return len(path.encode(errors="surrogateescape")) > _LONGEST_PATH
