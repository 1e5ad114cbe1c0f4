"""Mutated captures: no traceback, and no pass whose evidence is gone."""

import random
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from nodeagent.capture.archive import open_capture
from nodeagent.checks.judge import judge
from nodeagent.errors import CaptureError
from nodeagent.facts.look import look
from nodeagent.labels import desired
from nodeagent.model.findings import Judgement
from nodeagent.model.words import Profile
from nodeagent.report.document import document
from nodeagent.report.text import report
from tests.hosts.expected import TABLE
from tests.unit.captures import MEMORY, captured_host, written
from tests.unit.evidence import READY, Evidence, Inputs, evidence, passes
from tests.unit.looks import EXAMPLES, REQUIRED
from tests.unit.mutations import DONE, Damaged

HOSTS = Path(__file__).parents[1] / "hosts"
NAMES = [each.name for each in TABLE]
MUTATIONS = 100_000 if EXAMPLES > 1000 else 5_000
# Most of them damage at random; the others take away what a pass rests on.
PER_HOST = MUTATIONS * 4 // 5 // len(NAMES) + 1
PER_HOST_GONE = MUTATIONS // 5 // len(NAMES) + 1

pytestmark = pytest.mark.timeout(300 + EXAMPLES)


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        yield Path(name) / "capture"


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


@pytest.mark.parametrize("name", NAMES)
def test_no_pass_survives_its_evidence(name: str, folder: Path) -> None:
    found, _ = evidence(name)
    damaged = Damaged(written(captured_host(HOSTS / name), folder))
    sets = sorted({tuple(sorted(gone)) for each in found.values() for gone in each})
    for number in range(PER_HOST_GONE if sets else 0):
        chance = random.Random(f"{name} {number}")
        some = chance.sample(sets, min(len(sets), chance.choice((1, 1, 2, 5))))
        _forget(damaged, folder, frozenset().union(*some), found)
    DONE.append(PER_HOST_GONE)


@pytest.mark.parametrize("name", READY)
def test_every_pass_of_a_ready_host_goes_with_its_evidence(name: str, folder: Path) -> None:
    """Each is tried, with the fewest inputs at a time; one that rests on nothing is named."""
    found, untried = evidence(name)
    assert untried == set()

    damaged = Damaged(written(captured_host(HOSTS / name), folder))
    tried = {min(sets, key=lambda gone: (len(gone), sorted(gone))) for sets in found.values()}
    for gone in sorted(tried, key=sorted):
        _forget(damaged, folder, gone, found)
    DONE.append(len(tried))


def _forget(damaged: Damaged, folder: Path, gone: Inputs, found: Evidence) -> None:
    """Take the inputs out of the capture, and see that every pass that they carried has gone."""
    damaged.forget(gone)
    for passed in passes(_say_everything(folder, Profile.SNP_GPU)):
        assert not any(each <= gone for each in found.get(passed, ())), (passed, sorted(gone))
    damaged.mend()


def test_evidence_is_found_where_two_witnesses_say_the_same() -> None:
    found, _ = evidence("genoa-ready")

    assert frozenset({"probe:bar0:0000:41:00.0"}) in found["gpu.mode", None]
    assert found["snp.api", None] == {frozenset({"probe:log", "probe:sev:1"})}
    assert all(len(gone) > 1 for gone in found["snp.smee", None])


def test_mending_leaves_no_trace(folder: Path) -> None:
    whole = captured_host(HOSTS / "genoa-ready")
    damaged = Damaged(written(whole, folder))
    for number in range(50):
        damaged.mutate(random.Random(number))
        damaged.mend()
    damaged.forget(["/proc/cpuinfo", "/sys/module/kvm_amd", "probe:cpuid", "probe:sev:9"])
    damaged.mend()

    assert captured_host(folder).entries == whole.entries
