"""Machines that are no AMD server at all: a Xeon, guests in a cloud, an Arm superchip."""

from tests.hosts import base, cpus, pci
from tests.hosts.draft import GPU, Cpu, Draft, Line

SEV_STATUS = 0xC0010131


def intel_tdx(draft: Draft) -> None:
    """The same with TDX on: another way to the same end, which is not looked at yet."""
    intel(draft)
    draft.param("kvm_intel", "tdx", "Y")
    draft.cmdline += ["intel_iommu=on", "nohibernate"]
    draft.put("/sys/fs/cgroup/misc.capacity", "tdx 63")
    draft.put("/sys/fs/cgroup/misc.current", "tdx 0")
    draft.say("virt/tdx: BIOS enabled: private KeyID range: [64, 128)")
    draft.say("virt/tdx: 2097156 KB allocated for PAMT")
    draft.say("virt/tdx: TDX-Module initialized")


def intel(draft: Draft) -> None:
    """A Xeon with VT-d: the GPU side of it is as good as on the AMD host."""
    name = "INTEL(R) XEON(R) PLATINUM 8592+"
    flags = tuple("vmx" if flag == "svm" else flag for flag in draft.cpu.flags)
    cpus.become(draft, Cpu("GenuineIntel", 6, 207, name, 2, 0x210002B3, flags, 64))
    draft.flags(drop=("sev", "sev_es", "sev_snp", "debug_swap"))
    for leaf in ("0x0", "0x80000000"):
        draft.leaf(leaf, ebx=0x756E6547, ecx=0x6C65746E, edx=0x49656E69)
    cpus.sign(draft, 0x000C06F2)
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


def cloud_vm(draft: Draft) -> None:
    """A guest on an EPYC: virtual devices alone, no UEFI, and nothing of SEV is handed on."""
    name = "AMD EPYC 7R13 Processor"
    flags = tuple(flag for flag in draft.cpu.flags if not flag.startswith(("sv", "sev")))
    cpus.become(draft, Cpu("AuthenticAMD", 25, 1, name, 1, 0xA0011D1, flags, 4))
    cpus.sign(draft, 0x00A00F11)
    draft.flags(add=("hypervisor",), drop=("debug_swap", "npt", "avx512f", "la57"))
    draft.leaf("0x1", ecx=0xFEFA320B)
    draft.leaf("0x80000000", eax=0x8000001E)
    del draft.cpuid["0x8000001f"]
    _virtual_bus(draft)
    _no_host_side(draft)
    draft.put("/proc/zoneinfo", base.zoneinfo(0x410000))
    draft.cmdline = ["root=LABEL=root", "ro", "console=ttyS0"]
    draft.log = [
        Line(6, 0, "BIOS-provided physical RAM map:"),
        Line(6, 0, "DMI: Amazon EC2 m6a.2xlarge/, BIOS 1.0 10/16/2017"),
        Line(6, 0, "Hypervisor detected: KVM"),
        Line(6, 1_204_117, "iommu: Default domain type: Translated"),
        Line(6, 2_301_020, "nvme nvme0: pci function 0000:00:04.0"),
    ]


def confidential_vm(draft: Draft) -> None:
    """Such a guest that is itself one of SEV-SNP: it can be no host of others."""
    cloud_vm(draft)
    draft.say("Memory Encryption Features active: AMD SEV SEV-ES SEV-SNP")
    draft.wrmsr(SEV_STATUS, 0x7)
    for node in ("cpu/0/msr", "cpu/0/cpuid"):
        draft.put(f"/dev/{node}", b"")


def _virtual_bus(draft: Draft) -> None:
    for link in [name for name in draft.links if name.startswith("/sys/bus/pci/devices/")]:
        pci.unplug(draft, link.rpartition("/")[2])
    draft.gpu.clear()
    for path in ("/sys/bus/pci/drivers", "/sys/kernel/iommu_groups", "/sys/class/iommu"):
        draft.remove(path)
    for bdf, device, kind, driver in (
        ("0000:00:04.0", 0x8061, 0x010802, "nvme"),
        ("0000:00:05.0", 0xEC20, 0x020000, "ena"),
    ):
        dev = pci.Device(bdf, "pci0000:00", 0x1D0F, device, kind, driver=driver)
        pci.plug(draft, dev, config=bytes(pci.header(dev)))


