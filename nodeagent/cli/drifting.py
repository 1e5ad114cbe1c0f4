"""`gpus --watch`: looks again and again, at once when the kernel tells of a change."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from nodeagent.cli.output import say, terminal_size
from nodeagent.errors import HostError
from nodeagent.report.drift import drifts, last_known
from nodeagent.report.gpus import text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nodeagent.report.drift import Watched
    from nodeagent.report.gpus import Row

_CLEAR = "\033[H\033[2J"
_SHOWN = 10  # changes that stay on the terminal


def follow(look: Callable[[], tuple[Sequence[Row], Watched]], every_s: float, *, live: bool) -> int:
    """Until Ctrl-C, or until nobody reads any more."""
    from nodeagent.agent.uevents import listening  # noqa: PLC0415 - see the style guide, §6

    told: list[str] = []
    with listening(live=live) as ear:
        rows, before = look()
        try:
            if not _show(rows, told, []):
                return 0
            while True:
                ear.wait(every_s)
                rows, now, fresh = _again(look, rows, before)
                if fresh:
                    when = time.strftime("%H:%M:%S")
                    fresh = [f"{when}  {line}" for line in fresh]
                    told = [*told, *fresh][-_SHOWN:]
                    if not _show(rows, told, fresh):
                        return 0
                before = last_known(before, now)
        except KeyboardInterrupt:
            return 0


def _again(
    look: Callable[[], tuple[Sequence[Row], Watched]], rows: Sequence[Row], before: Watched
) -> tuple[Sequence[Row], Watched, list[str]]:
    """A host that cannot be read for a while is something to say, and no end."""
    try:
        now_rows, now = look()
    except HostError as error:
        return rows, before, [f"cannot look: {error}"]
    return now_rows, now, drifts(before, now)


def _show(rows: Sequence[Row], told: Sequence[str], fresh: Sequence[str]) -> bool:
    """A terminal shows the table anew; a file or a pipe gets the table once, then the changes."""
    if terminal_size() != (0, 0):
        return say(_CLEAR + "\n".join([text(rows), "", *told, "", "Ctrl-C ends this."]))
    return say("\n".join(fresh) if fresh else text(rows))
