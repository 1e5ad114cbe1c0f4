"""The calls about one Node."""

from collections.abc import Callable, Collection, Iterator, Mapping
from urllib.parse import quote, urlencode

from nodeagent.kube.client import APPLY, MERGE, PATCH, Api
from nodeagent.kube.failures import ConflictError, RefusedError
from nodeagent.kube.node import MANAGER, Event, NodeCondition, NodeView, event, view

# What a server says of a patch whose `test` failed; Kubernetes 1.35 says no more than the last.
# Of a value that it finds invalid, it says which.
_TEST_FAILED = ("testing path", "test failed", "due to an error in our request")
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

    def set_labels(
        self, node: NodeView, labels: Mapping[str, str], *, were: Mapping[str, str | None]
    ) -> NodeView:
        """Labels of others; ConflictError where one of them `were` not so any more.

        A `test` on each old value: a concurrent edit fails ours instead of being undone.
        """
        tests = [_op("test", _label(key), were[key]) for key in labels if were[key] is not None]
        writes = [_op("add", _label(key), value) for key, value in labels.items()]
        return self._change(node, [*tests, *writes])

    def annotate(self, node: NodeView, annotations: Mapping[str, str | None]) -> NodeView:
        """Beside the report, which an apply owns; None takes one away."""
        body: _Object = {"metadata": {"uid": node.uid, "annotations": dict(annotations)}}
        return self._patch(node, f"?{_BY_US}", body, MERGE)

    def cordon(self, node: NodeView, annotation: str, at: str) -> NodeView:
        """And note in the same request that it was us; ConflictError if it changed meanwhile."""
        return self._merge(node, spec={"unschedulable": True}, annotations={annotation: at})

    def uncordon(self, node: NodeView, annotation: str) -> NodeView:
        """And take back the note; ConflictError if it changed meanwhile."""
        return self._merge(node, spec={"unschedulable": None}, annotations={annotation: None})

    def set_taint(self, node: NodeView, taint: Mapping[str, str], *, is_on: bool) -> NodeView:
        """Put it there or take it away; ConflictError where the Node's taints changed meanwhile.

        The list is one value to the server: whoever writes it without a `test` on all of it
        undoes what others did to their own.
        """
        old = [dict(each) for each in node.taints]
        same = _op("test", "/spec/taints", old or None)
        if not is_on:
            places = [at for at, each in enumerate(old) if _is(each, taint)]
            gone: list[_Object] = [
                {"op": "remove", "path": f"/spec/taints/{at}"} for at in reversed(places)
            ]
            return self._change(node, [same, *gone])
        new = (
            _op("add", "/spec/taints/-", dict(taint))
            if old
            else _op("add", "/spec/taints", [dict(taint)])
        )
        return self._change(node, [same, new])

    def watch(
        self, name: str, version: str, *, timeout_s: int, opened: Callable[[], None]
    ) -> Iterator[Event]:
        """What happens to the Node after that version, until the server ends the stream."""
        asked = urlencode(
            {
                "watch": "1",
                "fieldSelector": f"metadata.name={name}",
                "resourceVersion": version,
                "allowWatchBookmarks": "true",
                "timeoutSeconds": str(timeout_s),
            }
        )
        what = f"cannot watch Node {name}"
        path = f"/api/v1/nodes?{asked}"
        for told in self._api.stream(path, what, read_s=timeout_s + 15.0, opened=opened):
            yield event(told, self._type)

    def _merge(
        self, node: NodeView, *, spec: _Object, annotations: Mapping[str, str | None]
    ) -> NodeView:
        """Both in one request, so that dying between them cannot happen."""
        same = {"uid": node.uid, "resourceVersion": node.resource_version}
        body: _Object = {"metadata": {**same, "annotations": dict(annotations)}, "spec": spec}
        return self._patch(node, f"?{_BY_US}", body, MERGE)

    def _change(self, node: NodeView, operations: list[_Object]) -> NodeView:
        what = f"cannot change Node {node.name}"
        body = [_op("test", "/metadata/uid", node.uid), *operations]
        path = f"{_path(node.name)}?{_BY_US}"
        try:
            _, told = self._api.ask("PATCH", path, what, body=body, kind=PATCH)
        except RefusedError as error:  # a failed test is a 422, and so is a policy's refusal
            if any(words in str(error) for words in _TEST_FAILED):
                raise ConflictError(str(error)) from error
            raise
        return view(told, self._type)

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


def _is(taint: Mapping[str, object], ours: Mapping[str, str]) -> bool:
    return all(taint.get(name) == ours[name] for name in ("key", "effect"))


def _path(name: str) -> str:
    return f"/api/v1/nodes/{quote(name, safe='')}"


def _op(kind: str, path: str, value: object) -> _Object:
    return {"op": kind, "path": path, "value": value}


def _label(key: str) -> str:
    """The pointer to a label (RFC 6901)."""
    return "/metadata/labels/" + key.replace("~", "~0").replace("/", "~1")


def _identity(node: NodeView) -> dict[str, str]:
    """With the uid: an apply to a Node that was deleted would create it (kubernetes.md §5.2)."""
    return {"name": node.name, "uid": node.uid}


def _body(node: NodeView) -> _Object:
    return {"apiVersion": "v1", "kind": "Node", "metadata": _identity(node)}
