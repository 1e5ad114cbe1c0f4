"""Where a cycle's result goes, and where it is read back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from nodeagent.kube.node import NodeView
from nodeagent.labels import Condition


@dataclass(frozen=True, slots=True)
class Show:
    """All that shall be shown of ours."""

    labels: Mapping[str, str]
    report: str
    condition: Condition
    claims: frozenset[str] = frozenset()
    """Labels outside our prefix of which nobody else may say anything."""


class Sink(Protocol):
    """Writes only what differs, and in an order in which `ready` is never shown too long.

    All raise ClusterError, or HostError for a file, and may then have done a part.
    """

    @property
    def asks(self) -> bool:
        """Whether there is an API server for us at all."""

    def node(self, name: str) -> NodeView | None: ...

    def clear_earlier_boot(self, node: NodeView, boot_id: str) -> NodeView:
        """Take back what was said of another boot, or of one that nobody noted."""

    def unlist(self, node: NodeView, keys: frozenset[str]) -> NodeView:
        """Take labels of ours off the Node at once; NFD's part follows with what is published."""

    def standing(self, node: NodeView) -> Mapping[str, str]:
        """The labels that stand by our hand."""

    def shown(self, node: NodeView | None) -> Mapping[str, str] | None:
        """Every label that counts as shown now; None where that cannot be known."""

    def publish(self, node: NodeView, show: Show) -> None: ...

    def alone(self, show: Show) -> bool:
        """While there is no Node to write: what lies on this machine. Whether that is all."""
