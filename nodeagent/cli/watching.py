"""`check --watch`: looks again and again, and draws only what changed."""

from __future__ import annotations

import textwrap
import time
from typing import TYPE_CHECKING, NamedTuple

from nodeagent.cli.output import say, terminal_size
from nodeagent.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Callable

    from nodeagent.model.findings import Judgement

_CLEAR = "\033[H\033[2J"


class Shot(NamedTuple):
    """One look as it would be printed. `judgement` None: the host could not be read."""

    text: str
    judgement: Judgement | None
    exit_code: int


def follow(
    look: Callable[[], Shot],
    show: Callable[[Shot, Shot | None], bool],
    wait: Callable[[], None],
) -> int:
    """Until Ctrl-C, or until nobody reads any more: the code of the last verdict.

    A host that cannot be read at first is an error as ever; later it is something to show.
    """
    shot, code, shown, size = look(), 3, None, terminal_size()
    try:
        while True:
            code = shot.exit_code
            if shown is None or shot.text != shown.text or size != terminal_size():
                size = terminal_size()
                if not show(shot, shown):
                    return code
                shown = shot
            wait()
            shot = _again(look)
    except KeyboardInterrupt:
        return code


def _again(look: Callable[[], Shot]) -> Shot:
    try:
        return look()
    except HostError as error:
        hint = f"\n  try: {error.hint}" if error.hint else ""
        return Shot(f"CANNOT LOOK\n  {error}{hint}", None, error.exit_code)


def said(new: Shot, old: Shot | None) -> str:
    """What changed, in one line."""
    if old is None:
        return "first look"
    if old.judgement is None or new.judgement is None:
        return "it can be read again" if new.judgement else "it cannot be read"
    from nodeagent.report.changes import changes  # noqa: PLC0415 - only once something changed

    return changes(old.judgement, new.judgement)


def draw(new: Shot, old: Shot | None) -> bool:
    """In place of what is on the terminal; what does not fit is left out at the end."""
    columns, rows = terminal_size()
    when = f"{time.strftime('%H:%M:%S')}  {said(new, old)}"
    foot = ["", *textwrap.wrap(when, max(columns - 1, 20)), "Ctrl-C ends this."]
    lines = new.text.split("\n")
    room = max(rows - len(foot) - 1, 3)
    if len(lines) > room:
        lines = [*lines[: room - 1], f"… {len(lines) - room + 1} more lines"]
    return say(_CLEAR + "\n".join([*lines, *foot]))


def append(new: Shot, old: Shot | None) -> bool:
    """Below what was printed before, with the time: for a file or a pipe."""
    when = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    return say(f"--- {when}  {said(new, old)}\n{new.text}\n")


def bare(new: Shot, _old: Shot | None) -> bool:
    """Documents alone, one after the other."""
    return say(new.text)
