"""Asks the kubelet, through an inherited socket, which pods hold devices of NVIDIA's; prints JSON.

A program of its own, run isolated and by path: it imports the standard library and h2 alone. The
answer is a protobuf message (pod-resources v1, `List`), of which only a few fields are wanted;
whatever comes, it is bounded, and what is no such message is said to be none.
"""

import json
import socket
import struct
import sys
import time
from collections.abc import Iterator

LIMIT = 4 << 20  # the bytes of an answer; gRPC's own bound for whoever sets none
_MOST_FIELDS = 400_000  # 250 pods with eight devices in each of three containers have 40 000
_MOST_PODS = 500  # of those that hold something; a kubelet runs 110 unless told otherwise
_NAME_CHARS = 253
_MOST_RESOURCES = 16
_PATH = "/v1.PodResourcesLister/List"
_RESOURCES = b"nvidia.com/"
_DRIVERS = b".nvidia.com"
_Field = tuple[int, bytes]


class BadAnswerError(Exception):
    """The answer is not what a kubelet would say; its text is shown to a person."""


class Message:
    """Fields of nested messages, all counted together: no answer keeps us busy for long."""

    def __init__(self) -> None:
        self._left = _MOST_FIELDS

    def fields(self, raw: bytes) -> Iterator[_Field]:
        """Number and bytes of each field that has bytes; numbers are of no interest here."""
        at, end = 0, len(raw)
        while at < end:
            self._left -= 1
            if self._left < 0:
                raise BadAnswerError("has more fields than any kubelet's")
            key, at = _varint(raw, at)
            kind = key & 7
            if not key >> 3:
                raise BadAnswerError("is no protobuf message")
            if kind == 0:
                _, at = _varint(raw, at)
            elif kind == 2:
                size, at = _varint(raw, at)
                if size > end - at:
                    raise BadAnswerError("breaks off")
                yield key >> 3, raw[at : at + size]
                at += size
            elif kind in {1, 5}:
                at += 8 if kind == 1 else 4
            else:
                raise BadAnswerError("is no protobuf message")
        if at > end:
            raise BadAnswerError("breaks off")

    def all(self, raw: bytes, number: int) -> Iterator[bytes]:
        return (value for found, value in self.fields(raw) if found == number)


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    """Its value and where it ends; ten bytes at most, as protobuf has it."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(raw):
            raise BadAnswerError("breaks off")
        byte = raw[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise BadAnswerError("is no protobuf message")


def pods(answer: bytes) -> list[dict[str, object]]:
    """Those that hold something, in order. BadAnswerError where it is no `List`'s answer.

    The kubelet tells of containers and sidecars, and not of what only an ordinary init container
    was given (seen with 1.35): that one is left to who has a device open.
    """
    message = Message()
    found: dict[tuple[str, str], set[str]] = {}
    for pod in message.all(answer, 1):
        name = namespace = ""
        held: set[str] = set()
        for number, value in message.fields(pod):
            if number == 1:
                name = _text(value)
            elif number == 2:
                namespace = _text(value)
            elif number == 3:
                held.update(_held(message, value))
        if held:
            found.setdefault((namespace, name), set()).update(held)
            if len(found) > _MOST_PODS:
                raise BadAnswerError("names more pods than any kubelet's")
    return [
        {"namespace": at[0], "name": at[1], "resources": sorted(held)[:_MOST_RESOURCES]}
        for at, held in sorted(found.items())
    ]


def _held(message: Message, container: bytes) -> Iterator[str]:
    """Resources of device plugins, and drivers of resource claims.

    Of a claim's devices it is not told whether access is an administrator's: a monitor has the
    device open as well (kubernetes.md §3.1).
    """
    for number, value in message.fields(container):
        if number == 2:
            for resource in message.all(value, 1):
                if resource.startswith(_RESOURCES):
                    yield _text(resource)
        elif number == 5:
            for claimed in message.all(value, 4):
                for driver in message.all(claimed, 2):
                    if driver.endswith(_DRIVERS):
                        yield _text(driver)


def _text(raw: bytes) -> str:
    return raw[: 4 * _NAME_CHARS].decode(errors="replace")[:_NAME_CHARS]


def call(descriptor: int, seconds: float) -> bytes:
    """The message that the kubelet answers with. OSError, BadAnswerError."""
    from h2.config import H2Configuration  # noqa: PLC0415 - what decodes needs none of it
    from h2.connection import H2Connection  # noqa: PLC0415
    from h2.exceptions import H2Error  # noqa: PLC0415

    deadline = time.monotonic() + seconds
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(seconds)
        # By its descriptor: the path is not walked again, and may be longer than a socket's.
        line.connect(f"/proc/self/fd/{descriptor}")
        connection = H2Connection(H2Configuration(header_encoding=None))
        connection.initiate_connection()
        stream = connection.get_next_available_stream_id()
        connection.send_headers(stream, _headers(seconds))
        connection.send_data(stream, bytes(5), end_stream=True)  # a message without a field
        answer = _Answer()
        while not answer.ended:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            line.settimeout(left)
            line.sendall(connection.data_to_send())
            data = line.recv(1 << 16)
            if not data:
                raise BadAnswerError("ends before its end")
            try:
                for event in connection.receive_data(data):
                    answer.hear(event)
                    size = getattr(event, "flow_controlled_length", 0)
                    if size and not answer.ended:
                        connection.acknowledge_received_data(size, stream)
            except (H2Error, ValueError, KeyError) as error:
                raise BadAnswerError("is no HTTP/2") from error
    return answer.message()


def _headers(seconds: float) -> list[tuple[str, str]]:
    return [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", _PATH),
        (":authority", "localhost"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("grpc-timeout", f"{int(seconds * 1000)}m"),
        ("user-agent", "nodeagent"),
    ]


class _Answer:
    """What gRPC sends on its one stream: a message with its length before it, then a status."""

    def __init__(self) -> None:
        self.ended = False
        self._data = bytearray()
        self._status: dict[bytes, bytes] = {}

    def hear(self, event: object) -> None:
        from h2 import events  # noqa: PLC0415

        match event:
            case events.DataReceived(data=data):
                self._data += data or b""
                if len(self._data) > LIMIT + 5:
                    raise BadAnswerError(f"is larger than {LIMIT >> 20} MiB")
            case (
                events.ResponseReceived(headers=headers) | events.TrailersReceived(headers=headers)
            ):
                self._status.update({bytes(name): bytes(value) for name, value in headers or ()})
            case events.StreamEnded() | events.StreamReset() | events.ConnectionTerminated():
                self.ended = True

    def message(self) -> bytes:
        status = self._status.get(b"grpc-status")
        if status != b"0":
            said = self._status.get(b"grpc-message", b"")[:200].decode(errors="replace")
            code = (status or b"missing")[:20].decode(errors="replace")
            raise BadAnswerError(f"has the gRPC status {code}{f', {said}' if said else ''}")
        if len(self._data) < 5 or self._data[0]:
            raise BadAnswerError("is no plain gRPC message")
        [size] = struct.unpack(">I", self._data[1:5])
        if size != len(self._data) - 5:
            raise BadAnswerError("is not one gRPC message")
        return bytes(self._data[5:])


def question(descriptor: int, seconds: float) -> dict[str, object]:
    try:
        return {"pods": pods(call(descriptor, seconds))}
    except TimeoutError:
        return {"cannot": f"no answer within {seconds:g} s"}
    except OSError as error:
        return {"cannot": error.strerror or str(error)}
    except BadAnswerError as error:
        return {"cannot": f"its answer {error}"}
    except ImportError:
        return {"cannot": "the Python package h2 is not installed"}


if __name__ == "__main__":
    print(json.dumps(question(int(sys.argv[1]), float(sys.argv[2]))))  # noqa: T201 - to our parent
