"""The command beside a simulated machine in a process of its own, as a person has them."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from nodeagent.sim.remote import RemoteMachine, connect

PATIENCE_S = 60.0


class Node(NamedTuple):
    """One that is served; `machine` is another client, to look and to meddle."""

    socket: Path
    machine: RemoteMachine

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "nodeagent", *words, "--sim", str(self.socket)]

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            self.command(*words),
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            stdin=subprocess.DEVNULL,
            check=False,
        )

    def start(self, *words: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            self.command(*words),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
        )

    def text(self, bdf: str, name: str) -> str:
        found = self.machine.files.read(f"/sys/bus/pci/devices/{bdf}/{name}")
        assert isinstance(found, str), found
        return found

    def driver(self, bdf: str) -> str | None:
        found = self.machine.files.link(f"/sys/bus/pci/devices/{bdf}/driver")
        return found.rpartition("/")[2] if isinstance(found, str) else None

    @property
    def owed(self) -> Sequence[str]:
        folder = self.socket.parent / "run"
        names = os.listdir(folder) if folder.is_dir() else []
        return sorted(name for name in names if name.endswith(".owed"))


@contextmanager
def served(folder: Path, *, rate: float = 10.0) -> Iterator[Node]:
    command = [sys.executable, "-m", "nodeagent", "sim", "serve", str(folder), "--rate", str(rate)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            socket = Path(server.stdout.readline().removeprefix("serving at ").strip())
            with closing(connect(str(socket))) as machine:
                yield Node(socket, machine)
        finally:
            server.terminate()
            assert server.wait(PATIENCE_S) == 0
