"""The agent ended at every write and every step of a switch, and started again: no wedge."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from nodeagent.config import Config
from nodeagent.sim.remote import connect
from nodeagent.sim.serve import served
from tests.controlplane import words
from tests.controlplane.agents import Agents
from tests.controlplane.killing import Fuse, Killed, install, started, until
from tests.controlplane.operator import DEPLOY, OPERANDS, PGPU, Operator
from tests.kill.board import base

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.real.api import Object
    from tests.real.plane import ControlPlane

pytestmark = pytest.mark.timeout(900)

GPUS = 2
RATE = 100.0
KILLED: dict[str, int] = {}


class _Place:
    """A node with two GPUs, its operands, and lives of its agent one after the other."""

    def __init__(self, plane: ControlPlane, node: str, folder: Path, stack: ExitStack) -> None:
        self.plane, self.node, self._folder = plane, node, folder
        socket = stack.enter_context(served(str(folder / "sim"), base(GPUS, 0), rate=RATE))
        self._socket = folder / "sim" / "socket"
        assert str(self._socket) == socket
        self.machine = connect(socket)
        stack.callback(self.machine.close)
        stack.enter_context(Operator(plane, node, gpus=GPUS, pod_s=0.01))
        self._kubeconfig = Agents(plane, folder).kubeconfig(node, account=words.MANAGE)
        self.fuse = Fuse()

    def ask(self, mode: str) -> None:
        change = {"metadata": {"labels": {words.CC_MODE: mode}}}
        self.plane.api.patch(words.node_path(self.node), change)

    def live(self, mode: str, fuse: Fuse) -> None:
        """Until all is as asked, or the fuse burns."""
        self.fuse = fuse
        run = self._folder / "agent"
        with started(self.node, self._socket, self._kubeconfig, run, Config()) as cycle:
            until(cycle, lambda: self.is_whole(mode))

    def is_whole(self, mode: str) -> bool:
        try:
            self.demand_whole(mode)
        except (AssertionError, KeyError):
            return False
        return True

    def demand_whole(self, mode: str) -> None:
        """In the mode, called so, and nothing is left of the switch anywhere."""
        node: Object = self.plane.node(self.node)
        labels, notes = node["metadata"]["labels"], node["metadata"].get("annotations", {})
        confidential = mode == "on"
        assert set(self.machine.modes().values()) == {mode}
        assert labels[words.CC_STATE] == mode
        assert labels[words.CC_READY] == str(confidential).lower()
        assert words.is_ready(node) is confidential
        assert {labels[f"{DEPLOY}{name}"] for name in OPERANDS} == {"true"}
        assert not {words.SWITCH, words.CORDONED} & notes.keys()
        assert not node["spec"].get("unschedulable")
        assert node["status"]["allocatable"][PGPU] == str(GPUS)


@pytest.fixture
def place(
    plane: ControlPlane, node: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[_Place]:
    with ExitStack() as stack:
        place = _Place(plane, node, tmp_path, stack)
        install(monkeypatch, lambda: place.fuse)
        yield place


def test_ended_at_every_write_and_step_it_comes_right_again(place: _Place) -> None:
    """From on to off and back, ended each time one write later, until no write is left."""
    place.ask("on")
    place.live("on", Fuse())
    mode, at, ended = "off", 0, 0
    while True:
        place.ask(mode)
        fuse = Fuse(at)
        try:
            place.live(mode, fuse)
        except Killed:
            ended += 1
            _demand_no_lie(place)
            place.live(mode, Fuse())
        if len(fuse.marks) <= at:
            break
        at += 1
        mode = "on" if mode == "off" else "off"
    print(f"agents ended at a write or a step, and started again: {ended}")
    assert ended > 40


def _demand_no_lie(place: _Place) -> None:
    """Whatever it left: nothing says ready while a GPU is not in the mode."""
    labels = place.plane.node(place.node)["metadata"]["labels"]
    if "true" in {labels.get(words.READY), labels.get(words.CC_READY)}:
        assert set(place.machine.modes().values()) == {"on"}
