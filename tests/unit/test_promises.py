"""Exit codes, checks and what codes mean are promises: none changes without being seen."""

import pytest

from nodeagent.model.words import Ready
from tests.unit.promises import Promises, kept, now

UPDATE = "look at it twice, then: python -m tests.unit.promises"


@pytest.mark.parametrize("kind", ["exit codes", "checks", "codes"])
def test_nothing_promised_is_changed_or_taken_away(kind: str) -> None:
    have = now()[kind]

    broken = {name: have.get(name) for name, was in kept()[kind].items() if have.get(name) != was}
    assert broken == {}, UPDATE


@pytest.mark.parametrize("kind", ["exit codes", "checks", "codes"])
def test_what_is_new_stands_in_the_list(kind: str) -> None:
    assert sorted(now()[kind].keys() - kept()[kind].keys()) == [], UPDATE


def test_every_code_means_something() -> None:
    promised: Promises = kept()

    assert [name for name, each in promised["codes"].items() if not _means(each)] == []


def _means(each: object) -> bool:
    return isinstance(each, dict) and bool(each["means"])


def test_exit_codes_are_those_of_the_manual() -> None:
    assert {ready.value: ready.exit_code for ready in Ready} == {
        "ready": 0,
        "not-ready": 1,
        "cannot-tell": 4,
    }
