"""docs/ and man/ are what their command makes, and what they say holds together."""

import re
from pathlib import Path

import pytest

from nodeagent.cli.main import commands
from nodeagent.model.codes import Code
from tools import docs, markdown, roff

REPOSITORY = Path(__file__).parents[2]
MADE = docs.made()


def test_the_repository_has_what_make_docs_makes() -> None:
    assert docs.stale() == [], "run make docs"


def test_no_file_that_was_made_is_left_over() -> None:
    found = {
        path.relative_to(REPOSITORY).as_posix()
        for folder in ("docs", "man")
        for path in (REPOSITORY / folder).iterdir()
        if "Made by `make docs`" in path.read_text()
    }

    assert found == set(MADE)


@pytest.mark.parametrize("name", commands())
def test_every_command_is_in_the_manual_and_in_docs(name: str) -> None:
    assert f"## nodeagent {name}\n" in MADE["docs/commands.md"]
    spelled = name.replace("-", "\\-")  # a hyphen to be typed, as troff wants it
    assert f".SS nodeagent {spelled} " in MADE["man/nodeagent.1"]


@pytest.mark.parametrize("code", list(Code))
def test_every_code_is_in_the_manual_and_in_docs(code: Code) -> None:
    assert f"### {code}\n" in MADE["docs/codes.md"]
    assert f"\\fB{code}\\fR\n" in MADE["man/nodeagent.1"]


def test_every_link_leads_to_a_heading() -> None:
    headings = {
        f"{name}{markdown.anchor(line.lstrip('#').strip())}"
        for name, text in MADE.items()
        for line in text.split("\n")
        if line.startswith("#")
    }
    links = [
        f"docs/{file}#{anchor}" if file else f"{name}#{anchor}"
        for name, text in MADE.items()
        for file, anchor in re.findall(r"\]\(([^)#]*)#([^)]*)\)", text)
    ]

    assert len(links) > 200
    assert [link for link in links if link not in headings] == []


def test_help_in_docs_fits_80_columns() -> None:
    assert max(map(len, MADE["docs/commands.md"].split("\n"))) <= 80


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (".SH not an order", "\\&.SH not an order"),
        ("'quoted'", "\\&'quoted'"),
        ("a\\b", "a\\eb"),
        ("use `modprobe -r kvm_amd` now", "use \\fBmodprobe \\-r kvm_amd\\fR now"),
    ],
)
def test_no_text_is_an_order_to_roff(text: str, line: str) -> None:
    assert list(roff.lines(text)) == [line]


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("<device>", "\\<device>"),
        ("`ids=10de:<device>` and *", "`ids=10de:<device>` and \\*"),
        ("a | b", "a \\| b"),
    ],
)
def test_no_text_is_markup_to_markdown(text: str, safe: str) -> None:
    assert markdown.safe(text) == safe
