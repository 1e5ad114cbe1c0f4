"""The opt-in taint: it comes and goes with ready, and nobody else's does."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from nodeagent.kube.client import Api
from nodeagent.kube.failures import ConflictError
from nodeagent.kube.nodes import NodeClient
from tests.controlplane import words
from tests.controlplane.machine import Machine
from tests.controlplane.test_publishing import (
    BROKEN_HOST,
    CYCLES_S,
    PUBLISHED_S,
    READY_HOST,
    SIMULATED,
    until_not_ready,
    until_ready,
    writes,
)
from tests.real.api import ApiError
from tests.real.wait import eventually, throughout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.controlplane.agents import Agents
    from tests.real.api import Api as PlainApi
    from tests.real.api import Object
    from tests.real.plane import ControlPlane
    from tests.real.process import Process

pytestmark = pytest.mark.timeout(600)

OURS = {"key": f"{words.PREFIX}not-ready", "effect": "NoSchedule"}
THEIRS = {"key": "example.com/theirs", "value": "1", "effect": "NoSchedule"}
ALIKE = OURS | {"effect": "PreferNoSchedule"}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path, BROKEN_HOST)


@pytest.fixture
def options(tmp_path: Path) -> tuple[str, ...]:
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps({"taint": True}))
    return ("--config", str(config), SIMULATED)


@pytest.fixture
def agent(agents: Agents, node: str, machine: Machine, options: tuple[str, ...]) -> Process:
    kubeconfig = agents.kubeconfig(node, account=words.MANAGE)
    return agents.start(node, machine.path, *options, kubeconfig=kubeconfig)


def taints(plane: ControlPlane, node: str) -> list[Object]:
    found: list[Object] = plane.node(node)["spec"].get("taints", [])
    return found


def until_taints(plane: ControlPlane, node: str, *wanted: Object) -> None:
    eventually(lambda: taints(plane, node) == list(wanted), within_s=PUBLISHED_S)


@pytest.mark.usefixtures("agent")
def test_the_taint_is_there_while_the_node_is_not_ready(
    plane: ControlPlane, node: str, machine: Machine
) -> None:
    until_not_ready(plane, node)
    until_taints(plane, node, OURS)

    machine.become(READY_HOST)
    until_ready(plane, node)
    until_taints(plane, node)

    machine.become(BROKEN_HOST)
    until_taints(plane, node, OURS)


@pytest.mark.usefixtures("agent")
def test_taints_of_others_stay_as_they_are(
    plane: ControlPlane, node: str, machine: Machine
) -> None:
    until_taints(plane, node, OURS)
    change = {"spec": {"taints": [THEIRS, OURS, ALIKE]}}
    plane.api.patch(words.node_path(node), change)

    machine.become(READY_HOST)
    until_taints(plane, node, THEIRS, ALIKE)

    machine.become(BROKEN_HOST)
    until_taints(plane, node, THEIRS, ALIKE, OURS)


@pytest.mark.usefixtures("agent")
def test_a_taint_that_somebody_took_off_comes_back(plane: ControlPlane, node: str) -> None:
    until_taints(plane, node, OURS)

    plane.api.patch(words.node_path(node), {"spec": {"taints": None}})

    until_taints(plane, node, OURS)


@pytest.mark.usefixtures("agent")
def test_an_unchanged_machine_writes_nothing(plane: ControlPlane, node: str) -> None:
    until_taints(plane, node, OURS)
    time.sleep(CYCLES_S)
    before = writes(plane)

    throughout(lambda: writes(plane) == before, for_s=CYCLES_S, every_s=0.5)


def test_without_the_right_the_lack_is_named_once_and_labels_are_told(
    plane: ControlPlane, node: str, machine: Machine, agents: Agents, options: tuple[str, ...]
) -> None:
    agent = agents.start(node, machine.path, *options)  # the account that only looks

    until_not_ready(plane, node)
    time.sleep(CYCLES_S)
    assert taints(plane, node) == []
    named = f"without that right the taint {OURS['key']}:NoSchedule is off"
    assert agent.log.read_text().count(named) == 1
    machine.become(READY_HOST)
    until_ready(plane, node)


@pytest.fixture
def client(agents: Agents, node: str) -> Iterator[NodeClient]:
    api = Api(str(agents.kubeconfig(node, account=words.MANAGE)))
    yield NodeClient(api, condition_type=words.CONDITION)
    api.close()


@pytest.mark.parametrize("is_on", [True, False])
@pytest.mark.parametrize("were", [[], [OURS]])
def test_what_others_did_meanwhile_is_not_undone(
    plane: ControlPlane, client: NodeClient, node: str, is_on: bool, were: list[Object]
) -> None:
    plane.api.patch(words.node_path(node), {"spec": {"taints": were}})
    seen = client.get(node)
    assert seen is not None
    plane.api.patch(words.node_path(node), {"spec": {"taints": [THEIRS, *were]}})

    with pytest.raises(ConflictError):
        client.set_taint(seen, OURS, is_on=is_on)

    assert taints(plane, node) == [THEIRS, *were]


FOREIGN: dict[str, list[Object]] = {
    "evicting": [OURS | {"effect": "NoExecute"}],
    "another key": [{"key": f"{words.PREFIX}other", "effect": "NoSchedule"}],
    "somebody else's gone": [],
}


@pytest.fixture
def thief(plane: ControlPlane, node: str) -> PlainApi:
    return plane.api_as(plane.node_token(words.MANAGE, words.NAMESPACE, node))


@pytest.mark.parametrize("what", FOREIGN)
def test_the_token_can_set_no_other_taint(
    plane: ControlPlane, thief: PlainApi, node: str, what: str
) -> None:
    plane.api.patch(words.node_path(node), {"spec": {"taints": [THEIRS]}})
    wanted = [*([] if what == "somebody else's gone" else [THEIRS]), *FOREIGN[what]]

    with pytest.raises(ApiError, match="only the taint"):
        thief.patch(words.node_path(node), {"spec": {"taints": wanted}})
