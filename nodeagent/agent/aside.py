"""What a cycle does beside its look and its switch: ask the cluster, and mend what others left."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nodeagent.agent.repairs import Repairs
    from nodeagent.agent.surroundings import Surroundings
    from nodeagent.kube.node import NodeView
    from nodeagent.model.runtime import NodeSays


class Aside:
    """None of it fails a cycle."""

    def __init__(self, around: Surroundings, repairs: Repairs | None = None) -> None:
        self._around, self._repairs = around, repairs

    def says(self, node: NodeView) -> NodeSays | None:
        return self._around.says(node)

    def work(self) -> None:
        """After what was found is published, and while no switch is under way."""
        if self._repairs:
            self._repairs.work()
