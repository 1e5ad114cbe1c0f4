"""Firmware against its floors: each finding's own host, and what a floor may and may not say."""

from pathlib import Path

import pytest

from nodeagent.capture.archive import open_capture
from nodeagent.checks.judge import judge
from nodeagent.facts.look import look
from nodeagent.model.codes import Code
from nodeagent.model.findings import Finding, Judgement
from nodeagent.model.pci import GpuStatus
from nodeagent.model.policy import Floor, Policy
from nodeagent.model.seen import Unreadable
from nodeagent.model.words import Confidence, Generation, Level, Profile, Verdict
from tests.hosts import base, recipes
from tests.unit.looks import REQUIRED, SHIPPED, Veiled, drafted, facts_of, judged

PASS, FAIL, WARN = Verdict.PASS, Verdict.FAIL, Verdict.WARN
UNKNOWN, SKIP = Verdict.UNKNOWN, Verdict.SKIP


def one(judgement: Judgement, check: str) -> Finding:
    [found] = [each for each in judgement.findings if each.check == check]
    return found


@pytest.mark.parametrize(
    ("host", "check", "verdict", "code", "seen"),
    [
        ("genoa-ready", "tcb.snp", FAIL, "TCB_BELOW_FLOOR", "is 23: AMD-SB-3020 asks for 27"),
        ("genoa-ready", "tcb.microcode", FAIL, "MICROCODE_TOO_OLD", "is 84: AMD-SB-3027 asks"),
        ("genoa-ready", "tcb.alias", PASS, None, "checked memory"),
        ("genoa-ready", "firmware.sev", PASS, None, "1.55.40; AMD-SB-3015 asks for 1.55.38"),
        ("genoa-ready", "microcode.level", PASS, None, "0x0a101154; AMD-SB-3019 asks for 0x0a1"),
        ("genoa-ready", "firmware.fused", SKIP, None, "does not report fused_part"),
        ("genoa-ready", "gpu.firmware", SKIP, None, "gh100 96.00.5E"),
        ("genoa-compliant", "tcb.snp", PASS, None, "is 27; AMD-SB-3020 asks for 27"),
        ("genoa-tcb-lags", "tcb.reported", WARN, "TCB_REPORTED_LAGS", "SNP 22, microcode 84; what"),
        ("genoa-tcb-lags", "tcb.reported", WARN, "TCB_REPORTED_LAGS", "SNP 23, microcode 84."),
        ("genoa-tcb-lags", "tcb.reported", WARN, "TCB_REPORTED_LAGS", "committed only a guest's"),
        ("genoa-tcb-lags", "tcb.snp", FAIL, "TCB_BELOW_FLOOR", "is 22: AMD-SB-3020"),
        ("genoa-tcb-odd", "tcb.reported", WARN, "TCB_DECODE_SUSPECT", "0x561b00000001000a"),
        ("genoa-tcb-odd", "tcb.snp", UNKNOWN, "TCB_DECODE_SUSPECT", "cannot be taken apart"),
        ("genoa-no-alias-check", "tcb.alias", FAIL, "ALIAS_CHECK_MISSING", "asks for it"),
        ("genoa-sev-1.55.30", "firmware.sev", FAIL, "SEV_FW_BELOW_FLOOR", "1.55.30: AMD-SB-3015"),
        ("genoa-old-microcode", "microcode.level", FAIL, "MICROCODE_TOO_OLD", "0x0a101148: AMD-SB"),
        ("genoa-odd-microcode", "microcode.alike", FAIL, "MICROCODE_DIFFERS", "0xa101148 on CPU 7"),
        ("genoa-odd-microcode", "microcode.level", FAIL, "MICROCODE_TOO_OLD", "0x0a101148"),
        ("genoa-chip-key-masked", "tcb.key", FAIL, "CHIP_KEY_MASKED", "MASK_CHIP_KEY"),
        ("genoa-chip-id-masked", "tcb.chip", WARN, "CHIP_ID_MASKED", "MASK_CHIP_ID"),
        ("genoa-vlek", "tcb.chip", PASS, None, "VLEK"),
        ("genoa-vlek", "tcb.key", PASS, None, "VLEK"),
        ("genoa-not-fused", "firmware.fused", FAIL, "PART_NOT_FUSED", "engineering sample"),
        ("genoa-debug-open", "firmware.debug", FAIL, "DEBUG_NOT_LOCKED", "debug access"),
        ("milan-old-bios", "firmware.bios", FAIL, "BIOS_TOO_OLD", "2.3: AMD-SB-3030 asks for 3.6"),
        ("milan-new-bios", "firmware.bios", PASS, None, "H12SSW-NT is 3.6"),
        ("genoa-asids-exhausted", "snp.asids.free", WARN, "ASIDS_EXHAUSTED", "all 99"),
        ("genoa-asids-low", "snp.asids.free", WARN, "ASIDS_LOW", "less than a tenth of the 99"),
        ("genoa-newer-sev-firmware", "firmware.newest", WARN, "SEV_FW_PENDING", "1.55.44 is"),
        ("genoa-newer-kernel", "kernel.newest", WARN, "REBOOT_PENDING", "6.17.0-14-generic is"),
        # Another layout, another generation (§8.3 #15, #16).
        ("milan-dell-r7525", "tcb.reported", PASS, None, "boot loader 4, TEE 0, SNP 24, micro"),
        ("turin-ready", "tcb.reported", PASS, None, "FMC 3, boot loader 4, TEE 0, SNP 8"),
        ("turin-ready", "tcb.alias", SKIP, None, "no floor is known"),
        ("turin-ready", "tcb.snp", SKIP, None, "no floor is known"),
        ("turin-ready", "microcode.level", PASS, None, "asks for 0x0b002147"),
        # Somebody's policy says so, and nobody is sure.
        ("milan-dell-r7525", "tcb.snp", WARN, "TCB_BELOW_FLOOR", "AMD-SB-3023 asks for 27"),
        ("bergamo-ready", "tcb.microcode", SKIP, None, "no floor is known"),
        # Not asked, not there, not answering.
        ("genoa-iommu-pt", "tcb.reported", UNKNOWN, "TCB_NOT_KNOWN", "does not offer SEV-SNP"),
        ("genoa-smee-off", "tcb.reported", UNKNOWN, "TCB_NOT_KNOWN", "no /dev/sev"),
        ("genoa-psp-silent", "tcb.reported", UNKNOWN, "TCB_NOT_KNOWN", "EBUSY"),
        ("genoa-iommu-pt", "tcb.snp", SKIP, None, "waits for tcb.reported"),
    ],
)  # fmt: skip
def test_a_host_shows_it(
    *, host: str, check: str, verdict: Verdict, code: str | None, seen: str, hosts: Path
) -> None:
    found = one(judged(hosts / host), check)

    assert (found.verdict, found.code) == (verdict, Code(code) if code else None)
    assert seen in found.outcome.seen


