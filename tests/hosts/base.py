"""The host that every other is a delta of: one EPYC 9654, 512 GiB, one H100, SNP on."""

from tests.hosts import pci
from tests.hosts.draft import (
    GPU,
    HWCR,
    RMP_BASE,
    RMP_CFG,
    RMP_END,
    SYSCFG,
    Cpu,
    Draft,
    Line,
)

PSP = "0000:01:00.5"
NIC = "0000:42:00.0"

# snp-host.md §4.2: API 1.55, initialised, ES configured, build 40.
SEV_STATUS = "01370100010000" + "28" + "00000000"
# API 1.55, initialised, RMP and alias check; boot loader 10, SNP 23, microcode 84.
TCB = "0a00000000001754"
SNP_STATUS = "01370103" + "28000000" * 2 + "00000000" + TCB * 2

# Shortened: 192 processors in 70 hosts repeat it.
_FLAGS = (
    "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx "
    "fxsr sse sse2 ht syscall nx rdtscp lm constant_tsc nonstop_tsc cpuid pni ssse3 fma cx16 "
    "sse4_1 sse4_2 x2apic aes xsave avx rdrand lahf_lm svm extapic abm sse4a topoext ssbd "
    "ibrs ibpb stibp vmmcall fsgsbase avx2 smep smap avx512f npt lbrv svm_lock nrip_save "
    "vmcb_clean avic x2avic vnmi la57 flush_l1d sev sev_es sev_snp debug_swap"
)

_LOG = """\
6 0.000000 BIOS-provided physical RAM map:
6 0.000000 BIOS-e820: [mem 0x0000000000000000-0x000000000009ffff] usable
6 0.000000 BIOS-e820: [mem 0x0000000015a00000-0x00000000962fffff] reserved
6 0.000000 BIOS-e820: [mem 0x0000000100000000-0x000000807fffffff] usable
6 0.000000 efi: EFI v2.9 by American Megatrends
6 0.000000 SEV-SNP: RMP table physical range [0x0000000015a00000 - 0x00000000962fffff]
6 1.204117 iommu: Default domain type: Translated
6 1.204302 iommu: DMA domain TLB invalidation policy: lazy mode
6 1.871023 AMD-Vi: Using global IVHD EFR:0x25bf732fa2295afe, EFR2:0x1d
6 1.902655 pci 0000:41:00.0: Adding to iommu group 41
6 1.911407 AMD-Vi: Extended features (0x25bf732fa2295afe, 0x1d): PPR X2APIC NX GT [5] IA GA PC
6 1.911409 AMD-Vi: Interrupt remapping enabled
6 1.940218 AMD-Vi: IOMMU SNP support enabled.
6 4.481902 vfio_pci: add [10de:2331[ffffffff:ffffffff]] class 0x000000/00000000
6 5.120334 ccp 0000:01:00.5: enabling device (0000 -> 0002)
6 5.128011 ccp 0000:01:00.5: sev enabled
6 5.128090 ccp 0000:01:00.5: psp enabled
6 6.733520 ccp 0000:01:00.5: SEV-SNP API:1.55 build:40
6 6.740116 ccp 0000:01:00.5: SEV API:1.55 build:40
6 6.741530 kvm_amd: TSC scaling supported
6 6.741533 kvm_amd: Nested Virtualization enabled
6 6.741534 kvm_amd: Nested Paging enabled
6 6.741550 kvm_amd: SEV enabled (ASIDs 100 - 1006)
6 6.741551 kvm_amd: SEV-ES enabled (ASIDs 1 - 99)
6 6.741552 kvm_amd: SEV-SNP enabled (ASIDs 1 - 99)
"""

