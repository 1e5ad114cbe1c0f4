"""The report: what a person sees first at 80 columns, and the schema for programs."""

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from nodeagent import data
from nodeagent.capture.archive import open_capture
from nodeagent.checks.judge import judge
from nodeagent.cli.check import painter
from nodeagent.facts.look import look
from nodeagent.model.words import Profile, Ready, Verdict
from nodeagent.report.document import document
from nodeagent.report.text import report
from tests.hosts.expected import TABLE, Expect
from tests.unit.looks import SHIPPED, Veiled, facts_of, judged

SCHEMA = data.load("report.schema.json")
_HEADLINE = {0: "READY for", 1: "NOT READY for", 4: "CANNOT TELL for"}


def _lines(host: Path, *, verbose: bool = False) -> list[str]:
    facts = facts_of(host)
    judgement = judge(facts, profile=Profile.SNP_GPU, want=None, policy=SHIPPED)
    return report(judgement, facts.source, verbose=verbose).split("\n")


@pytest.mark.parametrize("expect", TABLE, ids=lambda each: each.name)
def test_verdict_and_root_cause_stand_in_the_first_six_lines(expect: Expect, hosts: Path) -> None:
    lines = _lines(hosts / expect.name)

    assert lines[0].startswith(_HEADLINE[expect.exit])
    assert expect.root is None or any(expect.root in line for line in lines[:6])
    assert max(map(len, lines)) <= 80
    if expect.root:
        todo = lines.index("What to do, in order:")
        assert lines[todo + 1].startswith("  1. [")
        assert todo < lines.index("Levels:")


@pytest.mark.parametrize("expect", TABLE, ids=lambda each: each.name)
def test_the_foot_says_how_to_learn_more_of_the_root(expect: Expect, hosts: Path) -> None:
    foot = [line for line in _lines(hosts / expect.name) if "nodeagent explain" in line]

    assert foot == ([f"What it means: nodeagent explain {expect.root}"] if expect.root else [])


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("", "What it means: nodeagent explain NO_GPU"),
        ("--root /host", "What it means: nodeagent explain NO_GPU --root /host"),
        ("--capture 'a b'", "What it means: nodeagent explain NO_GPU --capture 'a b'"),
        (f"--capture {'x' * 90}", f"  nodeagent explain NO_GPU --capture {'x' * 90}"),
        ("--root /\x1b[31m", "What it means: nodeagent explain NO_GPU --root /?[31m"),
    ],
)
def test_the_foot_names_the_host_that_was_looked_at(place: str, said: str, hosts: Path) -> None:
    """Its board's names are on the page, not those of the machine that the report is read on."""
    facts = facts_of(hosts / "genoa-no-gpu")
    told = report(judged(hosts / "genoa-no-gpu"), facts.source, verbose=False, place=place)

    assert told.split("\n")[-1] == said


@pytest.mark.parametrize("expect", TABLE, ids=lambda each: each.name)
def test_verbose_shows_every_finding_within_80_columns(expect: Expect, hosts: Path) -> None:
    lines = _lines(hosts / expect.name, verbose=True)

    text = "\n".join(lines)
    for finding in judged(hosts / expect.name).findings:
        assert finding.check in text
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("expect", TABLE, ids=lambda each: each.name)
def test_the_document_keeps_to_its_schema(expect: Expect, hosts: Path) -> None:
    facts = facts_of(hosts / expect.name)
    judgement = judge(facts, profile=Profile.SNP_GPU, want=None, policy=SHIPPED)

    found = json.loads(json.dumps(document(judgement, facts)))

    jsonschema.validate(found, SCHEMA)
    assert found["verdict"] == judgement.ready


def test_the_document_names_the_host_by_its_kind_and_no_other_way(hosts: Path) -> None:
    facts = facts_of(hosts / "milan-dell-r7525")

    found = document(judge(facts, profile=Profile.SNP, want=None), facts)["host"]

    assert found == {
        "cpu": "AMD EPYC 7543 32-Core Processor",
        "kernel": "6.17.0-8-generic",
        "vendor": "Dell Inc.",
        "product": "PowerEdge R7525",
        "board": "0PYVT1",
        "bios": "2.15.2",
        "bios_date": "05/20/2024",
    }


def test_the_schema_is_one_and_is_strict(hosts: Path) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    facts = facts_of(hosts / "genoa-ready")
    found = document(judge(facts, profile=Profile.SNP, want=None), facts)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**found, "surplus": 1}, SCHEMA)


def test_bios_faults_say_that_no_kernel_option_helps(hosts: Path) -> None:
    assert "No kernel option can replace this." in "\n".join(_lines(hosts / "genoa-smee-off"))


def test_who_must_act_and_what_restart_it_takes(hosts: Path) -> None:
    assert "[bios, reboot]" in "\n".join(_lines(hosts / "genoa-rmp-too-small"))
    assert "[host, module reload]" in "\n".join(_lines(hosts / "genoa-module-option"))
    assert "[firmware, power cycle]" in "\n".join(_lines(hosts / "genoa-psp-timed-out"))


