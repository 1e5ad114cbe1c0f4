"""Labels by way of NFD's NodeFeature objects, with NFD's own definition of them cut to the bone."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from tests.controlplane import words
from tests.controlplane.agents import ROOT
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
from tests.real.api import APPLY, ApiError
from tests.real.nfd import Nfd
from tests.real.wait import eventually, throughout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.controlplane.agents import Agents
    from tests.real.api import Api, Object
    from tests.real.plane import ControlPlane
    from tests.real.process import Process

pytestmark = pytest.mark.timeout(600)

GROUP = "nfd.k8s-sigs.io"
FOLDER = f"/apis/{GROUP}/v1alpha1/namespaces/{words.NAMESPACE}/nodefeatures"
OF_NODE = "nfd.node.kubernetes.io/node-name"
COMPONENT = ROOT / "daemonset" / "components" / "nodefeature"
_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
_ANY = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_FEATURES = {
    "type": "object",
    "properties": dict.fromkeys(("flags", "attributes", "instances"), _ANY),
    "required": ["flags", "attributes", "instances"],
}
_SPEC = {"type": "object", "properties": {"features": _FEATURES, "labels": _TEXTS}}
DEFINITION: Object = {
    "metadata": {
        "name": f"nodefeatures.{GROUP}",
        "annotations": {"api-approved.kubernetes.io": "unapproved, a part for tests"},
    },
    "spec": {
        "group": GROUP,
        "names": {"kind": "NodeFeature", "plural": "nodefeatures", "singular": "nodefeature"},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1alpha1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": _SPEC}}},
            }
        ],
    },
}


@pytest.fixture(scope="module", autouse=True)
def installed(plane: ControlPlane) -> None:
    """The definition, our component, and the policy in force."""
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    plane.api.create(definitions, DEFINITION)
    eventually(lambda: plane.api.get(FOLDER), within_s=PUBLISHED_S, despite=ApiError)
    for name in ("rbac.yaml", "policy.yaml"):
        plane.kubectl("apply", "-f", str(COMPONENT / name))
    plane.add_node("feature-policy")
    agent = plane.api_as(plane.node_token(words.ACCOUNT, words.NAMESPACE, "feature-policy"))

    def the_policy_bites() -> bool:
        try:
            agent.create(FOLDER, feature("somebody-else"))
        except ApiError as error:
            return "ValidatingAdmissionPolicy" in error.message
        return False

    eventually(the_policy_bites, within_s=PUBLISHED_S)
    plane.remove_node("feature-policy")


def feature(node: str, **more: object) -> Object:
    nothing: Object = {"flags": {}, "attributes": {}, "instances": {}}
    spec: Object = {"features": nothing, **more}
    metadata = {"name": f"nodeagent-{node}", "labels": {OF_NODE: node}}
    kind = {"apiVersion": f"{GROUP}/v1alpha1", "kind": "NodeFeature"}
    return {**kind, "metadata": metadata, "spec": spec}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path, READY_HOST)


@pytest.fixture
def nfd(plane: ControlPlane, node: str) -> Iterator[Nfd]:
    """Its master: what the objects about this node ask for, a later name over an earlier one."""

    def wanted() -> dict[str, str]:
        found: dict[str, str] = {}
        for each in plane.api.items(FOLDER):
            if each["metadata"]["labels"].get(OF_NODE) == node:
                found |= each["spec"].get("labels", {})
        return found

    with Nfd(plane.api, node, wanted) as nfd:
        yield nfd


@pytest.fixture
def agent(agents: Agents, node: str, machine: Machine) -> Process:
    return agents.start(node, machine.path, SIMULATED, "--sink", "nodefeature")


def shown(plane: ControlPlane, node: str) -> Object:
    return plane.api.get(f"{FOLDER}/nodeagent-{node}")


@pytest.mark.usefixtures("nfd", "agent")
def test_nfd_labels_the_node_by_an_object_that_goes_with_it(plane: ControlPlane, node: str) -> None:
    found = until_ready(plane, node)

    object_ = shown(plane, node)
    assert object_["spec"]["labels"] == words.ours(found)
    [owner] = object_["metadata"]["ownerReferences"]
    assert owner["uid"] == found["metadata"]["uid"]
    assert words.REPORT in found["metadata"]["annotations"]


@pytest.mark.usefixtures("nfd", "agent")
def test_what_is_no_longer_true_goes_from_object_and_node(
    plane: ControlPlane, node: str, machine: Machine
) -> None:
    until_ready(plane, node)

    machine.become(BROKEN_HOST)

    until_not_ready(plane, node)
    assert words.READY not in shown(plane, node)["spec"]["labels"]
    machine.become(READY_HOST)
    until_ready(plane, node)


@pytest.mark.usefixtures("nfd", "agent")
def test_an_unchanged_machine_writes_nothing(plane: ControlPlane, node: str) -> None:
    until_ready(plane, node)
    time.sleep(CYCLES_S)
    before, version = writes(plane), shown(plane, node)["metadata"]["resourceVersion"]

    throughout(lambda: writes(plane) == before, for_s=CYCLES_S, every_s=0.5)

    assert shown(plane, node)["metadata"]["resourceVersion"] == version


@pytest.mark.usefixtures("nfd")
def test_labels_of_an_earlier_boot_go_before_the_first_look(
    plane: ControlPlane, node: str, machine: Machine, agents: Agents
) -> None:
    plane.api.create(FOLDER, feature(node, labels={words.READY: "true"}))
    eventually(lambda: words.is_ready(plane.node(node)), within_s=PUBLISHED_S)
    since = shown(plane, node)["metadata"]["resourceVersion"]

    agents.start(node, machine.path, SIMULATED, "--sink", "nodefeature")

    eventually(lambda: words.PROFILE in words.ours(plane.node(node)), within_s=PUBLISHED_S)
    history = plane.api.history(f"{FOLDER}/nodeagent-{node}", since)
    states = [words.READY in each["spec"].get("labels", {}) for each in history]
    assert False in states
    assert states[-1] is True


@pytest.mark.usefixtures("nfd")
def test_without_the_right_the_lack_is_named_once_and_the_condition_told(
    plane: ControlPlane, node: str, machine: Machine, agents: Agents, tmp_path: Path
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps({"sink": "nodefeature", "namespace": "default"}))

    agent = agents.start(node, machine.path, SIMULATED, "--config", str(config))

    eventually(lambda: "403" in agent.log.read_text(), within_s=PUBLISHED_S)
    time.sleep(CYCLES_S)
    assert agent.log.read_text().count("answered 403") == 1
    assert "nodefeatures" in agent.log.read_text()
    assert not words.is_ready(plane.node(node))


FOREIGN: dict[str, Object] = {
    "a label of others": {"labels": {"example.com/other": "1"}},
    "a label of nvidia": {"labels": {words.CC_READY: "true"}},
    "a raw feature": {"features": {"flags": {"a.b": {}}, "attributes": {}, "instances": {}}},
}


@pytest.fixture
def thief(plane: ControlPlane, node: str) -> Api:
    return plane.api_as(plane.node_token(words.ACCOUNT, words.NAMESPACE, node))


@pytest.mark.parametrize("what", FOREIGN)
def test_the_token_can_say_only_our_own_words(thief: Api, node: str, what: str) -> None:
    with pytest.raises(ApiError, match="ValidatingAdmissionPolicy"):
        thief.create(FOLDER, feature(node, **FOREIGN[what]))


@pytest.mark.parametrize("name", ["by its name", "by its label"])
def test_the_token_can_say_nothing_of_another_node(thief: Api, node: str, name: str) -> None:
    body = feature(node)
    if name == "by its name":
        body["metadata"]["name"] = "nodeagent-another"
    else:
        body["metadata"]["labels"] = {OF_NODE: "another"}
    with pytest.raises(ApiError, match="ValidatingAdmissionPolicy"):
        thief.create(FOLDER, body)


def test_the_token_can_take_over_no_other_object(plane: ControlPlane, thief: Api) -> None:
    plane.api.create(FOLDER, feature("victim"))
    body = feature("victim", labels={words.READY: "true"})
    with pytest.raises(ApiError, match="ValidatingAdmissionPolicy"):
        thief.patch(f"{FOLDER}/nodeagent-victim?fieldManager=x&force=true", body, APPLY)