_CONFIG = """\
CONFIG_KVM=m
CONFIG_KVM_AMD=m
CONFIG_KVM_AMD_SEV=y
CONFIG_CRYPTO_DEV_CCP=y
CONFIG_CRYPTO_DEV_CCP_DD=m
CONFIG_CRYPTO_DEV_SP_PSP=y
CONFIG_AMD_MEM_ENCRYPT=y
CONFIG_AMD_IOMMU=y
# CONFIG_IOMMU_DEFAULT_PASSTHROUGH is not set
CONFIG_IOMMU_DEFAULT_DMA_LAZY=y
CONFIG_CGROUP_MISC=y
CONFIG_X86_MSR=m
CONFIG_X86_CPUID=m
CONFIG_VFIO=m
CONFIG_VFIO_IOMMU_TYPE1=m
CONFIG_VFIO_PCI=m
CONFIG_VFIO_DEVICE_CDEV=y
CONFIG_IOMMUFD=m
"""

_MODULES = """\
vfio_pci 20480 0 - Live 0x0000000000000000
vfio_pci_core 90112 1 vfio_pci, Live 0x0000000000000000
vfio_iommu_type1 49152 0 - Live 0x0000000000000000
vfio 65536 3 vfio_pci,vfio_pci_core,vfio_iommu_type1, Live 0x0000000000000000
iommufd 118784 1 vfio, Live 0x0000000000000000
kvm_amd 249856 0 - Live 0x0000000000000000
kvm 1437696 1 kvm_amd, Live 0x0000000000000000
ccp 167936 1 kvm_amd, Live 0x0000000000000000
msr 12288 0 - Live 0x0000000000000000
cpuid 12288 0 - Live 0x0000000000000000
"""

_PARAMETERS = {
    "kvm/parameters/mmio_caching": "Y",
    "kvm_amd/parameters/sev": "Y",
    "kvm_amd/parameters/sev_es": "Y",
    "kvm_amd/parameters/sev_snp": "Y",
    "kvm_amd/parameters/npt": "Y",
    "kvm_amd/parameters/lbrv": "1",
    "kvm_amd/parameters/debug_swap": "N",
    "ccp/parameters/psp_init_on_probe": "Y",
    "ccp/parameters/psp_cmd_timeout": "100",
    "vfio/parameters/enable_unsafe_noiommu_mode": "N",
    "vfio_iommu_type1/parameters/allow_unsafe_interrupts": "N",
    "vfio_pci/parameters/disable_idle_d3": "Y",
    "vfio_pci_core/initstate": "live",
    "iommufd/initstate": "live",
    "msr/initstate": "live",
    "cpuid/initstate": "live",
}

# Places a reader may ask for whose parent folder is not captured, so they must be named.
_ABSENT = (
    "/etc/containerd",
    "/etc/kubernetes",
    "/etc/nodeagent",
    "/etc/systemd",
    "/lib/firmware/updates",
    "/lib/modprobe.d",
    "/lib/systemd",
    "/opt/bin",
    "/opt/kata",
    "/run/containerd",
    "/run/log/journal",
    "/run/modprobe.d",
    "/run/nodeagent",
    "/run/systemd",
    "/sys/module/kvm_intel",
    "/sys/module/nouveau",
    "/sys/module/nvidia",
    "/usr/bin/kubelet",
    "/usr/lib/modprobe.d",
    "/usr/lib/systemd",
    "/usr/local/bin/k3s",
    "/usr/local/bin/kubelet",
    "/usr/local/lib/modprobe.d",
    "/usr/local/lib/systemd",
    "/usr/share/defaults",
    "/var/lib/kubelet",
    "/var/lib/nodeagent",
    "/var/log/journal",
)


def genoa_ready() -> Draft:
    name = "AMD EPYC 9654 96-Core Processor"
    draft = Draft(
        cpu=Cpu("AuthenticAMD", 25, 17, name, 1, 0xA101154, tuple(_FLAGS.split()), 96),
        release="6.17.0-8-generic",
        build="#8-Ubuntu SMP PREEMPT_DYNAMIC Tue Oct 21 10:00:00 UTC 2025",
        cmdline=["root=LABEL=root", "ro", "quiet", "modprobe.blacklist=nouveau"],
        note="made from tests/hosts/recipes.py after snp-host.md §8.2: ready, with one H100 PCIe",
    )
    draft.log = [_record(line) for line in _LOG.splitlines()]
    draft.absent.update(_ABSENT)
    _put_proc(draft)
    _put_sys(draft)
    _put_pci(draft)
    _put_dev(draft)
    _put_disk(draft)
    _put_registers(draft, name)
    return draft


