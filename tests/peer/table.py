"""The table of docs/snphost.md: each test of snphost, and what answers it here."""

from pathlib import Path
from typing import NamedTuple

PAGE = Path(__file__).parents[2] / "docs" / "snphost.md"


class Row(NamedTuple):
    """Two names where snphost reports a test under another one than it skips it under."""

    theirs: tuple[str, ...]
    ours: tuple[str, ...]


def rows() -> tuple[Row, ...]:
    lines = PAGE.read_text().split("\n")
    cells = [line.strip("|").split("|") for line in lines if line.startswith("| `")]
    return tuple(
        Row(_names(theirs), tuple(each.strip(" `") for each in ours.split(",")))
        for theirs, _, ours, _ in cells
    )


def _names(cell: str) -> tuple[str, ...]:
    """Between backquotes: a name may have a comma in it."""
    return tuple(cell.split("`")[1::2])
