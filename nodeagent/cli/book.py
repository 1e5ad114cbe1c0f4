"""Puts the pages together with the remedies and the checks that they are about."""

from nodeagent import data
from nodeagent.checks import judge, remedies
from nodeagent.explain import pages
from nodeagent.explain.book import Asked, Book, Way
from nodeagent.model.codes import Code


def load() -> Book:
    return Book(
        pages=tuple(
            page
            for topic in pages.TOPICS
            for page in pages.read(data.text(f"pages/{topic}.md"), f"{topic}.md")
        ),
        ways={code: tuple(Way(*way) for way in remedies.ways(code)) for code in Code},
        checks={name: Asked(*asked) for name, asked in judge.wanted().items()},
    )