@pytest.mark.parametrize(
    ("host", "root"),
    [
        ("genoa-ready", "TCB_BELOW_FLOOR"),
        ("genoa-compliant", None),
        ("genoa-no-alias-check", "ALIAS_CHECK_MISSING"),
        ("genoa-sev-1.55.30", "SEV_FW_BELOW_FLOOR"),
        ("genoa-old-microcode", "MICROCODE_TOO_OLD"),
        ("genoa-odd-microcode", "MICROCODE_DIFFERS"),
        ("genoa-chip-key-masked", "CHIP_KEY_MASKED"),
        ("genoa-chip-id-masked", None),
        ("genoa-not-fused", "PART_NOT_FUSED"),
        ("genoa-debug-open", "DEBUG_NOT_LOCKED"),
        ("milan-old-bios", "BIOS_TOO_OLD"),
        ("milan-dell-r7525", None),
        ("turin-ready", None),
        ("genoa-newer-kernel", None),
    ],
)
def test_where_floors_are_required_what_is_below_one_is_the_root(
    host: str, root: str | None, hosts: Path
) -> None:
    judgement = judged(hosts / host, policy=REQUIRED)

    assert judgement.ready.exit_code == (1 if root else 0)
    assert (judgement.root.code if judgement.root else None) == root


def test_required_and_not_told_is_not_ready_and_not_broken(hosts: Path) -> None:
    judgement = judged(hosts / "genoa-no-privileges", policy=REQUIRED)

    assert judgement.ready.exit_code == 4


@pytest.mark.parametrize("host", ["venice", "turin-other-stepping"])
def test_a_part_that_no_floor_is_about_is_not_shown_to_be_good(host: str, hosts: Path) -> None:
    """The API that SNP cannot do without closes no hole, so it does not count."""
    judgement = judged(hosts / host, policy=REQUIRED)

    assert judgement.ready.exit_code == 4
    assert judgement.root
    assert judgement.root.code == "NO_FLOOR_KNOWN"


