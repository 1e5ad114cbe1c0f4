"""boards.json with its types: which setups are known, and what each calls a setting."""

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from nodeagent import data

REFERENCE = "reference"
LOW = "low"


class Document(NamedTuple):
    """Where a vendor says it himself; `number` is empty where it has none."""

    number: str
    title: str

    def __str__(self) -> str:
        return self.number or self.title


class Board(NamedTuple):
    """One board, a line of boards, or all of a vendor."""

    name: str
    documents: tuple[Document, ...]

    @property
    def vendor(self) -> str:
        return self.name.split()[0]


class Entry(NamedTuple):
    """What a row says of one setting; without an `entry` it says only what else is known of it.

    `value` and `mark` None: the usual ones. `needless`: these boards do without.
    """

    entry: str = ""
    path: tuple[str, ...] = ()
    value: str | None = None
    mark: str | None = None
    source: str = ""
    confidence: str = LOW
    needless: bool = False
    exposed: bool | None = True
    bios: str = ""
    attribute: str = ""


class Setting(NamedTuple):
    purpose: str
    want: str


class Row(NamedTuple):
    """A row of boards.json.

    It fits a machine of which one of `match` holds, each a prefix or more for every name it has.
    `of` is the row that this one extends; `likely` says why AMD's names may be taken for its own.
    """

    board: Board
    match: tuple[Mapping[str, tuple[str, ...]], ...]
    settings: Mapping[str, Entry]
    of: str | None
    likely: str


class File(NamedTuple):
    settings: Mapping[str, Setting]
    reference: str
    amd: Mapping[str, Entry]
    rows: tuple[Row, ...]


@cache
def boards() -> File:
    found = data.load("boards.json")
    return File(
        settings={
            name: Setting(each["purpose"], each["want"]) for name, each in found["settings"].items()
        },
        reference=found[REFERENCE]["board"],
        amd=_entries_of(found[REFERENCE]),
        rows=tuple(_row(each) for each in found["boards"]),
    )


def _row(row: dict[str, Any]) -> Row:
    documents = tuple(Document(each["number"], each["title"]) for each in row["documents"])
    return Row(
        board=Board(row["board"], documents),
        match=tuple(
            {key: tuple(prefixes) for key, prefixes in each.items()} for each in row["match"]
        ),
        settings=_entries_of(row),
        of=row.get("of"),
        likely=row.get("likely", ""),
    )


def _entries_of(row: dict[str, Any]) -> dict[str, Entry]:
    return {
        name: Entry(**{**each, "path": tuple(each.get("path", ()))})
        for name, each in row["settings"].items()
    }
