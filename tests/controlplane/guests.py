"""Pods that were given a GPU: objects of the real API server, and what a kubelet does with them.

No kubelet runs here that would end a pod; a thread does, and takes it from the list that the
pod-resources socket serves. No disruption controller runs either: a budget's status is written by
hand.
"""

from __future__ import annotations

import itertools
import threading
from typing import TYPE_CHECKING, Self

from tests.controlplane.operator import PGPU
from tests.real.api import MERGE, ApiError
from tests.real.podresources import Held

if TYPE_CHECKING:
    from tests.real.api import Object
    from tests.real.plane import ControlPlane
    from tests.real.podresources import Kubelet

_EVERY_S = 0.05
_serial = itertools.count(1)


class Guests:
    """In a namespace of their own, on one node, for as long as a `with` block lasts.

    `lingers`: a pod that was asked to go takes its time.
    """

    def __init__(self, plane: ControlPlane, node: str, kubelet: Kubelet) -> None:
        self._api, self._node, self._kubelet = plane.api, node, kubelet
        self.namespace = f"team-{next(_serial)}"
        self.lingers = False
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"kubelet of {node}")

    def __enter__(self) -> Self:
        self._api.create("/api/v1/namespaces", {"metadata": {"name": self.namespace}})
        account: Object = {"metadata": {"name": "default"}}
        self._api.create(f"/api/v1/namespaces/{self.namespace}/serviceaccounts", account)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        for pod in self.names():
            self._delete(pod)

    def add(self, name: str, *, owner: str | None = "ReplicaSet", **spec: object) -> None:
        """A running, ready pod that was given a GPU. `owner`: the kind of its controller."""
        metadata: Object = {"name": name, "labels": {"app": name}}
        if owner:
            told = {"apiVersion": "apps/v1", "kind": owner, "name": name, "uid": name}
            metadata["ownerReferences"] = [{**told, "controller": True}]
        body = {
            "metadata": metadata,
            "spec": {
                "nodeName": self._node,
                "automountServiceAccountToken": False,
                "tolerations": [{"operator": "Exists"}],
                "containers": [{"name": "c", "image": "none"}],
                **spec,
            },
        }
        self._api.create(self._path, body)
        status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        self._api.patch(f"{self._path}/{name}/status", {"status": status}, MERGE)
        self._kubelet.pods = (*self._kubelet.pods, Held(name, self.namespace, (PGPU,)))

    def budget(self, name: str, pod: str, *, allowed: int) -> None:
        path = f"/apis/policy/v1/namespaces/{self.namespace}/poddisruptionbudgets"
        selector = {"matchLabels": {"app": pod}}
        body = {"metadata": {"name": name}, "spec": {"minAvailable": 1, "selector": selector}}
        made = self._api.create(path, body)
        status = {
            "observedGeneration": made["metadata"]["generation"],
            "currentHealthy": 1,
            "desiredHealthy": 1 - allowed,
            "expectedPods": 1,
            "disruptionsAllowed": allowed,
        }
        self._api.patch(f"{path}/{name}/status", {"status": status}, MERGE)

    def allow(self, name: str) -> None:
        path = f"/apis/policy/v1/namespaces/{self.namespace}/poddisruptionbudgets/{name}/status"
        change = {"status": {"disruptionsAllowed": 1, "desiredHealthy": 0}}
        self._api.patch(path, change, MERGE)

    def names(self) -> list[str]:
        return [each["metadata"]["name"] for each in self._api.items(self._path)]

    def leaving(self) -> list[str]:
        pods = self._api.items(self._path)
        return [each["metadata"]["name"] for each in pods if _is_leaving(each)]

    @property
    def _path(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/pods"

    def _work(self) -> None:
        while not self._end.wait(_EVERY_S):
            try:
                for name in () if self.lingers else self.leaving():
                    self._stop(name)
            except (ApiError, OSError):
                continue

    def _stop(self, name: str) -> None:
        """It leaves the kubelet's list before it leaves the API (node.md §2)."""
        mine = (self.namespace, name)
        left = [each for each in self._kubelet.pods if (each.namespace, each.name) != mine]
        self._kubelet.pods = tuple(left)
        self._delete(name)

    def _delete(self, name: str) -> None:
        self._api.delete(f"{self._path}/{name}?gracePeriodSeconds=0")


def _is_leaving(pod: Object) -> bool:
    return "deletionTimestamp" in pod["metadata"]
