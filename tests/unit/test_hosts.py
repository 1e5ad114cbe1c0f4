"""Every captured host has the outcome that its row in tests/hosts/expected.py says."""

from pathlib import Path

import pytest

from nodeagent.checks.judge import judge
from nodeagent.model.findings import Judgement
from nodeagent.model.words import Profile, Verdict
from tests.hosts import recipes
from tests.hosts.expected import TABLE, Expect
from tests.hosts.make import stale
from tests.unit.looks import SHIPPED, inspected, judged


def _levels(judgement: Judgement) -> str:
    return " ".join(f"{level}={each.verdict}" for level, each in judgement.levels.items())


def _root(judgement: Judgement) -> str | None:
    return judgement.root.code.value if judgement.root and judgement.root.code else None


def _cause(judgement: Judgement) -> str | None:
    cause = judgement.root.outcome.cause if judgement.root else None
    return cause.value if cause else None


@pytest.mark.parametrize("expect", TABLE, ids=lambda each: each.name)
def test_a_host_has_its_whole_expected_outcome(expect: Expect, hosts: Path) -> None:
    judgement = judged(hosts / expect.name)

    assert _levels(judgement) == expect.levels
    assert (_root(judgement), _cause(judgement)) == (expect.root, expect.cause)
    assert judgement.ready.exit_code == expect.exit
    warned = {each.code for each in judgement.findings if each.verdict is Verdict.WARN}
    assert warned == set(expect.warns)


@pytest.mark.parametrize("expect", TABLE, ids=lambda each: each.name)
def test_an_unprivileged_pod_says_what_it_can(expect: Expect) -> None:
    judgement = judge(inspected(expect.name), profile=Profile.SNP_GPU, want=None, policy=SHIPPED)

    want = expect.unprivileged()
    assert _levels(judgement) == want.levels
    assert (_root(judgement), judgement.ready.exit_code) == (want.root, want.exit)


def test_every_host_is_in_the_table_and_made_by_its_recipe() -> None:
    assert {each.name for each in TABLE} == {*recipes.trees(), *recipes.CAPTURED}
    assert stale() == []
