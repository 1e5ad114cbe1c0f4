"""Codes are promises: none is renamed, each has a remedy, and each can be produced."""

from collections.abc import Iterator
from pathlib import Path

from nodeagent.checks.judge import judge
from nodeagent.checks.remedies import REMEDIES
from nodeagent.model.codes import Code
from nodeagent.model.facts import Facts
from nodeagent.model.words import CcMode, Profile, Restart, Who
from tests.hosts.expected import TABLE
from tests.unit.looks import REQUIRED, SHIPPED, facts_of, inspected

# What has left the process once. A row here is never changed, only added.
FROZEN = {
    "RUNNING_IN_VM": "hardware",
    "NOT_AMD": "hardware",
    "CPU_TOO_OLD": "hardware",
    "CPU_INCONSISTENT": "bios",
    "CPU_NOT_EPYC": "hardware",
    "BIOS_SMEE_OFF": "bios",
    "BIOS_SMM_UNLOCKED": "bios",
    "BIOS_SNP_INCOMPLETE": "bios",
    "BIOS_SNP_HIDDEN": "bios",
    "BIOS_RMP_NOT_RESERVED": "bios",
    "BIOS_RMP_INVALID": "bios",
    "BIOS_RMP_TOO_SMALL": "bios",
    "BIOS_RMP_SEGMENT_BAD": "bios",
    "BIOS_IOMMU_SNP_OFF": "bios",
    "BIOS_IOMMU_OFF": "bios",
    "BIOS_NO_ES_ASIDS": "bios",
    "BIOS_SVM_OFF": "bios",
    "IOMMU_PASSTHROUGH_OR_OFF": "kernel",
    "IOMMU_OPTION": "kernel",
    "IOMMU_KERNEL_DEFAULT": "kernel",
    "KERNEL_CONFIG": "kernel",
    "IOMMU_V2_PGTABLE": "kernel",
    "RMP_INIT_FAILED": "kernel",
    "KVM_AMD_NOT_LOADED": "host",
    "KERNEL_NO_SNP_HOST": "kernel",
    "KVM_PARAM_DISABLED": "host",
    "KVM_DEVICE_MISSING": "host",
    "KERNEL_SNP_NOT_ENABLED": "kernel",
    "KVM_SNP_DISABLED_AFTER_INIT": "kernel",
    "PSP_DEAD": "firmware",
    "SEV_ES_UNAVAILABLE": "kernel",
    "SNP_LOG_TROUBLE": "host",
    "SNP_INIT_INVALID_CONFIG": "bios",
    "SNP_INIT_FAILED": "firmware",
    "SNP_INIT_WBINVD": "kernel",
    "SEV_FW_TOO_OLD": "firmware",
    "SNP_STATE_LOST": "host",
    "SNP_OFF_FIRMWARE_SIDE": "bios",
    "SNP_OFF_KERNEL_SIDE": "kernel",
    "SNP_UNPROVEN": "host",
    "CPUS_OFFLINE": "kernel",
    "LEGACY_BOOT": "bios",
    "NO_GPU": "hardware",
    "IOMMU_GROUP_MISSING": "bios",
    "IOMMU_GROUP_SHARED": "bios",
    "GPU_NOT_VFIO": "host",
    "HOST_DRIVER_LOADED": "host",
    "BAR_UNASSIGNED": "bios",
    "VFIO_MISSING": "host",
    "GPU_MODE_OFF": "gpu",
    "GPU_MODE_MIXED": "gpu",
    "GPU_MODE_DEVTOOLS": "gpu",
    "GPU_MODE_INVALID": "gpu",
    "GPU_MODE_UNWANTED": "gpu",
    "WANTED_MODE_NEVER_READY": "cluster",
    "SWITCH_MODE_MISMATCH": "gpu",
    "GPU_NOT_CAPABLE": "hardware",
    "GPU_NOT_KNOWN": "host",
    "GPU_ASLEEP": "host",
    "GPU_IN_USE": "gpu",
    "GPU_GONE": "gpu",
    "GPU_BOOT_INCOMPLETE": "gpu",
    "GPU_RECOVERY": "firmware",
    "GPU_SECURITY_FAULT": "gpu",
    "OPTION_HAZARD": "kernel",
    "OPTION_IGNORED": "kernel",
    "KERNEL_OLD_FOR_CPU": "kernel",
    "KERNEL_OLD_FOR_GPU": "kernel",
    "ASIDS_EXHAUSTED": "host",
    "ASIDS_LOW": "host",
    "REBOOT_PENDING": "host",
    "TCB_BELOW_FLOOR": "firmware",
    "TCB_REPORTED_LAGS": "firmware",
    "TCB_DECODE_SUSPECT": "host",
    "TCB_NOT_KNOWN": "host",
    "SEV_FW_BELOW_FLOOR": "firmware",
    "MICROCODE_TOO_OLD": "bios",
    "MICROCODE_DIFFERS": "bios",
    "ALIAS_CHECK_MISSING": "firmware",
    "PART_NOT_FUSED": "hardware",
    "DEBUG_NOT_LOCKED": "hardware",
    "CHIP_ID_MASKED": "firmware",
    "CHIP_KEY_MASKED": "firmware",
    "BIOS_TOO_OLD": "bios",
    "GPU_FW_TOO_OLD": "gpu",
    "BAR_WINDOW_TOO_SMALL": "bios",
    "ACS_MISSING": "bios",
    "IOMMUFD_MISSING": "host",
    "D3COLD_HAZARD": "host",
    "LINK_DEGRADED": "hardware",
    "GPU_C2C": "hardware",
    "GPU_VIRTUAL": "hardware",
    "KUBELET_NOT_PREPARED": "host",
    "KUBELET_TOO_OLD": "cluster",
    "RUNTIME_NOT_PREPARED": "host",
    "RUNTIME_TOO_OLD": "host",
    "KATA_MISSING": "cluster",
    "KATA_TOO_OLD": "cluster",
    "QEMU_TOO_OLD": "cluster",
    "CDI_MISSING": "cluster",
    "CDI_STALE": "cluster",
    "LIMITS_TOO_LOW": "host",
    "LOCKDOWN": "kernel",
    "NO_ACCESS": "host",
}

