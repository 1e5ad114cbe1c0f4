"""Puts the pages together with the remedies and the checks that they are about."""

from collections.abc import Iterator

from nodeagent import boards, data
from nodeagent.checks import judge, remedies
from nodeagent.explain import pages
from nodeagent.explain.book import Asked, Book, Here, Setup, Way
from nodeagent.model.codes import Code
from nodeagent.model.platform import Dmi
from nodeagent.model.text import printable


def load(dmi: Dmi | None = None) -> Book:
    """With a board's names, the fixes are worded for it."""
    return Book(
        pages=tuple(
            page
            for topic in pages.TOPICS
            for page in pages.read(data.text(f"pages/{topic}.md"), f"{topic}.md")
        ),
        ways={code: tuple(Way(*way) for way in remedies.ways(code, dmi)) for code in Code},
        setups={code: tuple(_setups(code)) for code in Code},
        checks={name: Asked(*asked) for name, asked in judge.wanted().items()},
        here=_here(dmi) if dmi else None,
    )


def _here(dmi: Dmi) -> Here | None:
    """None where the firmware names no board, or its names cannot be read."""
    seen = (dmi.sys_vendor, dmi.product_name, dmi.board_name)
    named = [each for each in seen if isinstance(each, str) and each]
    if not named:
        return None
    board = printable(", ".join(dict.fromkeys(named)), 60)
    return Here(board, boards.board_of(dmi) is not None)


def _setups(code: Code) -> Iterator[Setup]:
    """By what they say: boards that call everything alike stand together."""
    found: dict[str, list[boards.Menu]] = {}
    for setting in dict.fromkeys(remedies.settings(code)):
        for board, menu in boards.menus(setting):
            if menu.mark:  # plain words are no name
                found.setdefault(board, []).append(menu)
    alike: dict[str, list[str]] = {}
    for board, menus in found.items():
        likely = " (likely)" if all(menu.confidence == "low" for menu in menus) else ""
        alike.setdefault(_places(menus), []).append(f"{board}{likely}")
    for places, those in alike.items():
        yield Setup(tuple(those), places)


def _places(menus: list[boards.Menu]) -> str:
    """Where everything is and what it must be, and what some of these boards do not show."""
    said = boards.together(menus)
    for menu in menus:
        if menu.exposed is False:
            said += f"; up to BIOS {menu.bios} without {menu.entry}"
    at_times = [menu.entry for menu in menus if menu.exposed is None]
    return f"{said}; some firmware is without {' and '.join(at_times)}" if at_times else said
