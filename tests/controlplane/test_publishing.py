"""What the agent writes to its Node, and what it leaves alone, on a real API server."""

from __future__ import annotations

import json
import re
import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.controlplane import words
from tests.controlplane.machine import Machine
from tests.real.api import APPLY, STRATEGIC, ApiError
from tests.real.wait import eventually, throughout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.controlplane.agents import Agents
    from tests.real.api import Object
    from tests.real.plane import ControlPlane
    from tests.real.process import Process

pytestmark = pytest.mark.timeout(600)

READY_HOST = "genoa-ready"
BROKEN_HOST = "genoa-iommu-pt"
UNKNOWN_HOST = "genoa-gpu-d3cold"
BROKEN_REASON = "IommuPassthroughOrOff"
SIMULATED = "--publish-simulated"

PUBLISHED_S = 60.0  # a Python start on a busy machine, and a look
CYCLES_S = 4.0  # several of the one-second cycles that the tests ask for
AN_EARLIER_BOOT = "11111111-2222-3333-4444-555555555555"

_A_NODE_WRITE = re.compile(
    r"apiserver_request_total\{.*resource=\"nodes\".*verb=\"(APPLY|PATCH|PUT|POST|DELETE)\""
)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path, READY_HOST)


@pytest.fixture
def agent(agents: Agents, node: str, machine: Machine) -> Process:
    """Allowed to call a captured machine ready."""
    return agents.start(node, machine.path, SIMULATED)


def until_ready(plane: ControlPlane, node: str) -> Object:
    def the_node_is_ready() -> Object | None:
        found = plane.node(node)
        return found if words.is_ready(found) and _status(found) == "True" else None

    return eventually(the_node_is_ready, within_s=PUBLISHED_S) or {}


def until_not_ready(plane: ControlPlane, node: str) -> Object:
    def the_node_is_not_ready() -> Object | None:
        found = plane.node(node)
        return found if not words.is_ready(found) and _status(found) == "False" else None

    return eventually(the_node_is_not_ready, within_s=PUBLISHED_S) or {}


def _status(node: Object) -> str | None:
    return (words.condition(node) or {}).get("status")


def _version(node: Object) -> str:
    version: str = node["metadata"]["resourceVersion"]
    return version


def _report(node: Object) -> Object:
    report: Object = json.loads(node["metadata"]["annotations"][words.REPORT])
    return report


@pytest.mark.usefixtures("agent")
def test_a_ready_machine_is_labelled(plane: ControlPlane, node: str) -> None:
    found = until_ready(plane, node)

    labels = words.ours(found)
    assert labels[words.PROFILE] == "snp-gpu"
    assert labels[words.SIMULATED] == "true"
    for level in ("snp", "iommu", "kernel", "gpu"):
        assert labels[f"{words.PREFIX}{level}"] == "true", level
    for number in ("gpu.count", "snp.asids"):
        assert int(labels[f"{words.PREFIX}{number}"]) > 0, number
    assert (words.condition(found) or {})["reason"] == "AllChecksPassed"
    assert _report(found)["boot_id"]
    assert len(found["metadata"]["annotations"][words.REPORT]) <= 4096


@pytest.mark.usefixtures("agent")
def test_labels_that_are_no_longer_true_are_removed(
    plane: ControlPlane, node: str, machine: Machine
) -> None:
    until_ready(plane, node)

    machine.become(BROKEN_HOST)

    found = until_not_ready(plane, node)
    assert words.SNP not in words.ours(found)
    assert "false" not in words.ours(found).values()
    assert (words.condition(found) or {})["reason"] == BROKEN_REASON

    machine.become(READY_HOST)
    until_ready(plane, node)


@pytest.mark.usefixtures("agent")
def test_what_others_wrote_stays(plane: ControlPlane, node: str, machine: Machine) -> None:
    theirs = {"example.com/rack": "7", "nvidia.com/gpu.present": "true"}
    change = {"metadata": {"labels": theirs, "annotations": {"example.com/owner": "somebody"}}}
    plane.api.patch(words.node_path(node), change)
    until_ready(plane, node)
    machine.become(BROKEN_HOST)

    found = until_not_ready(plane, node)

    assert found["metadata"]["labels"].items() >= theirs.items()
    assert found["metadata"]["annotations"]["example.com/owner"] == "somebody"
    ready = next(each for each in found["status"]["conditions"] if each["type"] == "Ready")
    assert ready["reason"] == "ByHand"


