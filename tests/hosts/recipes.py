"""Every made-up host: what it is, and the small deltas that make it of `genoa-ready`."""

from tests.hosts import base, boards, cpus, firmware, hgx, kernels, others, plugging, sockets
from tests.hosts import gpu_states as gpu
from tests.hosts import hazards as bites
from tests.hosts import kubernetes as kube
from tests.hosts import snp_faults as snp
from tests.hosts.base import genoa_ready
from tests.hosts.draft import Delta, Draft
from tests.hosts.inspector import inspect
from tests.hosts.tree import Tree

Recipe = tuple[str, tuple[Delta, ...]]

MADE = "made from tests/hosts/recipes.py"

READY: dict[str, Recipe] = {
    "genoa-ready": ("snp-host.md §8.2: ready, with one H100 PCIe", ()),
    "genoa-ready-6.11": ("KVM says Y before 6.16 whatever the PSP said", (kernels.kernel_6_11,)),
    "genoa-ready-6.16": ("from here on KVM asks the PSP first", (kernels.kernel_6_16,)),
    "genoa-ready-6.18": ("ready on 6.18", (kernels.kernel_6_18,)),
    "genoa-ready-6.19": ("the last of the sixes", (kernels.kernel_6_19,)),
    "genoa-ready-7.1": ("kvm_amd is loaded, so SNP is on", (kernels.kernel_7_1,)),
    "genoa-ready-7.2": ("ready on 7.2", (kernels.kernel_7_2,)),
    "genoa-ready-7.3": ("newer than what is known", (kernels.kernel_7_3,)),
    "genoa-rhel-9": ("SNP carried back into a kernel numbered 5.14", (kernels.rhel_9,)),
    "genoa-talos": ("immutable: no msr, no cpuid module", (snp.no_register_modules,)),
    "genoa-log-overwritten": ("the log begins long after the boot", (snp.log_overwritten,)),
    "genoa-log-overwritten-6.11": (
        "the same where `Y` alone proves nothing",
        (kernels.kernel_6_11, snp.log_overwritten),
    ),
    "bergamo-ready": ("128 cores, family 0x19 model 0xa0", (cpus.bergamo,)),
    "siena-ready": ("the same family and model in a smaller socket", (cpus.siena,)),
    "milan-dell-r7525": (
        "two sockets, 509 ASIDs",
        (cpus.milan, boards.dell_r7525, sockets.two(tib=1)),
    ),
    "turin-ready": ("segmented RMP: RMP_END is 0", (cpus.turin,)),
    "turin-ready-6.12": (
        "its RMP in one table, on a kernel that knows no other",
        (kernels.kernel_6_12, cpus.turin_one_table),
    ),
    "turin-dense-ready": ("192 cores, SMT off in the BIOS", (cpus.turin_dense,)),
    "genoa-rmp-looks-small": (
        "the memory map seems to go beyond the RMP, and the PSP runs SNP all the same",
        (snp.memory_seems_larger,),
    ),
    "genoa-rmp-looks-small-6.11": (
        "the same where KVM's own word may be wrong",
        (kernels.kernel_6_11, snp.memory_seems_larger),
    ),
    "turin-other-stepping": ("no floor is about it", (cpus.turin_other_stepping,)),
    "venice": ("no floor is about its generation", (cpus.venice,)),
}

NOT_CAPABLE: dict[str, Recipe] = {
    "genoa-in-vm": ("§8.3 #20: flag hypervisor", (snp.in_a_vm,)),
    "cloud-vm": ("a guest in a cloud, without UEFI", (boards.amazon, others.cloud_vm)),
    "cloud-vm-confidential": (
        "such a guest under SEV-SNP",
        (boards.amazon, others.confidential_vm),
    ),
    "gh200": ("an Arm superchip", (boards.grace, others.gh200)),
    "intel-tdx": ("a Xeon with TDX on", (boards.xeon, others.intel_tdx)),
    "intel": ("a Xeon", (boards.xeon, others.intel)),
    "rome": ("an EPYC from before SNP", (cpus.rome,)),
}

