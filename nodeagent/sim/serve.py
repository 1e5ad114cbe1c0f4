"""Serves a simulated machine from a process of its own: a folder with a socket and its state.

Whoever may open the socket may do to the devices what root may do to real ones, and so it is
its owner's alone.
"""

import fcntl
import os
import shutil
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

from nodeagent import data
from nodeagent.errors import HostError, UsageError
from nodeagent.seams import Machine
from nodeagent.sim import wire
from nodeagent.sim.answers import Answers
from nodeagent.sim.clock import RealClock
from nodeagent.sim.state import State

SHIPPED = "hgx.tar.gz"
_HOST, _OWN_HOST = "host.tar.gz", "host"
_SOCKET, _STATE, _LOCK = "socket", "state.json", "lock"
_LOCK_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_CONNECTIONS = 64
SLOWEST, FASTEST = 0.1, 1000.0

Opened = Callable[[str], AbstractContextManager[Machine]]


def _silent(_socket: str) -> None:
    """Nobody waits for the socket."""


def serve(
    folder: str, opened: Opened, *, rate: float = 1.0, told: Callable[[str], None] = _silent
) -> None:
    """Until SIGTERM or SIGINT; for a main thread alone, since it handles signals.

    `opened` opens a capture: `host` or `host.tar.gz` in the folder, where the shipped one is
    put if there is none. `told` hears the socket's path once it can be connected to.
    """
    ended = threading.Event()
    with (
        _signalled(ended),
        _claimed(folder),
        opened(_host(folder)) as base,
        _serving(folder, base, rate) as path,
    ):
        told(path)
        ended.wait()


@contextmanager
def served(folder: str, base: Machine, *, rate: float = 1.0) -> Iterator[str]:
    """The same around any base, by threads of this process: the path of the socket."""
    with _claimed(folder), _serving(folder, base, rate) as path:
        yield path


@contextmanager
def _serving(folder: str, base: Machine, rate: float) -> Iterator[str]:
    if not SLOWEST <= rate <= FASTEST:
        hint = f"from {SLOWEST:g} to {FASTEST:g}"
        raise UsageError(f"model time cannot pass {rate:g} times as fast", hint=hint)
    state = State(os.path.join(folder, _STATE))
    machine = state.start(base, RealClock(rate))
    state.save(machine)
    answers = Answers(machine, state, rate)
    path = os.path.join(folder, _SOCKET)
    with _listening(path) as listener:
        server = _Server(listener, answers)
        try:
            yield path
        finally:
            server.end()


def _host(folder: str) -> str:
    own = os.path.join(folder, _OWN_HOST)
    if os.path.isdir(own):
        return own
    path = os.path.join(folder, _HOST)
    if not os.path.exists(path):
        try:
            shutil.copyfile(data.path(SHIPPED), path)
        except OSError as error:
            raise HostError(f"cannot write {path}") from error
    return path


@contextmanager
def _claimed(folder: str) -> Iterator[None]:
    """One server a folder: a lock dies with its process, where a socket stays."""
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        lock = os.open(os.path.join(folder, _LOCK), _LOCK_FLAGS, 0o600)
    except OSError as error:
        raise HostError(f"cannot serve from {folder}") from error
    try:
        _claim(lock, folder)
        yield
    finally:
        os.close(lock)


def _claim(lock: int, folder: str) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        hint = "end it first, or take another folder"
        raise HostError(f"another server has {folder}", hint=hint) from error


@contextmanager
def _listening(path: str) -> Iterator[socket.socket]:
    """Made beside and renamed: what a dead server left goes, and it is ours alone at any time."""
    beside = f"{path}.new"
    if wire.is_too_long(beside):
        raise HostError(
            f"{path} is too long for a socket's path", hint="take a folder with a shorter path"
        )
    with socket.socket(socket.AF_UNIX) as listener:
        try:
            with suppress(FileNotFoundError):
                os.unlink(beside)
            listener.bind(beside)
            os.chmod(beside, 0o600)
            listener.listen(_CONNECTIONS)
            os.replace(beside, path)
        except OSError as error:
            raise HostError(f"cannot listen at {path}") from error
        try:
            yield listener
        finally:
            with suppress(OSError):
                os.unlink(path)


@contextmanager
def _signalled(ended: threading.Event) -> Iterator[None]:
    def end(_number: int, _frame: object) -> None:
        ended.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Server:
    """A thread that accepts, and one for each connection."""

    def __init__(self, listener: socket.socket, answers: Answers) -> None:
        self._listener = listener
        self._answers = answers
        self._lines: dict[wire.Line, threading.Thread] = {}
        self._lock = threading.Lock()
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # shut down, as `end` does
                return
            line = wire.Line(connection, wire.ASKED_LIMIT, takes_fds=True)
            with self._lock:
                if len(self._lines) >= _CONNECTIONS:
                    line.close()
                    continue
                thread = threading.Thread(target=self._talk, args=(line,))
                self._lines[line] = thread
                thread.start()

    def _talk(self, line: wire.Line) -> None:
        try:
            self._answers.to(line)
        finally:
            with self._lock:
                self._lines.pop(line, None)
            line.close()

    def end(self) -> None:
        """What is under way, such as a reset, is finished first."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        with self._lock:
            left = dict(self._lines)
        for line in left:
            line.hang_up()
        for thread in left.values():
            thread.join()
