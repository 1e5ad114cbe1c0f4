"""Labels by way of NFD's NodeFeature object: no right to write the Node itself is needed."""

import logging
import time
from collections.abc import Callable, Mapping

from nodeagent.kube.features import Feature, FeatureClient
from nodeagent.kube.node import NodeView

READ_AGAIN_S = 300.0

log = logging.getLogger(__name__)


class NodeFeatures:
    """A Shelf. It does not expire: what an agent that died left stands until its next start."""

    is_local = False

    def __init__(
        self, client: FeatureClient, *, boot_id: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._boot_id = boot_id
        self._clock = clock
        self._known: Feature | None = None
        self._read_at = float("-inf")

    def clear_earlier_boot(self, node: NodeView) -> None:
        """Or of another Node of the same name; and what there is is known from now on."""
        self._read()
        found = self._known
        if found and found.labels and (found.boot_id, found.node_uid) != (self._boot_id, node.uid):
            self._apply(Feature(node.uid, self._boot_id, {}))
            log.info("the NodeFeature was of an earlier boot: its labels are taken away")

    def stands(self) -> Mapping[str, str]:
        found = self._known
        return found.labels if found and found.boot_id == self._boot_id else {}

    def show(self, labels: Mapping[str, str], node: NodeView | None) -> None:
        """Read now and then, in case somebody else wrote it; written where it differs."""
        if node is None:
            return
        if self._clock() - self._read_at >= READ_AGAIN_S:
            self._read()
        wanted = Feature(node.uid, self._boot_id, dict(labels))
        if self._known == wanted or (self._known is None and not labels):
            return
        before = self.stands()
        self._apply(wanted)
        for key in sorted(labels.keys() | before.keys()):
            if labels.get(key) != before.get(key):
                said = f"={labels[key]}" if key in labels else " taken away"
                log.info("label %s%s, by NodeFeature", key, said)

    def _read(self) -> None:
        self._known = self._client.get()
        self._read_at = self._clock()

    def _apply(self, feature: Feature) -> None:
        try:
            self._client.apply(feature)
        except Exception:
            self._read_at = float("-inf")  # it may have been written all the same
            raise
        self._known = feature