BIOS: dict[str, Recipe] = {
    "milan-dell-r6515-rmp": (
        "RMP_END 0x1fff, from before SNP Memory Coverage was set",
        (cpus.milan, boards.dell_r6515, snp.rmp_not_reserved),
    ),
    "milan-dell-r7525-asids": (
        "Minimum SEV non-ES ASID is 1",
        (cpus.milan, boards.dell_r7525, snp.no_es_asids),
    ),
    "milan-h12ssw-rmp": (
        "BIOS 2.3 has no entry for RMP coverage",
        (cpus.milan, boards.h12ssw, snp.rmp_not_reserved),
    ),
    "milan-hpe-dl325-hidden": (
        "SNP is off in the setup, and CPUID denies it",
        (cpus.milan, boards.hpe_dl325, snp.snp_hidden),
    ),
    "genoa-lenovo-smee-off": ("§8.3 #1 on a ThinkSystem", (boards.lenovo_sr675, snp.smee_off)),
    "genoa-asus-iommu-snp-off": ("§8.3 #6 on a K14PP-D24", (boards.asus_k14pp, snp.iommu_snp_off)),
    "threadripper": (
        "a desk's CPU from Genoa's range of models",
        (cpus.threadripper, snp.not_in_silicon),
    ),
    "genoa-odd-cpu": ("§8.3 #18: CPU 7 lacks SYSCFG[24]", (snp.odd_cpu,)),
    "genoa-smee-off": ("§8.3 #1", (snp.smee_off,)),
    "genoa-smm-unlocked": ("HWCR[0] is 0, SYSCFG[23] is 1", (snp.smm_unlocked,)),
    "genoa-bios-incomplete": ("SNP_INIT error 0x13 with SMEE on", (snp.init_fails("0x13"),)),
    "genoa-snp-hidden": ("CPUID 8000001F EAX[4] is 0", (snp.snp_hidden,)),
    "genoa-rmp-not-reserved": ("§8.3 #2", (snp.rmp_not_reserved,)),
    "genoa-rmp-invalid": ("RMP_BASE above RMP_END", (snp.rmp_invalid,)),
    "genoa-rmp-too-small": ("§8.3 #3: memory was added", (snp.rmp_too_small,)),
    "turin-rmp-too-small": (
        "memory was added, and the RMP is segmented",
        (cpus.turin, snp.segments_too_small),
    ),
    "genoa-talos-rmp": (
        "§8.3 #2 where only the log can say so",
        (snp.rmp_not_reserved, snp.no_register_modules),
    ),
    "genoa-svm-off": ("kvm_amd cannot load without SVM", (snp.svm_off,)),
    "turin-rmp-segment-bad": ("segment size out of bounds", (cpus.turin, snp.rmp_segment_bad)),
    "genoa-iommu-off": ("§8.3 #5: IOMMU off in the BIOS", (snp.iommu_off,)),
    "genoa-iommu-snp-off": ("§8.3 #6: SEV-SNP Support off in NBIO", (snp.iommu_snp_off,)),
    "genoa-no-es-asids": ("§8.3 #7", (snp.no_es_asids,)),
}

KERNEL: dict[str, Recipe] = {
    "genoa-iommu-pt": ("§8.3 #4: iommu=pt", (snp.iommu_pt,)),
    "genoa-iommu-built-passthrough": (
        "§8.3 #4 as this kernel was built",
        (snp.iommu_built_passthrough,),
    ),
    "genoa-iommu-v2": ("amd_iommu=pgtbl_v2", (snp.iommu_v2,)),
    "genoa-rmp-init-failed": ("no line says why", (snp.rmp_init_failed,)),
    "genoa-kvm-amd-missing": ("kvm_amd not loaded on 6.17", (snp.kvm_amd_missing,)),
    "genoa-kvm-amd-missing-7.1": (
        "kvm_amd not loaded on 7.1, so SYSCFG[24] is still 0",
        (kernels.kernel_7_1, snp.not_enabled_yet),
    ),
    "genoa-kernel-6.8": ("§8.3 #8", (kernels.kernel_6_8, snp.no_host_snp)),
    "genoa-module-option": ("§8.3 #9: kvm_amd sev_snp=0", (snp.module_option,)),
    "genoa-kernel-silent": ("SYSCFG[24] is 0 for no visible reason", (snp.kernel_silent,)),
}

