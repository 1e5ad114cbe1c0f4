"""`gpus --watch`: looks again and again, at once when the kernel tells of a change."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from nodeagent.cli.output import say, terminal_size
from nodeagent.errors import HostError
from nodeagent.report.gpus import drift, text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nodeagent.report.gpus import Row

_CLEAR = "\033[H\033[2J"
_SHOWN = 10  # changes that stay on the terminal


def follow(look: Callable[[], Sequence[Row]], every_s: float, *, live: bool) -> int:
    """Until Ctrl-C, or until nobody reads any more."""
    from nodeagent.agent.uevents import listening  # noqa: PLC0415 - see the style guide, §6

    before: dict[str, Row] | None = None
    told: list[str] = []
    with listening(live=live) as ear:
        try:
            while True:
                now, trouble = _again(look, before)
                new = [trouble] if trouble else drift(before or {}, now) if before else []
                fresh = [f"{time.strftime('%H:%M:%S')}  {line}" for line in new]
                told = [*told, *fresh][-_SHOWN:]
                if (fresh or before is None) and not _show(list(now.values()), told, fresh):
                    return 0
                before = now
                ear.wait(every_s)
        except KeyboardInterrupt:
            return 0


def _again(
    look: Callable[[], Sequence[Row]], before: dict[str, Row] | None
) -> tuple[dict[str, Row], str]:
    """A host that cannot be read at first is an error as ever; later it is something to show."""
    try:
        return {each.bdf: each for each in look()}, ""
    except HostError as error:
        if before is None:
            raise
        return before, f"cannot look: {error}"


def _show(rows: Sequence[Row], told: Sequence[str], fresh: Sequence[str]) -> bool:
    """A terminal shows the table anew; a file or a pipe gets the table once, then the changes."""
    if terminal_size() != (0, 0):
        return say(_CLEAR + "\n".join([text(rows), "", *told, "", "Ctrl-C ends this."]))
    return say("\n".join(fresh) if fresh else text(rows))