# Named, and given to somebody, but not yet said by any check.
TO_COME: set[str] = set()


def test_no_code_is_renamed_or_given_to_somebody_else() -> None:
    assert {code.value: REMEDIES[code].who.value for code in Code} == FROZEN


def test_every_remedy_says_something_to_do() -> None:
    for code in Code:
        remedy = REMEDIES[code]
        assert remedy.do
        assert remedy.who in Who
        assert remedy.restart in Restart


def test_a_code_in_camel_case_is_a_condition_reason() -> None:
    assert Code.BIOS_RMP_TOO_SMALL.camel == "BiosRmpTooSmall"
    assert all(code.camel.isalnum() for code in Code)


def test_every_code_is_used_by_some_check() -> None:
    package = Path(__file__).parents[2] / "nodeagent"
    sources = "".join(
        path.read_text()
        for path in package.rglob("*.py")
        if path.name not in {"remedies.py", "codes.py"}
    )

    unused = {code.value for code in Code if f"Code.{code.value}" not in sources}
    assert unused == TO_COME


ASKED = (
    (Profile.SNP_GPU, None, REQUIRED._replace(guest_bytes=1 << 40)),
    (Profile.SNP_GPU, CcMode.PPCIE, SHIPPED),
    (Profile.GPU, None, SHIPPED),
    (Profile.GPU, CcMode.OFF, SHIPPED),
)
"""What is asked of each host. Profile snp says nothing that snp-gpu would not say too."""


def _said(facts: Facts) -> Iterator[str]:
    for profile, want, policy in ASKED:
        for each in judge(facts, profile=profile, want=want, policy=policy).findings:
            yield from (code.value for code in (each.code, each.outcome.cause) if code)


def test_every_code_is_said_of_some_host(hosts: Path) -> None:
    """Or of what an unprivileged pod sees of it; a code that none says is a promise unkept."""
    said: set[str] = set()
    for each in TABLE:
        said.update(_said(facts_of(hosts / each.name)), _said(inspected(each.name)))

    assert {code.value for code in Code} - said == TO_COME