PSP: dict[str, Recipe] = {
    "genoa-psp-timed-out": ("dead PSP: only the log knows", (snp.psp_timed_out,)),
    "genoa-psp-silent": ("dead PSP: only the commands know", (snp.psp_answers_nothing,)),
    "genoa-nosmt": ("§8.3 #10 in the new wording", (snp.nosmt, snp.init_fails("0x3"))),
    "genoa-nosmt-6.11": (
        "§8.3 #10 in the old wording, and KVM says Y all the same",
        (kernels.kernel_6_11, snp.nosmt, snp.init_fails_unheard("0x3")),
    ),
    "genoa-nosmt-7.2": (
        "offline CPUs from 7.2 on: SNP_INIT is not tried",
        (kernels.kernel_7_2, snp.all_cpus_wanted),
    ),
    "genoa-legacy-boot": ("§8.3 #11: no UEFI", (snp.legacy_boot, snp.init_fails("0x3"))),
    "genoa-sev-init-failed": ("SEV INIT error 0x1 alone", (snp.sev_init_fails,)),
    "milan-boot-loader-old": (
        "SEV INIT error 0x1 alone: the PSP's boot loader refuses the firmware file",
        (cpus.milan, snp.old_boot_loader, snp.sev_init_fails),
    ),
    "genoa-wbinvd": (
        "SNP_INIT error 0xe, on a G493-ZB2",
        (boards.gigabyte_g493, snp.init_fails("0xe")),
    ),
    "genoa-rmp-init-refused": ("SNP_INIT error 0x26", (snp.init_fails("0x26"),)),
    "genoa-firmware-1.49": ("§8.3 #12 on 6.17", (snp.firmware_1_49_honest,)),
    "genoa-firmware-1.49-6.11": (
        "§8.3 #12 on 6.11, where KVM says Y all the same",
        (kernels.kernel_6_11, snp.firmware_1_49_lies),
    ),
    "genoa-kvm-snp-disabled": ("KVM says N, all below it is on", (snp.disabled_after_init,)),
    "genoa-psp-not-initialised": ("cmd 9 errno EINVAL, KVM says Y", (snp.not_initialised,)),
    "genoa-no-kvm-device": ("kvm_amd is loaded, /dev/kvm is not there", (snp.no_kvm_device,)),
    "genoa-no-tmr": ("the PSP's driver found no memory", (snp.no_tmr,)),
    "genoa-cured-by-reload": ("an old INIT failure, and a new INIT", (snp.cured_by_reload,)),
    "genoa-cpu-offlined": ("somebody took CPU 191 offline", (snp.one_cpu_taken_offline,)),
    "genoa-leaking-pages": ("ready, and the log has RMP trouble", (snp.leaks_pages,)),
    "genoa-state-lost": ("KVM says Y, the PSP is uninitialised", (snp.state_lost,)),
}