@pytest.mark.usefixtures("agent")
def test_the_fields_are_owned_under_one_name(plane: ControlPlane, node: str) -> None:
    """So that a later version can still take back what this one wrote."""
    found = until_ready(plane, node)

    owned = [each for each in found["metadata"]["managedFields"] if _names_ours(each)]
    assert {each["manager"] for each in owned} == {words.MANAGER}
    labels = [each for each in owned if not each.get("subresource")]
    assert [each["operation"] for each in labels] == ["Apply"]
    keys = set(labels[0]["fieldsV1"]["f:metadata"]["f:labels"])
    assert keys == {f"f:{key}" for key in words.ours(found)}


def _names_ours(entry: Object) -> bool:
    return words.PREFIX in json.dumps(entry["fieldsV1"])


@pytest.mark.usefixtures("agent")
def test_an_unchanged_machine_writes_nothing(plane: ControlPlane, node: str) -> None:
    """Not even a write that changes nothing: ten thousand nodes would send it."""
    until_ready(plane, node)
    time.sleep(CYCLES_S)  # the first write may be followed by another
    before = writes(plane)

    throughout(lambda: writes(plane) == before, for_s=CYCLES_S, every_s=0.5)


def test_a_restarted_agent_writes_nothing_new(
    plane: ControlPlane, node: str, machine: Machine, agents: Agents
) -> None:
    """A roll-out of the DaemonSet must not be a wave of writes to every Node."""
    first = agents.start(node, machine.path, SIMULATED)
    until_ready(plane, node)
    time.sleep(CYCLES_S)
    first.kill()
    before = writes(plane)

    second = agents.start(node, machine.path, SIMULATED)

    throughout(lambda: writes(plane) == before, for_s=2 * CYCLES_S, every_s=0.5)
    assert second.code() is None


def writes(plane: ControlPlane) -> float:
    """How many requests to change a Node the server has had, from anybody."""
    lines = plane.api.text("/metrics").splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if _A_NODE_WRITE.match(line))


def test_labels_of_an_earlier_boot_go_before_the_first_look(
    plane: ControlPlane, node: str, machine: Machine, agents: Agents
) -> None:
    """After a reboot nothing is known, whatever was true before it."""
    _label_as_in(AN_EARLIER_BOOT, plane, node)
    since = _version(plane.node(node))

    agents.start(node, machine.path, SIMULATED)

    eventually(
        lambda: _report(plane.node(node))["boot_id"] != AN_EARLIER_BOOT, within_s=PUBLISHED_S
    )
    until_ready(plane, node)
    states = [words.is_ready(each) for each in plane.api.history(words.node_path(node), since)]
    assert states.index(False) < states.index(True)


def test_labels_of_an_earlier_boot_get_no_grace(
    plane: ControlPlane, node: str, machine: Machine, agents: Agents
) -> None:
    """A label outlives a look that could not see, but only in the boot it was earned in."""
    _label_as_in(AN_EARLIER_BOOT, plane, node)
    machine.become(UNKNOWN_HOST)
    since = _version(plane.node(node))

    agents.start(node, machine.path, SIMULATED)

    eventually(
        lambda: _report(plane.node(node))["boot_id"] != AN_EARLIER_BOOT, within_s=PUBLISHED_S
    )
    states = plane.api.history(words.node_path(node), since)
    assert not any(words.is_ready(each) for each in states)


@pytest.mark.usefixtures("agent")
def test_a_label_survives_a_look_that_cannot_see(
    plane: ControlPlane, node: str, machine: Machine
) -> None:
    """The condition says so at once; the label goes when it lasts. A fresh start sets none."""
    since = _version(until_ready(plane, node))
    machine.become(UNKNOWN_HOST)

    def the_label_is_gone() -> bool:
        return not words.is_ready(plane.node(node))

    eventually(the_label_is_gone, within_s=PUBLISHED_S)
    states = plane.api.history(words.node_path(node), since)
    assert any(words.is_ready(each) and _status(each) == "Unknown" for each in states)