def _record(line: str) -> Line:
    level, seconds, text = line.split(" ", 2)
    return Line(int(level), int(seconds.replace(".", "")), text)


def zoneinfo(top: int, *, sockets: int = 1) -> str:
    """The kernel's layout, with the per-CPU page sets left out; `top` is the first pfn above."""
    low, share = 1 << 20, top // sockets
    zones = (("DMA", 1, 4095), ("DMA32", 4096, 1044480), ("Normal", low, share - low))
    text = _node(0, zones)
    for node in range(1, sockets):
        text += _node(node, (("DMA", 0, 0), ("DMA32", 0, 0), ("Normal", node * share, share)))
    return text


def _node(node: int, zones: tuple[tuple[str, int, int], ...]) -> str:
    stats = "  per-node stats\n      nr_inactive_anon 15791\n      nr_active_file 86517\n"
    text = ""
    for number, (name, start, spanned) in enumerate((*zones, ("Movable", 0, 0), ("Device", 0, 0))):
        text += f"Node {node}, zone {name:>8}\n{stats if number == 0 else ''}"
        text += _zone_sizes(spanned)
        if spanned == 0:
            continue  # A zone without memory ends after its sizes and has no start_pfn.
        text += f"      nr_free_pages {spanned // 2}\n  pagesets\n  node_unreclaimable:  0\n"
        text += f"  start_pfn:           {start}\n"
    return text


def _zone_sizes(spanned: int) -> str:
    return (
        f"  pages free     {spanned // 2}\n        boost    0\n        min      55\n"
        f"        low      68\n        high     81\n        promo    94\n"
        f"        spanned  {spanned}\n        present  {spanned}\n        managed  {spanned}\n"
        f"        cma      0\n        protection: (0, 2563, 515684, 515684, 515684)\n"
    )


def _put_proc(draft: Draft) -> None:
    draft.put("/proc/zoneinfo", zoneinfo(0x8080000))
    draft.put("/proc/modules", _MODULES)
    draft.put("/proc/sys/fs/inotify/max_user_instances", "8192")
    # A process that holds no GPU: the search for holders has something to look through.
    draft.put("/proc/1/comm", "systemd")
    draft.put("/proc/1/cmdline", b"/sbin/init\0")
    draft.put("/proc/1/stat", "1 (systemd) S 0 1 1 0 -1 4194560 9000 0 0 0 1 1 0 0 20 0 1 0 12")
    draft.link("/proc/1/fd/0", "/dev/null")


def _put_sys(draft: Draft) -> None:
    draft.link("/sys/class/dmi/id", "/sys/devices/virtual/dmi/id")
    draft.dmi(
        sys_vendor="Supermicro",
        product_name="Super Server",
        board_vendor="Supermicro",
        board_name="H13SST-G",
        bios_vendor="American Megatrends International, LLC.",
        bios_version="3.0",
        bios_date="07/22/2024",
    )
    for name, text in _PARAMETERS.items():
        draft.put(f"/sys/module/{name}", text)
    draft.put("/sys/firmware/efi/fw_platform_size", "64")
    draft.put("/sys/firmware/acpi/pm_profile", "4")
    draft.put("/sys/kernel/security/lockdown", "[none] integrity confidentiality")
    draft.put("/sys/class/misc/sev/dev", "10:124")
    draft.asids(sev=907, es=99)


def _put_pci(draft: Draft) -> None:
    put_iommu(draft, "0000:00:00.2", 0)
    host = pci.Device("0000:40:01.0", "pci0000:40", pci.AMD, 0x149F, 0x060000, group=39)
    pci.plug(draft, host, config=bytes(pci.header(host)))
    put_psp(draft, PSP, pci.plug_port(draft, "0000:00:07.1", bus=0x01, group=20), group=21)
    parent = pci.plug_port(draft, "0000:40:01.1", bus=0x41, group=40)
    pci.plug_h100(draft, GPU, parent, group=41, vfio=0, offset=0)
    _put_nic(draft, pci.plug_port(draft, "0000:40:03.1", bus=0x42, group=42))


