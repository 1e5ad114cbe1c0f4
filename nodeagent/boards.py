"""What a board's setup calls a BIOS setting, and who saw that name."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, TypeAlias

from nodeagent import data
from nodeagent.model.platform import Dmi
from nodeagent.model.seen import Seen

Row: TypeAlias = dict[str, Any]

NO_ENTRY = "No such entry: update the BIOS."

_REFERENCE = "reference"
_LOW = "low"


class Document(NamedTuple):
    """Where a vendor says it himself; `number` is empty where it has none."""

    number: str
    title: str

    def __str__(self) -> str:
        return self.number or self.title


class Board(NamedTuple):
    """A row of boards.json: one board, a line of boards, or all of a vendor."""

    name: str
    documents: tuple[Document, ...]

    @property
    def vendor(self) -> str:
        return self.name.split()[0]


class Menu(NamedTuple):
    """One setting as a setup shows it.

    `mark` says whose name it is; it is empty, as `path` is, where `entry` are plain words and no
    name. `own`: seen on the board that was asked for. `exposed` False: not shown up to BIOS version
    `bios`; None: by some firmware only.
    """

    setting: str
    path: tuple[str, ...]
    entry: str
    value: str
    mark: str
    source: str
    confidence: str
    own: bool
    exposed: bool | None = True
    bios: str = ""
    attribute: str = ""

    @property
    def place(self) -> str:
        return " > ".join((*self.path, self.entry))

    def __str__(self) -> str:
        return f"{self.place}: {self.value}" + (f" ({self.mark})" if self.mark else "")


class Filled(NamedTuple):
    """A text with its names in place, and what else must be said of them, a sentence each."""

    text: str
    notes: tuple[str, ...] = ()


def settings() -> tuple[str, ...]:
    return tuple(_data()["settings"])


def board_of(dmi: Dmi | None) -> Board | None:
    """The first row that fits; None for an unknown or unreadable board."""
    row = _row_of(dmi)
    return _board(row) if row else None


def menu_for(setting: str, dmi: Dmi | None) -> Menu | None:
    """None where these boards are not known to have, or to need, such an entry."""
    return _menu(setting, _row_of(dmi))


def menus(setting: str) -> tuple[tuple[str, Menu], ...]:
    """Every name that is known, AMD's first, each with whose it is."""
    reference = _menu(setting, None)
    found = [(reference.mark or reference.entry, reference)] if reference else []
    for row in _data()["boards"]:
        menu = _menu(setting, row)
        if menu and (menu.own or menu.exposed is not True):
            found.append((row["board"], menu))
    return tuple(found)


def fill(text: str, dmi: Dmi | None) -> Filled:
    """Each `{setting}`, or `{setting, setting}`, as this board calls it, and marked."""
    row = _row_of(dmi)
    asked: list[Menu] = []
    words, *rest = text.split("{")
    for part in rest:
        names, _, after = part.partition("}")
        found = [menu for name in names.split(", ") if (menu := _menu(name, row))]
        words += _phrase(found) + after
        asked += found
    hidden = [menu for menu in asked if menu.exposed is False and not _is_newer(dmi, menu.bios)]
    if hidden:
        this = "this" if hidden == asked else _join([menu.entry for menu in hidden])
        words = f"update the BIOS first, up to {hidden[0].bios} it does not show {this}: {words}"
    return Filled(words, tuple(_notes(asked, hidden, row)))


def together(found: Iterable[Menu]) -> str:
    """Several settings in one phrase, the entries of one page together; whose names is not said."""
    return _phrase([menu._replace(mark="") for menu in found])


def _phrase(found: list[Menu]) -> str:
    """Entries of one page together; a mark that all share stands once, at the end."""
    pages: dict[tuple[tuple[str, ...], str], list[Menu]] = {}
    for menu in found:
        pages.setdefault((menu.path, menu.mark), []).append(menu)
    shared = len({menu.mark for menu in found}) == 1
    said, above = [], None
    for (path, _), page in pages.items():
        # What the last page hangs below need not be said again.
        shown = path[-1:] if above == path[:-1] else path
        above = path[:-1]
        text = " > ".join((*shown, _entries(page)))
        said.append(text if shared else text + _in_brackets(page))
    return "; ".join(said) + (_in_brackets(found) if shared else "")


def _entries(page: list[Menu]) -> str:
    values: dict[str, list[str]] = {}
    for menu in page:
        values.setdefault(menu.value, []).append(menu.entry)
    return ", and ".join(f"{_join(entries)}: {value}" for value, entries in values.items())


