"""What a cluster with a GPU operator has and this control plane lacks: operands that obey the
deploy labels, and a device plugin whose devices the Node offers while it runs.

A small model, of a DaemonSet controller, a kubelet and NVIDIA's plugin in one. Everything that
the agent sees of it goes through the real API server.
"""

from __future__ import annotations

import itertools
import threading
from typing import TYPE_CHECKING, NamedTuple, Self

from tests.controlplane import words
from tests.real.api import MERGE, ApiError

if TYPE_CHECKING:
    from tests.real.api import Api, Object
    from tests.real.plane import ControlPlane

NAMESPACE = "gpu-operator"
DEPLOY = "nvidia.com/gpu.deploy."
PGPU = "nvidia.com/pgpu"
PLUGIN = "kata-sandbox-device-plugin"
OPERANDS = (PLUGIN, "sandbox-validator", "vfio-manager")
CC_MANAGER = "cc-manager"
_EVERY_S = 0.03
_serial = itertools.count(1)


def install(plane: ControlPlane) -> None:
    """The namespace and a DaemonSet for each operand, as the operator makes them."""
    plane.api.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    account: Object = {"metadata": {"name": "default"}}  # no controller runs that would make it
    plane.api.create(f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", account)
    for name in (*OPERANDS, CC_MANAGER):
        labels = {"app": f"nvidia-{name}"}
        template = {
            "metadata": {"labels": labels},
            "spec": {
                "nodeSelector": {f"{DEPLOY}{name}": "true"},
                "containers": [{"name": "c", "image": "none"}],
            },
        }
        body = {
            "metadata": {"name": f"nvidia-{name}"},
            "spec": {"selector": {"matchLabels": labels}, "template": template},
        }
        plane.api.create(f"/apis/apps/v1/namespaces/{NAMESPACE}/daemonsets", body)


class _Set(NamedTuple):
    name: str
    uid: str


class Operator:
    """The operands of one Node, for as long as a `with` block lasts.

    `pod_s`: how long a pod takes to go, and to become ready. `stuck`: operands whose pods do not
    go, or do not come back ready.
    """

    def __init__(
        self, plane: ControlPlane, node: str, *, gpus: int = 8, pod_s: float = 0.1
    ) -> None:
        self._api: Api = plane.api
        self._node, self._gpus, self._pod_s = node, gpus, pod_s
        self.stuck: set[str] = set()
        self.is_away = False
        self._end = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, name=f"operator of {node}")
        sets = self._api.items(f"/apis/apps/v1/namespaces/{NAMESPACE}/daemonsets")
        self._sets = {
            each["metadata"]["name"].removeprefix("nvidia-"): _Set(
                each["metadata"]["name"], each["metadata"]["uid"]
            )
            for each in sets
        }
        self._pods: dict[str, str] = {}

    def __enter__(self) -> Self:
        change = {"metadata": {"labels": self.labels}}
        self._api.patch(words.node_path(self._node), change)
        self._round()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        for name in list(self._pods):
            self._delete(name)

    @property
    def labels(self) -> dict[str, str]:
        return {f"{DEPLOY}{name}": "true" for name in OPERANDS}

    def forget(self) -> None:
        """With its Node the kubelet's pods are gone."""
        with self._lock:
            for name in list(self._pods):
                self._delete(name)

    @property
    def running(self) -> set[str]:
        return set(self._pods)

    def _work(self) -> None:
        while not self._end.wait(_EVERY_S):
            if not self.is_away:
                try:
                    self._round()
                except (ApiError, OSError):
                    continue  # the API server is away, or the Node is

    def _round(self) -> None:
        with self._lock:
            self._reconcile()

    def _reconcile(self) -> None:
        labels = self._api.get(words.node_path(self._node))["metadata"]["labels"]
        for name in self._sets:
            wanted = labels.get(f"{DEPLOY}{name}") == "true"
            if wanted and name not in self._pods and name not in self.stuck:
                self._create(name)
                if name == PLUGIN:
                    self._offer(self._gpus)
            elif not wanted and name in self._pods and name not in self.stuck:
                if name == PLUGIN:
                    self._offer(0)
                self._end.wait(self._pod_s)
                self._delete(name)

    def _offer(self, count: int) -> None:
        told = {PGPU: str(count)}
        change = {"status": {"capacity": told, "allocatable": told}}
        self._api.patch(f"{words.node_path(self._node)}/status", change, MERGE)

    def _create(self, name: str) -> None:
        owner = self._sets[name]
        pod = f"{owner.name}-{next(_serial)}"
        body: Object = {
            "metadata": {
                "name": pod,
                "ownerReferences": [
                    {
                        "apiVersion": "apps/v1",
                        "kind": "DaemonSet",
                        "name": owner.name,
                        "uid": owner.uid,
                        "controller": True,
                    }
                ],
            },
            "spec": {
                "nodeName": self._node,
                "automountServiceAccountToken": False,
                "tolerations": [{"operator": "Exists"}],
                "containers": [{"name": "c", "image": "none"}],
            },
        }
        path = f"/api/v1/namespaces/{NAMESPACE}/pods"
        self._api.create(path, body)
        self._pods[name] = pod
        self._end.wait(self._pod_s)
        ready = {"type": "Ready", "status": "True"}
        change = {"status": {"phase": "Running", "conditions": [ready]}}
        self._api.patch(f"{path}/{pod}/status", change, MERGE)

    def _delete(self, name: str) -> None:
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{self._pods[name]}?gracePeriodSeconds=0"
        self._api.delete(path)
        del self._pods[name]
