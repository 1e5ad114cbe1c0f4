"""What can be wrong between the BIOS and KVM, each as it looks on a real host."""

import gzip

from tests.hosts import base, pci
from tests.hosts.draft import GPU, HWCR, RMP_BASE, RMP_CFG, RMP_END, SYSCFG, Delta, Draft
from tests.hosts.kernels import SEV_INIT_NEW, SNP_INIT_NEW, SNP_INIT_OLD

SNP_OFF_SYSCFG = 0xF40000  # memory encryption on, SNP and VMPL off: snp-host.md §1.4
UNINITIALISED = base.SEV_STATUS.replace("013701", "013700", 1)


# Endings that several faults share


def snp_off(draft: Draft) -> None:
    """KVM did not get SNP. Nobody asks the PSP for it then (snp-host.md §0.3)."""
    draft.param("kvm_amd", "sev_snp", "N")
    draft.sev.pop("snp_platform_status", None)
    draft.swap("kvm_amd: SEV-SNP", "kvm_amd: SEV-SNP disabled (ASIDs 1 - 99)", level=6)


def kernel_refuses(draft: Draft, *, why: str | None = None) -> None:
    """The kernel looked at RMP and IOMMU and did not set SYSCFG[24]."""
    snp_off(draft)
    draft.wrmsr(SYSCFG, SNP_OFF_SYSCFG)
    if why is None:
        draft.unsay("SEV-SNP API", "IOMMU SNP support enabled")
    else:
        draft.unsay("SEV-SNP API")
        draft.swap("IOMMU SNP support enabled", why)


def no_reservation(draft: Draft, *, why: str | None) -> None:
    """The RMP probe at boot failed, so the kernel took the flag away."""
    kernel_refuses(draft)
    draft.flags(drop=("sev_snp",))
    draft.unsay("kvm_amd: SEV-SNP")
    draft.unsay("Segmented RMP using", "RMP segment ")
    if why is None:
        draft.unsay("RMP table", "Segmented RMP")
    else:
        draft.swap("RMP", why)


def no_sev(draft: Draft) -> None:
    """The kernel cleared every SEV flag; neither ccp nor KVM has anything to offer."""
    snp_off(draft)
    draft.flags(drop=("sev", "sev_es", "sev_snp"))
    for name in ("sev", "sev_es"):
        draft.param("kvm_amd", name, "N")
    for path in ("/dev/sev", "/sys/class/misc/sev"):
        draft.remove(path)
    draft.sev.clear()
    draft.asids(sev=None, es=None)
    draft.unsay("SEV-SNP", "IOMMU SNP", "SEV API", "kvm_amd: SEV")
    draft.swap("sev enabled", "ccp 0000:01:00.5: SEV: memory encryption not enabled by BIOS")


def init_fails(error: str, *, wording: str = SNP_INIT_NEW) -> Delta:
    """The PSP refused SNP_INIT; legacy SEV came up all the same."""

    def delta(draft: Draft) -> None:
        snp_off(draft)
        draft.swap("SEV-SNP API", wording.format(error=error))

    return delta


def init_fails_unheard(error: str) -> Delta:
    """Before 6.16 KVM never asks whether SNP_INIT succeeded: `Y` and its log line stay."""

    def delta(draft: Draft) -> None:
        draft.swap("SEV-SNP API", SNP_INIT_OLD.format(error=error))
        draft.sev.pop("snp_platform_status")  # not asked after a failure: snp-host.md §0.3

    return delta


# BIOS


def smee_off(draft: Draft) -> None:
    no_sev(draft)
    draft.wrmsr(SYSCFG, 0x740000)


def smm_unlocked(draft: Draft) -> None:
    """To ccp this looks like SMEE off, and it says so in the log."""
    no_sev(draft)
    draft.wrmsr(SYSCFG, SNP_OFF_SYSCFG)
    draft.wrmsr(HWCR, 0x9000010)


def snp_hidden(draft: Draft) -> None:
    """With the bit hidden the kernel never looks at the RMP, which is not there either."""
    no_reservation(draft, why=None)
    draft.leaf("0x8000001f", eax=0x0101FF2B)
    draft.wrmsr(RMP_BASE, 0)
    draft.wrmsr(RMP_END, 0x1FFF)


def not_in_silicon(draft: Draft) -> None:
    """Memory encryption and nothing on top of it: no BIOS can change that."""
    no_sev(draft)
    draft.unsay("memory encryption not enabled")
    draft.wrmsr(SYSCFG, SNP_OFF_SYSCFG)
    draft.leaf("0x8000001f", eax=1, ecx=0, edx=0)
    draft.wrmsr(RMP_BASE, 0)
    draft.wrmsr(RMP_END, 0x1FFF)


