"""What a site lives with: shown, for a while, and never where a guest's safety hangs on it."""

import json
from pathlib import Path

import jsonschema
import pytest

from nodeagent import config, data, labels
from nodeagent.errors import UsageError
from nodeagent.model.codes import Code
from nodeagent.model.findings import Judgement
from nodeagent.model.policy import Accepted, Floor, Policy
from nodeagent.model.words import Generation, Level, Ready, Verdict
from tests.hosts.expected import TABLE, Expect
from tests.unit.command import run
from tests.unit.looks import SHIPPED, judged

TODAY = "2026-11-24"
FLOOR = Floor("OURS", "tcb.snp", (99,), "us", "2026-11", "high", generation=Generation.GENOA)
EVERYTHING = tuple(Accepted(code, "2999-12-31", "because") for code in Code)


def accepting(*accepted: Accepted, today: str = TODAY, floors: bool = False) -> Policy:
    policy = SHIPPED._replace(accepted=accepted, today=today)
    return policy._replace(require_floors=True, floors=(FLOOR,)) if floors else policy


def accept(code: Code, until: str = "2026-12-31") -> Accepted:
    return Accepted(code, until, "the vendor's fix is due")


def test_an_accepted_runtime_failure_gates_no_more_and_is_still_one(hosts: Path) -> None:
    host = hosts / "genoa-handler-missing"
    assert judged(host, policy=accepting()).ready is Ready.NO

    found = judged(host, policy=accepting(accept(Code.RUNTIME_NOT_PREPARED)))

    assert found.ready is Ready.YES
    assert found.todo == ()
    assert found.levels[Level.RUNTIME].verdict is Verdict.FAIL
    assert {each.verdict for each in found.findings if each.accepted} == {Verdict.FAIL}


def test_an_accepted_floor_gates_no_more(hosts: Path) -> None:
    host = hosts / "genoa-ready"
    assert judged(host, policy=accepting(floors=True)).ready is Ready.NO
    policy = accepting(accept(Code.TCB_BELOW_FLOOR), floors=True)
    assert judged(host, policy=policy).ready is Ready.YES


@pytest.mark.parametrize(
    ("today", "ready"),
    [
        ("2026-12-30", Ready.YES),
        ("2026-12-31", Ready.YES),
        ("2027-01-01", Ready.NO),
        ("", Ready.NO),
    ],
)
def test_it_holds_through_its_day_and_no_longer(today: str, ready: Ready, hosts: Path) -> None:
    policy = accepting(accept(Code.RUNTIME_NOT_PREPARED), today=today)
    found = judged(hosts / "genoa-handler-missing", policy=policy)
    assert found.ready is ready
    assert bool(found.lapsed) is (today == "2027-01-01")


@pytest.mark.parametrize("expect", TABLE, ids=lambda expect: expect.name)
def test_whatever_is_accepted_no_failure_becomes_a_pass(expect: Expect, hosts: Path) -> None:
    """Of all hosts there are, with every code accepted: only these two levels may be waived."""
    host = hosts / expect.name
    bare = judged(host)
    found = judged(host, policy=accepting(*EVERYTHING))

    for level, verdict in bare.levels.items():
        assert found.levels[level].verdict is verdict.verdict
        if level not in {Level.COMPLIANT, Level.RUNTIME} or verdict.verdict is not Verdict.FAIL:
            assert found.levels[level].counts is verdict.verdict
    kept = {level for level in bare.levels if level not in {Level.COMPLIANT, Level.RUNTIME}}
    gating = [bare.levels[level].verdict for level in kept if bare.levels[level].required]
    if Verdict.FAIL in gating:
        assert found.ready is Ready.NO
    assert found.kernel is bare.kernel


def test_what_could_not_be_told_cannot_be_accepted(hosts: Path) -> None:
    unsure = [each for each in TABLE if each.exit == 4]
    for expect in unsure:
        found = judged(hosts / expect.name, policy=accepting(*EVERYTHING))
        assert found.ready is Ready.CANNOT_TELL, expect.name
        unsure_of = [each for each in found.findings if each.verdict is Verdict.UNKNOWN]
        assert not any(each.accepted for each in unsure_of), expect.name


def test_one_of_two_failures_accepted_leaves_the_other(hosts: Path) -> None:
    host, both = hosts / "genoa-handler-missing", {Code.RUNTIME_NOT_PREPARED, Code.TCB_BELOW_FLOOR}
    assert {each.code for each in judged(host, policy=accepting(floors=True)).todo} == both

    for one in both:
        found = judged(host, policy=accepting(accept(one), floors=True))

        assert found.ready is Ready.NO
        assert {each.code for each in found.todo} == both - {one}


# What is said.


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(
        "accept:\n"
        "  - {code: RUNTIME_NOT_PREPARED, until: 2999-12-31, why: our shim comes with the pod}\n"
        "  - code: GPU_MODE_OFF\n"
        "    until: '2020-01-01'\n"
        "    why: the GPUs are on loan\n"
    )
    return path


