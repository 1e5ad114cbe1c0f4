"""`fleet --watch`: one list, then a watch; a terminal shows the table, a log the changes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from nodeagent.cli.fleet import clock, drawn, listed
from nodeagent.cli.output import say, terminal_size
from nodeagent.errors import ClusterError
from nodeagent.fleet.document import is_ready
from nodeagent.fleet.standing import aged, standing
from nodeagent.fleet.table import changes, ordered
from nodeagent.kube.failures import TooOldError

if TYPE_CHECKING:
    from nodeagent.fleet.standing import Standing
    from nodeagent.kube.fleet import FleetClient

_CLEAR = "\033[H\033[2J"
_SHOWN = 10  # changes that stay on the terminal


class Fleet:
    """All nodes that match, kept up to date by what the server tells of them."""

    def __init__(self, client: FleetClient, selector: str, prefix: str) -> None:
        self._client = client
        self._selector = selector
        self._prefix = prefix
        self._nodes: dict[str, Standing] = {}
        self._version = ""

    def read(self) -> None:
        nodes, self._version = listed(self._client, self._selector, self._prefix)
        self._nodes = {each.name: each for each in nodes}

    def wait(self, seconds: float) -> None:
        """For so long, and take in what happens. ClusterError: the cluster cannot be asked."""
        try:
            for each in self._client.watch(
                self._selector, self._version, seconds=max(1, round(seconds))
            ):
                self._version = each.version or self._version
                if each.node is not None:
                    self._take(standing(each.node, self._prefix), is_gone=each.is_gone)
        except TooOldError:
            self.read()

    def _take(self, node: Standing, *, is_gone: bool) -> None:
        if is_gone:
            self._nodes.pop(node.name, None)
        else:
            self._nodes[node.name] = node

    def now(self) -> dict[str, Standing]:
        """As they are to be believed at this moment: silence makes a node stale."""
        at = clock()
        return {
            each.name: each for each in ordered(aged(each, at) for each in self._nodes.values())
        }


def follow(fleet: Fleet, every_s: float) -> int:
    """Until Ctrl-C, or until nobody reads any more: the code of the last table.

    A cluster that cannot be asked at first is an error as ever; later it is something to show.
    """
    fleet.read()
    nodes, trouble = fleet.now(), ""
    told: list[str] = []
    on_terminal = terminal_size() != (0, 0)
    try:
        screen = _screen(nodes, told) if on_terminal else drawn(list(nodes.values()))
        reads = say(screen)
        while reads:
            before, was_trouble = nodes, trouble
            trouble = _waited(fleet, every_s)
            nodes = fleet.now()
            fresh = changes(before, nodes)
            if trouble != was_trouble:
                fresh.append(trouble or "the cluster answers again")
            fresh = [f"{_when(on_terminal=on_terminal)}  {line}" for line in fresh]
            told = [*told, *fresh][-_SHOWN:]
            if on_terminal:
                before_screen, screen = screen, _screen(nodes, told)
                reads = screen == before_screen or say(screen)
            elif fresh:
                reads = say("\n".join(fresh))
    except KeyboardInterrupt:
        pass
    return 0 if is_ready(list(nodes.values())) else 1


def _waited(fleet: Fleet, every_s: float) -> str:
    """What kept us from asking, if anything did."""
    try:
        fleet.wait(every_s)
    except ClusterError as error:
        time.sleep(every_s)
        cause = f": {error.__cause__}" if error.__cause__ else ""
        return f"{error}{cause}"
    return ""


def _when(*, on_terminal: bool) -> str:
    return time.strftime("%H:%M:%S" if on_terminal else "%Y-%m-%dT%H:%M:%S%z")


def _screen(nodes: dict[str, Standing], told: list[str]) -> str:
    """In place of what is there; what does not fit is left out, and that is the ready ones."""
    _, rows = terminal_size()
    lines = drawn(list(nodes.values())).split("\n")
    foot = ["", *told, "Ctrl-C ends this."]
    room = max(rows - len(foot) - 1, 6)
    if len(lines) > room:
        lines = [*lines[: room - 1], f"… {len(lines) - room + 1} more lines"]
    return _CLEAR + "\n".join([*lines, *foot])