def rmp_not_reserved(draft: Draft) -> None:
    text = "SEV-SNP: Memory for the RMP table has not been reserved by BIOS"
    no_reservation(draft, why=text)
    draft.wrmsr(RMP_BASE, 0)
    draft.wrmsr(RMP_END, 0x1FFF)  # means 0: the low 13 bits are not address bits
    draft.sev["snp_platform_status"] = {"errno": "EINVAL"}


def rmp_invalid(draft: Draft) -> None:
    base_, end = 0x96300000, 0x15AFFFFF
    text = f"SEV-SNP: RMP configuration not valid: base={base_:#x}, end={end:#x}"
    no_reservation(draft, why=text)
    draft.wrmsr(RMP_BASE, base_)
    draft.wrmsr(RMP_END, end)


def rmp_too_small(draft: Draft) -> None:
    """DIMMs were added up to 1 TiB after the BIOS had sized the table."""
    text = (
        "SEV-SNP: Memory reserved for the RMP table does not cover full system RAM "
        "(expected 0x100804000 got 0x80900000)"
    )
    kernel_refuses(draft)
    draft.swap("RMP table", text)
    draft.put("/proc/zoneinfo", base.zoneinfo(0x10080000))


def memory_seems_larger(draft: Draft) -> None:
    """What was inferred of coverage is wrong, whatever made it so: SNP runs."""
    draft.put("/proc/zoneinfo", base.zoneinfo(0x10080000))


def segments_too_small(draft: Draft) -> None:
    """The same where the table is segmented: there the kernel alone can tell."""
    text = (
        "SEV-SNP: Segmented RMP does not cover full system RAM "
        "(expected 0x10080000000 got 0x8080000000)"
    )
    rmp_init_failed(draft)
    draft.say(text, level=3)
    draft.put("/proc/zoneinfo", base.zoneinfo(0x10080000))


def rmp_segment_bad(draft: Draft) -> None:
    """On a Turin: the BIOS chose segments larger than the silicon takes."""
    text = "SEV-SNP: RMP segment size (44) is not within advertised bounds (min: 36, max: 40)"
    no_reservation(draft, why=text)
    draft.wrmsr(RMP_CFG, 1 | 44 << 8)


def iommu_off(draft: Draft) -> None:
    """No IVRS table: no unit, no group, and vfio-pci cannot take a device without one."""
    kernel_refuses(draft)
    draft.unsay("AMD-Vi", "iommu")
    pci.unplug(draft, "0000:00:00.2")
    draft.remove("/sys/class/iommu")
    draft.remove("/sys/kernel/iommu_groups")
    for path in [p for p in draft.links if p.endswith("/iommu_group")]:
        del draft.links[path]
    pci.unbind(draft, GPU)
    for path in (f"{pci.home(draft, GPU)}/vfio-dev", "/dev/vfio/41", "/dev/vfio/devices"):
        draft.remove(path)


def iommu_snp_off(draft: Draft) -> None:
    text = "AMD-Vi: SNP: IOMMU SNP feature not enabled, SNP cannot be supported."
    kernel_refuses(draft, why=text)


def no_es_asids(draft: Draft) -> None:
    """The kernel side is fine; the BIOS left every ASID to SEV without ES."""
    snp_off(draft)
    draft.param("kvm_amd", "sev_es", "N")
    draft.leaf("0x8000001f", edx=1)
    last = draft.cpuid["0x8000001f"][2]
    draft.asids(sev=last, es=None)
    draft.swap("kvm_amd: SEV en", f"kvm_amd: SEV enabled (ASIDs 1 - {last})", level=6)
    draft.swap("kvm_amd: SEV-ES", "kvm_amd: SEV-ES disabled (ASIDs 0 - 0)", level=6)
    draft.swap("kvm_amd: SEV-SNP", "kvm_amd: SEV-SNP disabled (ASIDs 0 - 0)", level=6)


# Kernel


def iommu_pt(draft: Draft) -> None:
    text = "AMD-Vi: SNP: IOMMU disabled or configured in passthrough mode, SNP cannot be supported."
    kernel_refuses(draft, why=text)
    draft.cmdline.append("iommu=pt")
    for path in [p for p in draft.files if p.startswith("/sys/kernel/iommu_groups/")]:
        draft.put(path, "identity")
    said = "iommu: Default domain type: Passthrough (set via kernel command line)"
    draft.swap("Default domain type", said, level=6)


