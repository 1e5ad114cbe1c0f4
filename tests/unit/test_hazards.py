"""Options and kernels that bite later: what is warned of, what is a note, what is nothing."""

from pathlib import Path

import pytest

from nodeagent.checks.judge import judge
from nodeagent.model.findings import Judgement
from nodeagent.model.words import Profile, Ready, Verdict
from tests.hosts import base, cpus, gpu_states, kernels
from tests.hosts.draft import Delta, Draft
from tests.hosts.hazards import asks, built_without, modprobe
from tests.unit.looks import drafted, facts_of


def _judged(folder: Path, *deltas: Delta) -> Judgement:
    draft = base.genoa_ready()
    for delta in deltas:
        delta(draft)
    judgement = judge(facts_of(drafted(draft, folder / "host")), profile=Profile.SNP_GPU, want=None)
    assert judgement.ready is Ready.YES
    return judgement


def _warned(judgement: Judgement) -> list[tuple[str | None, str]]:
    return [
        (each.code, each.outcome.seen)
        for each in judgement.findings
        if each.verdict is Verdict.WARN
    ]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ("mitigations=off", "OPTION_HAZARD", "spying on each other"),
        ("crash_kexec_post_notifiers=0", "OPTION_HAZARD", "crash dump"),
        ("crash-kexec-post-notifiers=N", "OPTION_HAZARD", "crash dump"),
        ("mitigations=auto mitigations=off", "OPTION_HAZARD", "mitigations=off"),
        ("kvm.sev=1", "OPTION_IGNORED", "kvm.sev is no such option, kvm_amd.sev is one"),
        ("kvm.sev_es=1", "OPTION_IGNORED", "kvm_amd.sev_es is one"),
        ("kvm.sev-snp=1", "OPTION_IGNORED", "kvm_amd.sev_snp is one"),
        ("kvm_amd.mmio_caching=1", "OPTION_IGNORED", "kvm.mmio_caching is one"),
        ("kvm_amd.sevsnp=1", "OPTION_IGNORED", "kvm_amd.sev_snp is one"),
        ("kvm_amd.seves=1", "OPTION_IGNORED", "kvm_amd.sev_es is one"),
        ("kvm_amd.sevv=1", "OPTION_IGNORED", "kvm_amd.sev is one"),
        ("kvm-amd.snp=1", "OPTION_IGNORED", "kvm_amd.sev_snp is one"),
    ],
)
def test_an_option_is_warned_of(words: str, code: str, says: str, tmp_path: Path) -> None:
    [(found, seen)] = _warned(_judged(tmp_path, asks(*words.split())))

    assert found == code
    assert says in seen


def test_an_option_in_a_file_is_warned_of_as_well(tmp_path: Path) -> None:
    [(code, seen)] = _warned(_judged(tmp_path, modprobe("kvm", "options kvm sev_es=1")))

    assert code == "OPTION_IGNORED"
    assert "/etc/modprobe.d/kvm.conf has: options kvm sev_es=1" in seen


@pytest.mark.parametrize(
    "words",
    [
        "mitigations=off mitigations=auto",
        "mitigations=auto,nosmt",
        "crash_kexec_post_notifiers=0 crash_kexec_post_notifiers=1",
        "crash_kexec_post_notifiers",
        "iommu=nopt",
        "vfio-pci.ids=10de:2331",
        "kvm_amd.sev_snp=1",
        "kvm-amd.sev-es=1",
        "kvm_amd.avic=1",
        "kvm_amd.debug_swap=1",
        "nomodeset efi=noruntime",
        "amd_iommu=on",
    ],
)
def test_an_option_is_not_warned_of(words: str, tmp_path: Path) -> None:
    assert _warned(_judged(tmp_path, asks(*words.split()))) == []