GPUS: dict[str, Recipe] = {
    "genoa-no-gpu": ("no GPU", (gpu.no_gpu,)),
    "genoa-gpu-on-nvidia": ("§8.3 #19", (gpu.on_driver("nvidia"),)),
    "genoa-gpu-on-nouveau": ("§8.3 #19", (gpu.nouveau_allowed,)),
    "genoa-vfio-missing": ("nobody loaded vfio-pci", (gpu.no_vfio,)),
    "genoa-gpu-no-group": ("the GPU alone is in no IOMMU group", (gpu.without_group,)),
    "genoa-rtx-pro-6000": ("a GB202 with its audio function", (gpu.rtx_pro_6000,)),
    "genoa-rtx-pro-6000-audio": (
        "the host's sound driver has its audio function",
        (gpu.rtx_pro_6000, gpu.audio_on_host),
    ),
    "genoa-l40s": ("a GPU from before CC", (gpu.other_gpu(0x26B9, 0x1851),)),
    "genoa-gpu-unlisted": ("a GPU newer than what is known", (gpu.other_gpu(0x3340, 0x2201),)),
    "genoa-lockdown-integrity": ("GPU registers are closed", (gpu.lockdown("integrity"),)),
    "genoa-lockdown-confidentiality": (
        "and kernel memory as well",
        (gpu.lockdown("confidentiality"),),
    ),
    "genoa-gpu-shares-group": ("GPU and NIC in one IOMMU group", (gpu.shares_group,)),
    "genoa-gpu-bridge-in-group": ("and a host bridge", (gpu.host_bridge_in_group,)),
    "genoa-gpu-driven-bridge": ("and one with a driver", (gpu.driven_host_bridge_in_group,)),
    "genoa-gpu-port-in-group": ("GPU and its root port in one group", (gpu.port_in_group,)),
    "genoa-ppcie-switch-not-vfio": ("PPCIe, switch not on vfio", (gpu.protected_without_switch,)),
    "genoa-gpu-bar-unassigned": ("the 128 GiB BAR found no room", (gpu.bar_unassigned,)),
    "genoa-gpu-held": ("a VM holds the device node; never seen before", (gpu.held,)),
    "genoa-gpu-held-group": ("a VM holds the group node", (gpu.held_by_group,)),
    "genoa-gpu-held-seen": ("held, and seen earlier in this boot", (gpu.seen_before,)),
    "genoa-gpu-held-seen-last-boot": ("held, and seen in another boot", (gpu.seen_last_boot,)),
    "genoa-gpu-d3hot": ("asleep in D3hot", (gpu.asleep_d3hot,)),
    "genoa-gpu-d3cold": ("asleep in D3cold", (gpu.asleep_d3cold,)),
    "genoa-gpu-decode-off": ("memory decode off in the command register", (gpu.decode_off,)),
    "genoa-gpu-off": ("CC off", (gpu.mode(0),)),
    "genoa-gpu-devtools": ("CC devtools", (gpu.mode(3),)),
    "genoa-gpu-invalid": ("devtools without CC", (gpu.mode(2),)),
    "genoa-gpu-pending": ("its firmware is configured to off", (gpu.configured(0),)),
    "genoa-gpu-asked": ("its firmware is configured to on", (gpu.configured(1),)),
    "genoa-rtx-toggled": (
        "switched off and on since the boot",
        (gpu.rtx_pro_6000, gpu.left_cc),
    ),
    "genoa-two-gpus": ("both in CC mode", (gpu.second_gpu,)),
    "genoa-two-gpus-mixed": ("one in CC mode, one not", (gpu.second_gpu, gpu.mode(0, gpu.SECOND))),
    "genoa-gpu-gone": ("BAR0 reads all ones, awake and decoding", (gpu.gone,)),
    "genoa-gpu-off-the-bus": ("so does configuration space", (gpu.off_the_bus,)),
    "genoa-gpu-security-fault": ("BOOT_0 reads 0xbadf0200", (gpu.security_fault,)),
    "genoa-gpu-boot-incomplete": ("boot status 0", (gpu.boot_incomplete,)),
    "genoa-gpu-recovery": ("FSP recovery mode", (gpu.recovery,)),
    "genoa-gpu-virtual": ("BOOT_1 says virtual function", (plugging.virtual,)),
    "genoa-gpu-window-small": ("a window of 512 MiB above it", (plugging.window_too_small,)),
    "genoa-gpu-outside-window": ("half its large BAR cut off", (plugging.outside_window,)),
    "genoa-gpu-x8": ("8 of 16 lanes", (plugging.narrow,)),
    "genoa-gpu-slow-at-idle": ("2.5 GT/s of 32, as to save power", (plugging.slow_at_idle,)),
    "genoa-acs-off": ("its port's ACS is off, its group holds", (plugging.acs_off,)),
    "genoa-acs-none": ("its port has no ACS, its group holds", (plugging.acs_none,)),
    "genoa-no-iommufd": ("no /dev/iommu", (plugging.no_iommufd,)),
    "genoa-d3cold-allowed": ("awake, disable_idle_d3 off", (plugging.may_lose_power,)),
}

