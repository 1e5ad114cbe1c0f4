"""What a board's setup calls a BIOS setting, and who saw that name."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from nodeagent.data.boards import LOW, REFERENCE, Board, Entry, Row, Setting, boards
from nodeagent.model.platform import Dmi
from nodeagent.model.seen import Seen

NO_ENTRY = "No such entry: update the BIOS."


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
    return tuple(boards().settings)


def board_of(dmi: Dmi | None) -> Board | None:
    """The first row that fits; None for an unknown or unreadable board."""
    row = _row_of(dmi)
    return row.board if row else None


def menu_for(setting: str, dmi: Dmi | None) -> Menu | None:
    """None where these boards are not known to have, or to need, such an entry."""
    return _menu(setting, _row_of(dmi))


def menus(setting: str) -> tuple[tuple[str, Menu], ...]:
    """Every name that is known, AMD's first, each with whose it is."""
    reference = _menu(setting, None)
    found = [(reference.mark or reference.entry, reference)] if reference else []
    for row in boards().rows:
        menu = _menu(setting, row)
        if menu and (menu.own or menu.exposed is not True):
            found.append((row.board.name, menu))
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
    if row is None:
        return
    for menu in asked:
        if menu.exposed is False and menu not in hidden:
            yield f"BIOS {menu.bios} of this board did not show it; a newer one may."
        elif menu.exposed is None:
            yield NO_ENTRY
            break
    if row.board.documents and any(not menu.own or menu.confidence == LOW for menu in asked):
        documents = ", ".join(str(each) for each in row.board.documents)
        yield f"{row.board.vendor}'s names: {documents}."


def _row_of(dmi: Dmi | None) -> Row | None:
    if dmi is None:
        return None
    names = {
        "vendor": (dmi.sys_vendor, dmi.board_vendor),
        "product_name": (dmi.product_name,),
        "board_name": (dmi.board_name,),
    }
    return next((row for row in boards().rows if any(_fits(m, names) for m in row.match)), None)


def _fits(match: Mapping[str, tuple[str, ...]], names: Mapping[str, tuple[Seen[str], ...]]) -> bool:
    return all(
        any(_begins(seen, prefixes) for seen in names[key]) for key, prefixes in match.items()
    )


def _begins(seen: Seen[str], prefixes: tuple[str, ...]) -> bool:
    low = tuple(prefix.casefold() for prefix in prefixes)
    return isinstance(seen, str) and seen.casefold().startswith(low)


def _menu(setting: str, row: Row | None) -> Menu | None:
    """The board's own row, else that of its line, else AMD's, else plain words."""
    own = _own(setting, row)
    if own.needless:
        return None
    named = own if own.entry else boards().amd.get(setting, _NOTHING)
    about = boards().settings[setting]
    if not named.entry:
        return _plain(setting, about, own)
    mark = boards().reference if named.mark is None else named.mark
    if named is own and row:
        mark = row.board.name + (", likely" if own.confidence == LOW else "")
    return Menu(
        setting,
        # Where the vendor has other menus, AMD's would only lead astray.
        path=named.path if named is own or row is None else (),
        entry=named.entry,
        value=about.want if named.value is None else named.value,
        mark=mark,
        source=named.source,
        confidence=named.confidence,
        own=named is own,
        exposed=own.exposed,
        bios=own.bios,
        attribute=own.attribute,
    )


_NOTHING = Entry()


def _own(setting: str, row: Row | None) -> Entry:
    """What the board's row says of it, or the row that this one extends."""
    if row is None:
        return _NOTHING
    if setting in row.settings:
        return row.settings[setting]
    if row.of == REFERENCE:
        named = boards().amd.get(setting, _NOTHING)
        usual = not named.entry or named.mark is not None
        return _NOTHING if usual else named._replace(source=row.likely, confidence=LOW)
    return _own(setting, next((each for each in boards().rows if each.board.name == row.of), None))


def _plain(setting: str, about: Setting, own: Entry) -> Menu:
    """What it is for, where nobody is known to have seen a name."""
    return Menu(
        setting,
        path=(),
        entry=about.purpose,
        value=about.want,
        mark="",
        source="",
        confidence=LOW,
        own=False,
        attribute=own.attribute,
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