def test_a_parameter_that_the_module_shows_is_believed(tmp_path: Path) -> None:
    """A newer kernel may have one that looks like a typo of an older one."""

    def newer(draft: Draft) -> None:
        draft.param("kvm_amd", "sev_tio", "Y")

    assert _warned(_judged(tmp_path, asks("kvm_amd.sev_tio=1"), newer)) == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("amd_iommu=on", "it is no option of the kernel"),
        ("amd_iommu=on,fullflush", "it is no option of the kernel"),
        ("intel_iommu=on", "it does nothing on an AMD host"),
        ("mem_encrypt=off", "it cannot replace SMEE"),
        ("mem_encrypt=on", "it cannot replace SMEE"),
        ("ccp.psp_init_on_probe=0", "it puts off the start of SEV"),
        ("ccp.init_ex_path=/x", "it keeps the PSP's persistent state"),
        ("kvm_amd.ciphertext_hiding_asids=9", "SEV-ES may read unusable"),
    ],
)
def test_an_option_is_a_note(words: str, says: str, tmp_path: Path) -> None:
    judgement = _judged(tmp_path, asks(words))

    assert _warned(judgement) == []
    [note] = [each for each in judgement.notes if "command line" in each]
    assert note.startswith(f"the kernel command line has {words}: ")
    assert says.removeprefix("it ") in note


@pytest.mark.parametrize(
    ("deltas", "codes"),
    [
        ([kernels.kernel_6_11], ["KERNEL_OLD_FOR_GPU"]),
        ([kernels.kernel_6_11, gpu_states.no_gpu], []),
        ([], []),
        ([cpus.turin, kernels.kernel_6_18], []),
    ],
)
def test_a_kernel_is_old_for_what_is_plugged_in(
    deltas: list[Delta], codes: list[str], tmp_path: Path
) -> None:
    draft = base.genoa_ready()
    for delta in deltas:
        delta(draft)

    facts = facts_of(drafted(draft, tmp_path / "host"))
    judgement = judge(facts, profile=Profile.SNP, want=None)

    assert [code for code, _ in _warned(judgement)] == codes


def test_segments_in_the_log_show_a_backport(tmp_path: Path) -> None:
    """Only code from 6.14 on speaks of them, whatever the kernel calls itself."""
    warned = _warned(_judged(tmp_path, cpus.turin, kernels.kernel_6_11))

    assert "KERNEL_OLD_FOR_CPU" not in dict(warned)


@pytest.mark.parametrize(("release", "noted"), [("7.3.9-1", False), ("7.4.0-rc1", True)])
def test_a_kernel_newer_than_the_data_is_a_note(release: str, noted: bool, tmp_path: Path) -> None:
    def newer(draft: Draft) -> None:
        draft.release = release

    judgement = _judged(tmp_path, newer)

    assert _warned(judgement) == []
    assert any("newer than 7.3" in note for note in judgement.notes) is noted


def test_what_blinds_us_in_the_kernel_is_a_note(tmp_path: Path) -> None:
    judgement = _judged(tmp_path, built_without("CONFIG_X86_MSR", "CONFIG_CGROUP_MISC"))

    assert [each for each in judgement.notes if "was built without" in each] == [
        "this kernel was built without CONFIG_X86_MSR: MSRs cannot be read",
        "this kernel was built without CONFIG_CGROUP_MISC: nothing counts the ASIDs",
    ]


@pytest.mark.parametrize("host", ["intel", "genoa-in-vm", "rome"])
def test_a_host_that_cannot_do_snp_is_not_told_how_to(host: str, hosts: Path) -> None:
    facts = facts_of(hosts / host)
    options = facts.kernel._replace(cmdline=("mitigations=off", "kvm.sev=1"), release="6.8.0")

    judgement = judge(facts._replace(kernel=options), profile=Profile.GPU, want=None)

    told = {"OPTION_HAZARD", "OPTION_IGNORED", "KERNEL_OLD_FOR_CPU", "KERNEL_OLD_FOR_GPU"}
    assert not told & {code for code, _ in _warned(judgement)}


def test_a_warning_stands_for_itself_beside_a_root_cause(hosts: Path) -> None:
    facts = facts_of(hosts / "genoa-smee-off")
    options = facts.kernel._replace(cmdline=("mitigations=off",))

    judgement = judge(facts._replace(kernel=options), profile=Profile.SNP_GPU, want=None)

    [hazard] = [each for each in judgement.findings if each.code == "OPTION_HAZARD"]
    assert hazard.under is None
