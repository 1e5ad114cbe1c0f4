"""Two hosts side by side: causes before consequences, and nothing that moves by itself."""

import json
from pathlib import Path

import pytest

from nodeagent.checks.judge import judge
from nodeagent.model.facts import Facts
from nodeagent.model.findings import Judgement
from nodeagent.model.host import PlatformStatus
from nodeagent.model.words import Profile
from nodeagent.report.compare import Difference, Side, compare, text
from nodeagent.report.flatten import differences, exchange
from tests.hosts.expected import TABLE, Expect
from tests.unit.command import run
from tests.unit.looks import facts_of

# Only several facts together make the difference.
TOGETHER = {"genoa-rtx-pro-6000-audio"}


def _judge(facts: Facts) -> Judgement:
    return judge(facts, profile=Profile.SNP_GPU, want=None)


def _sides(a: Facts, b: Facts) -> tuple[Side, Side]:
    return Side("a", a, _judge(a), True), Side("b", b, _judge(b), False)


def _compared(a: Facts, b: Facts) -> list[Difference]:
    return compare(*_sides(a, b), _judge)


def _names(found: list[Difference], *, causes: bool) -> list[str]:
    return [each.leaf.name for each in found if bool(each.changes) is causes]


@pytest.fixture(scope="session")
def ready(hosts: Path) -> Facts:
    return facts_of(hosts / "genoa-ready")


@pytest.mark.parametrize(
    ("host", "causes"),
    [
        ("genoa-smee-off", ["MSR SYSCFG"]),
        ("genoa-rmp-too-small", ["max_pfn"]),
        ("genoa-iommu-pt", ["command line iommu=pt", "log.iommu_passthrough"]),
        ("genoa-kvm-snp-disabled", ["kvm_amd.sev_snp"]),
        ("genoa-odd-cpu", ["MSR SYSCFG"]),
        ("genoa-state-lost", ["psp.snp.state", "psp.snp.rmp_initialised"]),
        ("genoa-gpu-off", ["GPU 0000:41:00.0 status.mode"]),
        ("genoa-gpu-on-nvidia", ["GPU 0000:41:00.0 pci driver"]),
        ("genoa-no-gpu", ["GPU 0000:41:00.0"]),
        ("intel", ["CPU vendor", "CPU name"]),
    ],
)
def test_of_two_boards_that_are_alike_the_cause_comes_first(
    host: str, causes: list[str], ready: Facts, hosts: Path
) -> None:
    other = facts_of(hosts / host)

    assert _names(_compared(ready, other), causes=True) == causes
    assert _names(_compared(other, ready), causes=True) == causes


def test_consequences_stand_below(ready: Facts, hosts: Path) -> None:
    found = _compared(ready, facts_of(hosts / "genoa-smee-off"))

    assert {"psp.device", "kvm_amd.sev_snp", "CPU flag sev"} <= set(_names(found, causes=False))
    assert [bool(each.changes) for each in found].index(False) == 1


@pytest.mark.parametrize("expect", TABLE, ids=lambda each: each.name)
def test_a_host_beside_a_ready_one_has_a_cause_and_fits_80_columns(
    expect: Expect, ready: Facts, hosts: Path
) -> None:
    a, b = _sides(ready, facts_of(hosts / expect.name))

    found = compare(a, b, _judge)

    if expect.exit and expect.name not in TOGETHER:
        assert found[0].changes
    told = text(a, b, found)
    assert max(map(len, told.split("\n"))) <= 80
    assert told.replace("\n", "").isprintable()


@pytest.mark.parametrize("expect", TABLE, ids=lambda each: each.name)
def test_what_is_exchanged_differs_no_more(expect: Expect, ready: Facts, hosts: Path) -> None:
    other = facts_of(hosts / expect.name)

    for leaf in list(differences(ready, other))[:60]:
        changed = exchange(other, leaf.path, leaf.a)
        assert leaf.path not in {each.path for each in differences(ready, changed)}


def test_hosts_that_are_alike_say_so(hosts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", "--compare", hosts / "genoa-ready", hosts / "genoa-ready") == 0
    assert "Nothing that is read here differs." in capsys.readouterr().out


def test_what_moves_by_itself_is_left_out(ready: Facts) -> None:
    assert isinstance(ready.psp.platform, PlatformStatus)
    assert isinstance(ready.kernel.cmdline, tuple)
    later = ready._replace(
        boot_id="other",
        source=ready.source._replace(where="elsewhere", note="x"),
        psp=ready.psp._replace(platform=ready.psp.platform._replace(guests=7)),
        kernel=ready.kernel._replace(
            misc_current={"sev_es": 7},
            cmdline=("BOOT_IMAGE=/other", "root=UUID=1", *ready.kernel.cmdline[2:]),
        ),
    )

    assert _compared(ready, later) == []


def test_cpus_that_agree_differ_only_in_the_value(ready: Facts, hosts: Path) -> None:
    fewer = facts_of(hosts / "genoa-nosmt")

    names = [each.leaf.name for each in _compared(ready, fewer)]

    assert "cpus.online" in names
    assert not [name for name in names if name.startswith("MSR ")]


def test_the_answer_as_data_has_everything(hosts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        run("check", "--compare", hosts / "genoa-ready", hosts / "genoa-iommu-pt", "-o", "json")
        == 0
    )

    found = json.loads(capsys.readouterr().out)
    assert [each["root"] for each in found["hosts"]] == [None, "IOMMU_PASSTHROUGH_OR_OFF"]
    first = found["differences"][0]
    assert first == {
        "fact": "command line iommu=pt",
        "values": ["no", "yes"],
        "changes": ["snp.enabled"],
    }


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--compare",), 2, "--compare takes two captures, not 0"),
        (("--compare", "a", "b", "c"), 2, "--compare takes two captures, not 3"),
        (("--compare", "--root", "/", "a", "b"), 2, "--root is given, and two captures"),
        (("--compare", "/nowhere", "/nowhere/else"), 3, "cannot open the capture /nowhere"),
    ],
)
def test_what_cannot_be_compared_is_said(
    words: tuple[str, ...], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("check", *words) == code
    assert said in capsys.readouterr().err


def test_a_strangers_text_is_made_harmless(ready: Facts) -> None:
    evil = ready.kernel._replace(cmdline=("\x1b]0;x\x07", "y" * 5000), release="\x1b[31m")
    a, b = _sides(ready, ready._replace(kernel=evil))

    told = text(a, b, compare(a, b, _judge))

    assert "\x1b" not in told
    assert max(map(len, told.split("\n"))) <= 80
