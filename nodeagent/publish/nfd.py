"""Labels by way of NFD, and the rest of what a Node shows by ourselves (kubernetes.md §4.6).

Never both for one label: NFD removes every label that it believes to be its own.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Protocol

from nodeagent.errors import AgentError
from nodeagent.kube.node import NodeView
from nodeagent.publish.apiserver import ApiServer
from nodeagent.publish.sink import Show


class Shelf(Protocol):
    """Where NFD takes our labels from."""

    @property
    def is_local(self) -> bool:
        """Whether it lies on this machine, and can be written without an API server."""

    def clear_earlier_boot(self, node: NodeView) -> None: ...

    def stands(self) -> Mapping[str, str]: ...

    def show(self, labels: Mapping[str, str], node: NodeView | None) -> None: ...


class ThroughNfd:
    """A Sink. `server` writes the condition, the report and labels that are not under `prefix`.

    Those would be `nvidia.com/cc.*`: an admin may forbid NFD that prefix, and a switch must
    see them gone at once. Without a server there are labels alone.
    """

    def __init__(self, shelf: Shelf, server: ApiServer | None, *, prefix: str) -> None:
        self._shelf, self._server = shelf, server
        self._prefix = prefix
        self._has_met = server is None

    @property
    def asks(self) -> bool:
        return self._server is not None

    def node(self, name: str) -> NodeView | None:
        return self._server.node(name) if self._server else None

    def clear_earlier_boot(self, node: NodeView, boot_id: str) -> NodeView:
        self._shelf.clear_earlier_boot(node)
        if self._server:
            node = self._server.clear_earlier_boot(node, boot_id)
        self._has_met = True
        return node

    def unlist(self, node: NodeView, keys: frozenset[str]) -> NodeView:
        """With `ready` in NFD's hands too. What fails here the cycle after it does again."""
        with suppress(AgentError):
            stands = dict(self._shelf.stands())
            if stands.pop(f"{self._prefix}ready", None):
                self._shelf.show(stands, node)
        return self._server.unlist(node, keys) if self._server else node

    def standing(self, node: NodeView) -> Mapping[str, str]:
        """Also where our own old labels still stand: they are NFD's by the next write."""
        others = self._server.standing(node) if self._server else {}
        theirs = {key: each for key, each in others.items() if not key.startswith(self._prefix)}
        return {**theirs, **self._shelf.stands()}

    def shown(self, node: NodeView | None) -> Mapping[str, str] | None:
        """NFD is a minute behind: what counts is what it was given."""
        if node is None:
            return self._shelf.stands() if self._shelf.is_local else None
        others = {k: each for k, each in node.labels.items() if not k.startswith(self._prefix)}
        return {**others, **self._shelf.stands()}

    def publish(self, node: NodeView, show: Show) -> None:
        """In the order of the API server's sink: `ready` comes last, and goes first."""
        labels, rest = self._parted(show)
        is_ready = f"{self._prefix}ready" in labels
        if is_ready:
            self._tell(node, rest)
            self._shelf.show(labels, node)
        else:
            try:
                self._shelf.show(labels, node)
            finally:  # the condition tells the truth even where the labels cannot
                self._tell(node, rest)
        if self._server:
            self._server.show_taint(node, is_ready=is_ready)

    def _tell(self, node: NodeView, rest: Show) -> None:
        if self._server:
            self._server.publish(node, rest)

    def alone(self, show: Show) -> bool:
        """Without its condition nothing new is said, and what is true no more goes.

        Until the Node was met, nobody knows what mode it was asked for.
        """
        if not self._shelf.is_local:
            return False
        labels, _ = self._parted(show)
        if self._server:
            stands = self._shelf.stands()
            labels = {key: each for key, each in labels.items() if stands.get(key) == each}
        if not self._has_met:
            for name in ("ready", "gpu"):
                labels.pop(self._prefix + name, None)
        self._shelf.show(labels, None)
        return self._server is None

    def _parted(self, show: Show) -> tuple[dict[str, str], Show]:
        ours = {key: each for key, each in show.labels.items() if key.startswith(self._prefix)}
        others = {key: each for key, each in show.labels.items() if key not in ours}
        return ours, replace(show, labels=others)
