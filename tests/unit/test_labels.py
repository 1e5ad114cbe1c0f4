"""What a judgement makes of a Node: labels, report, condition, and grace."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from nodeagent import labels
from nodeagent.labels import PREFIX, REPORT_BYTES, Status, Wanted
from nodeagent.model.codes import Code
from nodeagent.model.findings import (
    Finding,
    Judgement,
    LevelVerdict,
    Outcome,
    Remedy,
    Values,
    bad,
    ok,
    unknown,
    warn,
)
from nodeagent.model.host import POLICY_DEMANDS
from nodeagent.model.words import (
    CcMode,
    Confidence,
    Level,
    Profile,
    Ready,
    Verdict,
    Who,
)

BOOT = "4bb31681-3643-41db-b927-c14018005f7d"
DEMANDS = {"single-socket": True, "rapl-dis": False, "ciphertext-hiding": None}
VALUES = Values("on", 8, "H100 SXM5 80GB", "genoa", 99, "1.55", "on", 27, 86, DEMANDS)


def level(verdict: Verdict) -> LevelVerdict:
    return LevelVerdict(verdict, Confidence.HIGH, "", required=True)


def finding(check: str, outcome: Outcome, do: str = "") -> Finding:
    remedy = Remedy(Who.BIOS, do) if do else None
    return Finding(check, Level.ENABLED, "", outcome, remedy)


def judged(
    ready: Ready = Ready.YES,
    root: Finding | None = None,
    *,
    values: Values = VALUES,
    findings: tuple[Finding, ...] = (),
    proven: Mapping[str, CcMode] | None = None,
    **levels: Verdict,
) -> Judgement:
    """A node where everything passes but for the levels named."""
    verdicts = dict.fromkeys(Level, Verdict.PASS)
    verdicts |= {Level(name): verdict for name, verdict in levels.items()}
    return Judgement(
        ready=ready,
        profile=Profile.SNP_GPU,
        wanted=None,
        root=root,
        todo=(root,) if root else (),
        levels={name: level(verdict) for name, verdict in verdicts.items()},
        findings=findings,
        kernel=Verdict.PASS,
        values=values,
        proven={"0000:41:00.0": CcMode.ON} if proven is None else proven,
    )


def wanted(
    judgement: Judgement, *, simulated: bool = False, publish_simulated: bool = False
) -> Wanted:
    return labels.desired(
        judgement, simulated=simulated, publish_simulated=publish_simulated, boot_id=BOOT
    )


def bare(keys: object) -> set[str]:
    return {str(key).removeprefix(PREFIX) for key in keys}  # type: ignore[attr-defined]


def test_everything_that_passes_is_said() -> None:
    assert wanted(judged()).labels == {
        PREFIX + name: value
        for name, value in {
            "ready": "true",
            "snp": "true",
            "iommu": "true",
            "kernel": "true",
            "firmware": "true",
            "gpu": "true",
            "runtime": "true",
            "profile": "snp-gpu",
            "gpu.cc-mode": "on",
            "gpu.count": "8",
            "gpu.chip": "H100-SXM5-80GB",
            "snp.generation": "genoa",
            "snp.asids": "99",
            "snp.api": "1.55",
            "smt": "on",
            "tcb.snp": "27",
            "tcb.microcode": "86",
            "snp.policy.single-socket": "true",
        }.items()
    }


def test_a_demand_is_said_unsure_or_absent() -> None:
    found = wanted(judged())

    assert "snp.policy.rapl-dis" not in {*bare(found.labels), *bare(found.unsure)}
    assert "snp.policy.ciphertext-hiding" in bare(found.unsure)
    assert "snp.policy.page-swap-disable" in bare(found.unsure)


@pytest.mark.parametrize("verdict", [Verdict.FAIL, Verdict.SKIP, Verdict.WARN])
@pytest.mark.parametrize(
    ("name", "label"),
    [("enabled", "snp"), ("passthrough", "iommu"), ("compliant", "firmware"), ("gpu", "gpu")],
)
def test_a_level_that_does_not_pass_has_no_label(verdict: Verdict, name: str, label: str) -> None:
    denied: dict[str, Any] = {name: verdict}
    found = wanted(judged(Ready.NO, **denied))

    assert label not in bare(found.labels)
    assert label not in bare(found.unsure)
    assert "ready" not in bare(found.labels)


def test_what_cannot_be_told_is_neither_said_nor_denied() -> None:
    values = VALUES._replace(policy=dict.fromkeys(POLICY_DEMANDS, False))
    found = wanted(judged(Ready.CANNOT_TELL, values=values, gpu=Verdict.UNKNOWN))

    assert bare(found.unsure) == {"ready", "gpu"}
    assert not bare(found.unsure) & bare(found.labels)


def test_a_gpu_that_is_gone_takes_its_values_along_and_one_that_is_asleep_does_not() -> None:
    values = Values(generation="genoa")
    gone = wanted(judged(values=values, gpu=Verdict.SKIP))
    asleep = wanted(judged(values=values, gpu=Verdict.UNKNOWN))

    told = {"gpu.cc-mode", "gpu.count", "gpu.chip"}
    assert not told & bare(gone.unsure)
    assert told <= bare(asleep.unsure)


def test_a_value_that_cannot_be_spelled_is_left_out() -> None:
    values = Values(gpu_chip="+++", smt="x" * 80, snp_api="-1.55_")
    found = wanted(judged(values=values)).labels

    assert f"{PREFIX}gpu.chip" not in found
    assert found[f"{PREFIX}smt"] == "x" * 63
    assert found[f"{PREFIX}snp.api"] == "1.55"


def test_a_simulated_machine_is_ready_only_when_asked_to() -> None:
    unasked = wanted(judged(), simulated=True)
    asked = wanted(judged(), simulated=True, publish_simulated=True)

    assert unasked.labels[f"{PREFIX}simulated"] == "true"
    assert "ready" not in bare(unasked.labels) | bare(unasked.unsure)
    assert unasked.condition.status is Status.UNKNOWN
    assert asked.labels[f"{PREFIX}ready"] == "true"
    assert asked.labels[f"{PREFIX}simulated"] == "true"
    assert asked.condition.status is Status.TRUE


def test_the_condition_names_the_root_and_the_way_out_in_one_line() -> None:
    root = finding("snp.smee", bad(Code.BIOS_SMEE_OFF, "SYSCFG[23]\nis 0"), "switch it on")

    found = wanted(judged(Ready.NO, root)).condition

    assert (found.status, found.reason) == (Status.FALSE, "BiosSmeeOff")
    assert found.message == "SYSCFG[23] is 0; to do: switch it on"


def test_a_condition_that_cannot_tell_says_what_was_seen() -> None:
    root = finding("gpu.mode", unknown(Code.GPU_ASLEEP, "0000:41:00.0: in D3hot"))

    found = wanted(judged(Ready.CANNOT_TELL, root, gpu=Verdict.UNKNOWN)).condition

    assert (found.status, found.reason) == (Status.UNKNOWN, "CannotTell")
    assert found.message == "0000:41:00.0: in D3hot"


def test_a_note_about_what_was_asked_is_added_to_the_condition() -> None:
    found = labels.desired(
        judged(), simulated=False, publish_simulated=False, boot_id=BOOT, note="onn is no mode"
    )
    assert found.condition.message.endswith("; onn is no mode")


# The report.


def test_the_report_holds_what_a_person_and_the_next_run_need() -> None:
    root = finding("snp.smee", bad(Code.BIOS_SMEE_OFF, "SYSCFG[23] is 0"), "switch it on")
    passing = finding("cpu.vendor", ok("an EPYC"))
    odd = finding("host.drivers", warn(Code.HOST_DRIVER_LOADED, "nouveau"))
    judgement = judged(Ready.NO, root, findings=(passing, odd, root))

    assert json.loads(wanted(judgement).report) == {
        "version": 1,
        "verdict": "not-ready",
        "profile": "snp-gpu",
        "boot_id": BOOT,
        "root": {
            "check": "snp.smee",
            "verdict": "fail",
            "code": "BIOS_SMEE_OFF",
            "seen": "SYSCFG[23] is 0",
            "do": "switch it on",
        },
        "findings": [
            {
                "check": "host.drivers",
                "verdict": "warn",
                "code": "HOST_DRIVER_LOADED",
                "seen": "nouveau",
            }
        ],
        "proven": {"0000:41:00.0": "on"},
    }


@pytest.mark.parametrize("count", [1, 10, 30, 300])
def test_a_long_report_is_cut_and_says_by_how_much(count: int) -> None:
    root = finding("root", bad(Code.NO_GPU, "ü" * 5000), "ö" * 5000)
    many = [finding(f"check.{each}", bad(Code.NO_GPU, "é" * 300)) for each in range(count)]
    proven = {f"{each:04x}:41:00.0": CcMode.PPCIE for each in range(count)}
    judgement = judged(Ready.NO, root, findings=(root, *many), proven=proven)

    text = wanted(judgement).report

    assert len(text.encode()) <= REPORT_BYTES
    report = json.loads(text)
    assert len(report["findings"]) + report.get("left_out", 0) == count
    assert report["root"]["check"] == "root"


def test_a_report_is_text_that_a_server_gives_back_unchanged() -> None:
    """Else it would differ from what is shown, and be written again for ever."""
    odd = finding("x", bad(Code.NO_GPU, "a\udcff\x00\x1b[31m\u2028b"))
    report = wanted(judged(Ready.NO, odd)).report

    assert report.encode().decode() == report
    assert json.loads(report)["root"]["seen"] == "a [31m b"


def test_two_looks_at_one_host_make_equal_bytes() -> None:
    first, second = wanted(judged()), wanted(judged())
    assert first == second


# Grace.


def keys(*names: str) -> dict[str, str]:
    return {PREFIX + name: "true" for name in names}


def unsure(*names: str) -> Wanted:
    found = wanted(judged())
    return replace(found, labels={}, unsure=frozenset(keys(*names)))


def test_a_standing_label_survives_two_looks_that_cannot_tell() -> None:
    standing, waited = keys("ready", "gpu"), dict[str, int]()
    shown = []
    for _ in range(3):
        standing, waited = labels.settle(unsure("ready", "gpu"), standing, waited)
        shown.append(bare(standing))

    assert shown == [{"ready", "gpu"}, {"ready", "gpu"}, set()]


def test_a_look_that_cannot_tell_never_sets_a_label() -> None:
    assert labels.settle(unsure("ready"), {}, {}) == ({}, {})


def test_a_look_that_denies_takes_a_label_at_once() -> None:
    shown, _ = labels.settle(unsure("gpu"), keys("ready", "gpu"), {})
    assert bare(shown) == {"gpu"}


def test_a_look_that_proves_gives_a_label_its_grace_back() -> None:
    ready = replace(unsure(), labels=keys("ready"))
    standing, waited = keys("ready"), dict[str, int]()
    for look in (unsure("ready"), unsure("ready"), ready, unsure("ready"), unsure("ready")):
        standing, waited = labels.settle(look, standing, waited)
        assert bare(standing) == {"ready"}


@pytest.mark.parametrize(
    ("standing", "kept"),
    [
        ({"ready": "true", "profile": "snp-gpu"}, {"ready", "profile"}),
        ({"ready": "true", "profile": "snp"}, {"profile"}),
        ({"ready": "true", "profile": "snp-gpu", "simulated": "true"}, set()),
    ],
)
def test_only_what_means_the_same_may_go_on_standing(
    standing: dict[str, str], kept: set[str]
) -> None:
    stood = {PREFIX + name: value for name, value in standing.items()}
    assert bare(labels.comparable(wanted(judged()), stood, PREFIX)) == kept


def test_a_look_that_failed_denies_nothing_and_proves_nothing() -> None:
    found = labels.blind("cannot open /host", profile=Profile.SNP, boot_id=BOOT)

    assert found.labels == {}
    assert {"ready", "snp", "gpu.count", "profile"} <= bare(found.unsure)
    assert found.condition.status is Status.UNKNOWN
    assert json.loads(found.report)["verdict"] == "cannot-tell"


def test_every_label_published_is_a_word_of_ours() -> None:
    found = wanted(judged(), simulated=True, publish_simulated=True)
    assert found.labels.keys() <= labels.names(PREFIX)