def test_without_privileges_nothing_fails(hosts: Path) -> None:
    """§8.3 #17."""
    judgement = judged(hosts / "genoa-no-privileges")

    assert judgement.levels[Level.COMPLIANT].verdict is UNKNOWN
    assert [each.check for each in judgement.findings if each.verdict is FAIL] == []


@pytest.mark.parametrize(
    ("hidden", "check"),
    [
        ("/proc/cpuinfo", "tcb.reported"),
        ("/proc/cpuinfo", "microcode.alike"),
        ("probe:sev:9", "tcb.reported"),
        ("/sys/class/dmi/id/board_name", "firmware.bios"),
        ("/sys/bus/pci/drivers/ccp", "firmware.fused"),
        (f"/sys/bus/pci/devices/{base.PSP}", "firmware.debug"),
    ],
)
def test_what_is_hidden_is_unknown_and_the_level_with_it(
    hidden: str, check: str, hosts: Path
) -> None:
    with open_capture(str(hosts / "genoa-compliant")) as machine:
        facts = look(Veiled(machine, hidden=hidden.__eq__))
    judgement = judge(facts, profile=Profile.SNP_GPU, want=None, policy=REQUIRED)

    found = one(judgement, check)
    assert (found.verdict, found.code) == (UNKNOWN, Code.NO_ACCESS)
    assert judgement.levels[Level.COMPLIANT].verdict is UNKNOWN
    assert judgement.ready.exit_code == 4


def test_without_the_psp_the_log_tells_the_sev_firmware(tmp_path: Path) -> None:
    host = recipes.draft("genoa-compliant")
    host.denied["/dev/sev"] = "EPERM"
    told = one(judged(drafted(host, tmp_path)), "firmware.sev")
    host.swap("SEV-SNP API", f"ccp {base.PSP}: SEV-SNP API:1.55 build:{'9' * 300}")
    absurd = one(judged(drafted(host, tmp_path)), "firmware.sev")

    assert "1.55.40" in told.outcome.seen
    assert "1.55.4294967295" in absurd.outcome.seen


def test_of_a_cpu_without_snp_no_firmware_is_judged(hosts: Path) -> None:
    for host in ("intel", "rome", "genoa-in-vm"):
        judgement = judged(hosts / host, profile=Profile.GPU)

        [found] = [each for each in judgement.findings if each.level is Level.COMPLIANT]
        assert (found.verdict, judgement.levels[Level.COMPLIANT].verdict) == (SKIP, SKIP)
        assert found.outcome.seen.startswith("waits for ")


def test_a_lag_changes_nothing_else(hosts: Path) -> None:
    assert judged(hosts / "genoa-tcb-lags").levels[Level.ENABLED].verdict is PASS


@pytest.mark.parametrize(
    ("host", "check", "confidence"),
    [
        ("genoa-ready", "tcb.snp", Confidence.MEDIUM),
        ("genoa-no-alias-check", "tcb.alias", Confidence.HIGH),
        ("milan-old-bios", "firmware.bios", Confidence.HIGH),
    ],
)
def test_a_failure_is_as_sure_as_its_floor(
    host: str, check: str, confidence: Confidence, hosts: Path
) -> None:
    found = one(judged(hosts / host), check)

    assert found.outcome.confidence is confidence
    assert f"{confidence} confidence" in found.outcome.seen


# Floors of a site's own.


def floor(what: str = "tcb.snp", *minimum: int, **rest: object) -> Floor:
    made = Floor("OURS", what, minimum or (99,), "us", "2026-11", "high")
    return made._replace(**{"generation": Generation.GENOA, **rest})  # type: ignore[arg-type]


def against(host: Path, *floors: Floor) -> Judgement:
    return judged(host, policy=Policy(floors=floors))


@pytest.mark.parametrize(
    ("site", "verdict"),
    [
        (floor(), FAIL),
        (floor("tcb.snp", 23), PASS),
        (floor("tcb.snp", 24), FAIL),
        (floor(confidence="medium"), FAIL),
        (floor(confidence="low"), WARN),
        (floor(generation=Generation.MILAN), SKIP),
        (floor(model=0x11), FAIL),
        (floor(model=0x10), SKIP),
        (floor(model=0x11, stepping=1), FAIL),
        (floor(stepping=2), SKIP),
    ],
)
def test_a_floor_is_for_the_parts_that_it_names(site: Floor, verdict: Verdict, hosts: Path) -> None:
    assert one(against(hosts / "genoa-ready", site), "tcb.snp").verdict is verdict


