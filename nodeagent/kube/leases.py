"""Leases as slots: at most so many nodes at once, and no controller that counts them.

kubernetes.md §3.6. One has the slot whose name stands in its lease until it stops renewing it.
"""

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote

from nodeagent.errors import ClusterError
from nodeagent.kube.client import MERGE, Api

DURATION_S = 120


class Lease(NamedTuple):
    """`renewed` is the holder's clock, and only compared with itself."""

    name: str
    version: str
    holder: str
    renewed: str
    duration_s: int
    annotations: Mapping[str, str]


class Leases:
    """Those of one namespace. All raise ClusterError; ConflictError where another was faster."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._api = api
        self._folder = f"/apis/coordination.k8s.io/v1/namespaces/{quote(namespace, safe='')}/leases"

    def get(self, name: str) -> Lease | None:
        status, told = self._api.ask("GET", f"{self._folder}/{name}", f"cannot read Lease {name}")
        return None if status == 404 else _lease(told)

    def create(self, name: str, holder: str, now: str) -> Lease:
        body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": name},
            "spec": _held(holder, now),
        }
        _, told = self._api.ask("POST", self._folder, f"cannot make Lease {name}", body=body)
        return _lease(told)

    def take(self, lease: Lease, holder: str, now: str) -> Lease:
        """Also to renew it. Refused if anybody changed it since it was read."""
        return self._change(lease, {"spec": _held(holder, now)})

    def free(self, lease: Lease) -> Lease:
        return self._change(lease, {"spec": {"holderIdentity": None, "renewTime": None}})

    def annotate(self, lease: Lease, annotations: Mapping[str, str | None]) -> Lease:
        return self._change(lease, {"metadata": {"annotations": dict(annotations)}})

    def _change(self, lease: Lease, change: Mapping[str, Mapping[str, object]]) -> Lease:
        metadata = {**change.get("metadata", {}), "resourceVersion": lease.version}
        body = {**change, "metadata": metadata}
        path, what = f"{self._folder}/{lease.name}", f"cannot change Lease {lease.name}"
        _, told = self._api.ask("PATCH", path, what, body=body, kind=MERGE)
        return _lease(told)


def _held(holder: str, now: str) -> Mapping[str, object]:
    return {
        "holderIdentity": holder,
        "leaseDurationSeconds": DURATION_S,
        "acquireTime": _micro(now),
        "renewTime": _micro(now),
    }


def _micro(now: str) -> str:
    """A lease's times have microseconds, or are refused."""
    return now.replace("Z", ".000000Z")


def _lease(told: object) -> Lease:
    metadata, spec = _dict(told, "metadata"), _dict(told, "spec")
    name = metadata.get("name")
    if not isinstance(name, str):
        raise ClusterError("the API server's answer is no Lease")
    duration = spec.get("leaseDurationSeconds")
    annotations = _dict(metadata, "annotations")
    return Lease(
        name=name,
        version=str(metadata.get("resourceVersion") or ""),
        holder=str(spec.get("holderIdentity") or ""),
        renewed=str(spec.get("renewTime") or ""),
        duration_s=duration if isinstance(duration, int) else DURATION_S,
        annotations={str(key): str(each) for key, each in annotations.items()},
    )


def _dict(found: object, key: str) -> Mapping[str, object]:
    value = found.get(key) if isinstance(found, dict) else None
    return value if isinstance(value, dict) else {}
