"""Operands of the GPU operator: which DaemonSet answers to which deploy label, and its pods here.

Found by owner and not by a guessed name: of the names that NVIDIA's own manager looks for, two
match nothing (kubernetes.md §1.3).
"""

from collections.abc import Iterator, Mapping
from urllib.parse import quote

from nodeagent.errors import ClusterError
from nodeagent.kube.client import Api
from nodeagent.model.cluster import Pod, Pods

DEPLOY = "nvidia.com/gpu.deploy."


def read(api: Api, namespace: str, node: str) -> Pods:
    """ClusterError where it may not be read. A namespace that is not there has none."""
    folder = f"/apis/apps/v1/namespaces/{quote(namespace, safe='')}"
    # Of any age: which label a DaemonSet selects does not change under way.
    sets = _items(api, f"{folder}/daemonsets?resourceVersion=0")
    keys = {_uid(each): key for each in sets for key in _selects(each)}
    if not keys:
        return {}
    where = quote(f"spec.nodeName={node}", safe="=")
    path = f"/api/v1/namespaces/{quote(namespace, safe='')}/pods?fieldSelector={where}"
    found: dict[str, list[Pod]] = {key: [] for key in keys.values()}
    for each in _items(api, path):
        for owner in _owners(each):
            if owner in keys:
                found[keys[owner]].append(_pod(each))
    return {key: tuple(pods) for key, pods in found.items()}


def _items(api: Api, path: str) -> list[Mapping[str, object]]:
    status, told = api.ask("GET", path, "cannot read the operator's pods")
    if status == 404:
        return []
    items = told.get("items") if isinstance(told, dict) else None
    if not isinstance(items, list):
        raise ClusterError("the API server's answer is no list")
    return [each for each in items if isinstance(each, dict)]


def _selects(daemon_set: Mapping[str, object]) -> Iterator[str]:
    spec = _dict(_dict(_dict(daemon_set, "spec"), "template"), "spec")
    yield from (key for key in _dict(spec, "nodeSelector") if key.startswith(DEPLOY))


def _owners(pod: Mapping[str, object]) -> Iterator[str]:
    owners = _dict(pod, "metadata").get("ownerReferences")
    for each in owners if isinstance(owners, list) else ():
        if isinstance(each, dict):
            yield str(each.get("uid", ""))


def _pod(pod: Mapping[str, object]) -> Pod:
    conditions = _dict(pod, "status").get("conditions")
    is_ready = any(
        isinstance(each, dict) and each.get("type") == "Ready" and each.get("status") == "True"
        for each in (conditions if isinstance(conditions, list) else ())
    )
    return Pod(str(_dict(pod, "metadata").get("name", "")), _uid(pod), is_ready)


def _uid(found: Mapping[str, object]) -> str:
    return str(_dict(found, "metadata").get("uid", ""))


def _dict(found: Mapping[str, object], key: str) -> Mapping[str, object]:
    value = found.get(key)
    return value if isinstance(value, dict) else {}