def test_the_report_shows_what_is_accepted_and_what_is_no_more(
    settings: Path, hosts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("check", "--capture", hosts / "genoa-handler-missing", "--config", settings)
    assert run(*words) == 0
    out = capsys.readouterr().out
    text = " ".join(out.split())

    assert text.startswith("READY for snp-gpu")
    assert "every required level passes, or what it fails by is accepted" in text
    assert "Accepted by the configuration:" in text
    assert "RUNTIME_NOT_PREPARED, until 2999-12-31: our shim comes with the pod." in text
    assert "GPU_MODE_OFF: until 2020-01-01, which has passed, so that it counts again" in text
    assert max(map(len, out.splitlines())) <= 80


def test_a_failure_that_gates_all_the_same_is_said_to(
    tmp_path: Path, hosts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("accept: [{code: GPU_MODE_OFF, until: 2999-12-31, why: on loan}]\n")

    assert run("check", "--capture", hosts / "genoa-gpu-off", "--config", path) == 1
    text = " ".join(capsys.readouterr().out.split())
    assert "GPU_MODE_OFF, until 2999-12-31: on loan. A failure of gpu gates all the same." in text


def test_the_document_keeps_to_its_schema(
    settings: Path, hosts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    host = hosts / "genoa-handler-missing"
    run("check", "--capture", host, "--config", settings, "-o", "json")
    told = json.loads(capsys.readouterr().out)

    jsonschema.validate(told, data.load("report.schema.json"))
    [accepted] = [each["accepted"] for each in told["findings"] if "accepted" in each]
    assert accepted["why"] == "our shim comes with the pod"
    assert told["levels"]["runtime"]["accepted"] is True
    assert [each["code"] for each in told["lapsed"]] == ["GPU_MODE_OFF"]


def published(judgement: Judgement) -> labels.Wanted:
    return labels.desired(judgement, simulated=False, publish_simulated=False, boot_id="b")


def test_ready_is_published_and_the_level_that_fails_is_not(hosts: Path) -> None:
    policy = accepting(accept(Code.RUNTIME_NOT_PREPARED))
    wanted = published(judged(hosts / "genoa-handler-missing", policy=policy))

    assert wanted.labels["nodeagent.io/ready"] == "true"
    assert "nodeagent.io/runtime" not in wanted.labels
    assert "RUNTIME_NOT_PREPARED until 2026-12-31" in wanted.condition.message
    [entry] = [each for each in json.loads(wanted.report)["findings"] if "accepted_until" in each]
    assert (entry["code"], entry["why"]) == ("RUNTIME_NOT_PREPARED", "the vendor's fix is due")


# The words of the configuration.


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("accept: yes", "c.yaml:1: accept must be a list", None),
        ("accept: [x]", "c.yaml:1: must be keys and values", None),
        ("accept:\n- {code: NO_GPU, why: x}", "c.yaml:2: accept lacks until", None),
        (
            "accept:\n- {code: NO_GPUS, until: 2027-01-01, why: x}",
            "c.yaml:2: unknown code 'NO_GPUS'",
            "did you mean NO_GPU?",
        ),
        (
            "accept:\n- {cod: NO_GPU}",
            "c.yaml:2: unknown key 'cod'",
            "did you mean code?",
        ),
        (
            "accept:\n- code: NO_GPU\n  until: soon\n  why: x",
            "c.yaml:3: until must be a day such as 2027-03-31",
            None,
        ),
        (
            "accept:\n- {code: NO_GPU, until: 2027-02-30, why: x}",
            "c.yaml:2: until is no value that YAML knows",
            None,
        ),
        (
            "accept:\n- {code: NO_GPU, until: 2027-01-01, why: ' '}",
            "c.yaml:2: why must be a reason in words, of at most 200 letters",
            None,
        ),
        (
            "accept:\n- &a {code: NO_GPU, until: 2027-01-01, why: x}\n- *a",
            "c.yaml:2: accept has NO_GPU twice",
            None,
        ),
    ],
)
def test_what_is_off_is_named_by_its_line(text: str, said: str, hint: str | None) -> None:
    with pytest.raises(UsageError) as stop:
        config.parse(text.encode(), "c.yaml")
    assert (str(stop.value), stop.value.hint) == (said, hint)


def test_a_day_that_has_passed_is_no_reason_not_to_start() -> None:
    text = b"accept: [{code: NO_GPU, until: 2020-01-01, why: ' it  is away '}]"
    assert config.parse(text, "c.yaml").accept == (
        Accepted(Code.NO_GPU, "2020-01-01", "it is away"),
    )


def test_a_list_of_windows_is_a_list() -> None:
    found = config.parse(b"windows: ['22:00-05:00', 'Sat,Sun 00:00-24:00']", "c.yaml").windows
    assert [str(each) for each in found] == ["22:00-05:00", "Sat,Sun 00:00-24:00"]
