"""The manual page, in the roff macros that every man knows."""

import textwrap
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from nodeagent.explain.book import Book, Way, by_topic, codes_of
from nodeagent.explain.pages import Kind, Page
from nodeagent.model.codes import Code

_WIDTH = 78


class Command(NamedTuple):
    """A command as its help shows it; `options` are pairs of words and what they do."""

    usage: str
    about: tuple[str, ...]
    options: tuple[tuple[str, str], ...]
    examples: tuple[str, ...]


class Manual(NamedTuple):
    version: str
    date: str
    summary: str
    description: tuple[str, ...]
    commands: tuple[Command, ...]
    exits: tuple[tuple[str, str], ...]
    files: tuple[tuple[str, str], ...]
    environment: tuple[tuple[str, str], ...]


def page(manual: Manual, book: Book) -> str:
    """nodeagent(1)."""
    parts = [
        '.\\" Made by `make docs`.',
        f'.TH NODEAGENT 1 "{manual.date}" "nodeagent {manual.version}" "User Commands"',
        ".SH NAME",
        *lines(f"nodeagent - {manual.summary}"),
        ".SH SYNOPSIS",
        ".B nodeagent",
        ".I COMMAND",
        "[\\fIOPTION\\fR ...]",
        ".SH DESCRIPTION",
        *_paragraphs(manual.description),
        ".SH COMMANDS",
        *(line for command in manual.commands for line in _command(command)),
        ".SH LEVELS, PROFILES AND VERDICTS",
        *_tagged((each.name, _whole(each)) for each in _of(book, Kind.WORD)),
        ".SH CODES",
        "The usual way out of each;",
        ".B nodeagent explain",
        "says more, and how each board's setup calls its settings.",
        *_by_topic(book, Kind.CODE),
        ".SH CHECKS",
        *_by_topic(book, Kind.CHECK),
        ".SH EXIT STATUS",
        *_tagged(manual.exits),
        ".SH FILES",
        *_tagged(manual.files),
        ".SH ENVIRONMENT",
        *_tagged(manual.environment),
    ]
    return "\n".join(parts) + "\n"


def _of(book: Book, kind: Kind) -> list[Page]:
    return [page for page in book.pages if page.kind is kind]


def _command(command: Command) -> Iterator[str]:
    yield f".SS {_safe(command.usage)}"
    yield from _paragraphs(command.about)
    yield from _tagged(command.options)
    yield from (".PP", ".EX")
    yield from (_line(_safe(example)) for example in command.examples)
    yield ".EE"


def _by_topic(book: Book, kind: Kind) -> Iterator[str]:
    for topic, pages in by_topic(_of(book, kind)).items():
        yield f".SS {_safe(topic)}"
        yield from _tagged((each.name, _short(book, each)) for each in pages)


def _whole(each: Page) -> str:
    return " ".join((_sentence(each.summary), *each.text))


def _sentence(summary: str) -> str:
    return summary if summary.endswith("?") else f"{summary}."


def _short(book: Book, each: Page) -> str:
    """A code with its usual way out; a check with what it may say."""
    if each.kind is Kind.CHECK:
        return f"{each.summary} Codes: {', '.join(codes_of(each))}."
    way: Way = book.ways[Code(each.name)][0]
    return f"{_sentence(each.summary)} Fix ({way.remedy.tag}): {way.remedy.do}."


def _tagged(pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    for tag, text in pairs:
        yield from (".TP", f"\\fB{_safe(tag)}\\fR", *lines(text))


def _paragraphs(texts: Iterable[str]) -> Iterator[str]:
    for n, text in enumerate(texts):
        if n:
            yield ".PP"
        yield from lines(text)


def lines(text: str) -> Iterator[str]:
    """Short lines, as every roff likes them."""
    for line in textwrap.wrap(_safe(text), _WIDTH, break_long_words=False, break_on_hyphens=False):
        yield _line(line)


def _line(text: str) -> str:
    """A line that begins with a dot or a quote would be an order to roff."""
    return f"\\&{text}" if text.startswith((".", "'")) else text


def _safe(text: str) -> str:
    """Plain text for roff; what stands between backticks becomes bold."""
    parts = text.replace("\\", "\\e").replace("-", "\\-").split("`")
    return "".join(part if n % 2 == 0 else f"\\fB{part}\\fR" for n, part in enumerate(parts))
