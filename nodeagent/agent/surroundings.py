"""What the cluster wants of this node, and is offered there: asked for rarely, kept between."""

import logging
import time
from collections.abc import Callable
from typing import NamedTuple

from nodeagent.agent.logs import chain
from nodeagent.errors import ClusterError
from nodeagent.kube.node import NodeView
from nodeagent.model.cluster import Pods
from nodeagent.model.pause import Wedge
from nodeagent.model.runtime import Around, NodeSays, RuntimeClass
from nodeagent.model.seen import Unreadable
from nodeagent.plan import wedges as plan

CLASSES_S = 300.0
PODS_S = 10.0
OLD_S = 1800.0
"""Longer than any switch, upgrade or MIG change keeps an operand away."""

Classes = tuple[RuntimeClass, ...] | Unreadable

log = logging.getLogger(__name__)


class _Kept(NamedTuple):
    at: float
    classes: Classes


class Surroundings:
    """Completes what a Node says. What cannot be asked is named once, and nothing else waits."""

    def __init__(
        self,
        prefix: str,
        *,
        classes: Callable[[], Classes],
        pods: Callable[[], Pods],
        is_authority: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._prefix, self._is_authority = prefix, is_authority
        self._read, self._pods, self._clock = classes, pods, clock
        self._kept: _Kept | None = None
        self._seen: tuple[float, Pods | Unreadable] | None = None
        self._stood: dict[tuple[str, str], float] = {}
        self._alone: dict[tuple[str, str], float] = {}
        self._told = ""

    def says(self, node: NodeView) -> NodeSays | None:
        """Of a Node of this boot alone: that of another says nothing of this one."""
        if node.says is None:
            return None
        around = Around(
            labels=node.labels,
            offered=node.allocatable,
            classes=self._classes(),
            prefix=self._prefix,
            is_authority=self._is_authority,
            wedges=self.wedges(node),
        )
        return node.says._replace(around=around)

    def _classes(self) -> Classes:
        """Those of before where the server does not answer now."""
        now = self._clock()
        if self._kept is None or now - self._kept.at >= CLASSES_S:
            try:
                found = self._read()
            except ClusterError as error:
                found = Unreadable("RuntimeClasses", chain(error))
                if self._kept is not None:
                    found = self._kept.classes
            if isinstance(found, Unreadable) and str(found) != self._told:
                log.warning("%s; what they select is not looked at", found)
                self._told = str(found)
            self._kept = _Kept(now, found)
        return self._kept.classes

    def wedges(self, node: NodeView) -> tuple[Wedge, ...]:
        """As they stand, each with how long it has been seen. Pods are asked for only then."""
        if not plan.is_any(node.labels):
            self._stood.clear()
            self._alone.clear()
            return ()
        found = plan.wedges(node.labels, self._owners())
        now = self._clock()
        since = {(each.key, each.token): now for each in found}
        self._stood = since | {k: at for k, at in self._stood.items() if k in since}
        lone = {(each.key, each.token): now for each in found if each.owner is None}
        self._alone = lone | {k: at for k, at in self._alone.items() if k in lone}
        return tuple(
            each._replace(is_old=now - self._stood[each.key, each.token] >= OLD_S) for each in found
        )

    def afresh(self, node: NodeView) -> tuple[Wedge, ...]:
        """Of pods as they are at this moment."""
        self._seen = None
        return self.wedges(node)

    def is_any_alone(self, for_s: float) -> bool:
        now = self._clock()
        return any(now - since >= for_s for since in self._alone.values())

    def alone_s(self, wedge: Wedge) -> float:
        """For how long its owner was never seen; zero where it was, or may be there."""
        since = self._alone.get((wedge.key, wedge.token))
        return 0.0 if since is None else self._clock() - since

    def _owners(self) -> Pods | Unreadable:
        now = self._clock()
        if self._seen is None or now - self._seen[0] >= PODS_S:
            try:
                self._seen = now, self._pods()
            except ClusterError as error:
                self._seen = now, Unreadable("the operator's pods", chain(error))
        return self._seen[1]
