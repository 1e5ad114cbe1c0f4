"""The kernel log: whose boot it is, both wordings of every line, and what a flood hides."""

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from nodeagent.facts.log import read, wordings
from nodeagent.host import klog
from nodeagent.host.root import Root
from nodeagent.model.host import KernelLog, Uname
from nodeagent.model.seen import Seen

UNAME = Uname("6.17.0-8-generic", "#8-Ubuntu SMP Tue Oct 21 10:00:00 UTC 2025", "x86_64")
THIS = f"Linux version {UNAME.release} (buildd@x) (gcc 15) {UNAME.version}"
OTHER = "Linux version 6.9.0-1 (buildd@x) (gcc 13) #1 SMP Mon Jan 1 10:00:00 UTC 2024"
PREFIX = "2026-11-20T09:30:00.1+00:00 host kernel: [    0.000000] "


PSP = "ccp 0000:01:00.5"
KNOWN = [
    (THIS, "linux_version"),
    ("AMD-Vi: Interrupt remapping enabled", "amd_vi"),
    (f"{PSP}: SEV: memory encryption not enabled by BIOS", "smee_off"),
    (f"{PSP}: SEV-SNP: failed to INIT rc -5, error 0x3", "snp_init_failed"),
    (f"{PSP}: SEV-SNP: failed to INIT error 0xE", "snp_init_failed"),
    (f"{PSP}: SEV-SNP: SNP_INIT_EX failed rc -5, error 0x3", "snp_init_failed"),
    (f"{PSP}: SEV-SNP: SNP_INIT failed rc -5, error 0x3", "snp_init_failed"),
    (f"{PSP}: SEV: failed to INIT error 0x1, rc -5", "sev_init_failed"),
    (f"{PSP}: SEV: INIT failed 0x1, rc -5", "sev_init_failed"),
    (f"{PSP}: SEV-SNP: SNP init failed: not all CPUs online. (0-1 online)", "cpus_offline"),
    (f"{PSP}: SEV API:1.55 build:40", "sev_api"),
    (f"{PSP}: SEV-SNP API:1.55 build:40", "snp_api"),
    ("SEV-SNP: RMP table physical range [0x1000 - 0x2fff]", "rmp_range"),
    ("SEV-SNP: RMP table physical address [0x1000 - 0x2fff]", "rmp_range"),
    ("SEV-SNP: Segmented RMP using 256GB segments", "rmp_segmented"),
    ("SEV-SNP: Memory for the RMP table has not been reserved by BIOS", "rmp_not_reserved"),
    ("SEV-SNP: RMP configuration not valid: base=0x3000, end=0x1fff", "rmp_invalid"),
    ("SEV-SNP: Segmented RMP does not cover full system RAM", "rmp_too_small"),
    ("SEV-SNP: RMP segment size (44) is not within advertised bounds", "rmp_segment_bad"),
    ("AMD-Vi: IOMMU SNP support enabled.", "iommu_snp_on"),
    ("AMD-Vi: SNP enabled", "iommu_snp_on"),
    ("AMD-Vi: SNP: IOMMU disabled or configured in passthrough mode, no", "iommu_passthrough"),
    ("AMD-Vi: SNP: IOMMU is configured with V2 page table mode, no", "iommu_v2"),
    ("AMD-Vi: SNP: IOMMU SNP feature not enabled, no", "iommu_snp_off"),
    ("AMD-Vi: SNP: RMP initialization failed, no", "rmp_init_failed"),
    (f"{PSP}: sev command 0x81 timed out, disabling PSP", "psp_dead"),
    (f"{PSP}: SEV: INIT failed 0xffffffff, rc -16", "psp_dead_answer"),
    (f"{PSP}: sev enabled", "sev_driver"),
    ("kvm_amd: SVM disabled (by BIOS) in MSR_VM_CR on CPU 0", "svm_off"),
    (f"{PSP}: SEV: TMR allocation failed, SEV-ES support unavailable", "tmr_failed"),
    (f"{PSP}: SEV-SNP: SNP_DF_FLUSH failed with error 0x1", "trouble"),
    (f"{PSP}: SEV-SNP firmware shutdown failed", "trouble"),
    ("SEV-SNP: Failed to map RMP table", "trouble"),
    ("SEV-SNP: Leaking PFN range 0x1-0x2", "trouble"),
    ("SEV-SNP: RMPUPDATE failed for PFN 1, ret: 2", "trouble"),
    ("SNP PLATFORM_STATUS command failed, ret = -5, error = 0x1", "trouble"),
    ("kvm_amd: SEV-SNP unusable (ASIDs 1 - 0)", "kvm_asids"),
    ("vfio-pci 0000:41:00.0: Unable to change power state from D3cold to D0", "d3cold"),
    ("AMD-Vi: Unknown option - 'on'", "harmless"),
    ("SEV-SNP: Reserving start of RMP table on a 2MB boundary [0x1000]", "harmless"),
    (f"{PSP}: SEV firmware updated from 1.55.8 to 1.55.21", "sev_fw_updated"),
    (f"{PSP}: SEV firmware update successful", "sev_fw_updated"),
    ("qemu: IOMMU_IOAS_MAP failed: Bad address, PCI BAR?", "harmless"),
    ("ccp 0000:a3:00.5: no command queues available", "harmless_second_socket"),
    ("ccp 0000:a3:00.5: psp does not support SEV", "harmless_second_socket"),
]


