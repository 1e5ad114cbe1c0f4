"""Reads the pages as they are written: one text a topic, and every slip names its line.

A text begins with `# Topic`. A page begins with `## NAME` and its summary in one line; then
come paragraphs, and parts: `Label: words`, or `Label:` above a list of `- items`. A name in
capitals is a code's, one with a dot a check's, any other a level's or a profile's.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from itertools import groupby
from typing import NamedTuple

TOPICS = (
    "levels",
    "silicon",
    "bios",
    "kernel",
    "psp",
    "hazards",
    "firmware",
    "passthrough",
    "gpu",
    "runtime",
    "cluster",
    "looking",
)
"""The files in nodeagent/data/pages, in reading order."""

MAX_SUMMARY = 49
"""So that a list with the longest name fits 80 columns."""


class Kind(StrEnum):
    CODE = "code"
    CHECK = "check"
    WORD = "word"


_NEEDED: Mapping[Kind, frozenset[str]] = {
    Kind.CODE: frozenset({"Looked for", "Causes", "Sources"}),
    Kind.CHECK: frozenset({"Pass", "Unknown", "Codes", "Root adds"}),
    Kind.WORD: frozenset(),
}
_LABELS = frozenset().union(*_NEEDED.values()) | {"Fail", "Warn"}


class Page(NamedTuple):
    """`parts` holds each label's items; one that is no list has a single item."""

    name: str
    kind: Kind
    topic: str
    summary: str
    text: tuple[str, ...]
    parts: Mapping[str, tuple[str, ...]]

    def part(self, label: str) -> tuple[str, ...]:
        return self.parts.get(label, ())


class _Line(NamedTuple):
    number: int
    text: str


def read(text: str, name: str) -> tuple[Page, ...]:
    """The pages of one topic; ValueError names file, line and what is wrong there."""
    lines = [_Line(number, line.rstrip()) for number, line in enumerate(text.split("\n"), 1)]
    starts = [n for n, line in enumerate(lines) if line.text.startswith("## ")]
    if not lines[0].text.startswith("# ") or not starts:
        raise ValueError(f"{name}: begins with `# Topic`, and has pages that begin with `## NAME`")
    topic = lines[0].text[2:]
    ends = [*starts[1:], len(lines)]
    try:
        return tuple(_page(topic, lines[a:b]) for a, b in zip(starts, ends, strict=True))
    except ValueError as error:
        raise ValueError(f"{name}, {error}") from None


def _page(topic: str, lines: list[_Line]) -> Page:
    name = lines[0].text[3:].strip()
    kind = Kind.CODE if name.isupper() else Kind.CHECK if "." in name else Kind.WORD
    blocks = list(_blocks(lines[1:]))
    where = f"line {lines[0].number}: {name}"
    if not blocks or len(blocks[0]) != 1 or len(blocks[0][0].text) > MAX_SUMMARY:
        raise ValueError(f"{where} needs a summary: one line of at most {MAX_SUMMARY} characters")
    text: list[str] = []
    parts: dict[str, tuple[str, ...]] = {}
    for block in blocks[1:]:
        label, colon, rest = block[0].text.partition(":")
        if not colon or label not in _LABELS:
            text.append(" ".join(line.text for line in block))
        elif label in parts:
            raise ValueError(f"line {block[0].number}: {name} has {label} twice")
        else:
            parts[label] = tuple(_items(rest.strip(), block[1:]))
    lacking = sorted(_NEEDED[kind] - set(parts))
    if kind is not Kind.CHECK and not text:
        lacking.append("a paragraph that says what it means")
    if lacking:
        raise ValueError(f"{where} lacks {', '.join(lacking)}")
    return Page(name, kind, topic, blocks[0][0].text, tuple(text), parts)


def _blocks(lines: list[_Line]) -> Iterator[list[_Line]]:
    """Runs of lines between empty ones."""
    for is_text, run in groupby(lines, key=lambda line: bool(line.text)):
        if is_text:
            yield list(run)


def _items(first: str, rest: list[_Line]) -> Iterator[str]:
    """The words after a label, or the list below it; an item goes on where a line is indented."""
    item = first
    for line in rest:
        if line.text.startswith("- "):
            if item:
                yield item
            item = line.text[2:].strip()
        elif first or line.text.startswith("  "):
            item = f"{item} {line.text.strip()}".strip()
        else:
            raise ValueError(f"line {line.number}: begin with `- `, or indent what goes on")
    if item:
        yield item
