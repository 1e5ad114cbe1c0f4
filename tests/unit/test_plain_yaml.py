"""The short way through a YAML file never says anything else than the library would."""

import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.facts import documents, plain_yaml
from tests.unit.looks import thorough

HOSTS = Path(__file__).parents[1] / "hosts"
# Of these every YAML surprise is made.
_PIECES = [
    *("a: b", "a:", "b: ", "- x", "- a: b", "- - x", "-", "- a:", "c: 'd'", 'c: "d"', "k: {}"),
    *("k: []", "#", "# c", "a: b # c", "- # c", "a: #c", "x: 1", "x: ~", "x: null", "null: x"),
    *("---", "...", "%YAML 1.2", "x: |", "x: >-", "x: &a b", "x: *a", "<<: x", "? x", "x: !t y"),
    *("x: a: b", "x: a:", "x: [a, b]", "x: {a: b}", "x: 'a''b'", 'x: "a\\n"', "x: 'a", "x: a'b"),
    *("x:y", "x : y", "x: -1", "- -1", "x: - y", "plain", "x: @a", "x: `a", "x: a#b", "x: 'a' # c"),
    *("x:\ty", "\tx: y", "x: a\tb", "é: x", "x: 'é'", "x: \x85", "x: a:b", "=: x", "y: yes", ""),
    *(
        "- 'a': b",
        "x: %a",
        "x: ,a",
        "x: a, b",
        "x: }",
        "x: ...",
        "x: ---",
        "- ---",
        "x: 'a: b'",
        "---\n---",
    ),
]
_TEXTS = st.lists(
    st.tuples(st.integers(0, 6), st.sampled_from(_PIECES)).map(
        lambda line: " " * line[0] + line[1]
    ),
    max_size=8,
).map("\n".join)


def _library(raw: bytes) -> object:
    return documents._first_document(yaml.parse(raw, Loader=yaml.CSafeLoader))


@thorough
@given(text=_TEXTS)
def test_what_is_read_the_short_way_reads_alike_the_long_way(text: str) -> None:
    raw = text.encode()
    found = plain_yaml.read(raw)

    if found is not None:
        assert found == _library(raw)


def test_so_do_any_two_lines() -> None:
    short = 0
    for first in _PIECES:
        for second in _PIECES:
            for indent in (0, 2):
                raw = f"{first}\n{' ' * indent}{second}".encode()
                found = plain_yaml.read(raw)
                if found is not None:
                    short += 1
                    assert found == _library(raw), raw
    assert short > 300


def test_so_it_is_for_every_file_of_every_host() -> None:
    short = 0
    for path in HOSTS.rglob("*.yaml"):
        found = plain_yaml.read(path.read_bytes())
        if found is not None:
            short += 1
            assert found == _library(path.read_bytes()), path
    assert short > 20


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a: b\nc:\n  d: 'e f'\n  g:\n  - h\n  - i: 1\n    j: []\nk: ~\n",
         {"a": "b", "c": {"d": "e f", "g": ["h", {"i": "1", "j": []}]}, "k": None}),
        ("---\n# made by kubeadm\na: x/y:z # why\n\nb:\n-\n  - c\n", {"a": "x/y:z", "b": [["c"]]}),
        ("a:\n  - - b\n    - c\n  - d: e\n", {"a": [["b", "c"], {"d": "e"}]}),
    ],
)  # fmt: skip
def test_what_programs_write_is_read_the_short_way(text: str, tree: object) -> None:
    assert plain_yaml.read(text.encode()) == tree == _library(text.encode())


@pytest.mark.parametrize(
    "raw",
    [b"- " * 5000 + b"x", b"a:\n" + b"".join(b" " * n + b"a:\n" for n in range(1, 60)), b"", b"\0"],
)
def test_what_is_too_deep_or_empty_is_left_to_the_library(raw: bytes) -> None:
    assert plain_yaml.read(raw) is None


def test_a_long_list_takes_no_time() -> None:
    """Each of its items begins a mapping; none may copy all the others."""
    raw = b"a:\n" + b"- b: c\n" * (documents.LIMIT // 7)

    began = time.process_time()
    assert isinstance(plain_yaml.read(raw), dict)
    assert time.process_time() - began < 1
