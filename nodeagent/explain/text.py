"""A page, or the list of all pages, as a terminal shows it in 80 columns."""

import textwrap
from collections.abc import Callable, Iterable, Iterator

from nodeagent.explain.book import Book, Here, Way, by_topic, codes_of
from nodeagent.explain.pages import Kind, Page
from nodeagent.model.codes import Code

WIDTH = 80
Paint = Callable[[str, str], str]
"""Colours a text: (text, one of good, bad, warn, dim, bold)."""


def plain(text: str, _colour: str) -> str:
    return text


def show(book: Book, page: Page, *, paint: Paint = plain) -> str:
    """One page; what it lists from code and check is looked up in the book."""
    lines = [paint(page.name, "bold"), *_wrap(page.summary, "  ")]
    for paragraph in page.text:
        lines += ["", *_wrap(paragraph)]
    match page.kind:
        case Kind.CODE:
            lines += _code(book, page, paint)
        case Kind.CHECK:
            lines += _check(book, page, paint)
        case Kind.WORD:
            pass
    return "\n".join(lines)


def _code(book: Book, page: Page, paint: Paint) -> Iterator[str]:
    yield from _list("What is looked for", page.part("Looked for"), paint)
    yield from _list("Causes, likeliest first", page.part("Causes"), paint, numbered=True)
    setups = book.setups[Code(page.name)]
    title = f"How to fix it{_where(book.here) if setups else ''}:"
    yield from ("", *(paint(line, "bold") for line in _wrap(title)))
    for way in book.ways[Code(page.name)]:
        yield from _way(way)
    called = [f"{', '.join(each.boards)}: {each.places}" for each in setups]
    if called:
        yield from _list("What setups call it", called, paint)
    checks = book.said_by(page.name)
    if checks:
        yield from ("", *_wrap(f"Said by: {', '.join(checks)}.", "  ", first=""))
    yield from _list("Sources", page.part("Sources"), paint)


def _where(here: Here | None) -> str:
    if here is None:
        return ""
    unknown = "" if here.known else ", whose own names are not on record"
    return f" on this board ({here.board}{unknown})"


def _way(way: Way) -> Iterator[str]:
    when = f"{way.when}: " if way.when else ""
    yield from _wrap(f"{when}[{way.remedy.tag}] {way.remedy.do}", "    ", first="  ")
    if way.remedy.note:
        yield from _wrap(way.remedy.note, "    ")


def _check(book: Book, page: Page, paint: Paint) -> Iterator[str]:
    asked = book.checks[page.name]
    yield from ("", *_wrap(f"Level {asked.level}; wanted: {asked.wants}.", "  ", first=""), "")
    for label in ("Pass", "Fail", "Warn", "Unknown"):
        for item in page.part(label):
            word = f"  {label.lower():<9}"
            yield paint(word, "bold") + "\n".join(_wrap(item, " " * 11)).strip()
    title = f"What it may find, and how to fix it{_where(book.here)}:"
    yield from ("", *(paint(line, "bold") for line in _wrap(title)))
    summaries = {each.name: each.summary for each in book.pages}
    for code in codes_of(page):
        yield f"  {code:<27}  {summaries.get(code, '')}".rstrip()
        for way in book.ways[Code(code)][:1]:
            yield from _wrap(f"[{way.remedy.tag}] {way.remedy.do}", " " * 6, first=" " * 4)
    for item in page.part("Root adds"):
        yield from ("", *_wrap(f"Root adds: {item}", "  ", first=""))
    yield from _list("Sources", book.sources_of(page), paint)


def _list(
    title: str, items: Iterable[str], paint: Paint, *, numbered: bool = False
) -> Iterator[str]:
    yield from ("", paint(f"{title}:", "bold"))
    for number, item in enumerate(items, 1):
        mark = f"  {number}. " if numbered else "  - "
        yield from _wrap(item, " " * len(mark), first=mark)


def contents(book: Book, *, paint: Paint = plain) -> str:
    """Every page by topic, one line each."""
    lines: list[str] = []
    for topic, pages in by_topic(book.pages).items():
        lines += [paint(topic, "bold")]
        lines += [f"  {page.name:<27}  {page.summary}" for page in pages]
        lines += [""]
    return "\n".join([*lines, "One of them in full: nodeagent explain NAME"])


def _wrap(text: str, indent: str = "", *, first: str | None = None) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=indent if first is None else first,
        subsequent_indent=indent,
        break_on_hyphens=False,
        break_long_words=False,
    )
