"""Every node in one table, out of a real API server."""

from __future__ import annotations

import datetime as dt
import json
import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.controlplane import commands, words
from tests.controlplane.machine import Machine
from tests.controlplane.test_publishing import SIMULATED, until_not_ready, until_ready
from tests.real.api import STRATEGIC
from tests.real.process import Process
from tests.real.wait import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.controlplane.agents import Agents
    from tests.real.plane import ControlPlane

pytestmark = pytest.mark.timeout(300)

HERE = "fleet.example.com/here"
PASSES = ("True", "AllChecksPassed", "every check passes")
SWITCHES = ("False", "Switching", "to on: waits until vfio-manager-x is gone")


class Fleet:
    """Nodes made by hand beside those that have a real agent."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self.names: list[str] = []

    def add(
        self,
        name: str,
        said: tuple[str, str, str] | None = None,
        *,
        age_s: float = 60.0,
        labels: dict[str, str] | None = None,
    ) -> str:
        self._plane.add_node(name, labels={HERE: "yes", **(labels or {})})
        self.names.append(name)
        if said:
            self.say(name, said, age_s=age_s)
        return name

    def say(self, name: str, said: tuple[str, str, str], *, age_s: float = 60.0) -> None:
        """As an agent does that wrote it so long ago."""
        beat = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=age_s)
        told = dict(zip(("status", "reason", "message"), said, strict=True))
        at = beat.strftime("%Y-%m-%dT%H:%M:%SZ")
        ours = {"type": words.CONDITION, "lastHeartbeatTime": at, **told}
        status = {"status": {"conditions": [ours]}}
        self._plane.api.patch(f"{words.node_path(name)}/status", status, STRATEGIC)

    def end(self) -> None:
        for name in self.names:
            self._plane.remove_node(name)


@pytest.fixture
def fleet(plane: ControlPlane) -> Iterator[Fleet]:
    fleet = Fleet(plane)
    yield fleet
    fleet.end()


READY = {words.READY: "true", words.PROFILE: "snp-gpu"}


def _told(plane: ControlPlane, *, code: int) -> dict[str, dict[str, Any]]:
    done = commands.typed(plane, "fleet", "-l", HERE, "-o", "json")
    assert done.returncode == code, done.stderr
    return {each["name"]: each for each in json.loads(done.stdout)["nodes"]}


def test_what_agents_publish_is_what_is_told(
    plane: ControlPlane, fleet: Fleet, agents: Agents, tmp_path: Path
) -> None:
    for name, host in (("fleet-good", "genoa-ready"), ("fleet-bad", "genoa-iommu-pt")):
        (tmp_path / name).mkdir()
        agents.start(fleet.add(name), Machine(tmp_path / name, host).path, SIMULATED)
    until_ready(plane, "fleet-good")
    until_not_ready(plane, "fleet-bad")

    told = _told(plane, code=1)

    assert list(told) == ["fleet-bad", "fleet-good"]
    good, bad = told["fleet-good"], told["fleet-bad"]
    assert (good["state"], good["mode"], good["gpu"]["chip"]) == ("ready", "on", "H100")
    assert good["tcb"].isdecimal()
    assert good["simulated"] is True
    assert (bad["state"], bad["root"]) == ("not ready", "IOMMU_PASSTHROUGH_OR_OFF")
    assert bad["to_do"]


def test_each_kind_of_node_is_told_from_the_others(plane: ControlPlane, fleet: Fleet) -> None:
    fleet.add("fleet-ready", PASSES, labels=READY)
    fleet.add("fleet-stale", PASSES, labels=READY, age_s=3 * 300 * 1.2 + 30)
    fleet.add("fleet-late", PASSES, labels=READY, age_s=3 * 300 * 1.2 - 30)
    fleet.add("fleet-switching", SWITCHES, labels={"nvidia.com/cc.mode": "on"})
    fleet.add("fleet-bare")

    told = _told(plane, code=1)

    assert {name: each["state"] for name, each in told.items()} == {
        "fleet-stale": "stale",
        "fleet-bare": "no agent",
        "fleet-switching": "switching",
        "fleet-late": "ready",
        "fleet-ready": "ready",
    }
    assert told["fleet-switching"]["says"] == SWITCHES[2]
    table = commands.typed(plane, "fleet", "-l", HERE).stdout
    assert table.startswith("2 of 5 nodes are ready; 1 stale, 1 no agent, 1 switching\n")
    assert "to on: waits until vfio-man" in table


def test_all_ready_is_zero_and_none_at_all_is_one(plane: ControlPlane, fleet: Fleet) -> None:
    assert commands.typed(plane, "fleet", "-l", HERE).returncode == 1

    fleet.add("fleet-only", PASSES, labels=READY)

    assert commands.typed(plane, "fleet", "-l", HERE).returncode == 0


def test_a_cluster_that_cannot_be_asked_is_three(plane: ControlPlane, tmp_path: Path) -> None:
    nobody = plane.kubeconfig(tmp_path / "nobody", token="nonsense")  # noqa: S106 - on purpose

    done = commands.typed(plane, "fleet", kubeconfig=nobody)

    assert done.returncode == 3
    assert "cannot list the Nodes" in done.stderr


def test_watching_tells_a_change_in_a_line(
    plane: ControlPlane, fleet: Fleet, tmp_path: Path
) -> None:
    fleet.add("fleet-watched", SWITCHES)
    command = commands.words(plane, "fleet", "-l", HERE, "--watch", "--every", "1")
    watching = Process(command, tmp_path / "log", environment=commands.environment())
    try:
        eventually(lambda: "0 of 1 node is ready" in _log(watching), within_s=60)
        fleet.say("fleet-watched", SWITCHES)  # a heartbeat, and no change
        plane.api.patch(words.node_path("fleet-watched"), {"metadata": {"labels": READY}})
        fleet.say("fleet-watched", PASSES)
        eventually(lambda: "fleet-watched: ready (was " in _log(watching), within_s=60)
        fleet.add("fleet-new")
        eventually(lambda: "fleet-new: no agent (was not there)" in _log(watching), within_s=60)
        plane.remove_node(fleet.names.pop())
        eventually(lambda: "fleet-new: not there (was no agent)" in _log(watching), within_s=60)
        plane.restart_apiserver()
        eventually(lambda: "the cluster answers again" in _log(watching), within_s=90)
        watching.signal(signal.SIGINT)
        eventually(lambda: watching.code() is not None, within_s=60)
        assert watching.code() == 0, watching.tail()
    finally:
        watching.kill()
    lines = _log(watching).splitlines()
    assert sum(line.startswith("20") for line in lines) <= 8, lines


def _log(process: Process) -> str:
    return process.log.read_text()
