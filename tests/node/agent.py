"""The agent's DaemonSet on a test node: put there as a user would, and looked at."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tests.real.api import ApiError
from tests.real.image import TOOLS
from tests.real.wait import eventually

if TYPE_CHECKING:
    from tests.real.api import Object
    from tests.real.node import Node

DAEMONSET = Path(__file__).parents[2] / "daemonset"
OVERLAYS = Path(__file__).parent / "overlay"
PODS = "/api/v1/namespaces/nodeagent/pods"
WORKLOADS = "/api/v1/namespaces/default/pods"
ROLL_OUT_S = 60.0
_NOT_YET = (AssertionError, ApiError, ValueError)


class Agent:
    """The one pod of the DaemonSet, and what its Node says."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self._api = node.plane.api
        self._kubectl = node.plane.kubectl

    def deploy(self, overlay: str) -> Object:
        """Applied and rolled out; answers the pod. Costs next to nothing if it is there."""
        if not self._exists("/api/v1/namespaces/nodeagent"):
            self._kubectl("create", "namespace", "nodeagent")
            port = self.node.plane.server.port
            self._kubectl(
                *("create", "configmap", "apiserver", "--namespace=nodeagent"),
                f"--from-literal=port={port}",
            )
        self._kubectl("apply", "--kustomize", str(OVERLAYS / overlay))
        return self.pod()

    def pod(self) -> Object:
        """The pod of the newest generation, once it is ready."""
        try:
            return eventually(self._rolled_out, within_s=ROLL_OUT_S, despite=_NOT_YET)
        except AssertionError as error:
            told = "".join(self.node.log(pod) for pod in self._api.items(PODS))
            raise AssertionError(f"the agent is not ready:\n{told}\n{self.node.tail()}") from error

    def check(self, *words: str) -> Object:
        """What a person would be told who asks within the pod."""
        [pid] = self.node.processes(self.pod())
        program = ["/opt/nodeagent/bin/nodeagent", "check", "--root", "/host", "-o", "json", *words]
        done = subprocess.run(
            ["nsenter", f"--target={pid}", "--mount", "--pid", *program],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stderr == ""
        found: Object = json.loads(done.stdout)
        return {each["check"]: each for each in found["findings"]}

    def policy_warnings(self) -> Object:
        """What the controller manager found when it compiled the policy against a Node's types."""
        group = "/apis/admissionregistration.k8s.io/v1"
        path = f"{group}/validatingadmissionpolicies/nodeagent-own-node"

        def checked() -> Object:
            status: Object = self._api.get(path)["status"]
            assert "typeChecking" in status
            return status

        warnings: Object = eventually(checked, within_s=20, despite=(AssertionError, KeyError))
        return dict(warnings["typeChecking"])

    def remove_pod(self) -> None:
        name = self.pod()["metadata"]["name"]
        self._api.delete(f"{PODS}/{name}")

    def is_gone(self, pod: Object) -> bool:
        return not self._exists(f"{PODS}/{pod['metadata']['name']}")

    @property
    def labels(self) -> dict[str, str]:
        """Ours, without the prefix."""
        labels: dict[str, str] = self.node.object["metadata"]["labels"]
        prefix = "nodeagent.io/"
        return {
            key.removeprefix(prefix): value
            for key, value in labels.items()
            if key.startswith(prefix)
        }

    @property
    def condition(self) -> tuple[str, str]:
        """Status and reason of ours."""
        [found] = [
            condition
            for condition in self.node.object["status"]["conditions"]
            if condition["type"] == "nodeagent.io/ConfidentialReady"
        ]
        return found["status"], found["reason"]

    def add_runtime_class(self) -> None:
        self._kubectl("apply", "--filename", str(DAEMONSET / "examples" / "runtimeclass.yaml"))

    def add_workload(self) -> Object:
        """The example's pod, without what this node lacks: a model, a GPU and a pod network."""
        pod: Any = yaml.safe_load((DAEMONSET / "examples" / "workload.yaml").read_text())
        pod["spec"]["hostNetwork"] = True
        pod["spec"]["terminationGracePeriodSeconds"] = 0
        [container] = pod["spec"]["containers"]
        container |= {"image": TOOLS, "imagePullPolicy": "Never"}
        del container["resources"]
        # Admission learns of a new RuntimeClass a moment later.
        return eventually(lambda: self._api.create(WORKLOADS, pod), within_s=10, despite=ApiError)

    def workload(self) -> Object:
        return self._api.get(f"{WORKLOADS}/confidential-model")

    def remove_workload(self) -> None:
        self._api.delete(f"{WORKLOADS}/confidential-model")

    def _rolled_out(self) -> Object:
        path = "/apis/apps/v1/namespaces/nodeagent/daemonsets/nodeagent"
        daemonset = self._api.get(path)
        status = daemonset["status"]
        assert status.get("observedGeneration") == daemonset["metadata"]["generation"]
        assert [status.get(key) for key in ("updatedNumberScheduled", "numberReady")] == [1, 1]
        pods = self._api.items(PODS)
        [pod] = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
        assert _is_ready(pod)
        return pod

    def _exists(self, path: str) -> bool:
        try:
            self._api.get(path)
        except ApiError as error:
            if error.status != 404:
                raise
            return False
        return True


def _is_ready(pod: Object) -> bool:
    return any(
        condition["type"] == "Ready" and condition["status"] == "True"
        for condition in pod["status"].get("conditions", [])
    )
