"""What to do about each code, as data: who, what, and what must happen before it counts.

No menu's name stands here: `{smee}` is what the found board calls that setting (boards.json).
"""

from collections.abc import Iterator, Mapping

from nodeagent.model.codes import Code
from nodeagent.model.facts import Facts
from nodeagent.model.findings import Outcome, Remedy
from nodeagent.model.host import KVM_ENABLES_SNP
from nodeagent.model.platform import Dmi
from nodeagent.model.words import Restart, Who

_NO_OPTION = "No kernel option can replace this."
_NO_ENTRY = f"No such entry: update the BIOS. {_NO_OPTION}"
_WORDS = "the kernel command line (/etc/default/grub, then update-grub)"
_RELOAD = "with no guest running: modprobe -r kvm_amd && modprobe kvm_amd"
_MODPROBE = "/etc/modprobe.d/vfio.conf"
NOTE_WIDTH = 75
"""Columns that a note has in the report."""

_APPLY = "`nodeagent apply --mode"
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
    Code.CPU_NOT_EPYC: Remedy(
        Who.HARDWARE,
        "make sure that this is a server part: workstation CPUs of the same family lack SNP",
        note="Parts made for one cloud alone carry odd names, and are fine.",
    ),
    Code.BIOS_SMEE_OFF: Remedy(Who.BIOS, "{smee}", _BOOT, _NO_OPTION),
    Code.BIOS_SMM_UNLOCKED: Remedy(
        Who.BIOS, "update the BIOS: it must lock SMM (HWCR[0])", _BOOT, _NO_OPTION
    ),
    Code.BIOS_SNP_INCOMPLETE: Remedy(
        Who.BIOS,
        "{iommu, snp_support, rmp_coverage}",
        _BOOT,
        f"The PSP refused the platform. {_NO_OPTION}",
    ),
    Code.BIOS_SNP_HIDDEN: Remedy(
        Who.BIOS,
        "{snp_support}",
        _BOOT,
        _NO_ENTRY,
    ),
    Code.BIOS_RMP_NOT_RESERVED: Remedy(
        Who.BIOS,
        "{rmp_coverage}",
        _BOOT,
        _NO_ENTRY,
    ),
    Code.BIOS_RMP_INVALID: Remedy(
        Who.BIOS, "update the BIOS: its RMP registers make no sense", _BOOT, _NO_OPTION
    ),
    Code.BIOS_RMP_TOO_SMALL: Remedy(
        Who.BIOS,
        "{rmp_coverage}; if it is, memory was added: enter setup and save it again",
        _BOOT,
        _NO_OPTION,
    ),
    Code.BIOS_RMP_SEGMENT_BAD: Remedy(
        Who.BIOS, "update the BIOS: its RMP segment size is out of bounds", _BOOT, _NO_OPTION
    ),
    Code.BIOS_IOMMU_SNP_OFF: Remedy(
        Who.BIOS,
        "{snp_support}; if it is, update the BIOS",
        _BOOT,
        _NO_OPTION,
    ),
    Code.BIOS_IOMMU_OFF: Remedy(Who.BIOS, "{iommu}", _BOOT, _NO_OPTION),
    Code.BIOS_NO_ES_ASIDS: Remedy(
        Who.BIOS,
        "{es_asid_control, es_asid_limit}",
        _BOOT,
        _NO_OPTION,
    ),
    Code.BIOS_SVM_OFF: Remedy(Who.BIOS, "{svm}", _BOOT, _NO_OPTION),
    Code.IOMMU_PASSTHROUGH_OR_OFF: Remedy(
        Who.KERNEL,
        "remove iommu=pt, iommu.passthrough=1, iommu=off or amd_iommu=off, whichever is there, "
        f"from {_WORDS}; if none is, in the BIOS: {{iommu}}",
        _BOOT,
    ),
    Code.IOMMU_OPTION: Remedy(
        Who.KERNEL,
        f"remove that option from {_WORDS}",
        _BOOT,
        "Guides that ask for iommu=pt predate SNP: the kernel refuses SNP with it.",
    ),
    Code.IOMMU_KERNEL_DEFAULT: Remedy(
        Who.KERNEL,
        f"add iommu=nopt to {_WORDS}",
        _BOOT,
        "This kernel was built to pass the IOMMU by; another one need not be.",
    ),
    Code.KERNEL_CONFIG: Remedy(
        Who.KERNEL, "boot a kernel that was built with the options named", _BOOT
    ),
    Code.IOMMU_V2_PGTABLE: Remedy(Who.KERNEL, f"remove amd_iommu=pgtbl_v2 from {_WORDS}", _BOOT),
    Code.RMP_INIT_FAILED: Remedy(
        Who.KERNEL,
        "read what the kernel said before it: dmesg | grep -iE 'snp|rmp'; "
        "if it gives no reason, update kernel and BIOS",
    ),
    Code.KVM_AMD_NOT_LOADED: Remedy(
        Who.HOST,
        "modprobe kvm_amd (dmesg says why, if it fails); "
        "for the next boot: echo kvm_amd > /etc/modules-load.d/kvm_amd.conf",
    ),
    Code.KERNEL_NO_SNP_HOST: Remedy(
        Who.KERNEL,
        "boot a kernel that hosts SNP guests: 6.11 or newer (6.17 for GPUs), or a vendor's "
        "backport, with CONFIG_KVM_AMD_SEV=y",
        _BOOT,
    ),
    Code.KVM_PARAM_DISABLED: Remedy(
        Who.HOST,
        f"remove that option, then {_RELOAD} (one on the kernel command line needs a reboot)",
        Restart.RELOAD,
    ),
    Code.KVM_DEVICE_MISSING: Remedy(
        Who.HOST, f"{_RELOAD}; udev makes /dev/kvm then", Restart.RELOAD
    ),
    Code.KERNEL_SNP_NOT_ENABLED: Remedy(
        Who.KERNEL,
        "boot a kernel with CONFIG_KVM_AMD_SEV=y; if this one has it, read dmesg | grep -i snp",
        _BOOT,
    ),
    Code.KVM_SNP_DISABLED_AFTER_INIT: Remedy(
        Who.KERNEL,
        f"{_RELOAD}; if that fails because it is built in, use a newer kernel",
        Restart.RELOAD,
    ),
    Code.PSP_DEAD: Remedy(
        Who.FIRMWARE,
        "power cycle the node: take it off power, a reboot is not enough",
        _POWER,
        "The security processor stopped answering.",
    ),
    Code.SEV_ES_UNAVAILABLE: Remedy(
        Who.KERNEL, "reboot: the PSP's driver found too little memory in one piece", _BOOT
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
    Code.PSP_BOOT_LOADER_OLD: Remedy(
        Who.BIOS,
        "update the BIOS: it brings the PSP's boot loader; until then take the newer SEV firmware "
        "file out of /lib/firmware/amd",
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
        "look again as root (sudo nodeagent check); likely one of these is not set in the BIOS: "
        "{smee, rmp_coverage, snp_support}",
        _BOOT,
    ),
    Code.SNP_OFF_KERNEL_SIDE: Remedy(
        Who.KERNEL,
        "look again as root (sudo nodeagent check); likely it is the IOMMU, RMP coverage, ASIDs, "
        "firmware or a module's option",
        _BOOT,
    ),
    Code.SNP_UNPROVEN: Remedy(
        Who.HOST,
        "look again as root (sudo nodeagent check): before 6.16 KVM says Y even where the PSP "
        "refused SNP",
    ),
    Code.CPUS_OFFLINE: Remedy(
        Who.KERNEL,
        f"bring every CPU online: remove nosmt, maxcpus= and nr_cpus= from {_WORDS}",
        _BOOT,
    ),
    Code.LEGACY_BOOT: Remedy(
        Who.BIOS,
        "set {uefi}, not legacy; the installed system needs an EFI boot loader for that",
        _BOOT,
        _NO_OPTION,
    ),
    Code.NO_GPU: Remedy(
        Who.HARDWARE, "use a node with an NVIDIA GPU, or choose --profile snp for one without"
    ),
    Code.IOMMU_GROUP_MISSING: Remedy(
        Who.BIOS, "{iommu}; no iommu=off on the kernel command line", _BOOT
    ),
    Code.IOMMU_GROUP_SHARED: Remedy(
        Who.BIOS,
        "{acs}; if it is, move the card to another slot",
        _BOOT,
    ),
    Code.GPU_NOT_VFIO: Remedy(
        Who.HOST,
        f"bind it to vfio-pci: in {_MODPROBE} put `options vfio-pci ids=10de:<device>` (lspci -nn "
        "shows it), `blacklist nvidia` and `blacklist nouveau`, then update-initramfs -u",
        _BOOT,
    ),
    Code.HOST_DRIVER_LOADED: Remedy(
        Who.HOST,
        f"put `blacklist nvidia` and `blacklist nouveau` in {_MODPROBE}, then update-initramfs -u: "
        "these drivers take GPUs back",
        _BOOT,
    ),
    Code.BAR_UNASSIGNED: Remedy(
        Who.BIOS, "{above_4g}, and a larger MMIO window", _BOOT, _NO_OPTION
    ),
    Code.VFIO_MISSING: Remedy(
        Who.HOST,
        "modprobe vfio-pci; for the next boot: echo vfio-pci > /etc/modules-load.d/vfio.conf",
    ),
    Code.GPU_MODE_OFF: Remedy(
        Who.GPU,
        f"switch them while no VM has them: {_APPLY} on`",
    ),
    Code.GPU_MODE_MIXED: Remedy(
        Who.GPU, f"bring all to one confidential mode while no VM has them: {_APPLY} on`"
    ),
    Code.GPU_MODE_DEVTOOLS: Remedy(
        Who.GPU, f"{_APPLY} on` while no VM has them: in devtools their memory can be inspected"
    ),
    Code.GPU_MODE_INVALID: Remedy(
        Who.GPU,
        f"{_APPLY} on`: an interrupted switch left half a mode; any mode cures it",
    ),
    Code.GPU_MODE_UNWANTED: Remedy(
        Who.GPU,
        f"switch those GPUs while no VM has them: {_APPLY}` with the wanted mode",
    ),
    Code.WANTED_MODE_NEVER_READY: Remedy(
        Who.CLUSTER,
        "ask for on or ppcie: by --mode, the configuration's mode or label nvidia.com/cc.mode",
    ),
    Code.SWITCH_MODE_MISMATCH: Remedy(
        Who.GPU,
        f"{_APPLY} ppcie`: protected PCIe is all GPUs and NVSwitches, or nothing",
    ),
    Code.GPU_NOT_CAPABLE: Remedy(
        Who.HARDWARE, "use Hopper or newer (H100, H200, B200, RTX PRO 6000 Server Edition)"
    ),
    Code.GPU_NOT_KNOWN: Remedy(
        Who.HOST, "use a newer nodeagent: this one does not know the GPU's registers"
    ),
    Code.GPU_MODE_PENDING: Remedy(
        Who.GPU,
        "bring it to the mode you want with `nodeagent apply --mode`: any reset, as by a VM that "
        "starts, would bring the one that is configured",
    ),
    Code.GPU_REBOOT_TO_ATTEST: Remedy(
        Who.GPU, "reboot the node: this part attests again only after a boot", _BOOT
    ),
    Code.GPU_ASLEEP: Remedy(
        Who.HOST,
        "look as root and without --no-wake, or keep it awake: "
        f"`options vfio-pci disable_idle_d3=1` in {_MODPROBE}",
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
    Code.OPTION_HAZARD: Remedy(Who.KERNEL, f"remove that option from {_WORDS}", _BOOT),
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
        Who.HOST, "stop an SEV-ES or SNP guest; for more of them, in the BIOS: {es_asid_limit}"
    ),
    Code.ASIDS_LOW: Remedy(
        Who.HOST, "plan fewer SNP guests here; for more of them, in the BIOS: {es_asid_limit}"
    ),
    Code.REBOOT_PENDING: Remedy(
        Who.HOST, "reboot when the node is free: what is installed does not run yet", _BOOT
    ),
    Code.SEV_FW_PENDING: Remedy(
        Who.HOST,
        "reboot when the node is free; if the version stays as it is, update the BIOS",
        _BOOT,
        "The PSP refuses a file that asks for a newer boot loader, and the old one runs on.",
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
    Code.TCB_NOT_KNOWN: Remedy(
        Who.HOST,
        "get SNP to run, and let the kernel log be read: only then is asking the PSP safe",
    ),
    Code.NO_FLOOR_KNOWN: Remedy(
        Who.HOST,
        "put this part's floors, as AMD publishes them, into a file, and set floors: in the "
        "configuration",
        note="A site that demands nothing of firmware writes `floors: []`.",
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
        Who.BIOS, "{above_4g}, and a larger MMIO window", _BOOT, _NO_OPTION
    ),
    Code.ACS_MISSING: Remedy(Who.BIOS, "{acs}", _BOOT),
    Code.IOMMUFD_MISSING: Remedy(
        Who.HOST,
        "modprobe iommufd, through which Kata opens GPUs; for the next boot: "
        "echo iommufd > /etc/modules-load.d/iommufd.conf",
    ),
    Code.D3COLD_HAZARD: Remedy(
        Who.HOST,
        f"put `options vfio-pci disable_idle_d3=1` in {_MODPROBE}: a GPU may not wake from D3cold",
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
        "in the kubelet's configuration set what is named here, then drain the node and restart "
        "the kubelet",
    ),
    Code.KUBELET_TOO_OLD: Remedy(Who.CLUSTER, "upgrade the kubelet to 1.32 or newer"),
    Code.RUNTIME_NOT_PREPARED: Remedy(
        Who.HOST,
        "let kata-deploy configure containerd, or do as named by hand, then restart containerd",
    ),
    Code.RUNTIME_TOO_OLD: Remedy(
        Who.HOST, "upgrade containerd with the node drained: 2.3 is what NVIDIA's stack asks for"
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
    Code.LIMITS_TOO_LOW: Remedy(
        Who.HOST,
        "raise the limit that is named here, for good: fs.inotify in /etc/sysctl.d, memlock as "
        "LimitMEMLOCK= of containerd's unit",
    ),
    Code.HANDLER_MISSING: Remedy(
        Who.CLUSTER,
        "let kata-deploy finish on this node and restart the container runtime, or let the "
        "RuntimeClass no longer select the node",
    ),
    Code.OVERHEAD_NOT_OFFERED: Remedy(
        Who.CLUSTER,
        "install node-feature-discovery, then run `helm upgrade` of Kata's chart once more: its "
        "rule offers what the class asks for",
    ),
    Code.LABEL_UNWRITTEN: Remedy(
        Who.CLUSTER,
        "install the writer that is named here, or take the label out of the class's selector; "
        "for NFD's run `helm upgrade` of Kata's chart once NFD is there",
    ),
    Code.OPERAND_LEFT_PAUSED: Remedy(
        Who.CLUSTER,
        "set the label back to the value named, by `kubectl label node NODE KEY=VALUE "
        "--overwrite`, or let nodeagent do it with `repair: true`",
    ),
    Code.PROBE_PENDING: Remedy(
        Who.CLUSTER, "wait for the probe pod of this node: it runs in the agent's namespace"
    ),
    Code.PROBE_FAILED: Remedy(
        Who.CLUSTER,
        "find out why the probe pod of the configuration's `gate` does not pass on this node; it "
        "is tried again by itself",
    ),
    Code.PROBE_LATE: Remedy(
        Who.CLUSTER,
        "see what kept the probe pod from ending here, or give it more time by `deadline_s` of "
        "the configuration's `gate`",
    ),
    Code.LOCKDOWN: Remedy(
        Who.KERNEL,
        "turn Secure Boot off, or remove lockdown= from the kernel command line: kernel lockdown "
        "hides the GPU's registers",
        _BOOT,
    ),
    Code.NO_ACCESS: Remedy(
        Who.HOST,
        "let it be read: as root on the host itself, by a mount in a pod, by a new capture",
    ),
}

_RMP_CAUSES = (
    Code.BIOS_RMP_NOT_RESERVED,
    Code.BIOS_RMP_INVALID,
    Code.BIOS_RMP_TOO_SMALL,
)
_CAUSES: Mapping[Code, tuple[Code, ...]] = {
    Code.IOMMU_PASSTHROUGH_OR_OFF: (
        Code.IOMMU_OPTION,
        Code.IOMMU_KERNEL_DEFAULT,
        Code.BIOS_IOMMU_OFF,
    ),
    Code.BIOS_SNP_INCOMPLETE: (Code.BIOS_IOMMU_OFF, Code.BIOS_IOMMU_SNP_OFF, *_RMP_CAUSES),
    Code.SNP_INIT_INVALID_CONFIG: (Code.CPUS_OFFLINE, Code.LEGACY_BOOT, Code.SEV_FW_TOO_OLD),
    Code.SNP_INIT_FAILED: (Code.PSP_BOOT_LOADER_OLD, Code.SEV_FW_TOO_OLD, *_RMP_CAUSES),
    Code.SNP_INIT_WBINVD: (Code.KERNEL_NO_SNP_HOST, Code.SEV_FW_TOO_OLD),
    Code.KVM_AMD_NOT_LOADED: (Code.KERNEL_CONFIG,),
    Code.KERNEL_SNP_NOT_ENABLED: (Code.KERNEL_CONFIG,),
    Code.VFIO_MISSING: (Code.KERNEL_CONFIG,),
}

CAUSES: Mapping[tuple[Code, Code], Remedy] = {
    **{(code, cause): REMEDIES[cause] for code, causes in _CAUSES.items() for cause in causes},
    (Code.KERNEL_NO_SNP_HOST, Code.KERNEL_CONFIG): REMEDIES[Code.KERNEL_NO_SNP_HOST],
}

_FROM_7_1: Mapping[Code, Remedy] = {
    Code.SNP_STATE_LOST: Remedy(Who.HOST, f"{_RELOAD}; that initialises SNP again", Restart.RELOAD),
}


def remedy_for(outcome: Outcome, facts: Facts) -> Remedy | None:
    """By cause where one is known, by kernel where the cure changed, else by code."""
    if outcome.code is None:
        return None
    remedy = REMEDIES[outcome.code]
    if outcome.cause and (outcome.code, outcome.cause) in CAUSES:
        remedy = CAUSES[outcome.code, outcome.cause]
    elif (facts.kernel.version or (0, 0)) >= KVM_ENABLES_SNP and outcome.code in _FROM_7_1:
        remedy = _FROM_7_1[outcome.code]
    return named(remedy, facts.platform.dmi)


def ways(code: Code, dmi: Dmi | None = None) -> Iterator[tuple[str, Remedy]]:
    """Every remedy a code can have, each with when it is the one; the usual one first."""
    yield "", named(REMEDIES[code], dmi)
    for (of, cause), remedy in CAUSES.items():
        if of is code:
            yield f"where the cause is {cause}", named(remedy, dmi)
    if code in _FROM_7_1:
        yield "from kernel {}.{} on".format(*KVM_ENABLES_SNP), named(_FROM_7_1[code], dmi)


def settings(code: Code) -> Iterator[str]:
    """The BIOS settings that a code's remedies name, in the order in which they do."""
    texts = [REMEDIES[code].do, *(each.do for (of, _), each in CAUSES.items() if of is code)]
    for text in texts:
        for part in text.split("{")[1:]:
            yield from part.partition("}")[0].split(", ")


def named(remedy: Remedy, dmi: Dmi | None) -> Remedy:
    """With every setting as this board calls it; None stands for no board in particular."""
    if "{" not in remedy.do:
        return remedy
    from nodeagent import boards  # noqa: PLC0415 - a host without such a fault need not read them

    filled = boards.fill(remedy.do, dmi)
    return remedy._replace(do=filled.text, note=_one_line((*filled.notes, remedy.note)))


def _one_line(notes: tuple[str, ...]) -> str:
    """As many sentences, the gravest first, as stand on one line under a step."""
    line = ""
    whole = ". ".join(note.rstrip(".") for note in notes if note)
    for sentence in dict.fromkeys(whole.split(". ")):
        longer = f"{line} {sentence}.".lstrip()
        if sentence and (not line or len(longer) <= NOTE_WIDTH):
            line = longer
    return line
