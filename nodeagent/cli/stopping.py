"""SIGTERM and Ctrl-C during a change: the step in hand is finished, and no other begun."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

_WATCHED = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def stops() -> Iterator[Callable[[], bool]]:
    """Whether we were told to stop. A second time ends us at once, which is safe as well."""
    asked: list[int] = []

    def heard(number: int, _frame: FrameType | None) -> None:
        asked.append(number)
        for each in _WATCHED:
            signal.signal(each, signal.SIG_DFL)

    before = {number: signal.signal(number, heard) for number in _WATCHED}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