def _label_as_in(boot: str, plane: ControlPlane, node: str) -> None:
    """As an agent of that boot left it."""
    metadata = {
        "name": node,
        "labels": {words.READY: "true", words.SNP: "true"},
        "annotations": {words.REPORT: json.dumps({"version": 1, "boot_id": boot})},
    }
    body = {"apiVersion": "v1", "kind": "Node", "metadata": metadata}
    path = words.node_path(node)
    plane.api.patch(f"{path}?fieldManager={words.MANAGER}", body, APPLY)
    good = {"type": words.CONDITION, "status": "True", "reason": "AllChecksPassed", "message": ""}
    plane.api.patch(f"{path}/status", {"status": {"conditions": [good]}}, STRATEGIC)


@pytest.fixture
def almighty_agent(
    plane: ControlPlane, agents: Agents, node: str, machine: Machine
) -> Iterator[Process]:
    """With an administrator's rights: what it leaves undone here, it leaves undone by itself."""
    agent = agents.start(node, machine.path, SIMULATED, kubeconfig=plane.admin_kubeconfig)
    yield agent
    agent.kill()  # before the Node goes


@pytest.mark.usefixtures("almighty_agent")
def test_a_deleted_node_is_not_brought_back(plane: ControlPlane, node: str) -> None:
    """To apply to a Node that is gone creates one, and a cluster then has a ghost."""
    until_ready(plane, node)
    plane.remove_node(node)

    throughout(lambda: _is_gone(plane, node), for_s=CYCLES_S)


def test_a_node_made_anew_is_labelled_afresh(
    plane: ControlPlane, node: str, almighty_agent: Process
) -> None:
    until_ready(plane, node)
    plane.remove_node(node)
    throughout(lambda: _is_gone(plane, node), for_s=CYCLES_S / 2)

    uid = plane.add_node(node)

    found = until_ready(plane, node)
    assert found["metadata"]["uid"] == uid
    assert almighty_agent.code() is None


def _is_gone(plane: ControlPlane, node: str) -> bool:
    try:
        plane.node(node)
    except ApiError as error:
        return error.status == 404
    return False


def test_the_agent_outlives_the_api_server(
    plane: ControlPlane, node: str, machine: Machine, agent: Process
) -> None:
    until_ready(plane, node)
    plane.stop_apiserver()
    machine.become(BROKEN_HOST)
    throughout(lambda: agent.code() is None, for_s=CYCLES_S)
    plane.start_apiserver()

    until_not_ready(plane, node)

    assert agent.code() is None


def test_the_agent_may_start_before_the_api_server(
    plane: ControlPlane, node: str, machine: Machine, agents: Agents
) -> None:
    kubeconfig = agents.kubeconfig(node)
    plane.stop_apiserver()
    agent = agents.start(node, machine.path, SIMULATED, kubeconfig=kubeconfig)
    throughout(lambda: agent.code() is None, for_s=CYCLES_S)
    plane.start_apiserver()

    until_ready(plane, node)


def test_the_agent_ends_at_once_when_asked_and_labels_stay(
    plane: ControlPlane, node: str, agent: Process
) -> None:
    """A roll-out of the DaemonSet must not make a node look broken."""
    before = words.ours(until_ready(plane, node))
    time.sleep(CYCLES_S)

    agent.signal(signal.SIGTERM)

    assert agent.wait(within_s=2.0) == 0
    found = plane.node(node)
    assert words.ours(found) == before
    assert _status(found) == "True"


def test_the_agent_ends_at_once_while_the_api_server_is_away(
    plane: ControlPlane, node: str, agent: Process
) -> None:
    until_ready(plane, node)
    plane.stop_apiserver()
    time.sleep(CYCLES_S)

    agent.signal(signal.SIGTERM)

    try:
        assert agent.wait(within_s=5.0) == 0
    finally:
        plane.start_apiserver()


def test_a_captured_machine_is_never_ready_unasked(
    plane: ControlPlane, node: str, machine: Machine, agents: Agents
) -> None:
    """A capture says nothing about the machine that the node is."""
    since = _version(plane.node(node))
    agents.start(node, machine.path)

    def the_node_says_it_is_simulated() -> bool:
        return words.ours(plane.node(node)).get(words.SIMULATED) == "true"

    eventually(the_node_says_it_is_simulated, within_s=PUBLISHED_S)
    time.sleep(CYCLES_S)
    states = plane.api.history(words.node_path(node), since)
    assert states
    assert not any(words.is_ready(each) for each in states)
