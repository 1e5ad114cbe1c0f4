"""What to do about each code, as data: who, what, and what must happen before it counts.

Menu names are AMD's reference names; a board's vendor may call them otherwise.
"""

from collections.abc import Iterator, Mapping

from nodeagent.model.codes import Code
from nodeagent.model.facts import Facts
from nodeagent.model.findings import Outcome, Remedy
from nodeagent.model.host import KVM_ENABLES_SNP
from nodeagent.model.words import Restart, Who

_NO_OPTION = "No kernel option can replace this."
_CBS_CPU = "AMD CBS > CPU Common Options"
_CBS_NBIO = "AMD CBS > NBIO Common Options"
_POWER = Restart.POWER_CYCLE
_BOOT = Restart.REBOOT

REMEDIES: Mapping[Code, Remedy] = {
    Code.RUNNING_IN_VM: Remedy(
        Who.HARDWARE,
        "run on bare metal: a virtual machine cannot start SNP guests",
    ),
    Code.NOT_AMD: Remedy(
        Who.HARDWARE,
        "use a node with an AMD EPYC 7003 or newer; Intel TDX is not judged yet",
    ),
    Code.CPU_TOO_OLD: Remedy(Who.HARDWARE, "use a node with an AMD EPYC 7003 (Milan) or newer"),
    Code.CPU_INCONSISTENT: Remedy(
        Who.BIOS,
        "power cycle the node; if they still differ, update the BIOS",
        _POWER,
        "Registers that BIOS and microcode must set alike differ between CPUs.",
    ),
    Code.BIOS_SMEE_OFF: Remedy(
        Who.BIOS, f"{_CBS_CPU} > SMEE: Enabled (not Auto)", _BOOT, _NO_OPTION
    ),
    Code.BIOS_SMM_UNLOCKED: Remedy(
        Who.BIOS, "update the BIOS: it must lock SMM (HWCR[0])", _BOOT, _NO_OPTION
    ),
    Code.BIOS_SNP_INCOMPLETE: Remedy(
        Who.BIOS,
        f"{_CBS_NBIO} > IOMMU and SEV-SNP Support: Enabled; "
        "CPU Common Options > SNP Memory (RMP Table) Coverage: Enabled",
        _BOOT,
        f"The PSP refused the platform. {_NO_OPTION}",
    ),
    Code.BIOS_SNP_HIDDEN: Remedy(
        Who.BIOS,
        f"{_CBS_NBIO} > SEV-SNP Support: Enabled (elsewhere: Secure Nested Paging)",
        _BOOT,
        _NO_OPTION,
    ),
    Code.BIOS_RMP_NOT_RESERVED: Remedy(
        Who.BIOS,
        f"{_CBS_CPU} > SNP Memory (RMP Table) Coverage: Enabled",
        _BOOT,
        f"If the menu has no such entry, update the BIOS. {_NO_OPTION}",
    ),
    Code.BIOS_RMP_INVALID: Remedy(
        Who.BIOS, "update the BIOS: its RMP registers make no sense", _BOOT, _NO_OPTION
    ),
    Code.BIOS_RMP_TOO_SMALL: Remedy(
        Who.BIOS,
        f"{_CBS_CPU} > SNP Memory (RMP Table) Coverage: all of memory; "
        "enter setup and save again after adding DIMMs",
        _BOOT,
        _NO_OPTION,
    ),
    Code.BIOS_RMP_SEGMENT_BAD: Remedy(
        Who.BIOS, "update the BIOS: its RMP segment size is out of bounds", _BOOT, _NO_OPTION
    ),
    Code.BIOS_IOMMU_SNP_OFF: Remedy(
        Who.BIOS,
        f"{_CBS_NBIO} > SEV-SNP Support: Enabled; if it is, update the BIOS",
        _BOOT,
        _NO_OPTION,
    ),
    Code.BIOS_IOMMU_OFF: Remedy(Who.BIOS, f"{_CBS_NBIO} > IOMMU: Enabled", _BOOT, _NO_OPTION),
    Code.BIOS_NO_ES_ASIDS: Remedy(
        Who.BIOS,
        f"{_CBS_CPU} > SEV-ES ASID Space Limit Control: Manual, and Limit above 1 "
        "(as many as there should be SNP guests, plus one)",
        _BOOT,
        _NO_OPTION,
    ),
    Code.BIOS_SVM_OFF: Remedy(Who.BIOS, f"{_CBS_CPU} > SVM Mode: Enabled", _BOOT, _NO_OPTION),
    Code.IOMMU_PASSTHROUGH_OR_OFF: Remedy(
        Who.KERNEL,
        "look for iommu=pt, iommu.passthrough=1, iommu=off or amd_iommu=off on the kernel "
        f"command line and remove it; if none is there, in the BIOS: {_CBS_NBIO} > IOMMU: Enabled",
        _BOOT,
    ),
    Code.IOMMU_OPTION: Remedy(
        Who.KERNEL,
        "remove that option from the kernel command line",
        _BOOT,
        "Guides that ask for iommu=pt predate SNP: the kernel refuses SNP with it.",
    ),
    Code.IOMMU_KERNEL_DEFAULT: Remedy(
        Who.KERNEL, "add iommu=nopt to the kernel command line, or use another kernel", _BOOT
    ),
    Code.IOMMU_V2_PGTABLE: Remedy(
        Who.KERNEL, "remove amd_iommu=pgtbl_v2 from the kernel command line", _BOOT
    ),
    Code.RMP_INIT_FAILED: Remedy(
        Who.KERNEL, "read the kernel log around that line: dmesg | grep -i snp"
    ),
    Code.KVM_AMD_NOT_LOADED: Remedy(Who.HOST, "modprobe kvm_amd, and load it at boot"),
    Code.KERNEL_NO_SNP_HOST: Remedy(
        Who.KERNEL,
        "boot a kernel that hosts SNP guests: 6.11 or newer (6.17 for GPUs), or a vendor's "
        "backport, with CONFIG_KVM_AMD_SEV=y",
        _BOOT,
    ),
    Code.KVM_PARAM_DISABLED: Remedy(
        Who.HOST, "remove that option, then reload kvm_amd with no guest running", Restart.RELOAD
    ),
    Code.KVM_DEVICE_MISSING: Remedy(
        Who.HOST, "reload kvm_amd with no guest running: udev makes /dev/kvm", Restart.RELOAD
    ),
    Code.KERNEL_SNP_NOT_ENABLED: Remedy(
        Who.KERNEL,
        "boot a kernel with SNP host support (CONFIG_KVM_AMD_SEV=y); look for SNP in its log",
        _BOOT,
    ),
    Code.KVM_SNP_DISABLED_AFTER_INIT: Remedy(
        Who.KERNEL,
        "reload kvm_amd with no guest running; with kvm_amd built in, use a newer kernel",
        Restart.RELOAD,
    ),
    Code.PSP_DEAD: Remedy(
        Who.FIRMWARE,
        "power cycle the node: take it off power, a reboot is not enough",
        _POWER,
        "The security processor stopped answering.",
    ),
    Code.SEV_ES_UNAVAILABLE: Remedy(
        Who.KERNEL, "reboot: the driver found no memory in one piece when it loaded", _BOOT
    ),
    Code.SNP_LOG_TROUBLE: Remedy(
        Who.HOST, "move the guests away and reboot; if it comes back, update BIOS and kernel", _BOOT
    ),
    Code.SNP_INIT_INVALID_CONFIG: Remedy(
        Who.BIOS,
        "update BIOS and SEV firmware: the PSP refuses this configuration",
        _BOOT,
    ),
    Code.SNP_INIT_FAILED: Remedy(
        Who.FIRMWARE,
        "fix an earlier SNP error first; if there is none, update the BIOS (error 0x1 alone: its "
        "PSP boot loader is too old for the loaded SEV firmware)",
        _BOOT,
    ),
    Code.SNP_INIT_WBINVD: Remedy(
        Who.KERNEL, "use a kernel with SNP host support, and update the SEV firmware", _BOOT
    ),
    Code.SEV_FW_TOO_OLD: Remedy(
        Who.FIRMWARE,
        "update the BIOS, or install a newer SEV firmware file in /lib/firmware/amd",
        _BOOT,
    ),
    Code.SNP_STATE_LOST: Remedy(
        Who.HOST, "reboot: SNP was shut down in this boot (module unload, kexec)", _BOOT
    ),
    Code.SNP_OFF_FIRMWARE_SIDE: Remedy(
        Who.BIOS,
        "look again as root; likely the BIOS: SMEE, SNP Memory Coverage or SEV-SNP Support is off",
        _BOOT,
    ),
    Code.SNP_OFF_KERNEL_SIDE: Remedy(
        Who.KERNEL,
        "look again as root; likely the IOMMU, RMP coverage, ASIDs, firmware or an option",
        _BOOT,
    ),
    Code.SNP_UNPROVEN: Remedy(
        Who.HOST,
        "look again as root: kernels before 6.16 say Y even where the PSP refused SNP",
    ),
    Code.CPUS_OFFLINE: Remedy(
        Who.KERNEL,
        "bring every CPU online: remove nosmt, maxcpus= and nr_cpus= from the command line",
        _BOOT,
    ),
    Code.LEGACY_BOOT: Remedy(Who.BIOS, "boot in UEFI mode, not legacy", _BOOT, _NO_OPTION),
    Code.NO_GPU: Remedy(
        Who.HARDWARE, "use a node with an NVIDIA GPU, or choose --profile snp for one without"
    ),
    Code.IOMMU_GROUP_MISSING: Remedy(
        Who.BIOS, f"{_CBS_NBIO} > IOMMU: Enabled; no iommu=off on the command line", _BOOT
    ),
    Code.IOMMU_GROUP_SHARED: Remedy(
        Who.BIOS,
        "ACS Enabled (NBIO or PCIe options); else move the card to another slot",
        _BOOT,
    ),
    Code.GPU_NOT_VFIO: Remedy(
        Who.HOST,
        "bind the GPU to vfio-pci: `options vfio-pci ids=10de:<device>` in modprobe.d, and keep "
        "nvidia and nouveau off it",
        _BOOT,
    ),
    Code.HOST_DRIVER_LOADED: Remedy(
        Who.HOST, "blacklist nvidia and nouveau on this host: they take GPUs back", _BOOT
    ),
    Code.BAR_UNASSIGNED: Remedy(
        Who.BIOS, "Above 4G Decoding: Enabled, and a larger MMIO window", _BOOT, _NO_OPTION
    ),
    Code.VFIO_MISSING: Remedy(Who.HOST, "modprobe vfio-pci, and load it at boot"),
    Code.GPU_MODE_OFF: Remedy(
        Who.GPU,
        "switch the GPUs to mode on with no VM using them, by k8s-cc-manager or gpu-admin-tools",
    ),
    Code.GPU_MODE_MIXED: Remedy(Who.GPU, "switch all GPUs to the same confidential mode"),
    Code.GPU_MODE_DEVTOOLS: Remedy(
        Who.GPU, "switch the GPUs to mode on: in devtools their memory can be inspected"
    ),
    Code.GPU_MODE_INVALID: Remedy(
        Who.GPU, "set the mode anew: an interrupted switch left only half of it"
    ),
    Code.GPU_MODE_UNWANTED: Remedy(
        Who.GPU,
        "switch those GPUs with no VM using them, by k8s-cc-manager or gpu-admin-tools",
    ),
    Code.WANTED_MODE_NEVER_READY: Remedy(
        Who.CLUSTER,
        "ask for on or ppcie: by --mode, the configuration's mode or label nvidia.com/cc.mode",
    ),
    Code.SWITCH_MODE_MISMATCH: Remedy(
        Who.GPU, "switch all GPUs and NVSwitches together: protected PCIe is all or nothing"
    ),
    Code.GPU_NOT_CAPABLE: Remedy(
        Who.HARDWARE, "use Hopper or newer (H100, H200, B200, RTX PRO 6000 Server Edition)"
    ),
    Code.GPU_NOT_KNOWN: Remedy(
        Who.HOST, "use a newer nodeagent: this one does not know the GPU's registers"
    ),
    Code.GPU_ASLEEP: Remedy(
        Who.HOST,
        "keep it awake: `options vfio-pci disable_idle_d3=1` in modprobe.d; nothing wakes it yet",
        _BOOT,
    ),
    Code.GPU_IN_USE: Remedy(
        Who.GPU, "look again when the VM has released the GPU; keep `nodeagent run` running"
    ),
    Code.GPU_GONE: Remedy(Who.GPU, "the GPU does not answer: power cycle the node", _POWER),
    Code.GPU_BOOT_INCOMPLETE: Remedy(
        Who.GPU, "look again in ten seconds; if it stays so, power cycle the node"
    ),
    Code.GPU_RECOVERY: Remedy(
        Who.FIRMWARE, "flash the GPU's firmware anew with its vendor's tool", _POWER
    ),
    Code.GPU_SECURITY_FAULT: Remedy(
        Who.GPU, "power cycle the node: only a cold reset clears a security fault", _POWER
    ),
    Code.OPTION_HAZARD: Remedy(
        Who.KERNEL, "remove that option from the kernel command line", _BOOT
    ),
    Code.OPTION_IGNORED: Remedy(
        Who.KERNEL, "remove that option: it does nothing here, whatever a guide says"
    ),
    Code.KERNEL_OLD_FOR_CPU: Remedy(
        Who.KERNEL,
        "boot kernel 6.14 or newer: older ones read this generation's RMP in the old format",
        _BOOT,
    ),
    Code.KERNEL_OLD_FOR_GPU: Remedy(
        Who.KERNEL,
        "boot kernel 6.17 or newer, which NVIDIA validated for GPUs in SNP guests",
        _BOOT,
    ),
    Code.ASIDS_EXHAUSTED: Remedy(
        Who.HOST, "stop an SEV-ES or SNP guest, or raise the SEV-ES ASID limit in the BIOS"
    ),
    Code.ASIDS_LOW: Remedy(
        Who.HOST, "plan fewer SNP guests here, or raise the SEV-ES ASID limit in the BIOS"
    ),
    Code.REBOOT_PENDING: Remedy(
        Who.HOST, "reboot when the node is free: what is installed does not run yet", _BOOT
    ),
    Code.TCB_BELOW_FLOOR: Remedy(
        Who.FIRMWARE,
        "update the BIOS, or the SEV firmware file in /lib/firmware/amd, to the floor's level",
        _BOOT,
    ),
    Code.TCB_REPORTED_LAGS: Remedy(
        Who.FIRMWARE,
        "reboot, or commit the running firmware: SNP_COMMIT cannot be taken back",
        _BOOT,
        "Verifiers judge the reported TCB, not the one that runs.",
    ),
    Code.TCB_DECODE_SUSPECT: Remedy(
        Who.HOST, "use a newer nodeagent: this one does not know the CPU's TCB layout"
    ),
    Code.SEV_FW_BELOW_FLOOR: Remedy(
        Who.FIRMWARE,
        "update the BIOS, or install a newer SEV firmware file in /lib/firmware/amd",
        _BOOT,
    ),
    Code.MICROCODE_TOO_OLD: Remedy(
        Who.BIOS,
        "update the BIOS: microcode that the OS loads stays on the branch of the BIOS",
        _BOOT,
    ),
    Code.MICROCODE_DIFFERS: Remedy(
        Who.BIOS, "power cycle the node; if CPUs still differ, update the BIOS", _POWER
    ),
    Code.ALIAS_CHECK_MISSING: Remedy(
        Who.FIRMWARE,
        "update BIOS and SEV firmware to a level that checks memory for aliases",
        _BOOT,
    ),
    Code.PART_NOT_FUSED: Remedy(
        Who.HARDWARE, "use a production CPU: this one is not fused, its guests prove nothing"
    ),
    Code.DEBUG_NOT_LOCKED: Remedy(
        Who.HARDWARE, "use a CPU whose debug access is locked, or have the vendor lock it"
    ),
    Code.CHIP_ID_MASKED: Remedy(
        Who.FIRMWARE, "clear MASK_CHIP_ID, or use a VLEK: reports do not say which chip signed them"
    ),
    Code.CHIP_KEY_MASKED: Remedy(
        Who.FIRMWARE, "clear MASK_CHIP_KEY: without it no guest can be attested"
    ),
    Code.BIOS_TOO_OLD: Remedy(Who.BIOS, "update the BIOS to the version named, or newer", _BOOT),
    Code.GPU_FW_TOO_OLD: Remedy(
        Who.GPU, "update the GPU's firmware with its vendor's tool", _POWER
    ),
    Code.BAR_WINDOW_TOO_SMALL: Remedy(
        Who.BIOS, "Above 4G Decoding: Enabled, and a larger MMIO window", _BOOT, _NO_OPTION
    ),
    Code.ACS_MISSING: Remedy(Who.BIOS, "ACS Enabled (NBIO or PCIe options)", _BOOT),
    Code.IOMMUFD_MISSING: Remedy(
        Who.HOST, "modprobe iommufd, and load it at boot: Kata opens GPUs through it"
    ),
    Code.D3COLD_HAZARD: Remedy(
        Who.HOST,
        "`options vfio-pci disable_idle_d3=1` in modprobe.d: GPUs may not wake again from D3cold",
        _BOOT,
    ),
    Code.LINK_DEGRADED: Remedy(
        Who.HARDWARE,
        "reseat the card, or look at riser and slot: its link is narrower or slower than it can be",
    ),
    Code.GPU_C2C: Remedy(
        Who.HARDWARE,
        "use a GPU on PCIe or SXM: one tied to a Grace CPU has no confidential mode here",
    ),
    Code.GPU_VIRTUAL: Remedy(Who.HARDWARE, "use the physical GPU: this one is a virtual function"),
    Code.KUBELET_NOT_PREPARED: Remedy(
        Who.HOST,
        "change the kubelet's configuration as named, then restart it with the node drained",
    ),
    Code.KUBELET_TOO_OLD: Remedy(Who.CLUSTER, "upgrade the kubelet to 1.32 or newer"),
    Code.RUNTIME_NOT_PREPARED: Remedy(
        Who.HOST,
        "add the Kata handler to containerd's configuration (kata-deploy does), then restart it",
    ),
    Code.KATA_MISSING: Remedy(
        Who.CLUSTER, "install Kata Containers on this node, with the NVIDIA GPU SNP shim"
    ),
    Code.KATA_TOO_OLD: Remedy(
        Who.CLUSTER, "upgrade Kata Containers to the version named, or newer"
    ),
    Code.QEMU_TOO_OLD: Remedy(
        Who.CLUSTER, "use QEMU 9.2 or newer: older ones cannot give a VFIO device to an SNP guest"
    ),
    Code.CDI_MISSING: Remedy(
        Who.CLUSTER, "let the sandbox device plugin run here: it writes the CDI spec when it starts"
    ),
    Code.CDI_STALE: Remedy(
        Who.CLUSTER, "restart the sandbox device plugin: its CDI spec names VFIO nodes of the past"
    ),
    Code.LIMITS_TOO_LOW: Remedy(Who.HOST, "raise the limit as named"),
    Code.LOCKDOWN: Remedy(
        Who.KERNEL, "kernel lockdown hides GPU registers: turn Secure Boot's lockdown off", _BOOT
    ),
    Code.NO_ACCESS: Remedy(
        Who.HOST,
        "let it be read: as root on the host itself, by a mount in a pod, by a new capture",
    ),
}

