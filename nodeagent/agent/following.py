"""The Node as it is now, without asking: a watch of its own thread keeps it (kubernetes.md §7)."""

import logging
import random
import threading
from collections.abc import Callable, Collection, Mapping

from nodeagent.agent.backoff import LONGEST_S, Backoff
from nodeagent.agent.logs import chain
from nodeagent.errors import ClusterError
from nodeagent.kube.failures import BusyError, RefusedError
from nodeagent.kube.node import NodeCondition, Nodes, NodeView
from nodeagent.kube.nodes import NodeClient

_WATCH_S = (300, 600)
_RANDOM = random.SystemRandom()

log = logging.getLogger(__name__)


class Followed:
    """`Nodes` for one Node: one GET at the start, then what a watch brings.

    While there is no watch, each `get` is a GET. Who writes through this sees the answer of
    the write at once, and is not woken by it.
    """

    def __init__(
        self,
        writer: Nodes,
        watcher: NodeClient,
        *,
        woken: Callable[[], None],
        minds: Callable[[NodeView], object],
    ) -> None:
        """`minds`: of a Node what we go by; `woken` is called when that has changed.

        `watcher` is another connection than `writer`'s: a thread of its own uses it.
        """
        self._writer, self._watcher = writer, watcher
        self._woken, self._minds = woken, minds
        self._lock = threading.Lock()
        self._known = threading.Event()
        self._ended = threading.Event()
        self._view: NodeView | None = None
        self._minded: object = None
        self._name = ""
        self._version = ""
        self.is_live = False

    def start(self) -> None:
        threading.Thread(target=self._follow, name="watch", daemon=True).start()

    def end(self) -> None:
        self._ended.set()
        self._known.set()

    # What the agent asks.

    def get(self, name: str) -> NodeView | None:
        with self._lock:
            if self.is_live and name == self._name:
                return self._view
        return self.ask(name)

    def ask(self, name: str) -> NodeView | None:
        """From the server itself, whatever the watch has brought."""
        self._name = name
        view = self._writer.get(name)
        if view is not None:
            self._take(view)
            self._known.set()
        return view

    def apply_metadata(
        self, node: NodeView, *, labels: Mapping[str, str], annotations: Mapping[str, str]
    ) -> NodeView:
        return self.wrote(self._writer.apply_metadata(node, labels=labels, annotations=annotations))

    def remove_labels(self, node: NodeView, keys: Collection[str]) -> NodeView:
        return self.wrote(self._writer.remove_labels(node, keys))

    def apply_condition(self, node: NodeView, condition: NodeCondition) -> NodeView:
        return self.wrote(self._writer.apply_condition(node, condition))

    def wrote(self, view: NodeView) -> NodeView:
        self._take(view)
        return view

    # The watch.

    def _follow(self) -> None:
        backoff = Backoff()
        while self._known.wait() and not self._ended.is_set():
            try:
                self._watch()
            except ClusterError as error:
                self._lose(error, backoff)
                self._ended.wait(backoff.left_s)
                self._refresh()
            else:
                backoff.worked()

    def _watch(self) -> None:
        """One stream, from its beginning to its end, which is no news."""
        timeout_s = _RANDOM.randint(*_WATCH_S)
        stream = self._watcher.watch(
            self._name, self._version, timeout_s=timeout_s, opened=self._opened
        )
        for event in stream:
            if self._ended.is_set():
                return
            if event.is_too_old:
                raise ClusterError("what happened to the Node meanwhile is forgotten")
            if event.node is not None:
                self._bring(event.node)
            elif event.is_deleted:
                self._forget()
            else:
                self._version = event.version or self._version

    def _opened(self) -> None:
        self.is_live = True

    def _refresh(self) -> None:
        """Whatever was missed: without it a watch would begin where nobody knows any more."""
        try:
            view = self._watcher.get(self._name)
        except ClusterError as error:
            log.debug("the Node cannot be read yet: %s", error)
            return
        if view is None:
            self._forget()
        else:
            self._bring(view)

    def _lose(self, error: ClusterError, backoff: Backoff) -> None:
        self.is_live = False
        at_least_s = error.retry_after_s if isinstance(error, BusyError) else 0.0
        if isinstance(error, RefusedError):
            log.warning("%s; the Node is read once a cycle instead", chain(error))
            at_least_s = LONGEST_S
        backoff.failed(at_least_s=at_least_s)
        log.debug("the watch broke: %s", error)

    def _bring(self, view: NodeView) -> None:
        """From the watch: wakes who waits, if it is about what we go by."""
        if self._take(view):
            self._woken()

    def _take(self, view: NodeView) -> bool:
        """Whether what we mind has changed; an older version than the one known says nothing."""
        with self._lock:
            if self._view is not None and _is_older(view, self._view):
                return False
            before, self._minded = self._minded, self._minds(view)
            self._view, self._version = view, view.resource_version
            return before != self._minded

    def _forget(self) -> None:
        with self._lock:
            was, self._view, self._minded = self._view, None, None
        if was is not None:
            self._woken()


def _is_older(view: NodeView, than: NodeView) -> bool:
    """Versions are whole numbers since Kubernetes 1.35; before, they were in practice."""
    one, other = view.resource_version, than.resource_version
    return one.isdecimal() and other.isdecimal() and int(one) < int(other)


def minded(node: NodeView, prefix: str) -> object:
    """Of a Node what we go by: the kubelet changes the rest of it all the time."""
    keys = (prefix, "nvidia.com/")
    labels = {key: value for key, value in node.labels.items() if key.startswith(keys)}
    annotations = {key: value for key, value in node.annotations.items() if key.startswith(prefix)}
    offered = {key: value for key, value in node.allocatable.items() if key.startswith("nvidia")}
    said = node.condition and (node.condition.status, node.condition.reason, node.condition.message)
    return node.uid, labels, annotations, offered, said, node.unschedulable, node.says, node.taints
