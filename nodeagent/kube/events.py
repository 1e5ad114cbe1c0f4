"""Events about our own Node: what changed, for whoever asks `kubectl describe node`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from nodeagent.errors import ClusterError
from nodeagent.kube.node import MANAGER

if TYPE_CHECKING:
    from nodeagent.kube.client import Api
from nodeagent.kube.failures import RefusedError

_NAMESPACE = "default"  # where those of Nodes live
_MESSAGE_CHARS = 1000


class Said(NamedTuple):
    """`is_warning` as Kubernetes has it: something a person may have to do something about."""

    reason: str
    message: str
    is_warning: bool = False


class Events:
    """Tells the API server, and does not fail: an event is a help, and nothing depends on it.

    RefusedError alone is raised: somebody has to grant that right, and shall hear of it.
    """

    def __init__(self, api: Api, node: str) -> None:
        self._api, self._node = api, node
        self._last: tuple[str, str] | None = None

    def say(self, said: Said) -> ClusterError | None:
        """The same twice in a row is said once. What went wrong, if it did."""
        if (said.reason, said.message) == self._last:
            return None
        path = f"/api/v1/namespaces/{_NAMESPACE}/events"
        try:
            self._api.ask("POST", path, "cannot write an Event", body=self._event(said))
        except RefusedError:
            raise
        except ClusterError as error:
            return error
        self._last = (said.reason, said.message)
        return None

    def _event(self, said: Said) -> dict[str, object]:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        # By the Node's name as its uid, as the kubelet does: `kubectl describe` finds both.
        about = {"apiVersion": "v1", "kind": "Node", "name": self._node, "uid": self._node}
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": f"{self._node}.", "namespace": _NAMESPACE},
            "involvedObject": about,
            "reason": said.reason,
            "message": said.message[:_MESSAGE_CHARS],
            "type": "Warning" if said.is_warning else "Normal",
            "source": {"component": MANAGER, "host": self._node},
            "reportingComponent": MANAGER,
            "reportingInstance": self._node,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
