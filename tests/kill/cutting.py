"""Ends a program at each of its writes, and runs it again from what it left."""

from collections.abc import Iterator
from typing import NamedTuple

from nodeagent.seams import Machine
from tests.kill.board import Board, Modes, Run

KILLED: dict[str, int] = {}
"""How many programs were ended, by kind of board."""


class Cut(NamedTuple):
    """What a program left that ended right before this write."""

    before: str
    board: Board


def cuts(board: Board, base: Machine, want: Modes) -> Iterator[Cut]:
    """One for each write of a whole run, each a board of its own; and one for its end.

    Dying after a write is dying before the next one: nothing outlives what lies between.
    """
    run = Run(board, base)
    found: list[Cut] = []
    last = ""

    def touch(what: str) -> None:
        nonlocal last
        if what != last:
            found.append(Cut(what, _as_left(run)))
        last = what

    run = Run(board, base, touch)
    outcome = run.converge(want)
    assert dict(outcome.proven) == dict(want), outcome
    board.demand_whole(want)
    yield from found
    yield Cut("the end", board.copy())


def _as_left(run: Run) -> Board:
    copied = run.board.copy()
    copied.owed = run.noted()
    return copied


def go_on(cut: Cut, base: Machine, want: Modes, kind: str) -> None:
    """The next run ends in the wanted mode, whatever the one before it left."""
    KILLED[kind] = KILLED.get(kind, 0) + 1
    outcome = Run(cut.board, base).converge(want)
    assert dict(outcome.proven) == dict(want), (cut.before, outcome)
    try:
        cut.board.demand_whole(want)
    except AssertionError as error:
        error.add_note(f"ended before: {cut.before}")
        raise
