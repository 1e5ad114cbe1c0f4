"""Codes are promises: none is renamed, each has a remedy, and each can be produced."""

from pathlib import Path

from nodeagent.checks.remedies import REMEDIES
from nodeagent.model.codes import Code
from nodeagent.model.words import Restart, Who

# What has left the process once. A row here is never changed, only added.
FROZEN = {
    "RUNNING_IN_VM": "hardware",
    "NOT_AMD": "hardware",
    "CPU_TOO_OLD": "hardware",
    "CPU_INCONSISTENT": "bios",
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
    "LOCKDOWN": "kernel",
    "NO_ACCESS": "host",
}


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

    assert [code.value for code in Code if f"Code.{code.value}" not in sources] == []
