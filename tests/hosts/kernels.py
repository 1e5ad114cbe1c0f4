"""Other kernels, other CPUs: who the host is, before anything is wrong with it."""

from tests.hosts import base, pci
from tests.hosts.draft import RMP_BASE, RMP_CFG, RMP_END, SYSCFG, Cpu, Draft

# An INIT failure as the PSP driver words it: {error} as the kernel's %#x prints it.
SNP_INIT_OLD = "ccp 0000:01:00.5: SEV-SNP: failed to INIT rc -5, error {error}"
SNP_INIT_NEW = "ccp 0000:01:00.5: SEV-SNP: SNP_INIT_EX failed rc -5, error {error}"
SEV_INIT_OLD = "ccp 0000:01:00.5: SEV: failed to INIT error {error}, rc -5"
SEV_INIT_NEW = "ccp 0000:01:00.5: SEV: INIT failed {error}, rc -5"


def kernel_6_8(draft: Draft) -> None:
    """Ubuntu 24.04: no host SNP at all, so nothing in it knows the RMP."""
    _kernel(draft, "6.8.0-85-generic", "#85-Ubuntu SMP PREEMPT_DYNAMIC")


def kernel_6_11(draft: Draft) -> None:
    _kernel(draft, "6.11.0-29-generic", "#29-Ubuntu SMP PREEMPT_DYNAMIC")


def kernel_6_18(draft: Draft) -> None:
    _kernel(draft, "6.18.3-061803-generic", "#202601080915 SMP PREEMPT_DYNAMIC")


def kernel_7_1(draft: Draft) -> None:
    _kernel(draft, "7.1.0-9-generic", "#9-Ubuntu SMP PREEMPT_DYNAMIC")


def kernel_7_2(draft: Draft) -> None:
    _kernel(draft, "7.2.1-070201-generic", "#202609020915 SMP PREEMPT_DYNAMIC")


def _kernel(draft: Draft, release: str, build: str) -> None:
    draft.release = release
    draft.build = build


def turin(draft: Draft) -> None:
    """Zen 5 with a segmented RMP: RMP_END is 0 there, and nothing is wrong with that."""
    name = "AMD EPYC 9655 96-Core Processor"
    _become(draft, Cpu("AuthenticAMD", 26, 2, name, 1, 0xB002151, draft.cpu.flags, 96))
    for leaf in ("0x1", "0x80000001"):
        draft.leaf(leaf, eax=0x00B00F21)
    draft.leaf("0x8000001f", eax=0x01A1FF3B)
    draft.cpuid["0x80000025"] = (36 | 40 << 6, 64, 0, 0)
    draft.wrmsr(RMP_END, 0)
    draft.wrmsr(RMP_CFG, 1 | 38 << 8)
    tcb = "0304000800000051"
    draft.sev["snp_platform_status"] = {"hex": base.SNP_STATUS[:32] + tcb * 2}
    draft.swap("RMP table", "SEV-SNP: Segmented RMP using 256GB segments", level=6)
    draft.remove("/lib/firmware/amd/amd_sev_fam19h_model1xh.sbin")
    draft.put("/lib/firmware/amd/amd_sev_fam1ah_model0xh.sbin", b"made up: any bytes\n")


def rome(draft: Draft) -> None:
    """SEV and SEV-ES, but no SNP in the silicon."""
    name = "AMD EPYC 7742 64-Core Processor"
    _become(draft, Cpu("AuthenticAMD", 23, 49, name, 0, 0x830107C, draft.cpu.flags, 64))
    draft.flags(drop=("sev_snp", "debug_swap", "avx512f", "avx512vl", "avx512dq"))
    for leaf in ("0x1", "0x80000001"):
        draft.leaf(leaf, eax=0x00830F10)
    draft.leaf("0x8000001f", eax=0x0001000F, ebx=0x0000016F, ecx=0x1FD, edx=0x64)
    draft.asids(sev=410, es=99)
    draft.param("kvm_amd", "sev_snp", "N")
    draft.sev = {"platform_status": {"hex": base.SEV_STATUS.replace("0137", "0118", 1)}}
    draft.wrmsr(SYSCFG, 0xF40000)
    for number in (RMP_BASE, RMP_END):
        draft.wrmsr(number, "EIO")
    draft.swap("SEV API", "ccp 0000:01:00.5: SEV API:1.24 build:40", level=6)
    draft.swap("SEV enabled", "kvm_amd: SEV enabled (ASIDs 100 - 509)", level=6)
    draft.unsay("SEV-SNP", "IOMMU SNP support enabled")


def intel(draft: Draft) -> None:
    """A Xeon with VT-d: the GPU side of it is as good as on the AMD host."""
    name = "INTEL(R) XEON(R) PLATINUM 8592+"
    flags = tuple("vmx" if flag == "svm" else flag for flag in draft.cpu.flags)
    _become(draft, Cpu("GenuineIntel", 6, 207, name, 2, 0x210002B3, flags, 64))
    draft.flags(drop=("sev", "sev_es", "sev_snp", "debug_swap"))
    for leaf in ("0x0", "0x80000000"):
        draft.leaf(leaf, ebx=0x756E6547, ecx=0x6C65746E, edx=0x49656E69)
    for leaf in ("0x1", "0x80000001"):
        draft.leaf(leaf, eax=0x000C06F2)
    for leaf in ("0x8000001f", "0x80000021"):
        del draft.cpuid[leaf]
    draft.msr.clear()
    draft.sev.clear()
    draft.asids(sev=None, es=None)
    _intel_modules(draft)
    _intel_bus(draft)
    draft.unsay("SEV", "AMD-Vi", "ccp ", "kvm_amd")
    draft.say("DMAR: Intel(R) Virtualization Technology for Directed I/O")


def _intel_modules(draft: Draft) -> None:
    for path in ("/sys/module/kvm_amd", "/sys/module/ccp", "/sys/class/misc/sev", "/dev/sev"):
        draft.remove(path)
    draft.param("kvm_intel", "tdx", "N")
    modules = (draft.text("/proc/modules") or "").replace("kvm_amd,", "kvm_intel,")
    kept = [m for m in modules.splitlines() if not m.startswith(("kvm_amd ", "ccp "))]
    kept.append("kvm_intel 491520 0 - Live 0x0000000000000000")
    draft.put("/proc/modules", "\n".join(kept))


def _intel_bus(draft: Draft) -> None:
    """VT-d units are no PCI devices, and there is no PSP."""
    pci.leave_group(draft, base.PSP, 21)
    for bdf in (base.PSP, "0000:00:00.2"):
        pci.unplug(draft, bdf)
    draft.remove("/sys/bus/pci/drivers/ccp")
    draft.remove("/sys/class/iommu/ivhd0")
    draft.put("/sys/class/iommu/dmar0/intel-iommu/version", "6:0")
    for bdf in ("0000:00:07.1", "0000:40:01.0", "0000:40:01.1", "0000:40:03.1"):
        draft.put(f"{pci.home(draft, bdf)}/vendor", "0x8086")
        pci.poke(draft, bdf, 0, (0x8086).to_bytes(2, "little"))


def _become(draft: Draft, cpu: Cpu) -> None:
    draft.cpu = cpu
    draft.present = draft.online = cpu.threads
    base.put_brand(draft, cpu.name)
