"""Every reason code. A code is a promise: what one means never changes."""

from enum import StrEnum, auto


class Code(StrEnum):
    """Stable reasons. The value is the name as it stands in reports and scripts."""

    @staticmethod
    def _generate_next_value_(name: str, *_: object) -> str:
        return name

    @property
    def camel(self) -> str:
        """As a Kubernetes condition's reason wants it: one CamelCase word."""
        return "".join(part.capitalize() for part in self.value.split("_"))

    # The silicon.
    RUNNING_IN_VM = auto()
    NOT_AMD = auto()
    CPU_TOO_OLD = auto()
    CPU_INCONSISTENT = auto()
    CPU_NOT_EPYC = auto()

    # The BIOS.
    BIOS_SMEE_OFF = auto()
    BIOS_SMM_UNLOCKED = auto()
    BIOS_SNP_INCOMPLETE = auto()
    BIOS_SNP_HIDDEN = auto()
    BIOS_RMP_NOT_RESERVED = auto()
    BIOS_RMP_INVALID = auto()
    BIOS_RMP_TOO_SMALL = auto()
    BIOS_RMP_SEGMENT_BAD = auto()
    BIOS_IOMMU_SNP_OFF = auto()
    BIOS_IOMMU_OFF = auto()
    BIOS_NO_ES_ASIDS = auto()
    BIOS_SVM_OFF = auto()

    # The kernel and its options.
    IOMMU_PASSTHROUGH_OR_OFF = auto()
    IOMMU_V2_PGTABLE = auto()
    RMP_INIT_FAILED = auto()
    KVM_AMD_NOT_LOADED = auto()
    KERNEL_NO_SNP_HOST = auto()
    KVM_PARAM_DISABLED = auto()
    KVM_DEVICE_MISSING = auto()
    KERNEL_SNP_NOT_ENABLED = auto()
    KVM_SNP_DISABLED_AFTER_INIT = auto()

    # The PSP and its firmware.
    PSP_DEAD = auto()
    SEV_ES_UNAVAILABLE = auto()
    SNP_INIT_INVALID_CONFIG = auto()
    SNP_INIT_FAILED = auto()
    SNP_INIT_WBINVD = auto()
    SEV_FW_TOO_OLD = auto()
    SNP_STATE_LOST = auto()

    # Off for certain, but the row cannot be told from here.
    SNP_OFF_FIRMWARE_SIDE = auto()
    SNP_OFF_KERNEL_SIDE = auto()
    SNP_UNPROVEN = auto()

    # Causes of IOMMU_PASSTHROUGH_OR_OFF, beside BIOS_IOMMU_OFF.
    IOMMU_OPTION = auto()
    IOMMU_KERNEL_DEFAULT = auto()

    # Causes of SNP_INIT_INVALID_CONFIG, and hazards of their own.
    CPUS_OFFLINE = auto()
    LEGACY_BOOT = auto()

    # A cause of SNP_INIT_FAILED.
    PSP_BOOT_LOADER_OLD = auto()

    # A cause of what a kernel lacks: it was built without an option.
    KERNEL_CONFIG = auto()

    # What the kernel log warns of while SNP runs.
    SNP_LOG_TROUBLE = auto()

    # Hazards: they work today, and bite later.
    OPTION_HAZARD = auto()
    OPTION_IGNORED = auto()
    KERNEL_OLD_FOR_CPU = auto()
    KERNEL_OLD_FOR_GPU = auto()
    ASIDS_EXHAUSTED = auto()
    ASIDS_LOW = auto()
    REBOOT_PENDING = auto()
    SEV_FW_PENDING = auto()

    # Firmware against its floors.
    TCB_BELOW_FLOOR = auto()
    TCB_REPORTED_LAGS = auto()
    TCB_DECODE_SUSPECT = auto()
    TCB_NOT_KNOWN = auto()
    NO_FLOOR_KNOWN = auto()
    SEV_FW_BELOW_FLOOR = auto()
    MICROCODE_TOO_OLD = auto()
    MICROCODE_DIFFERS = auto()
    ALIAS_CHECK_MISSING = auto()
    PART_NOT_FUSED = auto()
    DEBUG_NOT_LOCKED = auto()
    CHIP_ID_MASKED = auto()
    CHIP_KEY_MASKED = auto()
    BIOS_TOO_OLD = auto()
    GPU_FW_TOO_OLD = auto()

    # Passing a GPU through.
    NO_GPU = auto()
    IOMMU_GROUP_MISSING = auto()
    IOMMU_GROUP_SHARED = auto()
    GPU_NOT_VFIO = auto()
    HOST_DRIVER_LOADED = auto()
    BAR_UNASSIGNED = auto()
    BAR_WINDOW_TOO_SMALL = auto()
    ACS_MISSING = auto()
    VFIO_MISSING = auto()
    IOMMUFD_MISSING = auto()
    D3COLD_HAZARD = auto()
    LINK_DEGRADED = auto()

    # The GPU itself.
    GPU_MODE_OFF = auto()
    GPU_MODE_MIXED = auto()
    GPU_MODE_DEVTOOLS = auto()
    GPU_MODE_INVALID = auto()
    GPU_MODE_UNWANTED = auto()
    WANTED_MODE_NEVER_READY = auto()
    SWITCH_MODE_MISMATCH = auto()
    GPU_NOT_CAPABLE = auto()
    GPU_NOT_KNOWN = auto()
    GPU_C2C = auto()
    GPU_VIRTUAL = auto()
    GPU_MODE_PENDING = auto()
    GPU_REBOOT_TO_ATTEST = auto()
    GPU_ASLEEP = auto()
    GPU_IN_USE = auto()
    GPU_GONE = auto()
    GPU_BOOT_INCOMPLETE = auto()
    GPU_RECOVERY = auto()
    GPU_SECURITY_FAULT = auto()

    # What starts a confidential GPU pod on this node.
    KUBELET_NOT_PREPARED = auto()
    KUBELET_TOO_OLD = auto()
    RUNTIME_NOT_PREPARED = auto()
    RUNTIME_TOO_OLD = auto()
    KATA_MISSING = auto()
    KATA_TOO_OLD = auto()
    QEMU_TOO_OLD = auto()
    CDI_MISSING = auto()
    CDI_STALE = auto()
    LIMITS_TOO_LOW = auto()

    # What the cluster says of this node.
    HANDLER_MISSING = auto()
    OVERHEAD_NOT_OFFERED = auto()
    LABEL_UNWRITTEN = auto()
    OPERAND_LEFT_PAUSED = auto()

    # The site's probe pod.
    PROBE_PENDING = auto()
    PROBE_FAILED = auto()
    PROBE_LATE = auto()

    # Looking.
    LOCKDOWN = auto()
    NO_ACCESS = auto()
