"""The table that maps snphost's tests to ours names nothing that is not there."""

from nodeagent.checks.judge import wanted
from tests.peer.table import rows

NONE = "none"


def test_what_answers_a_test_of_snphost_is_a_check() -> None:
    known = {*wanted(), NONE}

    assert [each for row in rows() for each in row.ours if each not in known] == []


def test_each_test_of_snphost_has_one_row() -> None:
    names = [name for row in rows() for name in row.theirs]

    assert len(names) == len(set(names))
    assert len(rows()) == 32  # as many as snphost 0.9.0 counts


def test_only_opening_for_writing_has_no_answer() -> None:
    assert [row.theirs for row in rows() if NONE in row.ours] == [("/dev/sev writable",)]
