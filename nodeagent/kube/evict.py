"""Asks pods to go through the Eviction API, which obeys their disruption budgets (§3.4).

Whatever stands against it is an answer; nothing is ever deleted instead. Section numbers are
those of kubernetes.md.
"""

import random
import time
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import quote

from nodeagent.errors import ClusterError
from nodeagent.kube.client import Api
from nodeagent.kube.failures import (
    BudgetError,
    BusyError,
    ConflictError,
    MissingError,
    RefusedError,
    UnreachableError,
)
from nodeagent.model.cluster import Guest
from nodeagent.model.seen import Unreadable
from nodeagent.model.text import printable

GRANT = "daemonset/manage-evict grants it"
_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_MIRROR = "kubernetes.io/config.mirror"
_ENDED = frozenset({"Succeeded", "Failed"})
_FRESH_S, _LEAVING_S, _GRANT_S = 5.0, 1.0, 60.0
_ODD_S = 30.0  # until an answer is tried again that no budget gave, such as that there are two
_Json = Mapping[str, object]


class Evictions:
    """Of the pods of one node. `unmanaged`: also those that nothing would make anew as they were.

    What stood against each is remembered for as long as it is not to be asked again.
    """

    def __init__(
        self,
        api: Api,
        node: str,
        *,
        unmanaged: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api, self._node, self._unmanaged = api, node, unmanaged
        self._clock = clock
        self._seen: dict[tuple[str, str], tuple[float, Guest | None]] = {}
        self._granted: dict[str, tuple[float, bool]] = {}
        self._refused: dict[str, tuple[float, str]] = {}

    def seen(self, guests: Iterable[Guest]) -> tuple[Guest, ...] | Unreadable:
        """Those that are still here, with what the API server says of each."""
        try:
            found = [self._known(each) for each in guests]
        except ClusterError as error:
            return Unreadable("the pods that hold a GPU", str(error))
        return tuple(self._with_refusal(each) for each in found if each is not None)

    def evict(self, guest: Guest) -> None:
        """Ask once. UnreachableError, and BusyError where the server is busy."""
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": guest.name, "namespace": guest.namespace},
            # By its uid: one of the same name that came after it keeps its place.
            "deleteOptions": {"preconditions": {"uid": guest.uid}},
        }
        self._seen.pop((guest.namespace, guest.name), None)
        again_s, says = _FRESH_S, ""
        try:
            self._api.ask("POST", f"{_path(guest)}/eviction", f"cannot evict {guest}", body=body)
        except (MissingError, ConflictError):
            return  # it went by itself, or is another one by now
        except BudgetError as error:
            # With jitter, or every node of a pool asks at once.
            again_s, says = error.retry_after_s * random.uniform(1.0, 1.3), error.says  # noqa: S311
        except (UnreachableError, BusyError):
            raise
        except RefusedError:
            again_s, says = _GRANT_S, f"the right to is missing: {GRANT}"
        except ClusterError as error:  # such as a 500, where two budgets are about the one pod
            again_s, says = _ODD_S, str(error)
        self._refused[guest.uid] = self._clock() + again_s, says

    def _with_refusal(self, guest: Guest) -> Guest:
        until, says = self._refused.get(guest.uid, (0.0, ""))
        return guest._replace(refused=says, is_due=self._clock() >= until)

    def _known(self, guest: Guest) -> Guest | None:
        """As it was seen a moment ago: a wait may last for hours."""
        key, now = (guest.namespace, guest.name), self._clock()
        at, known = self._seen.get(key, (0.0, None))
        kept_s = _LEAVING_S if known is None or known.is_leaving else _FRESH_S
        if key not in self._seen or now - at >= kept_s:
            known = self._look_up(guest)
            self._seen[key] = now, known
        return known

    def _look_up(self, guest: Guest) -> Guest | None:
        try:
            status, told = self._api.ask("GET", _path(guest), f"cannot read {guest}")
        except RefusedError:
            return guest._replace(why=f"the right to read it is missing: {GRANT}")
        pod = told if isinstance(told, dict) else {}
        spec, metadata = _dict(pod, "spec"), _dict(pod, "metadata")
        if status == 404 or spec.get("nodeName") != self._node:
            return None  # its name is another pod's by now, or nobody's
        if _dict(pod, "status").get("phase") in _ENDED:
            return None
        why = _stays(metadata, spec, unmanaged=self._unmanaged)
        if not why and not self._may(guest.namespace):
            why = f"the right to evict it is missing: {GRANT}"
        return guest._replace(
            uid=str(metadata.get("uid", "")),
            may_go=not why,
            why=why,
            is_leaving="deletionTimestamp" in metadata,
        )

    def _may(self, namespace: str) -> bool:
        """Asked before anything is taken from the node for an eviction that cannot be."""
        at, granted = self._granted.get(namespace, (0.0, False))
        if namespace not in self._granted or self._clock() - at >= _GRANT_S:
            asked = {"namespace": namespace, "verb": "create", "resource": "pods"}
            attributes = {**asked, "subresource": "eviction"}
            body = {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SelfSubjectAccessReview",
                "spec": {"resourceAttributes": attributes},
            }
            _, told = self._api.ask("POST", _REVIEWS, "cannot ask for our own rights", body=body)
            answer = told if isinstance(told, dict) else {}
            granted = _dict(answer, "status").get("allowed") is True
            self._granted[namespace] = self._clock(), granted
        return granted


def _stays(metadata: _Json, spec: _Json, *, unmanaged: bool) -> str:
    """Why it is never asked to go; empty where it may be."""
    if _MIRROR in _dict(metadata, "annotations"):
        return "it is a static pod of this node"
    owners = metadata.get("ownerReferences")
    kinds = [
        str(each.get("kind"))
        for each in (owners if isinstance(owners, list) else ())
        if isinstance(each, dict) and each.get("controller") is True
    ]
    if "DaemonSet" in kinds:
        return "its DaemonSet would make it anew"
    if unmanaged:
        return ""
    if not kinds:
        return "nothing would make it anew, and evict_unmanaged is not set"
    volumes = spec.get("volumes")
    for each in volumes if isinstance(volumes, list) else ():
        if isinstance(each, dict) and "emptyDir" in each:
            volume = printable(str(each.get("name")), 63)
            return f"its emptyDir {volume} would be lost, and evict_unmanaged is not set"
    return ""


def _path(guest: Guest) -> str:
    namespace, name = (quote(each, safe="") for each in (guest.namespace, guest.name))
    return f"/api/v1/namespaces/{namespace}/pods/{name}"


def _dict(found: _Json, key: str) -> _Json:
    value = found.get(key)
    return value if isinstance(value, dict) else {}
