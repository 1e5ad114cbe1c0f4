"""The lists that say where a pod may land: Nodes, RuntimeClasses, pods. Page by page."""

from collections.abc import Iterator
from typing import NoReturn
from urllib.parse import quote

from nodeagent.errors import ClusterError
from nodeagent.kube.client import Api
from nodeagent.kube.failures import RefusedError

PAGE = 500
_PAGES = 10_000
_HINT = "it takes the right to list nodes, runtimeclasses.node.k8s.io and pods in all namespaces"


def nodes(api: Api) -> Iterator[object]:
    """ClusterError where they cannot be listed: without them there is no answer."""
    try:
        yield from _listed(api, "/api/v1/nodes", "Nodes")
    except RefusedError as error:
        raise ClusterError(str(error), hint=_HINT) from None


def runtime_classes(api: Api) -> list[object] | None:
    """None where listing them is refused."""
    return _allowed(_listed(api, "/apis/node.k8s.io/v1/runtimeclasses", "RuntimeClasses"))


def bound_pods(api: Api) -> Iterator[object] | None:
    """Those that have a node and have not ended. None where listing them is refused."""
    chosen = "spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed"
    pages = _listed(api, f"/api/v1/pods?fieldSelector={quote(chosen)}", "pods")
    first = _first(pages)
    return None if first is None else _chained(first, pages)


def _first(pages: Iterator[object]) -> list[object] | None:
    """The first item, if any; None where it is refused."""
    try:
        return [next(pages)]
    except StopIteration:
        return []
    except RefusedError:
        return None


def _chained(first: list[object], rest: Iterator[object]) -> Iterator[object]:
    yield from first
    yield from rest


def _allowed(items: Iterator[object]) -> list[object] | None:
    try:
        return list(items)
    except RefusedError:
        return None


def _listed(api: Api, path: str, what: str) -> Iterator[object]:
    joint = "&" if "?" in path else "?"
    token = ""
    for _ in range(_PAGES):
        page = f"{path}{joint}limit={PAGE}" + (f"&continue={quote(token)}" if token else "")
        _, told = api.ask("GET", page, f"cannot list {what}")
        items = told.get("items") if isinstance(told, dict) else None
        if not isinstance(told, dict) or not isinstance(items, list):
            _strange(what)
        yield from items
        about = told.get("metadata")
        token = str(about.get("continue") or "") if isinstance(about, dict) else ""
        if not token:
            return
    _strange(what)


def _strange(what: str) -> NoReturn:
    raise ClusterError(f"cannot list {what}: the answer of the API server is no list")
