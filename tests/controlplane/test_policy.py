"""What the agent's credentials cannot do, whoever holds them: asked of a real API server.

Everything here goes around the agent: it is what a thief of its token would try.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.controlplane import words
from tests.real.api import APPLY, MERGE, STRATEGIC, ApiError
from tests.real.wait import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.real.api import Api, Object
    from tests.real.plane import ControlPlane

pytestmark = pytest.mark.timeout(600)

THEIRS = "example.com/theirs"
OURS = {"type": words.CONDITION, "status": "False", "reason": "NoGpu", "message": "none"}
THEIR_TAINT = {"key": THEIRS, "value": "1", "effect": "NoSchedule"}
ROOM = {"cpu": "640", "memory": "2560Gi", "pods": "1100"}


@pytest.fixture
def agent(plane: ControlPlane, node: str) -> Api:
    """Whoever holds the token of that Node, which somebody else uses as well."""
    theirs = {"labels": {THEIRS: "1"}, "annotations": {THEIRS: "1"}}
    change = {"metadata": theirs, "spec": {"taints": [THEIR_TAINT]}}
    plane.api.patch(words.node_path(node), change)
    return plane.api_as(plane.node_token(words.ACCOUNT, words.NAMESPACE, node))


def _condition(kind: str, status: str) -> Object:
    return {"status": {"conditions": [{"type": kind, "status": status, "reason": "Test"}]}}


def _labels(**change: str | None) -> Object:
    return {"metadata": {"labels": change}}


FOREIGN_METADATA: dict[str, Object] = {
    "a label added": _labels(**{"example.com/other": "1"}),
    "a label changed": _labels(**{THEIRS: "2"}),
    "a label removed": _labels(**{THEIRS: None}),
    "a label without a prefix": _labels(ready="true"),
    "a label of kubernetes": _labels(**{"node-role.kubernetes.io/control-plane": ""}),
    "a label of nvidia": _labels(**{"nvidia.com/cc.ready.state": "true"}),
    "a label that looks like ours": _labels(**{"nodeagent.io.example.com/ready": "true"}),
    "a label that ends like ours": _labels(**{"not-nodeagent.io/ready": "true"}),
    "ours and another one": _labels(**{words.SNP: "true", "example.com/other": "1"}),
    "an annotation added": {"metadata": {"annotations": {"example.com/other": "1"}}},
    "an annotation changed": {"metadata": {"annotations": {THEIRS: "2"}}},
    "an annotation removed": {"metadata": {"annotations": {THEIRS: None}}},
    "a finalizer": {"metadata": {"finalizers": [f"{words.PREFIX}stay"]}},
    "an owner": {
        "metadata": {
            "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "x", "uid": "x"}]
        }
    },
}
FOREIGN_SPEC: dict[str, Object] = {
    "a taint added": {"spec": {"taints": [THEIR_TAINT, {"key": "a.b/c", "effect": "NoExecute"}]}},
    "a taint changed": {"spec": {"taints": [THEIR_TAINT | {"effect": "NoExecute"}]}},
    "a taint removed": {"spec": {"taints": None}},
    "a cordon": {"spec": {"unschedulable": True}},
    "an address range": {"spec": {"podCIDR": "10.0.0.0/24", "podCIDRs": ["10.0.0.0/24"]}},
    "a provider": {"spec": {"providerID": "example://1"}},
}
FOREIGN_STATUS: dict[str, Object] = {
    "a condition added": _condition("example.com/Other", "True"),
    "a condition like ours": _condition("nodeagent.io/Other", "True"),
    "a condition changed": _condition("Ready", "False"),
    "a condition removed": {"status": {"conditions": [{"$patch": "delete", "type": "Ready"}]}},
    "capacity": {"status": {"capacity": ROOM}},
    "allocatable": {"status": {"allocatable": ROOM}},
    "a device": {"status": {"allocatable": {"nvidia.com/gpu": "8"}}},
    "an address": {"status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.1"}]}},
    "the phase": {"status": {"phase": "Terminated"}},
    "the kubelet's port": {"status": {"daemonEndpoints": {"kubeletEndpoint": {"Port": 1}}}},
    "an image": {"status": {"images": [{"names": ["example.com/x"], "sizeBytes": 1}]}},
    "a volume in use": {"status": {"volumesInUse": ["x"]}},
    "a runtime handler": {"status": {"runtimeHandlers": [{"name": "kata"}]}},
}


def _refused(status: int = 403) -> pytest.RaisesExc[ApiError]:
    return pytest.RaisesExc(ApiError, check=lambda error: error.status == status)


def _by_policy(message: str) -> pytest.RaisesExc[ApiError]:
    """RBAC said yes to it; without the policy it would have happened."""
    return pytest.RaisesExc(ApiError, match=f"ValidatingAdmissionPolicy .*{message}")


@pytest.mark.parametrize("what", FOREIGN_METADATA)
@pytest.mark.parametrize("through", ["", "/status"])
def test_foreign_metadata_is_refused(agent: Api, node: str, what: str, through: str) -> None:
    with _by_policy("the agent may change"):
        agent.patch(words.node_path(node) + through, FOREIGN_METADATA[what], STRATEGIC)


@pytest.mark.parametrize("what", FOREIGN_SPEC)
def test_the_spec_is_refused(agent: Api, node: str, what: str) -> None:
    with _by_policy("the agent may not change the spec"):
        agent.patch(words.node_path(node), FOREIGN_SPEC[what], MERGE)


@pytest.mark.parametrize("what", FOREIGN_STATUS)
def test_foreign_status_is_refused(agent: Api, node: str, what: str) -> None:
    with _by_policy("the agent may change"):
        agent.patch(f"{words.node_path(node)}/status", FOREIGN_STATUS[what], STRATEGIC)


@pytest.mark.parametrize("what", ["labels", "annotations"])
def test_own_metadata_is_allowed(plane: ControlPlane, agent: Api, node: str, what: str) -> None:
    key = f"{words.PREFIX}probe"
    path = words.node_path(node)

    agent.patch(path, {"metadata": {what: {key: "1"}}})
    assert plane.node(node)["metadata"][what] == {**_untouched(plane, node, what), key: "1"}

    agent.patch(path, {"metadata": {what: {key: None}}})
    assert key not in plane.node(node)["metadata"][what]


def _untouched(plane: ControlPlane, node: str, what: str) -> dict[str, str]:
    found: dict[str, str] = plane.node(node)["metadata"][what]
    return {key: value for key, value in found.items() if not key.startswith(words.PREFIX)}


def test_the_own_condition_is_allowed(plane: ControlPlane, agent: Api, node: str) -> None:
    path = f"{words.node_path(node)}/status"
    before = plane.node(node)["status"]["conditions"]

    agent.patch(path, {"status": {"conditions": [OURS]}}, STRATEGIC)

    found = plane.node(node)
    assert (words.condition(found) or {}).get("reason") == "NoGpu"
    assert all(each in found["status"]["conditions"] for each in before)


@pytest.mark.parametrize("through", ["", "/status"])
def test_applying_the_own_fields_is_allowed(agent: Api, node: str, through: str) -> None:
    body: Object = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}}
    if through:
        body["status"] = {"conditions": [OURS]}
    else:
        body["metadata"]["labels"] = {words.SNP: "true"}
    agent.patch(f"{words.node_path(node)}{through}?fieldManager={words.MANAGER}", body, APPLY)


@pytest.mark.parametrize("through", ["", "/status"])
def test_another_node_is_refused(plane: ControlPlane, agent: Api, through: str) -> None:
    plane.add_node("another")
    try:
        with _by_policy("only the node that its token was made for"):
            agent.patch(words.node_path("another") + through, _labels(**{words.SNP: "true"}))
    finally:
        plane.remove_node("another")


def test_a_token_of_no_node_is_refused(plane: ControlPlane, node: str) -> None:
    nobody = plane.api_as(plane.unbound_token(words.ACCOUNT, words.NAMESPACE))
    with _by_policy("only the node that its token was made for"):
        nobody.patch(words.node_path(node), _labels(**{words.SNP: "true"}))


def test_a_token_of_a_deleted_node_is_worth_nothing(plane: ControlPlane) -> None:
    """Not even for a Node of the same name: a landlord cannot bring the identity back."""
    plane.add_node("replaced")
    token = plane.node_token(words.ACCOUNT, words.NAMESPACE, "replaced")
    plane.remove_node("replaced")
    plane.add_node("replaced")

    def the_token_is_dead() -> bool:
        try:
            plane.api_as(token).get(words.node_path("replaced"))
        except ApiError as error:
            return error.status == 401
        return False

    eventually(the_token_is_dead, within_s=60)  # the server remembers a token for 10 s
    plane.remove_node("replaced")


def test_nodes_are_not_deleted(agent: Api, node: str) -> None:
    with _refused():
        agent.delete(words.node_path(node))


def test_nodes_are_not_created(agent: Api) -> None:
    with _refused():
        agent.create("/api/v1/nodes", {"metadata": {"name": "made-by-agent"}})


@pytest.fixture
def generous(plane: ControlPlane) -> Iterator[None]:
    """Somebody gave the account everything, as people do when something does not work."""
    path = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
    account = {"kind": "ServiceAccount", "name": words.ACCOUNT, "namespace": words.NAMESPACE}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    metadata = {"name": "generous"}
    plane.api.create(path, {"metadata": metadata, "roleRef": role, "subjects": [account]})
    yield
    plane.api.delete(f"{path}/generous")


@pytest.mark.usefixtures("generous")
def test_the_policy_keeps_nodes_whatever_is_granted(agent: Api, node: str) -> None:
    def the_grant_is_heard_of() -> bool:
        return bool(agent.items("/api/v1/nodes"))

    eventually(the_grant_is_heard_of, within_s=60, despite=ApiError)

    with _by_policy("the agent neither creates nor deletes nodes"):
        agent.delete(words.node_path(node))
    with _by_policy("the agent neither creates nor deletes nodes"):
        agent.create("/api/v1/nodes", {"metadata": {"name": "made-by-agent"}})


def test_applying_to_a_missing_node_does_not_create_it(agent: Api) -> None:
    """A patch is all that is granted, and an applied patch of nothing is a creation."""
    name = "made-by-apply"
    body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}
    with _refused():
        agent.patch(f"{words.node_path(name)}?fieldManager={words.MANAGER}", body, APPLY)


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/nodes",
        "/api/v1/pods",
        "/api/v1/secrets",
        "/api/v1/configmaps",
        f"/api/v1/namespaces/{words.NAMESPACE}/secrets",
        f"/api/v1/namespaces/{words.NAMESPACE}/serviceaccounts",
        "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies",
    ],
)
def test_nothing_else_can_be_read(agent: Api, path: str) -> None:
    with _refused():
        agent.get(path)


def test_no_token_can_be_made(agent: Api) -> None:
    path = f"/api/v1/namespaces/{words.NAMESPACE}/serviceaccounts/{words.ACCOUNT}/token"
    with _refused():
        agent.create(path, {"spec": {}})
