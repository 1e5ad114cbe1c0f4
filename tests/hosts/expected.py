"""What nodeagent must say about each host under the profile snp-gpu: one row a host.

Judged from the specs alone, never from what the code answers. Exit codes: 0 ready, 1 not ready,
4 cannot tell. `root` is the one code that the report leads with.
"""

import re
from dataclasses import dataclass

# §8.2: a Genoa that starts SNP guests, and whose firmware is below the floor of SB-3020.
READY = "capable=pass enabled=pass passthrough=pass gpu=pass compliant=fail runtime=skip"
COMPLIANT = READY.replace("compliant=fail", "compliant=pass")
# Where SNP is not up, asking the PSP for its TCB is not safe (§0.3).
UNASKED = READY.replace("compliant=fail", "compliant=unknown")
NO_SNP = UNASKED.replace("enabled=pass", "enabled=fail")
NO_SNP_ASKED = READY.replace("enabled=pass", "enabled=fail")
SNP_UNKNOWN = UNASKED.replace("enabled=pass", "enabled=unknown")
NO_IOMMU = NO_SNP.replace("passthrough=pass", "passthrough=fail")
NO_WAY_IN = READY.replace("passthrough=pass", "passthrough=fail")
GPU_FAILS = READY.replace("gpu=pass", "gpu=fail")
RUNS = READY.replace("runtime=skip", "runtime=pass")
NO_PODS = READY.replace("runtime=skip", "runtime=fail")
PODS_UNKNOWN = READY.replace("runtime=skip", "runtime=unknown")
GPU_UNKNOWN = READY.replace("gpu=pass", "gpu=unknown")
TURIN_GPU_FAILS = COMPLIANT.replace("gpu=pass", "gpu=fail")
TURIN_GPU_UNKNOWN = COMPLIANT.replace("gpu=pass", "gpu=unknown")
INCAPABLE = "capable=fail enabled=skip passthrough=skip gpu=skip compliant=skip runtime=skip"


_PROVEN = re.compile("compliant=(pass|fail)")


@dataclass(frozen=True, slots=True)
class View:
    exit: int
    root: str | None
    levels: str


@dataclass(frozen=True, slots=True)
class Expect:
    """`inspector` is what an unprivileged pod must say where that is something else.

    `warns` are all the codes that root is warned of.
    """

    name: str
    exit: int
    root: str | None
    levels: str
    cause: str | None = None
    inspector: View | None = None
    warns: tuple[str, ...] = ()

    def unprivileged(self) -> View:
        """Without the PSP what little it sees of firmware proves nothing good (§8.3 #17)."""
        unproven = _PROVEN.sub("compliant=unknown", self.levels)
        return self.inspector or View(self.exit, self.root, unproven)


# Without MSRs, log and PSP a fault in `enabled` is placed by the cpuinfo flag alone, or not seen.
SEES_READY = View(0, None, UNASKED)
# Microcode, fuses and the BIOS version are shown to everybody, and one of them is bad.
SEES_OLD = View(0, None, READY)
FIRMWARE_SIDE = View(1, "SNP_OFF_FIRMWARE_SIDE", NO_SNP)
KERNEL_SIDE = View(1, "SNP_OFF_KERNEL_SIDE", NO_SNP)
CANNOT_TELL = View(4, "SNP_UNPROVEN", SNP_UNKNOWN)
OLD_KATA = View(1, "KATA_TOO_OLD", NO_PODS)
# Who holds a GPU is not shown to it; of a held one the capture has no registers.
CANNOT_SEE_GPU = View(4, "NO_ACCESS", UNASKED.replace("gpu=pass", "gpu=unknown"))

