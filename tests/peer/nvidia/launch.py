"""Runs NVIDIA's tool as a process of its own, its BARs mapped to a socket instead of a file.

`launch.py SOCKET WORD…`. Everything else, configuration space included, goes through the tree
that is mounted at /sys; no file of the tool is touched.
"""

import importlib
import os
import runpy
import socket
import struct
import sys

WORD = struct.Struct("<BIII")  # what to do, which device, offset, value
MAP, READ, WRITE = range(3)


class Registers:
    """In place of the tool's FileMap: 32-bit accesses only, each one message."""

    _line: socket.socket

    def __init__(self, path: str, offset: int, size: int) -> None:
        if offset:
            raise ValueError("a BAR is mapped from its beginning")
        self.size = size
        self._bdf, self._bar = path.split("/")[-2], path.rpartition("resource")[2]
        self._number = self._ask(MAP, int(self._bar), size, self._bdf.encode())

    def read32(self, offset: int) -> int:
        return self._ask(READ, self._number, offset)

    def write32(self, offset: int, data: int) -> None:
        self._ask(WRITE, self._number, offset, data.to_bytes(4, "little"))

    def _ask(self, what: int, number: int, offset: int, more: bytes = b"") -> int:
        self._line.sendall(WORD.pack(what, number, offset, len(more)) + more)
        return int.from_bytes(self._line.recv(4, socket.MSG_WAITALL), "little")


def main() -> None:
    Registers._line = socket.socket(socket.AF_UNIX)
    Registers._line.connect(sys.argv[1])
    # By name: where the tool is not installed, types are checked all the same.
    setattr(importlib.import_module("utils"), "FileMap", Registers)  # noqa: B010
    sys.argv = ["nvidia_gpu_tools.py", *sys.argv[2:]]
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    runpy.run_module("nvidia_gpu_tools", run_name="__main__")


if __name__ == "__main__":
    main()