def iommu_built_passthrough(draft: Draft) -> None:
    """The same without a word on the command line: this kernel was built that way."""
    iommu_pt(draft)
    draft.cmdline.remove("iommu=pt")
    config = draft.text("/boot/config") or ""
    name = "CONFIG_IOMMU_DEFAULT_PASSTHROUGH"
    draft.put("/boot/config", config.replace(f"# {name} is not set", f"{name}=y"))
    draft.swap("Default domain type", "iommu: Default domain type: Passthrough", level=6)


def iommu_v2(draft: Draft) -> None:
    text = "AMD-Vi: SNP: IOMMU is configured with V2 page table mode, SNP cannot be supported."
    kernel_refuses(draft, why=text)
    draft.cmdline.append("amd_iommu=pgtbl_v2")


def rmp_init_failed(draft: Draft) -> None:
    kernel_refuses(draft, why="AMD-Vi: SNP: RMP initialization failed, SNP cannot be supported.")


def kernel_silent(draft: Draft) -> None:
    """Everything it needs is there, it says nothing, and SYSCFG[24] is 0."""
    kernel_refuses(draft)


def no_host_snp(draft: Draft) -> None:
    """A kernel from before host SNP. The RMP is reserved: only the MSRs can say so."""
    draft.remove("/sys/module/kvm_amd/parameters/sev_snp")
    draft.flags(drop=("sev_snp",))
    draft.wrmsr(SYSCFG, SNP_OFF_SYSCFG)
    draft.sev.pop("snp_platform_status")
    draft.unsay("SEV-SNP", "IOMMU SNP")


def kvm_amd_missing(draft: Draft) -> None:
    draft.remove("/sys/module/kvm_amd")
    draft.remove("/dev/kvm")
    modules = (draft.text("/proc/modules") or "").replace("1 kvm_amd,", "0 -")
    kept = [line for line in modules.splitlines() if not line.startswith("kvm_amd ")]
    draft.put("/proc/modules", "\n".join(kept))
    draft.asids(sev=None, es=None)
    draft.sev = {"platform_status": {"hex": UNINITIALISED}}
    draft.unsay("kvm_amd", "SEV API", "SEV-SNP API")


def svm_off(draft: Draft) -> None:
    """Without SVM kvm_amd gives up at once."""
    kvm_amd_missing(draft)
    draft.flags(drop=("svm",))
    draft.say("kvm_amd: SVM disabled (by BIOS) in MSR_VM_CR on CPU 0", level=3)


def not_enabled_yet(draft: Draft) -> None:
    """7.1 and later: SYSCFG[24] waits for kvm_amd (snp-host.md §0.4)."""
    kvm_amd_missing(draft)
    draft.wrmsr(SYSCFG, SNP_OFF_SYSCFG)


def module_option(draft: Draft) -> None:
    snp_off(draft)
    draft.put("/etc/modprobe.d/kvm.conf", "options kvm_amd sev_snp=0")


# PSP


def nosmt(draft: Draft) -> None:
    draft.cmdline.append("nosmt=force")
    draft.online = draft.present // 2
    draft.smt = "forceoff"


def one_cpu_taken_offline(draft: Draft) -> None:
    """By hand, after SNP had started: SMT stays on."""
    draft.online = draft.present - 1


def all_cpus_wanted(draft: Draft) -> None:
    """7.2 asks before the PSP would: no error code, and SNP_INIT is never tried."""
    nosmt(draft)
    snp_off(draft)
    draft.wrmsr(SYSCFG, SNP_OFF_SYSCFG)
    said = "SEV-SNP: SNP init failed: not all CPUs online. (0-95 online <-> 0-191 present masks)."
    draft.swap("SEV-SNP API", f"ccp 0000:01:00.5: {said}")


def legacy_boot(draft: Draft) -> None:
    draft.remove("/sys/firmware/efi")
    draft.unsay("efi: ")


def firmware_1_49(draft: Draft) -> None:
    """Too old for the driver to try SNP_INIT: there is no line about it at all."""
    draft.sev = {"platform_status": {"hex": base.SEV_STATUS.replace("0137", "0131", 1)}}
    draft.unsay("SEV-SNP API")
    draft.swap("SEV API", "ccp 0000:01:00.5: SEV API:1.49 build:12", level=6)


def firmware_1_49_lies(draft: Draft) -> None:
    """Before 6.16 KVM says Y all the same; asked for SNP, the driver answers EINVAL."""
    firmware_1_49(draft)
    draft.sev["snp_platform_status"] = {"errno": "EINVAL"}