TABLE: tuple[Expect, ...] = (
    Expect("genoa-ready", 0, None, READY),
    Expect(
        "genoa-ready-6.11", 0, None, READY, inspector=CANNOT_TELL, warns=("KERNEL_OLD_FOR_GPU",)
    ),
    Expect("genoa-ready-6.18", 0, None, READY),
    Expect("genoa-ready-7.1", 0, None, READY),
    Expect("genoa-ready-7.2", 0, None, READY),
    Expect("genoa-ready-6.16", 0, None, READY, warns=("KERNEL_OLD_FOR_GPU",)),
    Expect("genoa-ready-6.19", 0, None, READY),
    Expect("genoa-ready-7.3", 0, None, READY),
    Expect("genoa-rhel-9", 0, None, READY, inspector=CANNOT_TELL, warns=("KERNEL_OLD_FOR_GPU",)),
    Expect("genoa-talos", 0, None, READY),
    Expect("genoa-log-overwritten", 0, None, READY),
    # Before 6.16 nobody may ask the PSP without the whole log (§0.3), and `Y` alone may lie.
    Expect(
        "genoa-log-overwritten-6.11", 4, "SNP_UNPROVEN", SNP_UNKNOWN, warns=("KERNEL_OLD_FOR_GPU",)
    ),
    Expect("bergamo-ready", 0, None, READY),
    Expect("siena-ready", 0, None, READY),
    Expect("milan-dell-r7525", 0, None, COMPLIANT, warns=("TCB_BELOW_FLOOR",)),
    Expect("turin-ready", 0, None, COMPLIANT),
    Expect(
        "turin-ready-6.12",
        0,
        None,
        COMPLIANT,
        inspector=CANNOT_TELL,
        warns=("KERNEL_OLD_FOR_CPU", "KERNEL_OLD_FOR_GPU"),
    ),
    Expect("turin-dense-ready", 0, None, COMPLIANT),
    Expect("genoa-rmp-looks-small", 0, None, READY, warns=("BIOS_RMP_TOO_SMALL",)),
    Expect(
        "genoa-rmp-looks-small-6.11",
        0,
        None,
        READY,
        inspector=CANNOT_TELL,
        warns=("BIOS_RMP_TOO_SMALL", "KERNEL_OLD_FOR_GPU"),
    ),
    # Nobody says what firmware these should have: that is no reason to trust what they have.
    Expect("turin-other-stepping", 0, None, UNASKED),
    Expect("venice", 0, None, UNASKED),
    Expect("genoa-no-privileges", 0, None, UNASKED),
    Expect(
        "genoa-no-privileges-6.11", 4, "SNP_UNPROVEN", SNP_UNKNOWN, warns=("KERNEL_OLD_FOR_GPU",)
    ),
    # Kubernetes nodes.
    Expect("genoa-kubelet-ready", 0, None, RUNS),
    Expect("genoa-kubelet-drop-in", 0, None, RUNS),
    Expect("genoa-kubelet-stopped", 0, None, RUNS),
    Expect("genoa-kubelet-unprepared", 1, "KUBELET_NOT_PREPARED", NO_PODS),
    Expect("genoa-kubelet-drop-in-overrides", 1, "KUBELET_NOT_PREPARED", NO_PODS),
    Expect("genoa-kubelet-flag-overrides", 1, "KUBELET_NOT_PREPARED", NO_PODS),
    Expect("genoa-kubelet-1.33", 1, "KUBELET_NOT_PREPARED", NO_PODS),
    Expect("genoa-kubelet-1.31", 1, "KUBELET_TOO_OLD", NO_PODS),
    Expect("genoa-containerd-2.1", 0, None, RUNS, warns=("RUNTIME_TOO_OLD",)),
    Expect("genoa-handler-missing", 1, "RUNTIME_NOT_PREPARED", NO_PODS),
    Expect("genoa-handler-nowhere", 1, "RUNTIME_NOT_PREPARED", NO_PODS),
    Expect("genoa-snapshotter-missing", 1, "RUNTIME_NOT_PREPARED", NO_PODS),
    Expect("genoa-kata-missing", 1, "KATA_MISSING", NO_PODS),
    Expect("genoa-kata-no-shim", 1, "KATA_MISSING", NO_PODS),
    # Its published hole stands in a file, which a pod sees as well.
    Expect("genoa-kata-3.28", 1, "KATA_TOO_OLD", NO_PODS, inspector=OLD_KATA),
    Expect("genoa-hgx-kata-4.0", 1, "KATA_TOO_OLD", NO_PODS, inspector=OLD_KATA),
    Expect("genoa-hgx-kubelet", 0, None, RUNS),
    Expect("genoa-qemu-9.1", 1, "QEMU_TOO_OLD", NO_PODS),
    Expect("genoa-qemu-packaged", 1, "QEMU_TOO_OLD", NO_PODS),
    Expect("genoa-qemu-beside", 0, None, RUNS),
    Expect("genoa-cdi-missing", 1, "CDI_MISSING", NO_PODS),
    Expect("genoa-cdi-stale", 1, "CDI_STALE", NO_PODS),
    Expect("genoa-cdi-group", 0, None, RUNS),
    Expect("genoa-inotify-low", 0, None, RUNS, warns=("LIMITS_TOO_LOW",)),
    Expect("genoa-k3s", 0, None, RUNS),
    Expect("genoa-k3s-unprepared", 1, "KUBELET_NOT_PREPARED", NO_PODS),
    Expect("genoa-k3s-config", 0, None, RUNS),
    Expect("genoa-k3s-replaced", 1, "KUBELET_NOT_PREPARED", NO_PODS),
    Expect("genoa-k3s-unit", 0, None, RUNS),
    Expect("genoa-k3s-flag-overrides", 1, "KUBELET_NOT_PREPARED", NO_PODS),
    # Without a unit nobody can tell which flags it was started with.
    Expect("genoa-k3s-no-unit", 4, "NO_ACCESS", PODS_UNKNOWN),
    Expect("genoa-crio", 0, None, RUNS),
    Expect("genoa-crio-no-handler", 1, "RUNTIME_NOT_PREPARED", NO_PODS),
    # What a kernel numbered 5.14 offers is not believed of its parameter alone.
    Expect(
        "genoa-rhel-kubelet",
        0,
        None,
        RUNS,
        inspector=View(4, "SNP_UNPROVEN", SNP_UNKNOWN.replace("runtime=skip", "runtime=pass")),
        warns=("KERNEL_OLD_FOR_GPU",),
    ),
    Expect("genoa-rke2", 0, None, RUNS),
    Expect("genoa-rke2-stopped", 0, None, RUNS),
    # Not capable, so nothing else is blamed.
    Expect("dev-machine", 1, "RUNNING_IN_VM", INCAPABLE),
    Expect("genoa-in-vm", 1, "RUNNING_IN_VM", INCAPABLE),
    Expect("cloud-vm", 1, "RUNNING_IN_VM", INCAPABLE),
    Expect("cloud-vm-confidential", 1, "RUNNING_IN_VM", INCAPABLE),
    Expect("intel", 1, "NOT_AMD", INCAPABLE),
    Expect("intel-tdx", 1, "NOT_AMD", INCAPABLE),
    Expect("gh200", 1, "NOT_AMD", INCAPABLE),
    Expect("rome", 1, "CPU_TOO_OLD", INCAPABLE),
    # Not enabled, and the BIOS is to change.
    Expect("genoa-odd-cpu", 1, "CPU_INCONSISTENT", NO_SNP_ASKED, inspector=SEES_READY),
    Expect("genoa-smee-off", 1, "BIOS_SMEE_OFF", NO_SNP),
    Expect(
        "genoa-smm-unlocked",
        1,
        "BIOS_SMM_UNLOCKED",
        NO_SNP,
        # HWCR is hidden, and a missing `sev` flag is SMEE unless HWCR says otherwise (row 4).
        inspector=View(1, "BIOS_SMEE_OFF", NO_SNP),
    ),
    Expect("genoa-bios-incomplete", 1, "BIOS_SNP_INCOMPLETE", NO_SNP, inspector=KERNEL_SIDE),
    Expect("genoa-snp-hidden", 1, "BIOS_SNP_HIDDEN", NO_SNP, inspector=FIRMWARE_SIDE),
    Expect("milan-dell-r6515-rmp", 1, "BIOS_RMP_NOT_RESERVED", NO_SNP, inspector=FIRMWARE_SIDE),
    Expect("milan-dell-r7525-asids", 1, "BIOS_NO_ES_ASIDS", NO_SNP),
    # Its BIOS is older than what that board got against SB-3019, and everybody may read that.
    Expect(
        "milan-h12ssw-rmp",
        1,
        "BIOS_RMP_NOT_RESERVED",
        NO_SNP_ASKED,
        inspector=View(1, "SNP_OFF_FIRMWARE_SIDE", NO_SNP_ASKED),
    ),
    Expect("milan-hpe-dl325-hidden", 1, "BIOS_SNP_HIDDEN", NO_SNP, inspector=FIRMWARE_SIDE),
    Expect("genoa-lenovo-smee-off", 1, "BIOS_SMEE_OFF", NO_SNP),
    Expect("genoa-asus-iommu-snp-off", 1, "BIOS_IOMMU_SNP_OFF", NO_SNP, inspector=KERNEL_SIDE),
    # Family and model are Genoa's, so row 6 is what the table has; a warning names the doubt.
    Expect(
        "threadripper",
        1,
        "BIOS_SNP_HIDDEN",
        NO_SNP,
        inspector=FIRMWARE_SIDE,
        warns=("CPU_NOT_EPYC",),
    ),
    Expect("genoa-rmp-not-reserved", 1, "BIOS_RMP_NOT_RESERVED", NO_SNP, inspector=FIRMWARE_SIDE),
    Expect("genoa-rmp-invalid", 1, "BIOS_RMP_INVALID", NO_SNP, inspector=FIRMWARE_SIDE),
    Expect("genoa-rmp-too-small", 1, "BIOS_RMP_TOO_SMALL", NO_SNP, inspector=KERNEL_SIDE),
    Expect("turin-rmp-too-small", 1, "BIOS_RMP_TOO_SMALL", NO_SNP, inspector=KERNEL_SIDE),
    Expect("genoa-talos-rmp", 1, "BIOS_RMP_NOT_RESERVED", NO_SNP, inspector=FIRMWARE_SIDE),
    Expect(
        "genoa-svm-off",
        1,
        "BIOS_SVM_OFF",
        NO_SNP,
        # That the BIOS did it is in the log alone.
        inspector=View(1, "KVM_AMD_NOT_LOADED", NO_SNP),
    ),
    Expect("turin-rmp-segment-bad", 1, "BIOS_RMP_SEGMENT_BAD", NO_SNP, inspector=FIRMWARE_SIDE),
    Expect(
        "genoa-iommu-off",
        1,
        "BIOS_IOMMU_OFF",
        NO_IOMMU,
        # Row 14 needs a log without AMD-Vi; empty groups alone may have another reason.
        inspector=View(1, "SNP_OFF_KERNEL_SIDE", NO_IOMMU),
    ),
    Expect("genoa-iommu-snp-off", 1, "BIOS_IOMMU_SNP_OFF", NO_SNP, inspector=KERNEL_SIDE),
    Expect("genoa-no-es-asids", 1, "BIOS_NO_ES_ASIDS", NO_SNP),
    # Not enabled, kernel side; its command line and modprobe.d can be read without privilege.
    Expect(
        "genoa-iommu-pt",
        1,
        "IOMMU_PASSTHROUGH_OR_OFF",
        NO_SNP,
        cause="IOMMU_OPTION",
        warns=("IOMMU_PASSTHROUGH_OR_OFF",),
    ),
    Expect(
        "genoa-iommu-built-passthrough",
        1,
        "IOMMU_PASSTHROUGH_OR_OFF",
        NO_SNP,
        cause="IOMMU_KERNEL_DEFAULT",
        inspector=KERNEL_SIDE,
        warns=("IOMMU_PASSTHROUGH_OR_OFF",),
    ),
    Expect("genoa-iommu-v2", 1, "IOMMU_V2_PGTABLE", NO_SNP),
    Expect("genoa-rmp-init-failed", 1, "RMP_INIT_FAILED", NO_SNP, inspector=KERNEL_SIDE),
    Expect("genoa-kvm-amd-missing", 1, "KVM_AMD_NOT_LOADED", NO_SNP),
    Expect("genoa-kvm-amd-missing-7.1", 1, "KVM_AMD_NOT_LOADED", NO_SNP),
    Expect("genoa-kernel-6.8", 1, "KERNEL_NO_SNP_HOST", NO_SNP, warns=("KERNEL_OLD_FOR_GPU",)),
    Expect("genoa-module-option", 1, "KVM_PARAM_DISABLED", NO_SNP),
    Expect("genoa-kernel-silent", 1, "KERNEL_SNP_NOT_ENABLED", NO_SNP, inspector=KERNEL_SIDE),
    # Not enabled, and the PSP or its firmware refuses.
    Expect("genoa-psp-timed-out", 1, "PSP_DEAD", NO_SNP, inspector=KERNEL_SIDE),
    Expect("genoa-psp-silent", 1, "PSP_DEAD", NO_SNP, inspector=SEES_READY),
    Expect(
        "genoa-nosmt",
        1,
        "SNP_INIT_INVALID_CONFIG",
        NO_SNP,
        cause="CPUS_OFFLINE",
        inspector=KERNEL_SIDE,
        warns=("CPUS_OFFLINE",),
    ),
    Expect(
        "genoa-nosmt-6.11",
        1,
        "SNP_INIT_INVALID_CONFIG",
        NO_SNP,
        cause="CPUS_OFFLINE",
        inspector=CANNOT_TELL,
        warns=("CPUS_OFFLINE", "KERNEL_OLD_FOR_GPU"),
    ),
    Expect(
        "genoa-nosmt-7.2",
        1,
        "SNP_INIT_INVALID_CONFIG",
        NO_SNP,
        cause="CPUS_OFFLINE",
        inspector=KERNEL_SIDE,
        warns=("CPUS_OFFLINE",),
    ),
    Expect(
        "genoa-legacy-boot",
        1,
        "SNP_INIT_INVALID_CONFIG",
        NO_SNP,
        cause="LEGACY_BOOT",
        inspector=KERNEL_SIDE,
    ),
    Expect("genoa-sev-init-failed", 1, "SNP_INIT_FAILED", NO_SNP, inspector=KERNEL_SIDE),
    Expect(
        "milan-boot-loader-old",
        1,
        "SNP_INIT_FAILED",
        NO_SNP,
        cause="PSP_BOOT_LOADER_OLD",
        inspector=KERNEL_SIDE,
    ),
    Expect("genoa-wbinvd", 1, "SNP_INIT_WBINVD", NO_SNP, inspector=KERNEL_SIDE),
    Expect("genoa-rmp-init-refused", 1, "SNP_INIT_FAILED", NO_SNP, inspector=KERNEL_SIDE),
    Expect("genoa-firmware-1.49", 1, "SEV_FW_TOO_OLD", NO_SNP_ASKED, inspector=KERNEL_SIDE),
    Expect(
        "genoa-firmware-1.49-6.11",
        1,
        "SEV_FW_TOO_OLD",
        NO_SNP_ASKED,
        inspector=CANNOT_TELL,
        warns=("KERNEL_OLD_FOR_GPU",),
    ),
    Expect(
        "genoa-kvm-snp-disabled",
        1,
        "KVM_SNP_DISABLED_AFTER_INIT",
        NO_SNP,
        inspector=KERNEL_SIDE,
    ),
    # To a pod SNP that was shut down after KVM took it looks as if it were on.
    Expect("genoa-psp-not-initialised", 1, "SNP_STATE_LOST", NO_SNP, inspector=SEES_READY),
    Expect("genoa-no-kvm-device", 1, "KVM_DEVICE_MISSING", NO_SNP_ASKED),
    Expect("genoa-no-tmr", 1, "SEV_ES_UNAVAILABLE", NO_SNP_ASKED, inspector=SEES_READY),
    Expect("genoa-cured-by-reload", 0, None, READY),
    # It bites where the PSP is initialised again.
    Expect("genoa-cpu-offlined", 0, None, READY, warns=("CPUS_OFFLINE",)),
    Expect("genoa-leaking-pages", 0, None, READY, warns=("SNP_LOG_TROUBLE",)),
    Expect("genoa-state-lost", 1, "SNP_STATE_LOST", NO_SNP_ASKED, inspector=SEES_READY),
    # A GPU could not be handed over.
    Expect("genoa-gpu-on-nvidia", 1, "GPU_NOT_VFIO", NO_WAY_IN, warns=("HOST_DRIVER_LOADED",)),
    Expect("genoa-gpu-on-nouveau", 1, "GPU_NOT_VFIO", NO_WAY_IN, warns=("HOST_DRIVER_LOADED",)),
    Expect("genoa-vfio-missing", 1, "VFIO_MISSING", NO_WAY_IN),
    Expect("genoa-gpu-no-group", 1, "IOMMU_GROUP_MISSING", NO_WAY_IN),
    Expect("genoa-rtx-pro-6000", 0, None, READY),
    Expect("genoa-rtx-pro-6000-audio", 1, "GPU_NOT_VFIO", NO_WAY_IN),
    Expect("genoa-gpu-shares-group", 1, "IOMMU_GROUP_SHARED", NO_WAY_IN, cause="ACS_MISSING"),
    # The kernel refuses a group for a driver of the host in it, not for a bridge without one.
    Expect("genoa-gpu-bridge-in-group", 0, None, READY),
    Expect("genoa-gpu-driven-bridge", 1, "IOMMU_GROUP_SHARED", NO_WAY_IN),
    Expect("genoa-gpu-bar-unassigned", 1, "BAR_UNASSIGNED", NO_WAY_IN),
    Expect("genoa-gpu-window-small", 1, "BAR_WINDOW_TOO_SMALL", NO_WAY_IN),
    Expect("genoa-gpu-outside-window", 1, "BAR_WINDOW_TOO_SMALL", NO_WAY_IN),
    # Warnings about how it is plugged in, none of which gates.
    Expect("genoa-gpu-x8", 0, None, READY, warns=("LINK_DEGRADED",)),
    Expect("genoa-gpu-slow-at-idle", 0, None, READY),
    Expect("genoa-acs-off", 0, None, READY, warns=("ACS_MISSING",)),
    Expect("genoa-acs-none", 0, None, READY, warns=("ACS_MISSING",)),
    Expect("genoa-no-iommufd", 0, None, READY, warns=("IOMMUFD_MISSING",)),
    Expect("genoa-d3cold-allowed", 0, None, READY, warns=("D3COLD_HAZARD",)),
    # The GPU is not as wanted, or cannot be asked.
    Expect("genoa-no-gpu", 1, "NO_GPU", GPU_FAILS),
    Expect("genoa-l40s", 1, "GPU_NOT_CAPABLE", GPU_FAILS),
    Expect("genoa-gpu-unlisted", 4, "GPU_NOT_KNOWN", GPU_UNKNOWN),
    Expect("genoa-lockdown-integrity", 4, "LOCKDOWN", GPU_UNKNOWN),
    Expect("genoa-lockdown-confidentiality", 4, "LOCKDOWN", GPU_UNKNOWN),
    Expect("genoa-gpu-port-in-group", 0, None, READY),
    Expect("genoa-ppcie-switch-not-vfio", 1, "GPU_NOT_VFIO", NO_WAY_IN),
    Expect("genoa-two-gpus", 0, None, READY),
    Expect("genoa-two-gpus-mixed", 1, "GPU_MODE_MIXED", GPU_FAILS),
    Expect("genoa-gpu-off", 1, "GPU_MODE_OFF", GPU_FAILS),
    Expect("genoa-gpu-devtools", 1, "GPU_MODE_DEVTOOLS", GPU_FAILS),
    Expect("genoa-gpu-invalid", 1, "GPU_MODE_INVALID", GPU_FAILS),
    Expect("genoa-gpu-pending", 1, "GPU_MODE_PENDING", GPU_FAILS),
    Expect("genoa-gpu-asked", 0, None, READY),
    Expect("genoa-rtx-toggled", 1, "GPU_REBOOT_TO_ATTEST", GPU_FAILS),
    Expect("genoa-gpu-held", 4, "GPU_IN_USE", GPU_UNKNOWN, inspector=CANNOT_SEE_GPU),
    Expect("genoa-gpu-held-group", 4, "GPU_IN_USE", GPU_UNKNOWN, inspector=CANNOT_SEE_GPU),
    Expect("genoa-gpu-held-seen", 0, None, READY, inspector=CANNOT_SEE_GPU),
    Expect(
        "genoa-gpu-held-seen-last-boot",
        4,
        "GPU_IN_USE",
        GPU_UNKNOWN,
        inspector=CANNOT_SEE_GPU,
    ),
    Expect("genoa-gpu-d3hot", 4, "GPU_ASLEEP", GPU_UNKNOWN, warns=("D3COLD_HAZARD",)),
    Expect("genoa-gpu-d3cold", 4, "GPU_ASLEEP", GPU_UNKNOWN, warns=("D3COLD_HAZARD",)),
    Expect("genoa-gpu-decode-off", 4, "GPU_ASLEEP", GPU_UNKNOWN),
    # A held GPU is never called gone, and the inspector cannot see that nobody holds it.
    Expect("genoa-gpu-gone", 1, "GPU_GONE", GPU_FAILS, inspector=CANNOT_SEE_GPU),
    Expect("genoa-gpu-off-the-bus", 1, "GPU_GONE", GPU_FAILS, inspector=CANNOT_SEE_GPU),
    Expect("genoa-gpu-security-fault", 1, "GPU_SECURITY_FAULT", GPU_FAILS),
    Expect("genoa-gpu-boot-incomplete", 4, "GPU_BOOT_INCOMPLETE", GPU_UNKNOWN),
    Expect("genoa-gpu-recovery", 1, "GPU_RECOVERY", GPU_FAILS),
    Expect("genoa-gpu-virtual", 1, "GPU_VIRTUAL", GPU_FAILS),
    # Eight GPUs and four switches are one thing: all of them, or not ready.
    Expect("genoa-hgx-h100", 0, None, READY),
    Expect("genoa-hgx-h100-cc", 0, None, READY),
    Expect("genoa-hgx-h100-one-off", 1, "GPU_MODE_MIXED", GPU_FAILS),
    Expect("genoa-hgx-h100-switch-off", 1, "SWITCH_MODE_MISMATCH", GPU_FAILS),
    Expect("genoa-hgx-h100-gpu-gone", 1, "GPU_GONE", GPU_FAILS, inspector=CANNOT_SEE_GPU),
    Expect("genoa-hgx-h100-switch-gone", 1, "GPU_GONE", GPU_FAILS, inspector=CANNOT_SEE_GPU),
    Expect("turin-hgx-b200", 0, None, COMPLIANT),
    Expect("turin-hgx-b200-one-off", 1, "GPU_MODE_MIXED", TURIN_GPU_FAILS),
    # All ones from a Blackwell may be a boot under way (gpu-cc.md §9.4).
    Expect("turin-hgx-b200-firewall", 4, "GPU_BOOT_INCOMPLETE", TURIN_GPU_UNKNOWN),
    # It works, and bites later.
    Expect("genoa-mitigations-off", 0, None, READY, warns=("OPTION_HAZARD",)),
    Expect("genoa-option-of-wrong-module", 0, None, READY, warns=("OPTION_IGNORED",)),
    Expect("genoa-option-undone", 0, None, READY),
    Expect(
        "genoa-option-undone-iommu-pt",
        1,
        "IOMMU_PASSTHROUGH_OR_OFF",
        NO_SNP,
        cause="IOMMU_OPTION",
        warns=("IOMMU_PASSTHROUGH_OR_OFF",),
    ),
    Expect(
        "turin-6.11",
        0,
        None,
        COMPLIANT,
        inspector=CANNOT_TELL,
        warns=("KERNEL_OLD_FOR_CPU", "KERNEL_OLD_FOR_GPU"),
    ),
    # The kernel was built without it: no modprobe helps.
    Expect("genoa-kvm-not-built", 1, "KVM_AMD_NOT_LOADED", NO_SNP, cause="KERNEL_CONFIG"),
    Expect("genoa-vfio-not-built", 1, "VFIO_MISSING", NO_WAY_IN, cause="KERNEL_CONFIG"),
    # Firmware against its floors, which gate nothing unless the site requires them.
    Expect("genoa-compliant", 0, None, COMPLIANT),
    Expect("genoa-tcb-lags", 0, None, READY, warns=("TCB_REPORTED_LAGS",)),
    Expect("genoa-tcb-odd", 0, None, UNASKED, warns=("TCB_DECODE_SUSPECT",)),
    Expect("genoa-no-alias-check", 0, None, READY),
    Expect("genoa-sev-1.55.30", 0, None, READY),
    Expect("genoa-old-microcode", 0, None, READY, inspector=SEES_OLD),
    Expect("genoa-odd-microcode", 0, None, READY, inspector=SEES_OLD),
    Expect("genoa-chip-key-masked", 0, None, READY),
    Expect("genoa-chip-id-masked", 0, None, COMPLIANT, warns=("CHIP_ID_MASKED",)),
    Expect("genoa-vlek", 0, None, COMPLIANT),
    Expect("genoa-not-fused", 0, None, READY, inspector=SEES_OLD),
    Expect("genoa-debug-open", 0, None, READY, inspector=SEES_OLD),
    Expect("milan-old-bios", 0, None, READY, inspector=SEES_OLD, warns=("TCB_BELOW_FLOOR",)),
    Expect("milan-new-bios", 0, None, COMPLIANT, warns=("TCB_BELOW_FLOOR",)),
    Expect("genoa-asids-exhausted", 0, None, COMPLIANT, warns=("ASIDS_EXHAUSTED",)),
    Expect("genoa-asids-low", 0, None, COMPLIANT, warns=("ASIDS_LOW",)),
    Expect("genoa-newer-sev-firmware", 0, None, COMPLIANT, warns=("SEV_FW_PENDING",)),
    Expect("genoa-newer-kernel", 0, None, COMPLIANT, warns=("REBOOT_PENDING",)),
    Expect("genoa-policy", 0, None, COMPLIANT),
)
