"""A page, or the list of all pages, as data for programs."""

from typing import Any

from nodeagent.explain.book import Book, Way, by_topic, codes_of
from nodeagent.explain.pages import Kind, Page
from nodeagent.model.codes import Code

VERSION = 1


def document(book: Book, page: Page) -> dict[str, Any]:
    """Plain values only."""
    found: dict[str, Any] = {
        "version": VERSION,
        "name": page.name,
        "kind": page.kind.value,
        "topic": page.topic,
        "summary": page.summary,
        "text": list(page.text),
    }
    match page.kind:
        case Kind.CODE:
            found["looked_for"] = list(page.part("Looked for"))
            found["causes"] = list(page.part("Causes"))
            found["fixes"] = [_way(way) for way in book.ways[Code(page.name)]]
            found["board"] = book.here.board if book.here else None
            found["setups"] = [
                {"boards": list(each.boards), "settings": each.places}
                for each in book.setups[Code(page.name)]
            ]
            found["checks"] = list(book.said_by(page.name))
            found["sources"] = list(page.part("Sources"))
        case Kind.CHECK:
            asked = book.checks[page.name]
            found["level"] = asked.level.value
            found["wanted"] = asked.wants
            for label in ("Pass", "Fail", "Warn", "Unknown", "Root adds"):
                found[label.lower().replace(" ", "_")] = " ".join(page.part(label)) or None
            found["codes"] = list(codes_of(page))
            found["fixes"] = {
                code: [_way(way) for way in book.ways[Code(code)]] for code in codes_of(page)
            }
            found["board"] = book.here.board if book.here else None
            found["sources"] = list(book.sources_of(page))
        case Kind.WORD:
            pass
    return found


def _way(way: Way) -> dict[str, Any]:
    remedy = way.remedy
    return {
        "when": way.when or None,
        "who": remedy.who.value,
        "do": remedy.do,
        "needs": remedy.restart.value,
        "note": remedy.note,
    }


def contents(book: Book) -> dict[str, Any]:
    return {
        "version": VERSION,
        "topics": [
            {
                "topic": topic,
                "pages": [
                    {"name": page.name, "kind": page.kind.value, "summary": page.summary}
                    for page in pages
                ],
            }
            for topic, pages in by_topic(book.pages).items()
        ],
    }
