"""What a cycle does beside its look and its switch: ask the cluster, and mend what others left."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nodeagent.agent.probing import Probing
    from nodeagent.agent.repairs import Repairs
    from nodeagent.agent.surroundings import Surroundings
    from nodeagent.kube.node import NodeView
    from nodeagent.model.findings import Judgement
    from nodeagent.model.runtime import NodeSays


class Aside:
    """None of it fails a cycle."""

    def __init__(
        self,
        around: Surroundings,
        repairs: Repairs | None = None,
        probing: Probing | None = None,
    ) -> None:
        self._around, self._repairs, self._probing = around, repairs, probing

    def says(self, node: NodeView) -> NodeSays | None:
        return self._around.says(node)

    def judged(self, judgement: Judgement, node: NodeView | None, *, is_busy: bool) -> Judgement:
        """As it is where the site has no gate."""
        if self._probing is None:
            return judgement
        return self._probing.judged(judgement, node, is_busy=is_busy)

    def work(self, node: NodeView, *, is_busy: bool) -> float | None:
        """After what was found is published; seconds until the next look, if soon."""
        if self._repairs and not is_busy:
            self._repairs.work()
        return self._probing.work(node) if self._probing else None
