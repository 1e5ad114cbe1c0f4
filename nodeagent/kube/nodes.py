"""The calls about one Node."""

from collections.abc import Collection, Mapping
from urllib.parse import quote

from nodeagent.kube.client import APPLY, MERGE, Api
from nodeagent.kube.node import MANAGER, NodeCondition, NodeView, view

_BY_US = f"fieldManager={MANAGER}"
_Object = dict[str, object]


class NodeClient:
    """The calls of `Nodes`."""

    def __init__(self, api: Api, *, condition_type: str) -> None:
        self._api = api
        self._type = condition_type

    def get(self, name: str) -> NodeView | None:
        what = f"cannot read Node {name}"
        status, told = self._api.ask("GET", _path(name), what)
        return None if status == 404 else view(told, self._type)

    def apply_metadata(
        self, node: NodeView, *, labels: Mapping[str, str], annotations: Mapping[str, str]
    ) -> NodeView:
        body = _body(node)
        body["metadata"] = {
            **_identity(node),
            "labels": dict(labels),
            "annotations": dict(annotations),
        }
        return self._patch(node, f"?{_BY_US}&force=true", body, APPLY)

    def remove_labels(self, node: NodeView, keys: Collection[str]) -> NodeView:
        """A merge patch, because an apply can take away only what it alone had applied."""
        gone = dict.fromkeys(sorted(keys))
        body: _Object = {"metadata": {"uid": node.uid, "labels": gone}}
        return self._patch(node, f"?{_BY_US}", body, MERGE)

    def apply_condition(self, node: NodeView, condition: NodeCondition) -> NodeView:
        said = {
            "type": self._type,
            "status": condition.status,
            "reason": condition.reason,
            "message": condition.message,
            "lastHeartbeatTime": condition.heartbeat,
            "lastTransitionTime": condition.transition,
        }
        body = {**_body(node), "status": {"conditions": [said]}}
        return self._patch(node, f"/status?{_BY_US}&force=true", body, APPLY)

    def _patch(self, node: NodeView, rest: str, body: _Object, kind: str) -> NodeView:
        what = f"cannot change Node {node.name}"
        _, told = self._api.ask("PATCH", _path(node.name) + rest, what, body=body, kind=kind)
        return view(told, self._type)


def _path(name: str) -> str:
    return f"/api/v1/nodes/{quote(name, safe='')}"


def _identity(node: NodeView) -> dict[str, str]:
    """With the uid: an apply to a Node that was deleted would create it (kubernetes.md §5.2)."""
    return {"name": node.name, "uid": node.uid}


def _body(node: NodeView) -> _Object:
    return {"apiVersion": "v1", "kind": "Node", "metadata": _identity(node)}
