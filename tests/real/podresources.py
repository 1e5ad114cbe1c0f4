"""A kubelet's pod-resources socket, served by gRPC itself; its messages are put together here.

The messages are written down a second time on purpose: what we decode and what is encoded here
must agree with the real kubelet's (tests/node), and not with each other alone.
"""

from __future__ import annotations

import threading
from concurrent import futures
from typing import TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import grpc

LIST = ("v1.PodResourcesLister", "List")


class Held(NamedTuple):
    """A pod as the kubelet lists it, with one container."""

    name: str
    namespace: str = "default"
    resources: tuple[str, ...] = ()
    drivers: tuple[str, ...] = ()


def field(number: int, value: bytes | str | int) -> bytes:
    """One of a protobuf message."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    raw = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def varint(value: int) -> bytes:
    parts = []
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def encoded(pods: Iterable[Held]) -> bytes:
    """The answer to `List`."""
    return b"".join(field(1, _pod(pod)) for pod in pods)


def _pod(pod: Held) -> bytes:
    topology = field(1, field(1, 1))
    devices = b"".join(
        field(2, field(1, each) + field(2, "61") + field(3, topology)) for each in pod.resources
    )
    claims = b"".join(
        field(5, field(2, "claim") + field(3, pod.namespace) + field(4, _claimed(each)))
        for each in pod.drivers
    )
    cpus = field(3, varint(3) + varint(300))
    memory = field(4, field(1, "memory") + field(2, 1 << 34) + field(3, topology))
    container = field(1, "main") + devices + cpus + memory + claims
    return field(1, pod.name) + field(2, pod.namespace) + field(3, container)


def _claimed(driver: str) -> bytes:
    return (
        field(1, field(1, "k8s.io/device=gpu-0")) + field(2, driver) + field(3, "n") + field(4, "g")
    )


class Kubelet:
    """Answers at `socket` for as long as a `with` block lasts. `hangs`: it never does."""

    def __init__(self, socket: Path, *, pods: Iterable[Held] = ()) -> None:
        self.socket = socket
        self.pods = tuple(pods)
        self.raw: bytes | None = None
        self.refuses = ""
        self.hangs = False
        self.asked = 0
        self._end = threading.Event()

    def __enter__(self) -> Self:
        import grpc  # noqa: PLC0415 - who only encodes needs none

        self._server = grpc.server(futures.ThreadPoolExecutor(4))
        service, method = LIST
        handler = grpc.unary_unary_rpc_method_handler(self._list)
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(service, {method: handler}),)
        )
        self._server.add_insecure_port(f"unix:{self.socket}")
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._server.stop(None).wait()

    def _list(self, _request: bytes, context: grpc.ServicerContext) -> bytes:
        import grpc  # noqa: PLC0415

        self.asked += 1
        if self.hangs:
            self._end.wait()
        if self.refuses:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, self.refuses)
        return encoded(self.pods) if self.raw is None else self.raw
