"""A tree of sysfs and a socket around modelled devices, for a program that knows only those."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from nodeagent.sim.clock import RealClock
from nodeagent.sim.config_space import BARS
from nodeagent.sim.device import Device
from tests.peer.nvidia.launch import MAP, READ, WORD, WRITE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from nodeagent.sim.chips import Chip

LAUNCH = Path(__file__).with_name("launch.py")
PORT = "0000:00:01.0"
_BAR_FLAGS = 0x14220C  # 64 bits wide, prefetchable
_SHOW_EVERY_S = 0.002
_RATE = 20.0


class Access(NamedTuple):
    """One access to BAR0; `value` is what was written, or what came back."""

    is_write: bool
    bdf: str
    offset: int
    value: int

    def __str__(self) -> str:
        return f"{'W' if self.is_write else 'R'} {self.offset:#x}" + (
            f"={self.value:#x}" if self.is_write else ""
        )


class Machine:
    """Devices by address, for as long as a `with` lasts. Model time runs fast."""

    def __init__(self, folder: Path, **chips: Chip) -> None:
        """`chips` by slot, as in `b41=H100`."""
        self.clock = RealClock(_RATE)
        self.devices = {
            f"0000:{slot.removeprefix('b')}:00.0": Device(chip, self.clock)
            for slot, chip in chips.items()
        }
        self.trace: list[Access] = []
        self._sys = folder / "sys"
        self._socket = folder / "bar"
        self._resets: dict[str, int] = {}
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=each) for each in (self._serve, self._show)]

    def __enter__(self) -> Self:
        _make_port(self._sys)
        for bdf, device in self.devices.items():
            self._resets[bdf] = _make_device(self._sys, bdf, device)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self._socket))
        self._listener.listen()
        self._listener.settimeout(0.05)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()
        self._listener.close()
        for descriptor in self._resets.values():
            os.close(descriptor)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """NVIDIA's tool with these words, in a mount namespace where our tree is /sys."""
        self.trace.clear()
        script = 'mount --bind "$1" /sys; shift; exec "$@"'
        program = [sys.executable, str(LAUNCH), str(self._socket), *words]
        return subprocess.run(
            ["unshare", "--mount", "--", "sh", "-c", script, "sh", str(self._sys), *program],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def accesses(self, bdf: str) -> list[str]:
        return [str(each) for each in self.trace if each.bdf == bdf]

    # The socket.

    def _serve(self) -> None:
        while not self._ended.is_set():
            with suppress(TimeoutError):
                line, _ = self._listener.accept()
                with line:
                    self._answer(line)

    def _answer(self, line: socket.socket) -> None:
        mapped: list[tuple[str, int]] = []
        while head := line.recv(WORD.size, socket.MSG_WAITALL):
            what, number, offset, length = WORD.unpack(head)
            more = line.recv(length, socket.MSG_WAITALL) if length else b""
            with self._lock:
                self._take_writes()
                line.sendall(self._one(mapped, what, number, offset, more).to_bytes(4, "little"))

    def _one(
        self, mapped: list[tuple[str, int]], what: int, number: int, offset: int, more: bytes
    ) -> int:
        if what == MAP:
            mapped.append((more.decode(), number))
            return len(mapped) - 1
        bdf, bar = mapped[number]
        if bar != 0:
            raise AssertionError(f"BAR{bar} of {bdf} is mapped and never used")
        device = self.devices[bdf]
        if what == READ:
            value = device.read(offset)
        else:
            assert what == WRITE
            value = int.from_bytes(more, "little")
            device.write(offset, value)
        self.trace.append(Access(what == WRITE, bdf, offset, value))
        return value if what == READ else 0

    def put(self, bdf: str) -> None:
        """Show in its file what was changed of a device's configuration space from outside."""
        with self._lock:
            self._put_config(self._sys / "bus/pci/devices" / bdf, self.devices[bdf])

    # What was written to files since.

    def _take_writes(self) -> None:
        """A write to a file is over before its writer can ask us anything else."""
        for bdf, device in self.devices.items():
            path = self._sys / "bus/pci/devices" / bdf
            self._take_config(path, device)
            with suppress(BlockingIOError):
                if os.read(self._resets[bdf], 64).strip() == b"1":
                    device.reset()
            device.show()
            self._put_config(path, device)

    @staticmethod
    def _take_config(path: Path, device: Device) -> None:
        if device.faults.lost:
            return
        if (path / "power/control").read_text().strip() == "on":
            device.config.power_state = 0
        raw = (path / "config").read_bytes()
        for at in range(0, len(raw), 4):
            if raw[at : at + 4] != device.config.raw[at : at + 4]:
                device.config.write(at, raw[at : at + 4])

    @staticmethod
    def _put_config(path: Path, device: Device) -> None:
        raw = device.config.read(0, 4096)
        if (path / "config").read_bytes() != raw:
            with (path / "config").open("r+b") as file:
                file.write(raw)

    def _show(self) -> None:
        """Configuration space moves by itself while a device boots."""
        while not self._ended.wait(_SHOW_EVERY_S):
            with self._lock:
                self._take_writes()


def _make_port(sys_: Path) -> None:
    port = sys_ / "devices/pci0000:00" / PORT
    port.mkdir(parents=True)
    (sys_ / "bus/pci/devices").mkdir(parents=True)
    (sys_ / "bus/pci/rescan").write_text("")
    config = bytearray(256)
    config[0x00:0x04] = bytes.fromhex("22108514")
    config[0x06], config[0x0E], config[0x34] = 0x10, 1, 0x60
    config[0x60:0x64] = (0x10 | 0x42 << 16).to_bytes(4, "little")  # a root port
    (port / "config").write_bytes(config)
    (port / "resource").write_text("0x0 0x0 0x0\n" * 13)
    _put_words(port, vendor=0x1022, device=0x1485, class_=0x060400)
    (sys_ / "bus/pci/devices" / PORT).symlink_to(f"../../../devices/pci0000:00/{PORT}")


def _make_device(sys_: Path, bdf: str, device: Device) -> int:
    """Answers the reading end of its `reset`: a pipe keeps what is written until it is taken."""
    home = sys_ / "devices/pci0000:00" / PORT / bdf
    (home / "power").mkdir(parents=True)
    (home / "power/control").write_text("on\n")
    device.show()
    (home / "config").write_bytes(bytes(device.config.raw))
    chip = device.chip
    _put_words(home, vendor=0x10DE, device=chip.device, class_=chip.pci_class)
    (home / "resource").write_text("".join(_resource_lines(device)))
    for number in (0, 2):
        (home / f"resource{number}").write_bytes(b"")
    os.mkfifo(home / "reset")
    (sys_ / "bus/pci/devices" / bdf).symlink_to(f"../../../devices/pci0000:00/{PORT}/{bdf}")
    return os.open(home / "reset", os.O_RDWR | os.O_NONBLOCK)


def _resource_lines(device: Device) -> Iterator[str]:
    sizes = (device.chip.bar0_size, 1 << 20)
    for start, size in zip(BARS, sizes, strict=True):
        yield f"{start:#018x} {start + size - 1:#018x} {_BAR_FLAGS:#018x}\n"
        yield f"{0:#018x} {0:#018x} {0:#018x}\n"
    yield from [f"{0:#018x} {0:#018x} {0:#018x}\n"] * 9


def _put_words(home: Path, *, vendor: int, device: int, class_: int) -> None:
    (home / "vendor").write_text(f"{vendor:#06x}\n")
    (home / "device").write_text(f"{device:#06x}\n")
    (home / "class").write_text(f"{class_:#08x}\n")