def old_boot_loader(draft: Draft) -> None:
    """On a Milan: from before AGESA 1.0.0.9 (snp-host.md §4.4)."""
    draft.put(f"{pci.home(draft, base.PSP)}/bootloader_version", "00.13.00.6f")


def firmware_1_49_honest(draft: Draft) -> None:
    snp_off(draft)
    firmware_1_49(draft)


def sev_init_fails(draft: Draft) -> None:
    """INIT of legacy SEV failed: KVM gives up all three."""
    snp_off(draft)
    for name in ("sev", "sev_es"):
        draft.param("kvm_amd", name, "N")
    draft.asids(sev=None, es=None)
    draft.unsay("SEV-SNP API", "kvm_amd: SEV")
    draft.swap("SEV API", SEV_INIT_NEW.format(error="0x1"))
    draft.sev = {"platform_status": {"hex": UNINITIALISED}}


def psp_timed_out(draft: Draft) -> None:
    """It died in SNP_INIT; what the log says is the only witness."""
    sev_init_fails(draft)
    draft.sev.clear()
    draft.swap("SEV: INIT", "ccp 0000:01:00.5: sev command 0x81 timed out, disabling PSP")


def psp_answers_nothing(draft: Draft) -> None:
    """It died after KVM had started, and the log has not a word of it."""
    for command in ("platform_status", "snp_platform_status"):
        draft.sev[command] = {"errno": "EBUSY", "fw_error": 0xFFFFFFFF}


def disabled_after_init(draft: Draft) -> None:
    """PSP and kernel are ready, KVM alone is not."""
    snp_off(draft)


def state_lost(draft: Draft) -> None:
    """Somebody shut SNP down under KVM: state 0, RMP bit 0, alias bit still set."""
    lost = base.SNP_STATUS.replace("01370103", "01370002", 1)
    draft.sev["snp_platform_status"] = {"hex": lost}


def not_initialised(draft: Draft) -> None:
    """How kernels of the 6.11 era say that SNP was shut down (snp-host.md §0.3)."""
    draft.sev["snp_platform_status"] = {"errno": "EINVAL"}


def no_kvm_device(draft: Draft) -> None:
    draft.remove("/dev/kvm")


def no_tmr(draft: Draft) -> None:
    draft.say(f"ccp {base.PSP}: SEV: TMR allocation failed, SEV-ES support unavailable", level=4)


def cured_by_reload(draft: Draft) -> None:
    """An INIT failed, its cause went away, and kvm_amd was loaded anew: the log keeps both."""
    good = [line.text for line in draft.log if "SEV-SNP API" in line.text]
    draft.swap("SEV-SNP API", SNP_INIT_NEW.format(error="0x3"))
    for text in good:
        draft.say(text)


def leaks_pages(draft: Draft) -> None:
    draft.say("SEV-SNP: Leaking PFN range 0x1a2b00-0x1a2d00", level=4)


def odd_cpu(draft: Draft) -> None:
    draft.wrmsr(SYSCFG, 0x2FC0000, cpu=7)


def in_a_vm(draft: Draft) -> None:
    """SEV is not passed on to guests: the flag alone decides, the rest follows from it."""
    no_sev(draft)
    draft.flags(add=("hypervisor",))
    draft.leaf("0x1", ecx=0xFEFA320B)
    draft.msr.clear()


# Closed


def no_register_modules(draft: Draft) -> None:
    """An immutable system that ships neither msr nor cpuid: flags, log and PSP must do."""
    for path in ("/dev/cpu", "/sys/module/msr", "/sys/module/cpuid", "/etc/modprobe.d"):
        draft.remove(path)
    draft.msr.clear()
    draft.cpuid.clear()
    config = draft.text("/boot/config") or ""
    for name in ("CONFIG_X86_MSR", "CONFIG_X86_CPUID"):
        config = config.replace(f"{name}=m", f"# {name} is not set")
    draft.remove("/boot/config")
    draft.remove("/boot")
    draft.put("/proc/config.gz", gzip.compress(config.encode(), mtime=0))
    draft.put("/etc/os-release", 'ID=talos\nVERSION_ID="v1.12.0"\nPRETTY_NAME="Talos (v1.12.0)"')
    modules = draft.text("/proc/modules") or ""
    kept = [line for line in modules.splitlines() if not line.startswith(("msr ", "cpuid "))]
    draft.put("/proc/modules", "\n".join(kept))


def log_overwritten(draft: Draft) -> None:
    """A long-lived host: the ring buffer no longer reaches back to the boot."""
    draft.say("perf: interrupt took too long (2503 > 2500), lowering max sample rate")
    draft.lost = len(draft.log) + 1