def _join(words: list[str]) -> str:
    return " and ".join(words) if len(words) < 3 else f"{', '.join(words[:-1])} and {words[-1]}"


def _in_brackets(found: list[Menu]) -> str:
    mark = found[0].mark
    several = len(found) > 1 and not found[0].own
    return f" ({mark}{'s' if several else ''})" if mark else ""


def _notes(asked: list[Menu], hidden: list[Menu], row: Row | None) -> Iterator[str]:
    board = _board(row) if row else None
    if board is None:
        return
    for menu in asked:
        if menu.exposed is False and menu not in hidden:
            yield f"BIOS {menu.bios} of this board did not show it; a newer one may."
        elif menu.exposed is None:
            yield NO_ENTRY
            break
    if board.documents and any(not menu.own or menu.confidence == _LOW for menu in asked):
        documents = ", ".join(str(each) for each in board.documents)
        yield f"{board.vendor}'s names: {documents}."


def _data() -> Row:
    found: Row = data.load("boards.json")
    return found


def _row_of(dmi: Dmi | None) -> Row | None:
    if dmi is None:
        return None
    return next(
        (row for row in _data()["boards"] if any(_fits(m, dmi) for m in row["match"])), None
    )


def _fits(match: dict[str, list[str]], dmi: Dmi) -> bool:
    return all(
        any(_begins(seen, prefixes) for seen in _named(key, dmi)) for key, prefixes in match.items()
    )


def _named(key: str, dmi: Dmi) -> tuple[Seen[str], ...]:
    if key == "vendor":
        return (dmi.sys_vendor, dmi.board_vendor)
    return (getattr(dmi, key),)


def _begins(seen: Seen[str], prefixes: list[str]) -> bool:
    low = tuple(prefix.casefold() for prefix in prefixes)
    return isinstance(seen, str) and seen.casefold().startswith(low)


def _board(row: Row) -> Board:
    return Board(row["board"], tuple(Document(d["number"], d["title"]) for d in row["documents"]))


def _menu(setting: str, row: Row | None) -> Menu | None:
    """The board's own row, else that of its line, else AMD's, else plain words."""
    own = _own(setting, row)
    if own.get("needless"):
        return None
    named = own if "entry" in own else _data()[_REFERENCE]["settings"].get(setting, {})
    about = _data()["settings"][setting]
    if "entry" not in named:
        return _plain(setting, about, own)
    mark = named.get("mark", _data()[_REFERENCE]["board"])
    confidence = named["confidence"]
    if named is own and row:
        confidence = own["confidence"]
        mark = row["board"] + (", likely" if confidence == _LOW else "")
    # Where the vendor has other menus, AMD's would only lead astray.
    path = tuple(named["path"]) if named is own or row is None else ()
    return Menu(
        setting,
        path,
        named["entry"],
        named.get("value", about["want"]),
        mark,
        named["source"],
        confidence,
        own=named is own,
        exposed=own.get("exposed", True),
        bios=own.get("bios", ""),
        attribute=own.get("attribute", ""),
    )


def _own(setting: str, row: Row | None) -> Row:
    """What the board's row says of it, or the row that this one extends."""
    if row is None:
        return {}
    rows: dict[str, Row] = row["settings"]
    if setting in rows:
        return rows[setting]
    line = row.get("of")
    if line == _REFERENCE:
        named: Row = _data()[_REFERENCE]["settings"].get(setting, {})
        usual = not named or "mark" in named
        return {} if usual else named | {"source": row["likely"], "confidence": _LOW}
    return _own(setting, next((each for each in _data()["boards"] if each["board"] == line), None))


def _plain(setting: str, about: Row, own: Row) -> Menu:
    """What it is for, where nobody is known to have seen a name."""
    return Menu(
        setting,
        (),
        about["purpose"],
        about["want"],
        "",
        "",
        _LOW,
        own=False,
        attribute=own.get("attribute", ""),
    )


def _is_newer(dmi: Dmi | None, version: str) -> bool:
    """Only where both are numbers: an unknown BIOS is taken to be as old as the one seen."""
    bios = dmi.bios_version if dmi else None
    found = _numbers(bios) if isinstance(bios, str) else None
    return found is not None and found > (_numbers(version) or ())


def _numbers(version: str) -> tuple[int, ...] | None:
    parts = version.strip().split(".")
    if not all(part.isdecimal() and part.isascii() and len(part) < 6 for part in parts):
        return None
    return tuple(int(part) for part in parts)
