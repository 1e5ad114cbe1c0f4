"""Pages and the commands' help as Markdown, one line a paragraph."""

from collections.abc import Callable, Iterable, Iterator

from nodeagent.explain.book import Book, Way, by_topic, codes_of
from nodeagent.explain.pages import Kind, Page
from nodeagent.model.codes import Code

_MADE = "<!-- Made by `make docs` from {}. -->"
_PAGES = "nodeagent/data/pages and nodeagent/checks/remedies.py"


def codes(book: Book) -> str:
    """Every code's page, by topic."""
    about = "What each code of a report means, why it matters, and how it is fixed."
    return _document(book, "Codes", about, {Kind.CODE}, _code)


def checks(book: Book) -> str:
    """The pages of levels, profiles, verdicts, modes and checks."""
    about = "What is asked of a host, and what the answers mean."
    return _document(book, "Levels and checks", about, {Kind.CHECK, Kind.WORD}, _check)


def commands(helps: Iterable[tuple[str, str]]) -> str:
    """Every command's own help."""
    lines = [_MADE.format("the commands' --help"), "", "# Commands"]
    for name, text in helps:
        lines += ["", f"## {name}", "", "```", text, "```"]
    return "\n".join(lines) + "\n"


def _document(
    book: Book,
    title: str,
    about: str,
    kinds: set[Kind],
    body: Callable[[Book, Page], Iterator[str]],
) -> str:
    topics = by_topic(page for page in book.pages if page.kind in kinds)
    lines = [_MADE.format(_PAGES), "", f"# {title}", "", about, ""]
    lines += [f"- [{topic}]({anchor(topic)})" for topic in topics]
    for topic, pages in topics.items():
        lines += ["", f"## {topic}"]
        for page in pages:
            lines += ["", f"### {page.name}", "", f"*{safe(page.summary)}*"]
            for paragraph in page.text:
                lines += ["", safe(paragraph)]
            lines += body(book, page)
    return "\n".join(lines) + "\n"


def _code(book: Book, page: Page) -> Iterator[str]:
    yield from ("", "**What is looked for**", "")
    yield from (f"- {safe(item)}" for item in page.part("Looked for"))
    yield from ("", "**Causes, likeliest first**", "")
    yield from (f"{n}. {safe(item)}" for n, item in enumerate(page.part("Causes"), 1))
    yield from ("", "**How to fix it**", "")
    yield from (_way(way) for way in book.ways[Code(page.name)])
    setups = book.setups[Code(page.name)]
    if setups:
        yield from ("", "| Boards | What their setup calls it |", "|---|---|")
    for setup in setups:
        yield f"| {safe(', '.join(setup.boards))} | {safe(setup.places)} |"
    said_by = [f"[{name}](checks.md{anchor(name)})" for name in book.said_by(page.name)]
    if said_by:
        yield from ("", f"Said by {', '.join(said_by)}.")
    yield from ("", f"Sources: {safe('; '.join(page.part('Sources')))}.")


def _way(way: Way) -> str:
    when = f"{way.when}: " if way.when else ""
    note = f" {way.remedy.note}" if way.remedy.note else ""
    return f"- {safe(when)}**{way.remedy.tag}**: {safe(way.remedy.do + '.' + note)}"


def _check(book: Book, page: Page) -> Iterator[str]:
    if page.kind is not Kind.CHECK:
        return
    asked = book.checks[page.name]
    yield from ("", f"Level [{asked.level}]({anchor(asked.level)}); wanted: {safe(asked.wants)}.")
    yield ""
    for label in ("Pass", "Fail", "Warn", "Unknown"):
        yield from (f"- **{label.lower()}**: {safe(item)}" for item in page.part(label))
    codes = [f"[{code}](codes.md{anchor(code)})" for code in codes_of(page)]
    yield from ("", f"Codes: {', '.join(codes)}.")
    yield from ("", f"Root adds: {safe(' '.join(page.part('Root adds')))}")


def anchor(heading: str) -> str:
    """As the usual renderers make it of a heading."""
    kept = (char for char in heading.lower() if char.isalnum() or char in " -_")
    return "#" + "".join(kept).replace(" ", "-")


def safe(text: str) -> str:
    """Without what Markdown would take for markup, but for code between backticks."""
    parts = text.split("`")
    for n in range(0, len(parts), 2):
        for char in "\\<*[]|":
            parts[n] = parts[n].replace(char, f"\\{char}")
    return "`".join(parts)
