"""This machine, to be changed: writes to sysfs, the memory bit, and registers."""

import contextlib
import errno
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager

from nodeagent import locks as locking
from nodeagent.errors import StuckWriteError
from nodeagent.host import hands, mmio
from nodeagent.host.live import LiveMachine
from nodeagent.host.root import OpenFile, Root, why
from nodeagent.host.sev import Psp
from nodeagent.model.seen import Seen, Unreadable
from nodeagent.seams import Bar0, Parts

_DEVICES = "/sys/bus/pci/devices"
_COMMAND, _MEMORY = 0x04, 1 << 1
_GONE = 0xFFFF  # nothing answers
_COMMON = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class MonotonicClock:
    """The machine's own time."""

    def now(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class ChangingMachine(LiveMachine):
    """The host at `folder`, to be read and changed; changes may be made by several threads."""

    clock = MonotonicClock()

    def __init__(self, folder: str = "/", psp: Psp | None = None) -> None:
        super().__init__(folder, psp)
        self._one_by_one = threading.Lock()
        self._hands: Mapping[str, hands.Hand] = {}
        self.stuck: set[str] = set()

    @contextlib.contextmanager
    def hands(self, locks: Mapping[str, int]) -> Iterator[None]:
        with hands.started(locks) as started:
            before, self._hands = self._hands, {**self._hands, **started}
            for bdf, hand in started.items():
                locking.note_writer(locks[bdf], hand.pid)
            try:
                yield
            finally:
                self._hands = before

    def write(self, bdf: str, path: str, text: str) -> None:
        descriptor = self._open(path, os.O_WRONLY | _COMMON)
        try:
            name = path.rpartition("/")[2]
            deadline_s = hands.DEADLINES_S.get(name, hands.OTHERS_S)
            self._hands[bdf].write(descriptor, path, text, deadline_s)
        except StuckWriteError:
            self.stuck.add(bdf)
            raise
        finally:
            os.close(descriptor)

    def set_decode(self, bdf: str, *, on: bool) -> None:
        """Only the command register's two bytes, and of them only the one bit."""
        descriptor = self._open(f"{_DEVICES}/{bdf}/config", os.O_RDWR | _COMMON)
        try:
            raw = os.pread(descriptor, 2, _COMMAND)
            command = int.from_bytes(raw, "little")
            if len(raw) < 2 or command == _GONE:
                raise OSError(errno.ENODEV, f"{bdf} does not answer in configuration space")
            wanted = command | _MEMORY if on else command & ~_MEMORY
            os.pwrite(descriptor, wanted.to_bytes(2, "little"), _COMMAND)
        finally:
            os.close(descriptor)

    def bar0(self, bdf: str) -> AbstractContextManager[Bar0]:
        """OSError where it cannot be mapped: the kernel's lockdown forbids it, for one."""
        descriptor = self._open(f"{_DEVICES}/{bdf}/resource0", os.O_RDWR | os.O_SYNC | _COMMON)
        return mmio.writable(descriptor)

    @contextlib.contextmanager
    def config(self, bdf: str) -> Iterator[Seen[Parts]]:
        path = f"{_DEVICES}/{bdf}/config"
        try:
            descriptor = self._open(path, os.O_RDONLY | _COMMON)
        except OSError as error:
            yield Unreadable(path, why(error))
            return
        try:
            yield OpenFile(path, descriptor)
        finally:
            os.close(descriptor)

    def _open(self, path: str, flags: int) -> int:
        """A walk of its own: folders of sysfs that were kept open may be those of a device gone."""
        with self._one_by_one:
            root = Root(self._root.folder)
            try:
                return root.open(path, flags)
            finally:
                root.close()