def put_iommu(draft: Draft, bdf: str, number: int) -> None:
    iommu = pci.Device(bdf, f"pci{bdf[:7]}", pci.AMD, 0x149E, 0x080600)
    pci.plug(draft, iommu, config=bytes(pci.header(iommu)))
    path = f"{pci.home(draft, bdf)}/iommu/ivhd{number}"
    draft.put(f"{path}/amd-iommu/features", "25bf732fa2295afe:1d")
    draft.link(f"/sys/class/iommu/ivhd{number}", path)


def put_psp(draft: Draft, bdf: str, parent: str, *, group: int) -> None:
    ids = (pci.AMD, 0x14CA, 0x108000, (pci.AMD, 0x14CA), 0)
    bars = (pci.Bar(2, 0xB0400000, pci.MIB, 0x40200),)
    psp = pci.Device(bdf, parent, *ids, bars, "ccp", group)
    pci.plug(draft, psp, config=bytes(pci.header(psp)))
    pci.detail(draft, psp)
    draft.put(f"{pci.home(draft, bdf)}/bootloader_version", "00.2d.00.78")


def _put_nic(draft: Draft, parent: str) -> None:
    bars = (pci.Bar(0, 0x28060000000, 32 * pci.MIB),)
    nic = pci.Device(
        NIC, parent, 0x15B3, 0x101D, 0x020000, (0x15B3, 0x0016), 0, bars, "mlx5_core", 43
    )
    pci.plug(draft, nic, config=bytes(pci.header(nic)))


def _put_dev(draft: Draft) -> None:
    nodes = ("kvm", "sev", "kmsg", "iommu", "null", "vfio/vfio", "cpu/0/msr", "cpu/0/cpuid")
    for node in nodes:
        draft.put(f"/dev/{node}", b"")


def _put_disk(draft: Draft) -> None:
    draft.put("/etc/modprobe.d/vfio.conf", "options vfio-pci ids=10de:2331 disable_idle_d3=1")
    draft.put("/etc/os-release", 'ID=ubuntu\nVERSION_ID="25.10"\nPRETTY_NAME="Ubuntu 25.10"')
    draft.put("/boot/config", _CONFIG)
    draft.put("/boot/vmlinuz", b"")
    draft.put("/lib/firmware/amd/amd_sev_fam19h_model1xh.sbin", b"made up: any bytes\n")


def _put_registers(draft: Draft, name: str) -> None:
    vendor = (0x68747541, 0x444D4163, 0x69746E65)
    draft.cpuid = {
        "0x0": (0x10, *vendor),
        "0x1": (0x00A10F11, 0x00C00800, 0x7EFA320B, 0x178BFBFF),
        "0x80000000": (0x80000028, *vendor),
        "0x80000001": (0x00A10F11, 0x40000000, 0x75C237FF, 0x2FD3FBFF),
        "0x80000008": (0x00003934, 0x191EF257, 0x0000707F, 0x00010007),
        "0x8000001f": (0x0101FF3B, 0x000041B3, 0x000003EE, 0x00000064),
        "0x80000021": (0x00062FCF, 0x0000015C, 0x00000000, 0x00000000),
    }
    put_brand(draft, name)
    draft.wrmsr(SYSCFG, 0x3FC0000)
    draft.wrmsr(HWCR, 0x9000011)
    draft.wrmsr(RMP_BASE, 0x15A00000)
    draft.wrmsr(RMP_END, 0x962FFFFF)
    draft.wrmsr(RMP_CFG, "EIO")  # no segmented RMP here: CPUID EAX[23] is 0
    draft.sev = {
        "platform_status": {"hex": SEV_STATUS},
        "snp_platform_status": {"hex": SNP_STATUS},
    }


def put_brand(draft: Draft, name: str) -> None:
    raw = name.encode().ljust(48, b"\0")
    words = [int.from_bytes(raw[n : n + 4], "little") for n in range(0, 48, 4)]
    for leaf in range(3):
        a, b, c, d = words[4 * leaf : 4 * leaf + 4]
        draft.cpuid[f"{0x80000002 + leaf:#x}"] = (a, b, c, d)
