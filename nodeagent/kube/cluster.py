"""The lists that say where a pod may land: Nodes, RuntimeClasses, pods. Page by page."""

from collections.abc import Iterator
from itertools import chain
from typing import NoReturn
from urllib.parse import quote

from nodeagent.errors import ClusterError
from nodeagent.kube.client import Api
from nodeagent.kube.failures import RefusedError

PAGE = 500
_PAGES = 10_000
_HINT = "it takes the right to list nodes, runtimeclasses.node.k8s.io and pods in all namespaces"


def nodes(api: Api, *, page: int = PAGE) -> Iterator[object]:
    """ClusterError where they cannot be listed: without them there is no answer."""
    try:
        yield from _listed(api, "/api/v1/nodes?", "Nodes", page)
    except RefusedError as error:
        hint = _HINT if " 403" in str(error) else error.hint
        raise ClusterError(str(error), hint=hint) from None


def runtime_classes(api: Api, *, page: int = PAGE) -> Iterator[object] | None:
    """None where listing them is refused."""
    path = "/apis/node.k8s.io/v1/runtimeclasses?"
    return _allowed(_listed(api, path, "RuntimeClasses", page))


def bound_pods(api: Api, *, page: int = PAGE) -> Iterator[object] | None:
    """Those that have a node and have not ended. None where listing them is refused."""
    chosen = "spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed"
    path = f"/api/v1/pods?fieldSelector={quote(chosen)}&"
    return _allowed(_listed(api, path, "pods", page))


def _allowed(items: Iterator[object]) -> Iterator[object] | None:
    """The first is asked for at once: whether it may be had is known then."""
    try:
        first = next(items)
    except StopIteration:
        return iter(())
    except RefusedError:
        return None
    return chain((first,), items)


def _listed(api: Api, path: str, what: str, page: int) -> Iterator[object]:
    token = ""
    for _ in range(_PAGES):
        rest = f"&continue={quote(token, safe='')}" if token else ""
        _, told = api.ask("GET", f"{path}limit={page}{rest}", f"cannot list {what}")
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