CAUSES: Mapping[tuple[Code, Code], Remedy] = {
    (Code.IOMMU_PASSTHROUGH_OR_OFF, Code.IOMMU_OPTION): REMEDIES[Code.IOMMU_OPTION],
    (Code.IOMMU_PASSTHROUGH_OR_OFF, Code.IOMMU_KERNEL_DEFAULT): REMEDIES[Code.IOMMU_KERNEL_DEFAULT],
    (Code.IOMMU_PASSTHROUGH_OR_OFF, Code.BIOS_IOMMU_OFF): REMEDIES[Code.BIOS_IOMMU_OFF],
    (Code.SNP_INIT_INVALID_CONFIG, Code.CPUS_OFFLINE): REMEDIES[Code.CPUS_OFFLINE],
    (Code.SNP_INIT_INVALID_CONFIG, Code.LEGACY_BOOT): REMEDIES[Code.LEGACY_BOOT],
    (Code.SNP_INIT_INVALID_CONFIG, Code.SEV_FW_TOO_OLD): REMEDIES[Code.SEV_FW_TOO_OLD],
}

_FROM_7_1: Mapping[Code, Remedy] = {
    Code.SNP_STATE_LOST: Remedy(
        Who.HOST, "reload kvm_amd with no guest running: it initialises SNP", Restart.RELOAD
    ),
}


def remedy_for(outcome: Outcome, facts: Facts) -> Remedy | None:
    """By cause where one is known, by kernel where the cure changed, else by code."""
    if outcome.code is None:
        return None
    if outcome.cause and (outcome.code, outcome.cause) in CAUSES:
        return CAUSES[outcome.code, outcome.cause]
    if (facts.kernel.version or (0, 0)) >= KVM_ENABLES_SNP and outcome.code in _FROM_7_1:
        return _FROM_7_1[outcome.code]
    return REMEDIES[outcome.code]


def ways(code: Code) -> Iterator[tuple[str, Remedy]]:
    """Every remedy a code can have, each with when it is the one; the usual one first."""
    yield "", REMEDIES[code]
    for (of, cause), remedy in CAUSES.items():
        if of is code:
            yield f"where the cause is {cause}", remedy
    if code in _FROM_7_1:
        yield "from kernel {}.{} on".format(*KVM_ENABLES_SNP), _FROM_7_1[code]