def test_of_many_gpus_the_odd_one_is_named(hosts: Path) -> None:
    text = "\n".join(_lines(hosts / "genoa-hgx-h100-one-off"))

    assert "GPUs differ: 0000:23:00.0 is off, 7 others are ppcie" in text
    assert "0000:24:00.0 is in mode" in "\n".join(_lines(hosts / "genoa-hgx-h100"))
    assert "and 6 more" in "\n".join(_lines(hosts / "genoa-hgx-h100"))


def test_consequences_fold_under_the_root(hosts: Path) -> None:
    judgement = judged(hosts / "genoa-iommu-off")

    assert [each.code for each in judgement.todo] == ["BIOS_IOMMU_OFF"]
    folded = {each.check for each in judgement.findings if each.under}
    assert {"iommu.groups", "gpu.driver", "snp.iommu"} <= folded


def test_an_independent_fault_is_a_step_of_its_own(tmp_path: Path) -> None:
    from tests.hosts import base, gpu_states, snp_faults  # noqa: PLC0415 - only here
    from tests.unit.looks import drafted  # noqa: PLC0415

    draft = base.genoa_ready()
    snp_faults.smee_off(draft)
    gpu_states.on_driver("nvidia")(draft)

    judgement = judged(drafted(draft, tmp_path / "host"))

    assert [each.code for each in judgement.todo] == ["BIOS_SMEE_OFF", "GPU_NOT_VFIO"]


def test_an_unprivileged_look_says_what_root_would_add(hosts: Path) -> None:
    text = "\n".join(_lines(hosts / "genoa-no-privileges"))

    assert "Root would also see: MSRs" in text
    assert "(medium)" in text
    assert "Root would also see" not in "\n".join(_lines(hosts / "genoa-ready"))


def test_control_characters_of_a_stranger_do_not_reach_the_terminal(hosts: Path) -> None:
    evil = b"BOOT_IMAGE=x iommu=pt\x1b[31m\x07 amd_iommu=pgtbl_v2,\x1b]0;x"
    with open_capture(str(hosts / "genoa-iommu-pt")) as machine:
        facts = look(Veiled(machine, replaced={"/proc/cmdline": evil}))

    text = report(
        judge(facts, profile=Profile.SNP_GPU, want=None, policy=SHIPPED), facts.source, verbose=True
    )

    assert "\x1b" not in text
    assert "\x07" not in text


def test_a_note_of_a_stranger_is_made_harmless(hosts: Path) -> None:
    facts = facts_of(hosts / "genoa-ready")
    source = facts.source._replace(note="\x1b]0;owned\x07" + "x" * 50_000)

    text = report(
        judge(facts, profile=Profile.SNP_GPU, want=None, policy=SHIPPED), source, verbose=True
    )

    assert "\x1b" not in text
    assert len(text) < 10_000


def test_a_strange_path_is_made_harmless(hosts: Path, tmp_path: Path) -> None:
    evil = tmp_path / "x\x1b]0;owned\x07"
    evil.symlink_to(hosts / "genoa-ready")
    facts = facts_of(evil)

    text = report(
        judge(facts, profile=Profile.SNP_GPU, want=None, policy=SHIPPED),
        facts.source,
        verbose=False,
    )

    assert "\x1b" not in text
    assert "owned" in text


def test_a_root_cause_of_many_words_keeps_to_the_first_six_lines(hosts: Path) -> None:
    facts = facts_of(hosts / "genoa-iommu-pt")
    judgement = judge(facts, profile=Profile.SNP_GPU, want=None, policy=SHIPPED)
    assert judgement.root
    wordy = judgement.root._replace(outcome=judgement.root.outcome._replace(seen="word " * 400))

    text = report(replace(judgement, root=wordy, todo=(wordy,)), facts.source, verbose=False)

    assert text.split("\n")[6] == ""
    assert text.split("\n")[7] == "What to do, in order:"


def test_a_device_folder_with_a_strange_name_is_no_device(tmp_path: Path) -> None:
    from tests.hosts import base  # noqa: PLC0415 - only here
    from tests.unit.looks import drafted  # noqa: PLC0415

    draft = base.genoa_ready()
    for name, value in (("vendor", "0x10de"), ("device", "0x2331"), ("class", "0x030200")):
        draft.put(f"/sys/bus/pci/devices/0000:43:00.\x1b/{name}", value)

    judgement = judged(drafted(draft, tmp_path / "host"))

    assert (judgement.values.gpu_count, judgement.ready) == (1, Ready.YES)


@pytest.mark.parametrize("expect", TABLE, ids=lambda each: each.name)
def test_a_level_that_fails_and_gates_nothing_says_so(expect: Expect, hosts: Path) -> None:
    judgement = judged(hosts / expect.name)
    free = [
        level
        for level, each in judgement.levels.items()
        if not each.required and each.verdict is not Verdict.SKIP
    ]

    lines = _lines(hosts / expect.name)

    levels = " ".join(" ".join(lines[lines.index("Levels:") :]).split())
    assert levels.count("(not required)") == len(free)


def test_no_colour_without_a_terminal() -> None:
    assert painter()("READY", "good") == "READY"


def test_nothing_is_blamed_where_the_silicon_cannot(hosts: Path) -> None:
    judgement = judged(hosts / "intel")

    assert judgement.ready is Ready.NO
    assert [each.check for each in judgement.findings if each.verdict is Verdict.FAIL] == [
        "snp.vendor"
    ]
