"""The pages together with what they are filled with, and how a word finds its page."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from nodeagent.errors import nearest
from nodeagent.explain.pages import Kind, Page
from nodeagent.model.codes import Code
from nodeagent.model.findings import Remedy
from nodeagent.model.words import Level


class Way(NamedTuple):
    """One remedy, and when it is the one; an empty `when` is the usual case."""

    when: str
    remedy: Remedy


class Setup(NamedTuple):
    """Where the setups of some boards have what a code's remedy is about."""

    boards: tuple[str, ...]
    places: str


class Here(NamedTuple):
    """The board at hand; `known`: what its setup calls things is on record."""

    board: str
    known: bool


class Asked(NamedTuple):
    """What a check wants, and of which level it is."""

    level: Level
    wants: str


class Book(NamedTuple):
    """Every page; of each code its ways out, of each check what it asks.

    With `here` the ways out are worded for that board, else as AMD's reference does.
    """

    pages: tuple[Page, ...]
    ways: Mapping[Code, tuple[Way, ...]]
    setups: Mapping[Code, tuple[Setup, ...]]
    checks: Mapping[str, Asked]
    here: Here | None = None

    def find(self, word: str) -> Page | None:
        """Case does not matter, nor which marks stand between the words."""
        wanted = _plain(word)
        return next((page for page in self.pages if _plain(page.name) == wanted), None)

    def nearest(self, word: str) -> str | None:
        names = {_plain(page.name): page.name for page in self.pages}
        found = nearest(_plain(word), names)
        return names[found] if found else None

    def names_settings(self, page: Page) -> bool:
        """Whether a fix is worded for the board at hand."""
        codes = (page.name,) if page.kind is Kind.CODE else codes_of(page)
        return any(self.setups[Code(code)] for code in codes)

    def sources_of(self, page: Page) -> tuple[str, ...]:
        """A check's are those of its codes, each once."""
        by_name = {each.name: each.part("Sources") for each in self.pages}
        parts = [page.part("Sources"), *(by_name.get(code, ()) for code in codes_of(page))]
        return tuple(dict.fromkeys(item for part in parts for item in part))

    def said_by(self, code: str) -> tuple[str, ...]:
        """The checks that may give this code."""
        return tuple(page.name for page in self.pages if code in codes_of(page))

    def unwritten(self) -> list[str]:
        """Codes and checks without a page."""
        written = {page.name for page in self.pages}
        return [name for name in (*Code, *self.checks) if name not in written]

    def unneeded(self) -> list[str]:
        """Pages of codes and checks that there are not, or not twice."""
        known = {*Code, *self.checks}
        names = [page.name for page in self.pages]
        strange = [p.name for p in self.pages if p.kind is not Kind.WORD and p.name not in known]
        return strange + sorted({name for name in names if names.count(name) > 1})


def codes_of(page: Page) -> tuple[str, ...]:
    """The codes that a check's page says it may give."""
    return tuple(word for item in page.part("Codes") for word in item.replace(",", " ").split())


def by_topic(pages: Iterable[Page]) -> dict[str, list[Page]]:
    found: dict[str, list[Page]] = {}
    for page in pages:
        found.setdefault(page.topic, []).append(page)
    return found


def _plain(word: str) -> str:
    return "".join(char for char in word.lower() if char.isalnum())
