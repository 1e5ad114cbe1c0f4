"""What is said where one input is closed: no cause is named that could not be looked for."""

import gzip
from pathlib import Path

import pytest

from nodeagent.capture.archive import open_capture
from nodeagent.checks.judge import judge
from nodeagent.facts.kernel import config_gz
from nodeagent.facts.look import look
from nodeagent.model.findings import Finding, Judgement
from nodeagent.model.words import Profile, Restart, Verdict
from tests.hosts import base, kernels, snp_faults
from tests.hosts.inspector import inspect_as
from tests.unit.looks import SHIPPED, Veiled, drafted, judged

HWCR = "probe:msr:0xc0010015"


def _without(host: Path, *hidden: str) -> Judgement:
    with open_capture(str(host)) as machine:
        facts = look(Veiled(machine, hidden=lambda path: path.startswith(hidden)))
    return judge(facts, profile=Profile.SNP_GPU, want=None, policy=SHIPPED)


def _root(judgement: Judgement) -> tuple[str | None, str | None]:
    root = judgement.root
    if root is None or root.code is None:
        return None, None
    return root.code.value, root.outcome.cause.value if root.outcome.cause else None


def _named(judgement: Judgement, check: str) -> Finding:
    return next(each for each in judgement.findings if each.check == check)


def test_without_the_command_line_nobody_is_blamed_for_a_passthrough_iommu(hosts: Path) -> None:
    host = hosts / "genoa-iommu-pt"

    assert _root(judged(host)) == ("IOMMU_PASSTHROUGH_OR_OFF", "IOMMU_OPTION")
    assert _root(_without(host, "/proc/cmdline")) == ("IOMMU_PASSTHROUGH_OR_OFF", None)


@pytest.mark.parametrize(
    ("option", "cause"),
    [("y", "IOMMU_KERNEL_DEFAULT"), ("n", "BIOS_IOMMU_OFF")],
)
def test_where_no_option_took_the_iommu_the_kernel_or_the_bios_did(
    option: str, cause: str, tmp_path: Path
) -> None:
    draft = base.genoa_ready()
    snp_faults.iommu_pt(draft)
    draft.cmdline.remove("iommu=pt")
    line = b"CONFIG_IOMMU_DEFAULT_PASSTHROUGH=y\n" if option == "y" else b""
    draft.put("/proc/config.gz", gzip.compress(b"CONFIG_KVM_AMD=m\n" + line))

    assert _root(judged(drafted(draft, tmp_path / "host")))[1] == cause


def test_without_modprobe_d_kvm_is_not_said_to_have_failed_by_itself(hosts: Path) -> None:
    host = hosts / "genoa-module-option"

    assert _root(judged(host))[0] == "KVM_PARAM_DISABLED"
    assert _root(_without(host, "/etc/modprobe.d"))[0] == "SNP_OFF_KERNEL_SIDE"


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("genoa-ready", Verdict.PASS),
        ("genoa-smee-off", Verdict.PASS),
        ("genoa-module-option", Verdict.FAIL),
        ("genoa-kernel-6.8", Verdict.FAIL),
        ("dev-machine", Verdict.FAIL),
    ],
)
def test_the_kernels_own_verdict(name: str, verdict: Verdict, hosts: Path) -> None:
    assert judged(hosts / name).kernel is verdict


def test_a_pod_that_cannot_see_the_kernels_rows_cannot_tell(hosts: Path, tmp_path: Path) -> None:
    inspect_as(hosts / "genoa-rmp-too-small", tmp_path / "seen")

    assert judged(tmp_path / "seen").kernel is Verdict.UNKNOWN


def test_a_register_that_the_kernel_sets_late_is_no_fault_before(hosts: Path) -> None:
    """From 7.1 on SYSCFG[24] is 0 until kvm_amd loads."""
    judgement = judged(hosts / "genoa-kvm-amd-missing-7.1")

    told = _named(judgement, "snp.kernel").outcome
    assert (told.verdict, told.seen) == (Verdict.SKIP, "SYSCFG[24] is 0 until kvm_amd loads")


@pytest.mark.parametrize(
    ("host", "hidden", "verdict"),
    [
        ("genoa-ready", (), Verdict.PASS),
        ("genoa-ready", ("probe:msr", "probe:log"), Verdict.PASS),
        ("genoa-ready-6.11", ("probe:msr",), Verdict.PASS),
        ("genoa-ready-6.11", ("probe:msr", "probe:log"), Verdict.UNKNOWN),
        ("genoa-log-overwritten-6.11", (), Verdict.PASS),
        ("genoa-log-overwritten-6.11", ("probe:msr",), Verdict.UNKNOWN),
    ],
)
def test_kvms_word_alone_is_no_proof_below_6_16(
    host: str, hidden: tuple[str, ...], verdict: Verdict, hosts: Path
) -> None:
    """Without MSRs it takes KVM's `Y` from a kernel that asks the PSP, or the PSP's own line."""
    found = _named(_without(hosts / host, *hidden), "snp.kernel")

    assert found.verdict is verdict


def test_from_7_1_on_a_reload_brings_snp_back(tmp_path: Path) -> None:
    needs = []
    for number, kernel in enumerate((None, kernels.kernel_7_1)):
        draft = base.genoa_ready()
        if kernel:
            kernel(draft)
        snp_faults.state_lost(draft)
        root = judged(drafted(draft, tmp_path / str(number))).root
        assert root
        assert root.remedy
        needs.append(root.remedy.restart)

    assert needs == [Restart.REBOOT, Restart.RELOAD]


def test_an_unread_hwcr_is_no_proof_that_smm_is_locked(hosts: Path, tmp_path: Path) -> None:
    draft = base.genoa_ready()
    draft.flags(drop=("sev", "sev_es", "sev_snp"))

    with_flag = _without(hosts / "genoa-ready", HWCR)
    without_flag = _without(drafted(draft, tmp_path / "host"), HWCR, "probe:log")

    assert _named(with_flag, "snp.smee").verdict is Verdict.PASS
    assert _named(without_flag, "snp.smee").verdict is Verdict.UNKNOWN


def test_a_packed_configuration_is_unpacked_within_bounds() -> None:
    bomb = gzip.compress(bytes(200 << 20), compresslevel=1)

    assert len(config_gz(bomb)) <= 4 << 20
    assert config_gz(gzip.compress(b"CONFIG_X=y\n")) == "CONFIG_X=y\n"
    assert config_gz(b"no gzip") == ""


def test_an_unexplained_register_is_not_blamed_on_the_kernel_behind_a_closed_log(
    hosts: Path,
) -> None:
    host = hosts / "genoa-kernel-silent"

    assert _root(judged(host))[0] == "KERNEL_SNP_NOT_ENABLED"
    closed = _without(host, "probe:log")
    assert _root(closed)[0] == "SNP_OFF_KERNEL_SIDE"
    assert _named(closed, "snp.kernel").verdict is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("check", "hidden"),
    [
        ("snp.state", ("/sys/module/kvm_amd/parameters/sev_snp", "probe:log")),
        ("kvm.device", ("/sys/module/kvm_amd", "probe:kvm")),
    ],
)
def test_a_row_whose_condition_is_hidden_is_not_passed(
    check: str, hidden: tuple[str, ...], hosts: Path
) -> None:
    """With the witness hidden as well nothing is left that a pass could rest on."""
    assert _named(_without(hosts / "genoa-ready", *hidden), check).verdict is Verdict.UNKNOWN