@pytest.mark.parametrize(("line", "kind"), KNOWN)
def test_a_line_says(line: str, kind: str) -> None:
    assert kind in {event.kind for event in _log(line).events}


def test_every_known_wording_is_tried_above() -> None:
    tried = {each for line, _ in KNOWN for each in wordings() if re.search(each.pattern, line)}

    assert set(wordings()) - tried == set()


def test_a_line_about_a_device_names_it() -> None:
    line = next(line for line, kind in KNOWN if kind == "d3cold")

    assert _log(line).of("d3cold")[0].fields["bdf"] == "0000:41:00.0"


@pytest.mark.parametrize(
    "raw",
    [
        "6,123,4567890,-;the text",
        "[    1.234567] the text",
        "the text",
        "Nov 20 09:30:00 host kernel: the text",
        "2026-11-20T09:30:00+00:00 host kernel: [    1.234567] the text",
    ],
)
def test_every_prefix_comes_off(raw: str) -> None:
    assert klog.clean(raw) == "the text"


def test_a_line_has_a_bound() -> None:
    assert len(klog.clean("SEV " * 100_000)) <= 1024


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    (tmp_path / "var/log").mkdir(parents=True)
    with closing(Root(str(tmp_path))) as opened:
        yield opened


def _kept(root: Root, *lines: str) -> Seen[list[str]]:
    path = Path(root.folder) / "var/log/kern.log"
    path.write_text("".join(f"{PREFIX}{line}\n" for line in lines))
    found = klog.files(root, UNAME)
    return list(found[1]) if isinstance(found, tuple) else found


def test_of_a_log_file_the_running_boot_is_read(root: Root) -> None:
    assert _kept(root, OTHER, "old", THIS, "new") == [THIS, "new", ""]


def test_another_boots_log_file_is_none(root: Root) -> None:
    assert _kept(root, THIS, "this one", OTHER, "another") is None
    assert _kept(root, "no banner at all") is None


def test_only_the_end_of_a_long_file_is_looked_at(root: Root) -> None:
    filler = ["x" * 200] * 50_000

    assert _kept(root, OTHER, *filler, THIS, "new") == [THIS, "new", ""]


class _Lines:
    """Probes that have a log and nothing else."""

    def __init__(self, *lines: str) -> None:
        self._lines = lines

    def log_lines(self) -> Seen[tuple[str, Iterator[str]]]:
        return "test", iter(self._lines)


def _log(*lines: str) -> KernelLog:
    found = read(_Lines(*lines))  # type: ignore[arg-type]
    assert isinstance(found, KernelLog)
    return found


def test_a_flood_of_page_faults_hides_nothing() -> None:
    fault = "AMD-Vi: Event logged [IO_PAGE_FAULT device=0000:41:00.0]"
    wedge = "vfio-pci 0000:41:00.0: Unable to change power state from D3cold to D0"
    mapping = "IOMMU_IOAS_MAP failed: Bad address, PCI BAR?"

    log = _log(THIS, *[fault, wedge, mapping] * 20_000, f"{PSP}: SEV-SNP API:1.55 build:40")

    assert log.whole
    assert log.first("snp_api")


def test_a_log_that_begins_later_is_not_whole() -> None:
    assert not _log("AMD-Vi: late", THIS).whole


def test_a_failure_before_the_last_init_is_history() -> None:
    failed = "ccp 0000:01:00.5: SEV-SNP: SNP_INIT_EX failed rc -5, error 0x3"
    api = "ccp 0000:01:00.5: SEV-SNP API:1.55 build:40"

    assert not _log(THIS, failed, api).since_init("snp_init_failed")
    assert _log(THIS, api, failed).since_init("snp_init_failed")