def test_a_sure_floor_is_not_hidden_by_an_unsure_one(hosts: Path) -> None:
    unsure = floor("tcb.snp", 30, confidence="low", id="RUMOUR")

    found = one(against(hosts / "genoa-ready", floor("tcb.snp", 25), unsure), "tcb.snp")

    assert found.verdict is FAIL
    assert "RUMOUR" not in found.outcome.seen


def test_a_site_without_floors_finds_nothing_below_one(hosts: Path) -> None:
    judgement = against(hosts / "genoa-ready")

    assert judgement.levels[Level.COMPLIANT].verdict is PASS


@pytest.mark.parametrize(
    ("floors", "exit_code"),
    [
        ((), 0),
        ((floor("sev", 1, 55, 31, generation=Generation.VENICE),), 0),
        ((floor("sev", 1, 51, generation=Generation.VENICE),), 4),
        ((floor("sev", 1, 55, 31),), 4),
    ],
)
def test_a_site_may_say_what_is_enough_for_a_new_part(
    floors: tuple[Floor, ...], exit_code: int, hosts: Path
) -> None:
    policy = Policy(require_floors=True, floors=floors)

    assert judged(hosts / "venice", policy=policy).ready.exit_code == exit_code


@pytest.mark.parametrize(
    ("version", "verdict"), [("2.3", FAIL), ("3.6", PASS), ("v3.7", PASS), ("A43", UNKNOWN)]
)
def test_a_bios_version_that_does_not_compare_is_unknown(
    version: str, verdict: Verdict, tmp_path: Path
) -> None:
    host = recipes.draft("milan-old-bios")
    host.dmi(bios_version=version)

    assert one(judged(drafted(host, tmp_path)), "firmware.bios").verdict is verdict


@pytest.mark.parametrize(
    ("fsp", "verdict"),
    [((4, 16), FAIL), ((4, 17), PASS), ((5, 0), PASS), (None, UNKNOWN)],
)
def test_a_gpus_fsp_is_compared_where_a_floor_names_it(
    fsp: tuple[int, int] | None, verdict: Verdict, hosts: Path
) -> None:
    facts = facts_of(hosts / "genoa-ready")
    assert not isinstance(facts.devices, Unreadable)
    [gpu] = facts.devices.gpus
    assert isinstance(gpu.status, GpuStatus)
    status = gpu.status._replace(fsp=fsp)
    devices = facts.devices._replace(gpus=(gpu._replace(status=status),))
    site = floor("gpu.fsp", 4, 17, generation=None, chip="gh100")

    judgement = judge(
        facts._replace(devices=devices),
        profile=Profile.SNP_GPU,
        want=None,
        policy=Policy(floors=(site,)),
    )

    found = one(judgement, "gpu.firmware")
    assert (found.verdict, found.outcome.device) == (verdict, gpu.bdf)
    assert found.code is {
        FAIL: Code.GPU_FW_TOO_OLD, UNKNOWN: Code.NO_ACCESS, PASS: None,
    }[verdict]  # fmt: skip


def test_gpus_that_cannot_be_seen_are_not_at_their_floor(hosts: Path) -> None:
    facts = facts_of(hosts / "genoa-ready")._replace(devices=Unreadable("/sys", "EACCES"))
    site = floor("gpu.fsp", 4, 17, generation=None, chip="gh100")
    policy = Policy(floors=(site,))

    judgement = judge(facts, profile=Profile.SNP, want=None, policy=policy)

    assert one(judgement, "gpu.firmware").verdict is UNKNOWN


@pytest.mark.parametrize("level", ["0", "1", "yes"])
def test_only_one_and_zero_say_something(level: str, tmp_path: Path) -> None:
    host = recipes.draft("genoa-not-fused")
    host.put("/sys/devices/pci0000:00/0000:00:07.1/0000:01:00.5/fused_part", level)

    found = one(judged(drafted(host, tmp_path)), "firmware.fused")

    assert found.verdict is {"0": FAIL, "1": PASS}.get(level, UNKNOWN)


def test_the_shipped_policy_requires_nothing() -> None:
    assert SHIPPED.require_floors is False