_HGX = (
    cpus.genoa_dual,
    boards.h13dsg,
    sockets.two(tib=2),
    hgx.baseboard(hgx.H100, nvswitches=4),
)
_B200 = (
    cpus.turin_fast,
    boards.h14dsg,
    sockets.two(tib=2),
    hgx.baseboard(hgx.B200, nvswitches=0),
)

BASEBOARDS: dict[str, Recipe] = {
    "genoa-hgx-h100": ("two sockets, 8 H100 SXM and 4 NVSwitches in protected PCIe mode", _HGX),
    "genoa-hgx-h100-cc": (
        "8 H100 in CC mode for a guest each, NVSwitches handed to nobody",
        (*_HGX, hgx.modes(gpus=1, switches=0), hgx.switches_stay),
    ),
    "genoa-hgx-h100-one-off": ("one GPU in mode off", (*_HGX, gpu.mode(0, hgx.FIRST_GPU))),
    "genoa-hgx-h100-switch-off": ("one NVSwitch in mode off", (*_HGX, hgx.switch_mode(0))),
    "genoa-hgx-h100-gpu-gone": ("one GPU fell off the bus", (*_HGX, hgx.fell_off(hgx.FIRST_GPU))),
    "genoa-hgx-h100-switch-gone": ("one NVSwitch fell off", (*_HGX, hgx.fell_off(hgx.LAST_SWITCH))),
    "turin-hgx-b200": ("8 B200 in CC mode, no NVSwitch to be seen", _B200),
    "turin-hgx-b200-one-off": ("one GPU in mode off", (*_B200, hgx.b200_mode(0, hgx.FIRST_GPU))),
    "turin-hgx-b200-firewall": (
        "one GPU has not opened its BARs yet",
        (*_B200, hgx.behind_firewall(hgx.FIRST_GPU)),
    ),
}

HAZARDS: dict[str, Recipe] = {
    "genoa-mitigations-off": ("ready, with mitigations=off", (bites.asks("mitigations=off"),)),
    "genoa-option-of-wrong-module": (
        "ready; kvm.sev_es=1 does nothing",
        (bites.asks("kvm.sev_es=1"),),
    ),
    "genoa-option-undone": (
        "ready; a later file takes an option back",
        (
            bites.modprobe("a", "options kvm_amd sev_snp=0"),
            bites.modprobe("z", "options kvm_amd sev_snp=1"),
        ),
    ),
    "genoa-option-undone-iommu-pt": (
        "iommu=pt, and an option that a later file takes back",
        (
            snp.iommu_pt,
            bites.modprobe("a", "options kvm_amd sev_snp=0"),
            bites.modprobe("z", "options kvm_amd sev_snp=1"),
        ),
    ),
    "turin-6.11": (
        "a kernel older than the CPU",
        (cpus.turin_one_table, kernels.kernel_6_11),
    ),
    "genoa-kvm-not-built": ("a kernel without CONFIG_KVM_AMD", (bites.kvm_not_built,)),
    "genoa-vfio-not-built": ("a kernel without CONFIG_VFIO_PCI", (bites.vfio_not_built,)),
}

_COMPLIANT = (firmware.tcb(firmware.COMPLIANT_TCB), firmware.microcode(0xA101156))

