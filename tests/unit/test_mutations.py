"""Mutated captures: no traceback, and no pass whose evidence is gone."""

import random
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest

from nodeagent.capture.archive import open_capture
from nodeagent.checks.judge import judge
from nodeagent.errors import CaptureError
from nodeagent.facts.look import look
from nodeagent.labels import desired
from nodeagent.model.findings import Judgement
from nodeagent.model.words import Profile, Verdict
from nodeagent.report.document import document
from nodeagent.report.text import report
from tests.hosts.expected import TABLE
from tests.unit.captures import MEMORY, captured_host, written
from tests.unit.looks import EXAMPLES, REQUIRED, Veiled
from tests.unit.mutations import DONE, Damaged
from tests.unit.recalled import recalled

HOSTS = Path(__file__).parents[1] / "hosts"
NAMES = [each.name for each in TABLE]
MUTATIONS = 100_000 if EXAMPLES > 1000 else 5_000
# Most of them damage at random; the others take away what a pass rests on.
PER_HOST = MUTATIONS * 4 // 5 // len(NAMES) + 1
PER_HOST_GONE = MUTATIONS // 5 // len(NAMES) + 1

pytestmark = pytest.mark.timeout(300 + EXAMPLES)

Passed = tuple[str, str | None]


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        yield Path(name) / "capture"


def _judged(machine: Veiled, profile: Profile = Profile.SNP_GPU) -> Judgement:
    return judge(look(machine), profile=profile, want=None, policy=REQUIRED)


def _passes(judgement: Judgement) -> set[Passed]:
    return {
        (each.check, each.outcome.device)
        for each in judgement.findings
        if each.verdict is Verdict.PASS
    }


def _say_everything(path: Path, profile: Profile) -> Judgement:
    with open_capture(str(path)) as machine:
        facts = look(machine)
    judgement = judge(facts, profile=profile, want=None, policy=REQUIRED)
    report(judgement, facts.source, verbose=True)
    document(judgement, facts)
    desired(judgement, simulated=True, publish_simulated=True, boot_id="")
    return judgement


@pytest.mark.parametrize("name", NAMES)
def test_no_damage_raises(name: str, folder: Path) -> None:
    damaged = Damaged(written(captured_host(HOSTS / name), folder))
    for number in range(PER_HOST):
        chance = random.Random(f"{name} {number}")
        what = damaged.mutate(chance)
        try:
            with suppress(CaptureError):  # refused, which is an answer too
                _say_everything(folder, chance.choice(list(Profile)))
        except Exception as error:
            raise AssertionError(f"{name} {number}: {what}") from error
        damaged.mend()
    DONE.append(PER_HOST)


@cache
def _evidence(name: str) -> dict[Passed, set[str]]:
    """What each pass of this host rests on: the inputs without which it is said no more."""
    found: dict[Passed, set[str]] = {}
    with recalled(str(HOSTS / name)) as machine:
        whole = Veiled(machine)
        before = _passes(_judged(whole))
        for asked in whole.asked:
            after = _judged(Veiled(machine, hidden=lambda each, asked=asked: each == asked))  # type: ignore[misc]
            for passed in before - _passes(after):
                found.setdefault(passed, set()).add(asked)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_no_pass_survives_its_evidence(name: str, folder: Path) -> None:
    evidence = _evidence(name)
    damaged = Damaged(written(captured_host(HOSTS / name), folder))
    inputs = sorted(set().union(*evidence.values()))
    for number in range(PER_HOST_GONE if inputs else 0):
        chance = random.Random(f"{name} {number}")
        gone = set(chance.sample(inputs, min(len(inputs), chance.choice((1, 1, 2, 5)))))
        damaged.forget(gone)
        judgement = _say_everything(folder, Profile.SNP_GPU)
        for passed in _passes(judgement):
            assert not evidence.get(passed, set()) & gone, (passed, sorted(gone))
        damaged.mend()
    DONE.append(PER_HOST_GONE)


def test_there_is_evidence_to_take_away() -> None:
    evidence = _evidence("genoa-ready")

    assert len(evidence) > 10
    assert {"probe:bar0:0000:41:00.0", "/proc/cpuinfo"} <= set().union(*evidence.values())


def test_mending_leaves_no_trace(folder: Path) -> None:
    whole = captured_host(HOSTS / "genoa-ready")
    damaged = Damaged(written(whole, folder))
    for number in range(50):
        damaged.mutate(random.Random(number))
        damaged.mend()
    damaged.forget(["/proc/cpuinfo", "/sys/module/kvm_amd", "probe:cpuid", "probe:sev:9"])
    damaged.mend()

    assert captured_host(folder).entries == whole.entries
