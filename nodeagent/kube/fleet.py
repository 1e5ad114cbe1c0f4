"""The calls about all Nodes, and those that take ours back from one; each Node as plain JSON."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import quote, urlencode

from nodeagent.errors import ClusterError
from nodeagent.kube.client import PATCH, Api
from nodeagent.kube.failures import TooOldError
from nodeagent.kube.node import MANAGER

PAGE = 500
_PATH = "/api/v1/nodes"
_SLACK_S = 15.0  # until a watch that the server should have ended counts as dead
_STRATEGIC = "application/strategic-merge-patch+json"
Node = Mapping[str, object]


class Page(NamedTuple):
    """`version`: of the whole list, for a watch that goes on from it."""

    nodes: Sequence[Node]
    version: str


class Change(NamedTuple):
    """Something that happened to a Node; `node` is None in a bookmark, which only has a version."""

    node: Node | None
    version: str
    is_gone: bool = False


class FleetClient:
    """All methods raise ClusterError."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def pages(self, selector: str) -> Iterator[Page]:
        """All Nodes that match. TooOldError where the list became too old while it was read."""
        more = ""
        while True:
            page, more = self._page(selector, more)
            yield page
            if not more:
                return

    def _page(self, selector: str, more: str) -> tuple[Page, str]:
        asked = {"limit": str(PAGE)}
        if selector:
            asked["labelSelector"] = selector
        if more:
            asked["continue"] = more
        _, told = self._api.ask("GET", f"{_PATH}?{urlencode(asked)}", "cannot list the Nodes")
        items = told.get("items") if isinstance(told, dict) else None
        if not isinstance(told, dict) or not isinstance(items, list):
            raise ClusterError("the API server's answer is no list of Nodes")
        about = told.get("metadata")
        head = about if isinstance(about, dict) else {}
        nodes = [each for each in items if isinstance(each, dict)]
        return Page(nodes, str(head.get("resourceVersion", ""))), str(head.get("continue") or "")

    def watch(self, selector: str, version: str, *, seconds: int) -> Iterator[Change]:
        """What happens for so long. TooOldError where the server has forgotten that version."""
        asked = {
            "watch": "1",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(seconds),
        }
        if selector:
            asked["labelSelector"] = selector
        path, what = f"{_PATH}?{urlencode(asked)}", "cannot watch the Nodes"
        for told in self._api.stream(path, what, read_s=seconds + _SLACK_S):
            yield _change(told)

    def get(self, name: str) -> Node | None:
        status, told = self._api.ask("GET", _path(name), f"cannot read Node {name}")
        return told if status != 404 and isinstance(told, dict) else None

    def change(self, name: str, operations: Sequence[Mapping[str, object]]) -> None:
        """RefusedError also where a `test` among them fails: it is not as it was."""
        path = f"{_path(name)}?fieldManager={MANAGER}"
        self._api.ask("PATCH", path, f"cannot change Node {name}", body=operations, kind=PATCH)

    def drop_condition(self, name: str, uid: str, kind: str) -> None:
        """By its type and not by its place in the list, which the kubelet may change."""
        body = {
            "metadata": {"uid": uid},
            "status": {"conditions": [{"$patch": "delete", "type": kind}]},
        }
        path = f"{_path(name)}/status?fieldManager={MANAGER}"
        self._api.ask("PATCH", path, f"cannot change Node {name}", body=body, kind=_STRATEGIC)


def _path(name: str) -> str:
    return f"{_PATH}/{quote(name, safe='')}"


def _change(told: object) -> Change:
    kind = told.get("type") if isinstance(told, dict) else None
    about = told.get("object") if isinstance(told, dict) else None
    node = about if isinstance(about, dict) else {}
    head = node.get("metadata")
    version = str(head.get("resourceVersion", "")) if isinstance(head, dict) else ""
    match kind:
        case "ADDED" | "MODIFIED" | "DELETED":
            return Change(node, version, is_gone=kind == "DELETED")
        case "BOOKMARK":
            return Change(None, version)
        case "ERROR" if node.get("code") == 410:
            raise TooOldError("the API server no longer knows that version of the Nodes")
        case _:
            raise ClusterError(f"the watch ended: {node.get('message') or 'no event'}")