def _no_host_side(draft: Draft) -> None:
    vfio = ("vfio", "vfio_iommu_type1", "vfio_pci", "vfio_pci_core", "iommufd")
    for path in (
        *(f"/sys/module/{name}" for name in ("kvm", "kvm_amd", "ccp", "msr", "cpuid", *vfio)),
        "/sys/class/misc",
        "/sys/firmware/efi",
        "/etc/modprobe.d",
        "/dev/cpu",
        "/dev/iommu",
        "/dev/kvm",
        "/dev/sev",
        "/dev/vfio",
    ):
        draft.remove(path)
    draft.put("/proc/modules", "ena 151552 0 - Live 0x0000000000000000")
    draft.asids(sev=None, es=None)
    draft.msr.clear()
    draft.sev.clear()


def gh200(draft: Draft) -> None:
    """Grace and Hopper in one: no x86, and its GPU hangs on NVLink-C2C as well."""
    draft.machine = "aarch64"
    draft.present = draft.online = 72
    draft.smt = "notimplemented"
    draft.cpuinfo = "".join(_arm_processor(number) for number in range(72))
    pci.leave_group(draft, base.PSP, 21)
    for bdf in (base.PSP, "0000:00:00.2", GPU):
        pci.unplug(draft, bdf)
    _no_x86(draft)
    model = (pci.NVIDIA, 0x2342, 0x030200, (pci.NVIDIA, 0x16EB), 0xA1)
    dev = pci.Device(GPU, "pci0000:40/0000:40:01.1", *model, pci.GPU_BARS, "vfio-pci", 41)
    pci.plug_passed(draft, dev, vfio=0)
    draft.gpu[GPU] = pci.h100_registers(serial=0)
    pci.registers(draft, mode=0)
    draft.put("/etc/modprobe.d/vfio.conf", "options vfio-pci ids=10de:2342 disable_idle_d3=1")


def _no_x86(draft: Draft) -> None:
    for path in (
        "/sys/module/kvm_amd",
        "/sys/module/ccp",
        "/sys/module/msr",
        "/sys/module/cpuid",
        "/sys/bus/pci/drivers/ccp",
        "/sys/class/iommu/ivhd0",
        "/sys/class/misc/sev",
        "/dev/cpu",
        "/dev/sev",
    ):
        draft.remove(path)
    kept = (draft.text("/proc/modules") or "").replace("1 kvm_amd,", "0 -").splitlines()
    gone = ("kvm_amd ", "ccp ", "msr ", "cpuid ")
    draft.put("/proc/modules", "\n".join(line for line in kept if not line.startswith(gone)))
    draft.put("/sys/class/iommu/smmu3.0x0000000011000000/arm-smmu-v3/features", "0")
    draft.asids(sev=None, es=None)
    draft.cpuid.clear()
    draft.msr.clear()
    draft.sev.clear()
    draft.unsay("SEV", "AMD-Vi", "ccp ", "kvm_amd", "10de:2331", "BIOS-e820", "physical RAM map")
    draft.say("arm-smmu-v3 arm-smmu-v3.0.auto: ias 48-bit, oas 48-bit (features 0x001c1fff)")


def _arm_processor(number: int) -> str:
    return (
        f"processor\t: {number}\n"
        "BogoMIPS\t: 2000.00\n"
        "Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics sve sve2 bti\n"
        "CPU implementer\t: 0x41\n"
        "CPU architecture: 8\n"
        "CPU variant\t: 0x0\n"
        "CPU part\t: 0xd4f\n"
        "CPU revision\t: 0\n\n"
    )
