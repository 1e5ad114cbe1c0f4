"""A stand-in for NVIDIA's device plugin: it registers with the real kubelet and gives out devices.

Its messages are put together by hand, as in tests/real/podresources.py.
"""

from __future__ import annotations

import threading
from concurrent import futures
from typing import TYPE_CHECKING, Self

import grpc

from tests.real.podresources import field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_VERSION = "v1beta1"
_PATIENCE_S = 20.0


class Plugin:
    """In the kubelet's `device-plugins` folder, for as long as a `with` block lasts."""

    def __init__(self, folder: Path, resource: str, *, devices: int = 8) -> None:
        self._folder, self._resource = folder, resource
        self._devices = b"".join(
            field(1, field(1, str(number)) + field(2, "Healthy")) for number in range(devices)
        )
        self._end = threading.Event()

    def __enter__(self) -> Self:
        name = f"{self._resource.rpartition('/')[2]}.sock"
        self._server = grpc.server(futures.ThreadPoolExecutor(4))
        answers: dict[str, Callable[[bytes, object], bytes]] = {
            "GetDevicePluginOptions": lambda _request, _context: b"",
            "Allocate": lambda _request, _context: field(1, b""),
        }
        methods = {
            each: grpc.unary_unary_rpc_method_handler(call) for each, call in answers.items()
        }
        methods["ListAndWatch"] = grpc.unary_stream_rpc_method_handler(self._list)
        service = f"{_VERSION}.DevicePlugin"
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(service, methods),)
        )
        self._server.add_insecure_port(f"unix:{self._folder / name}")
        self._server.start()
        with grpc.insecure_channel(f"unix:{self._folder / 'kubelet.sock'}") as kubelet:
            told = field(1, _VERSION) + field(2, name) + field(3, self._resource)
            kubelet.unary_unary(f"/{_VERSION}.Registration/Register")(told, timeout=_PATIENCE_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._server.stop(None).wait()

    def _list(self, _request: bytes, _context: object) -> Iterator[bytes]:
        yield self._devices
        self._end.wait()
