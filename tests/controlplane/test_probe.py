"""Ready waits for a probe pod of the site's; its kubelet is played by hand."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.controlplane import words
from tests.controlplane.agents import ROOT
from tests.controlplane.switching import Site
from tests.controlplane.test_around import HANDLER, SIMULATED, reason, show
from tests.real.api import MERGE, ApiError
from tests.real.wait import eventually, throughout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.controlplane.agents import Agents
    from tests.real.api import Object
    from tests.real.plane import ControlPlane
    from tests.real.process import Process

pytestmark = pytest.mark.timeout(600)

PROBE = f"{words.PREFIX}probe"
PODS = f"/api/v1/namespaces/{words.NAMESPACE}/pods"
ROLE = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{words.NAMESPACE}/roles/nodeagent-probe"
MANIFEST: Object = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "attest"},
    "spec": {"containers": [{"name": "c", "image": "example.com/attest"}]},
}
TRUTH_S = 60.0
STAYS_S = 3.0


class Kubelet:
    """Of one node: what it does to the one probe pod there."""

    def __init__(self, plane: ControlPlane, node: str) -> None:
        self._plane, self._node = plane, node
        self.seen: list[str] = []

    @property
    def pod(self) -> Object | None:
        found = [
            each
            for each in self._plane.api.items(PODS)
            if each["spec"].get("nodeName") == self._node and PROBE in _labels_of(each)
        ]
        assert len(found) < 2
        return found[0] if found else None

    def await_pod(self, within_s: float = TRUTH_S) -> Object:
        """One that it has not met yet."""

        def new() -> Object | None:
            pod = self.pod
            return pod if pod and pod["metadata"]["uid"] not in self.seen else None

        pod = eventually(new, within_s=within_s) or {}
        self.seen.append(pod["metadata"]["uid"])
        return pod

    def end(self, pod: Object, code: int) -> None:
        state = {"terminated": {"exitCode": code}}
        told = {"name": "c", "ready": False, "restartCount": 0, "image": "i", "imageID": "i"}
        phase = "Failed" if code else "Succeeded"
        self._tell(pod, {"phase": phase, "containerStatuses": [{**told, "state": state}]})

    def refuse(self, pod: Object, why: str) -> None:
        self._tell(pod, {"phase": "Failed", "reason": why, "message": "as tests have it"})

    def _tell(self, pod: Object, status: Object) -> None:
        path = f"{PODS}/{pod['metadata']['name']}/status"
        self._plane.api.patch(path, {"status": status}, MERGE)

    def clean(self) -> None:
        pod = self.pod
        if pod:
            with contextlib.suppress(ApiError):
                self._plane.api.delete(f"{PODS}/{pod['metadata']['name']}?gracePeriodSeconds=0")


def _labels_of(pod: Object) -> dict[str, str]:
    found: dict[str, str] = pod["metadata"].get("labels", {})
    return found


@pytest.fixture(scope="module", autouse=True)
def installed(plane: ControlPlane) -> None:
    """Rights and policy, and the account that a controller would make."""
    account: Object = {"metadata": {"name": "default"}}
    with contextlib.suppress(ApiError):
        plane.api.create(f"/api/v1/namespaces/{words.NAMESPACE}/serviceaccounts", account)
    plane.kubectl("apply", "-k", str(ROOT / "daemonset" / "probe"))
    plane.add_node("probe-policy")
    agent = plane.api_as(plane.node_token(words.ACCOUNT, words.NAMESPACE, "probe-policy"))

    def the_policy_bites() -> bool:
        try:
            agent.create(f"{PODS}?dryRun=All", _made("elsewhere"))
        except ApiError as error:
            return "ValidatingAdmissionPolicy" in error.message
        return False

    eventually(the_policy_bites, within_s=TRUTH_S)
    plane.remove_node("probe-policy")


def _made(node: str, name: str = "probe-x", **spec: Any) -> Object:  # noqa: ANN401
    return {
        "metadata": {"name": name, "labels": {PROBE: "true"}},
        "spec": {
            **MANIFEST["spec"],
            "nodeName": node,
            "automountServiceAccountToken": False,
            **spec,
        },
    }


@pytest.fixture
def kubelet(plane: ControlPlane, node: str) -> Iterator[Kubelet]:
    show(plane, node, HANDLER)
    kubelet = Kubelet(plane, node)
    yield kubelet
    kubelet.clean()


@pytest.fixture
def start(agents: Agents, node: str, hosts: Path, tmp_path: Path) -> Callable[..., Process]:
    """An agent that only looks, with such a gate."""

    def start(**gate: float) -> Process:
        config = tmp_path / "config.yaml"
        config.write_text(json.dumps({"gate": _gate(tmp_path, **gate)}))
        options = ("--config", str(config), SIMULATED)
        return agents.start(node, hosts / "genoa-kubelet-ready", *options)

    return start


def _gate(folder: Path, **gate: float) -> Object:
    file = folder / "pod.yaml"
    file.write_text(json.dumps(MANIFEST))
    return {"pod": str(file), **gate}


def _until_ready(plane: ControlPlane, node: str, within_s: float = TRUTH_S) -> None:
    eventually(lambda: words.is_ready(plane.node(node)), within_s=within_s)


def _until(plane: ControlPlane, node: str, why: str) -> str:
    eventually(lambda: reason(plane, node) == why, within_s=TRUTH_S)
    assert not words.is_ready(plane.node(node))
    return str((words.condition(plane.node(node)) or {})["message"])


def _note(plane: ControlPlane, node: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(plane.node(node)["metadata"]["annotations"][PROBE])
    return told


def test_ready_waits_until_the_pod_ended_well(
    plane: ControlPlane, node: str, kubelet: Kubelet, start: Callable[..., Process]
) -> None:
    agent = start()
    pod = kubelet.await_pod()
    _until(plane, node, "ProbePending")
    throughout(lambda: not words.is_ready(plane.node(node)), for_s=STAYS_S)
    assert pod["spec"]["nodeName"] == node
    assert {"operator": "Exists"} in pod["spec"]["tolerations"]

    kubelet.end(pod, 0)

    _until_ready(plane, node)
    eventually(lambda: kubelet.pod is None, within_s=TRUTH_S)
    boot_id = plane.node(node)["status"]["nodeInfo"]["bootID"]
    note = _note(plane, node)
    assert (note["result"], note["boot_id"]) == ("passed", boot_id)
    assert note["at"].endswith("Z")

    agent.kill()
    start()
    throughout(lambda: words.is_ready(plane.node(node)) and kubelet.pod is None, for_s=STAYS_S)


def test_a_pod_that_fails_keeps_ready_off_and_is_tried_again(
    plane: ControlPlane, node: str, kubelet: Kubelet, start: Callable[..., Process]
) -> None:
    start(again_s=4)
    kubelet.end(kubelet.await_pod(), 3)
    assert "exit code 3" in _until(plane, node, "ProbeFailed")
    assert _note(plane, node)["result"] == "failed"

    kubelet.end(kubelet.await_pod(), 0)
    _until_ready(plane, node)


def test_a_pod_that_does_not_end_is_late_and_goes(
    plane: ControlPlane, node: str, kubelet: Kubelet, start: Callable[..., Process]
) -> None:
    """The kubelet never took it: it says why."""
    start(deadline_s=4)
    kubelet.refuse(kubelet.await_pod(), "OutOfpgpu")

    assert "OutOfpgpu" in _until(plane, node, "ProbeLate")
    eventually(lambda: kubelet.pod is None, within_s=TRUTH_S)


def test_a_pass_expires(
    plane: ControlPlane, node: str, kubelet: Kubelet, start: Callable[..., Process]
) -> None:
    start(valid_s=6)
    kubelet.end(kubelet.await_pod(), 0)
    _until_ready(plane, node)

    again = kubelet.await_pod()
    _until(plane, node, "ProbePending")

    kubelet.end(again, 0)
    _until_ready(plane, node)


def test_what_ended_while_no_agent_ran_counts(
    plane: ControlPlane, node: str, kubelet: Kubelet, start: Callable[..., Process]
) -> None:
    agent = start()
    pod = kubelet.await_pod()
    agent.kill()
    kubelet.end(pod, 0)
    assert not words.is_ready(plane.node(node))

    start()
    _until_ready(plane, node)
    eventually(lambda: kubelet.pod is None, within_s=TRUTH_S)


def test_without_the_right_it_says_why_it_waits(
    plane: ControlPlane, node: str, kubelet: Kubelet, start: Callable[..., Process]
) -> None:
    rules = plane.api.get(ROLE)["rules"]
    plane.api.patch(ROLE, {"rules": []})
    try:
        agent = start()
        eventually(lambda: "probe pod" in agent.tail(), within_s=TRUTH_S)
        eventually(lambda: "cannot" in _until(plane, node, "ProbePending"), within_s=TRUTH_S)
    finally:
        plane.api.patch(ROLE, {"rules": rules})
    kubelet.end(kubelet.await_pod(90.0), 0)
    _until_ready(plane, node)


def test_after_a_switch_ready_and_katas_classes_wait_for_it(
    plane: ControlPlane, node: str, kubelet: Kubelet, tmp_path: Path
) -> None:
    with Site(plane, node, tmp_path, gate=_gate(tmp_path)) as site:
        site.start()
        site.until(lambda: site.labels.get(words.CC_STATE) == "off")
        assert kubelet.pod is None  # nothing else is ready that it could be for
        site.ask("on")
        pod = kubelet.await_pod()
        assert site.labels[words.CC_STATE] == "on"
        throughout(lambda: words.CC_READY not in site.labels, for_s=STAYS_S)
        kubelet.end(pod, 0)
        site.until_ready()

        site.ask("ppcie")
        pod = kubelet.await_pod()
        site.until(lambda: site.labels.get(words.CC_STATE) == "ppcie")
        throughout(lambda: words.CC_READY not in site.labels, for_s=STAYS_S)
        kubelet.end(pod, 0)
        site.until_ready()


def test_a_switch_takes_a_probe_out_of_its_way(
    plane: ControlPlane, node: str, kubelet: Kubelet, tmp_path: Path
) -> None:
    with Site(plane, node, tmp_path, gate=_gate(tmp_path)) as site:
        site.start()
        site.ask("on")
        first = kubelet.await_pod()
        site.ask("ppcie")
        name = first["metadata"]["name"]

        def is_leaving() -> bool:
            pod = kubelet.pod
            return pod is None or "deletionTimestamp" in pod["metadata"]

        site.until(is_leaving)
        plane.api.delete(f"{PODS}/{name}?gracePeriodSeconds=0")
        kubelet.end(kubelet.await_pod(), 0)
        site.until_ready()
        assert site.labels[words.CC_STATE] == "ppcie"


# The policy.

_TOKEN = {"serviceAccountToken": {"path": "token"}}
FOREIGN: dict[str, Object] = {
    "another node": {"nodeName": "another"},
    "no node": {"nodeName": ""},
    "the account that switches": {"serviceAccountName": words.MANAGE},
    "a token": {"automountServiceAccountToken": True},
    "a token by hand": {"volumes": [{"name": "t", "projected": {"sources": [_TOKEN]}}]},
    "a folder of the host": {"volumes": [{"name": "h", "hostPath": {"path": "/"}}]},
    "the host's network": {"hostNetwork": True},
    "the host's processes": {"hostPID": True},
    "a privileged container": {
        "containers": [{"name": "c", "image": "i", "securityContext": {"privileged": True}}]
    },
    "a privileged container that runs first": {
        "initContainers": [{"name": "first", "image": "i", "securityContext": {"privileged": True}}]
    },
    "a capability": {
        "containers": [
            {"name": "c", "image": "i", "securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}
        ]
    },
}


def _refused() -> pytest.RaisesExc[ApiError]:
    return pytest.RaisesExc(ApiError, match=r"ValidatingAdmissionPolicy .*the agent")


@pytest.mark.parametrize("account", [words.ACCOUNT, words.MANAGE])
@pytest.mark.parametrize("what", FOREIGN)
def test_a_pod_that_could_do_more_is_refused(
    plane: ControlPlane, node: str, account: str, what: str
) -> None:
    agent = plane.api_as(plane.node_token(account, words.NAMESPACE, node))
    with _refused():
        agent.create(f"{PODS}?dryRun=All", _made(node, **FOREIGN[what]))


def test_the_probe_pod_of_its_node_comes_and_goes_and_no_other(
    plane: ControlPlane, node: str
) -> None:
    agent = plane.api_as(plane.node_token(words.ACCOUNT, words.NAMESPACE, node))
    agent.create(PODS, _made(node, "probe-mine"))
    plane.api.create(PODS, _made("another", "probe-theirs"))
    plane.api.create(PODS, _made(node, "mine-but-no-probe"))
    try:
        with _refused():
            agent.create(PODS, _made(node, "an-agent"))
        for name in ("probe-theirs", "mine-but-no-probe"):
            with _refused():
                agent.delete(f"{PODS}/{name}")
        agent.delete(f"{PODS}/probe-mine?gracePeriodSeconds=0")
    finally:
        for name in ("probe-theirs", "mine-but-no-probe"):
            plane.api.delete(f"{PODS}/{name}?gracePeriodSeconds=0")
