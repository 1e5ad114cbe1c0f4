"""Taking back what is ours, and nothing else, on a real API server."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from nodeagent.cli import withdraw
from nodeagent.fleet.ours import ours
from nodeagent.kube.client import Api
from nodeagent.kube.fleet import FleetClient
from tests.controlplane import commands, words
from tests.controlplane.machine import Machine
from tests.controlplane.test_publishing import SIMULATED, until_ready
from tests.real.api import APPLY, STRATEGIC

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.controlplane.agents import Agents
    from tests.real.api import Object
    from tests.real.plane import ControlPlane

pytestmark = pytest.mark.timeout(300)

DEPLOY = "nvidia.com/gpu.deploy."
CORDONED = f"{words.PREFIX}cordoned-by-us"
THEIR_LABELS = {
    "example.com/rack": "7",
    "nodeagent.io.example.com/ready": "true",
    "nvidia.com/cc.mode": "on",
    "nvidia.com/cc.capable": "true",
    f"{DEPLOY}cc-manager": "false",
    f"{DEPLOY}vfio-manager": "true",
    f"{DEPLOY}sandbox-validator": "paused-for-cc-mode-change",
    f"{DEPLOY}vgpu-manager": "paused-by-nodeagents",
}
THEIR_TAINTS = [
    {"key": "example.com/only", "value": "gpu", "effect": "NoSchedule"},
    {"key": f"{words.PREFIX}not-ready", "effect": "PreferNoSchedule"},
    {"key": "example.com/last", "effect": "NoExecute", "timeAdded": "2026-01-02T03:04:05Z"},
]
OUR_TAINT = {"key": f"{words.PREFIX}not-ready", "effect": "NoSchedule"}
STATE, READY_STATE = "nvidia.com/cc.mode.state", "nvidia.com/cc.ready.state"


@pytest.fixture
def others(plane: ControlPlane, node: str) -> Object:
    """The Node with what everybody else has put there, cordon and all."""
    path = words.node_path(node)
    notes = {"example.com/owner": "somebody", "example.com/cordoned-by-us": "yes"}
    change = {
        "metadata": {"labels": THEIR_LABELS, "annotations": notes},
        "spec": {"taints": THEIR_TAINTS},
    }
    plane.api.patch(path, change)
    theirs = [{"type": "example.com/ConfidentialReady", "status": "True", "reason": "Sure"}]
    plane.api.patch(f"{path}/status", {"status": {"conditions": theirs}}, STRATEGIC)
    return plane.node(node)


def put_ours(plane: ControlPlane, name: str, *, cordon: bool = True) -> None:
    """All that an agent may ever put on its Node, as it does it."""
    path = words.node_path(name)
    found = plane.node(name)
    labels = {words.READY: "true", words.PROFILE: "snp-gpu", STATE: "on", READY_STATE: "true"}
    metadata = {
        "name": name,
        "uid": found["metadata"]["uid"],
        "labels": labels,
        "annotations": {words.REPORT: '{"version":1}'},
    }
    body = {"apiVersion": "v1", "kind": "Node", "metadata": metadata}
    ours = f"?fieldManager={words.MANAGER}"
    plane.api.patch(f"{path}{ours}&force=true", body, APPLY)
    said = {"type": words.CONDITION, "status": "True", "reason": "AllChecksPassed", "message": ""}
    status = {**body, "metadata": {"name": name}, "status": {"conditions": [said]}}
    plane.api.patch(f"{path}/status{ours}&force=true", status, APPLY)
    taints = found["spec"].get("taints", [])
    change: Object = {
        "metadata": {
            "labels": {
                f"{DEPLOY}vfio-manager": "paused-by-nodeagent",
                f"{DEPLOY}sandbox-validator": "paused-for-cc-mode-change_paused-by-nodeagent",
            },
            "annotations": {f"{words.PREFIX}last-switch": "{}"},
        },
        "spec": {"taints": [*taints[:1], OUR_TAINT, *taints[1:]]},
    }
    if cordon:
        change["metadata"]["annotations"][CORDONED] = "2026-11-25T10:00:00Z"
        change["spec"]["unschedulable"] = True
    plane.api.patch(f"{path}{ours}", change)


def content(node: Object) -> str:
    """All but what the server keeps about writes."""
    kept = {"resourceVersion": None, "managedFields": None}
    return json.dumps(node | {"metadata": node["metadata"] | kept}, sort_keys=True)


def test_all_of_ours_goes_and_everything_else_stands(
    plane: ControlPlane, node: str, others: Object
) -> None:
    put_ours(plane, node)

    done = commands.typed(plane, "withdraw", "--node", node, "--yes")

    assert done.returncode == 0, done.stderr
    assert content(plane.node(node)) == content(others)
    for thing in (
        *(f"label       {words.READY}=true", f"annotation  {words.REPORT}"),
        *(f"condition   {words.CONDITION}", f"taint       {words.PREFIX}not-ready:NoSchedule"),
        f"label       {READY_STATE}=true",
        "cordon      the node takes pods again",
        "vfio-manager=true again",
    ):
        assert thing in done.stdout


def test_what_an_agent_published_goes(
    plane: ControlPlane, node: str, agents: Agents, tmp_path: Path
) -> None:
    before = plane.node(node)
    agent = agents.start(node, Machine(tmp_path, "genoa-ready").path, SIMULATED)
    until_ready(plane, node)
    agent.end()

    done = commands.typed(plane, "withdraw", "--node", node, "--yes")

    assert done.returncode == 0, done.stderr
    assert content(plane.node(node)) == content(before)


def test_the_second_time_writes_nothing(plane: ControlPlane, node: str) -> None:
    put_ours(plane, node)
    commands.typed(plane, "withdraw", "--node", node, "--yes")
    before = plane.node(node)

    done = commands.typed(plane, "withdraw", "--node", node, "--yes")

    assert (done.returncode, done.stdout) == (0, "1 node looked at, nothing of ours there\n")
    assert plane.node(node) == before


def test_a_cordon_that_is_not_ours_stays(plane: ControlPlane, node: str) -> None:
    plane.api.patch(words.node_path(node), {"spec": {"unschedulable": True}})
    put_ours(plane, node, cordon=False)

    done = commands.typed(plane, "withdraw", "--node", node, "--yes")

    assert done.returncode == 0
    assert plane.node(node)["spec"]["unschedulable"] is True
    assert "takes pods again" not in done.stdout


def test_what_cc_manager_wrote_stays(plane: ControlPlane, node: str) -> None:
    """By itself, or as well as we: then it is as much its label as ours."""
    path = words.node_path(node)
    put_ours(plane, node)
    theirs = {"metadata": {"labels": {STATE: "off"}}}
    plane.api.patch(f"{path}?fieldManager=cc-manager", theirs)
    body = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": node, "labels": {READY_STATE: "true"}},
    }
    plane.api.patch(f"{path}?fieldManager=cc-manager-2", body, APPLY)

    done = commands.typed(plane, "withdraw", "--node", node, "--yes")

    assert done.returncode == 0
    labels = plane.node(node)["metadata"]["labels"]
    assert (labels[STATE], labels[READY_STATE]) == ("off", "true")


def test_every_node_is_a_node_of_the_cluster(plane: ControlPlane, node: str) -> None:
    other = f"{node}-other"
    plane.add_node(other)
    try:
        put_ours(plane, node)
        put_ours(plane, other)

        done = commands.typed(plane, "withdraw", "--all", "--yes")

        assert done.returncode == 0
        for each in (node, other):
            assert f"{each}: taken back" in done.stdout
            assert words.PREFIX not in json.dumps(_shown(plane.node(each)))
    finally:
        plane.remove_node(other)


def _shown(node: Object) -> Object:
    return {**node, "metadata": node["metadata"] | {"managedFields": None}}


def test_without_anybody_to_say_yes_nothing_is_done(plane: ControlPlane, node: str) -> None:
    put_ours(plane, node)
    before = plane.node(node)

    done = commands.typed(plane, "withdraw", "--node", node)

    assert done.returncode == 2
    assert "add --yes" in done.stderr
    assert plane.node(node) == before


@pytest.mark.parametrize(("answer", "code"), [("n", 1), ("y", 0)])
def test_it_does_what_is_answered(plane: ControlPlane, node: str, answer: str, code: int) -> None:
    put_ours(plane, node)

    asked = _asked(commands.words(plane, "withdraw", "--node", node), f"{answer}\n")

    assert asked.returncode == code
    assert "Take it back? [y/N]" in asked.stdout
    assert (words.READY in plane.node(node)["metadata"]["labels"]) is (answer == "n")


def _asked(command: list[str], answer: str) -> subprocess.CompletedProcess[str]:
    """With a terminal to be answered at."""
    ours, theirs = pty.openpty()
    try:
        os.write(ours, answer.encode())
        return subprocess.run(
            command,
            env=commands.environment(),
            stdin=theirs,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    finally:
        os.close(ours)
        os.close(theirs)


@pytest.fixture
def client(plane: ControlPlane) -> Iterator[FleetClient]:
    api = Api(str(plane.admin_kubeconfig))
    yield FleetClient(api)
    api.close()


def _meanwhile(plane: ControlPlane, name: str, what: str) -> None:
    path = words.node_path(name)
    changes: dict[str, Any] = {
        "a taint before ours": {"spec": {"taints": [THEIR_TAINTS[0], OUR_TAINT]}},
        "another token": {
            "metadata": {
                "labels": {f"{DEPLOY}vfio-manager": "paused-by-nodeagent_paused-for-mig-change"}
            }
        },
        "a label of ours is gone": {"metadata": {"labels": {words.READY: None}}},
        "somebody lifted the cordon": {"spec": {"unschedulable": None}},
    }
    plane.api.patch(path, changes[what])


LEFT = {
    "a taint before ours": (THEIR_TAINTS[:1], "true"),
    "another token": ([], "paused-for-mig-change"),
    "a label of ours is gone": ([], "true"),
    "somebody lifted the cordon": ([], "true"),
}


@pytest.mark.parametrize("what", LEFT)
def test_a_node_that_changes_meanwhile_is_looked_at_again(
    plane: ControlPlane, node: str, client: FleetClient, what: str
) -> None:
    put_ours(plane, node)
    seen = ours(client.get(node) or {}, words.PREFIX)
    _meanwhile(plane, node, what)

    withdraw.take_back(client, seen, words.PREFIX)

    found = plane.node(node)
    operand = found["metadata"]["labels"][f"{DEPLOY}vfio-manager"]
    assert (found["spec"].get("taints", []), operand) == LEFT[what]
    assert not ours(found, words.PREFIX)


def test_a_node_that_is_not_there_is_said_so(plane: ControlPlane) -> None:
    done = commands.typed(plane, "withdraw", "--node", "nobody", "--yes")

    assert done.returncode == 3
    assert "there is no Node nobody" in done.stderr