FIRMWARE: dict[str, Recipe] = {
    "genoa-compliant": ("at every floor of a Genoa", _COMPLIANT),
    "genoa-tcb-lags": (
        "§8.3 #13: SNP 23 runs, 22 is reported",
        (firmware.tcb(base.TCB, "0a00000000001654"), firmware.updated),
    ),
    "genoa-tcb-odd": ("a byte is set that must be zero", (firmware.tcb("0a00010000001b56"),)),
    "genoa-no-alias-check": ("§8.3 #14", (*_COMPLIANT, firmware.no_alias_check)),
    "genoa-sev-1.55.30": ("from before the BadRAM fix", (*_COMPLIANT, firmware.sev_build(30))),
    "genoa-old-microcode": ("before EntrySign", (*_COMPLIANT, firmware.microcode(0xA101148))),
    "genoa-odd-microcode": ("CPU 7 has another", (*_COMPLIANT, firmware.odd_microcode)),
    "genoa-chip-key-masked": ("MASK_CHIP_KEY", (*_COMPLIANT, firmware.flags(1 << 1))),
    "genoa-chip-id-masked": ("MASK_CHIP_ID, no VLEK", (*_COMPLIANT, firmware.flags(1))),
    "genoa-vlek": ("both masks and a VLEK", (*_COMPLIANT, firmware.flags(0b111))),
    "genoa-not-fused": (
        "an engineering sample",
        (*_COMPLIANT, firmware.psp_says("fused_part", "0")),
    ),
    "genoa-debug-open": ("debug_lock_on 0", (*_COMPLIANT, firmware.psp_says("debug_lock_on", "0"))),
    "milan-old-bios": ("H12SSW with BIOS 2.3", (cpus.milan, firmware.bios("H12SSW-NT", "2.3"))),
    "milan-new-bios": ("H12SSW with BIOS 3.6", (cpus.milan, firmware.bios("H12SSW-NT", "3.6"))),
    "genoa-asids-exhausted": ("99 of 99 ASIDs in use", (*_COMPLIANT, firmware.asids_in_use(99))),
    "genoa-asids-low": ("90 of 99 ASIDs in use", (*_COMPLIANT, firmware.asids_in_use(90))),
    "genoa-newer-sev-firmware": ("SEV 1.55.44 waits", (*_COMPLIANT, firmware.newer_image)),
    "genoa-newer-kernel": ("6.17.0-14 is installed", (*_COMPLIANT, firmware.newer_kernel)),
    "genoa-policy": (
        "RAPL off and ciphertext hiding on",
        (*_COMPLIANT, kernels.kernel_7_1, firmware.flags(1 << 4 | 1 << 6), firmware.all_demands),
    ),
}

HOSTS: dict[str, Recipe] = (
    READY | NOT_CAPABLE | BIOS | KERNEL | PSP | GPUS | BASEBOARDS | HAZARDS | kube.NODES | FIRMWARE
)

SIMULATED: Recipe = (
    "ready, and its GPUs and NVSwitches are for a model to play",
    (*_HGX, *_COMPLIANT, kube.node, kube.name_every_node, hgx.unplayed),
)

# §8.3 #17: what the inspector sees of another host. It sees less of every host; two are kept.
UNPRIVILEGED = {
    "genoa-no-privileges": "genoa-ready",
    "genoa-no-privileges-6.11": "genoa-ready-6.11",
}

# Taken from a real machine: no recipe can make it again.
CAPTURED = frozenset({"dev-machine"})


def draft(name: str) -> Draft:
    return _draft(HOSTS[name])


def simulated() -> Tree:
    """The host that the package ships for its model."""
    return _draft(SIMULATED).tree()


def _draft(recipe: Recipe) -> Draft:
    note, deltas = recipe
    host = genoa_ready()
    host.note = f"{MADE}: {note}"
    for delta in deltas:
        delta(host)
    return host


def trees() -> dict[str, Tree]:
    made = {name: draft(name).tree() for name in HOSTS}
    return made | {name: inspect(made[whole]) for name, whole in UNPRIVILEGED.items()}
