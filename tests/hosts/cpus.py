"""Other CPUs: who the host is, before anything is wrong with it."""

from dataclasses import replace

from tests.hosts import base, pci
from tests.hosts.draft import RMP_BASE, RMP_CFG, RMP_END, SYSCFG, Cpu, Draft, Line


def genoa_dual(draft: Draft) -> None:
    """Half the cores each: two of these have as many processors as the one of the base."""
    name = "AMD EPYC 9454 48-Core Processor"
    become(draft, Cpu("AuthenticAMD", 25, 17, name, 1, 0xA101154, draft.cpu.flags, 48))


def bergamo(draft: Draft) -> None:
    name = "AMD EPYC 9754 128-Core Processor"
    become(draft, Cpu("AuthenticAMD", 25, 160, name, 2, 0xAA00219, draft.cpu.flags, 128))
    sign(draft, 0x00AA0F02)
    _tcb(draft, "0a00000000001719")
    _sbin(draft, "amd_sev_fam19h_modelaxh.sbin")


def siena(draft: Draft) -> None:
    """The same family and model; a smaller socket, which only CPUID tells."""
    name = "AMD EPYC 8534P 64-Core Processor"
    become(draft, Cpu("AuthenticAMD", 25, 160, name, 2, 0xAA00219, draft.cpu.flags, 64))
    sign(draft, 0x00AA0F02)
    draft.leaf("0x80000001", ebx=0x80000000)
    _tcb(draft, "0a00000000001719")
    _sbin(draft, "amd_sev_fam19h_modelaxh.sbin")


def threadripper(draft: Draft) -> None:
    """Zen 4 for a desk: its model lies among Genoa's."""
    name = "AMD Ryzen Threadripper PRO 7995WX 96-Cores"
    become(draft, Cpu("AuthenticAMD", 25, 24, name, 1, 0xA108108, draft.cpu.flags, 96))
    sign(draft, 0x00A10F81)


def milan(draft: Draft) -> None:
    """509 ASIDs, and of the newer features none. CPUID is made up from its bits."""
    name = "AMD EPYC 7543 32-Core Processor"
    become(draft, Cpu("AuthenticAMD", 25, 1, name, 1, 0xA0011DB, draft.cpu.flags, 32))
    draft.flags(drop=("avx512f", "la57", "x2avic", "vnmi", "debug_swap"))
    sign(draft, 0x00A00F11)
    draft.leaf("0x8000001f", eax=0x0101BC3F, ebx=0x00004173, ecx=509)
    _tcb(draft, "04000000000018db")
    _sbin(draft, "amd_sev_fam19h_model0xh.sbin")
    draft.asids(sev=410, es=99)
    draft.swap("SEV enabled", "kvm_amd: SEV enabled (ASIDs 100 - 509)", level=6)
    draft.put(f"{pci.home(draft, base.PSP)}/device", "0x1486")
    pci.poke(draft, base.PSP, 2, (0x1486).to_bytes(2, "little"))
    draft.put(f"{pci.home(draft, base.PSP)}/bootloader_version", "00.13.00.8f")


def turin(draft: Draft) -> None:
    """Zen 5 with a segmented RMP: RMP_END is 0 there, and nothing is wrong with that."""
    name = "AMD EPYC 9655 96-Core Processor"
    become(draft, Cpu("AuthenticAMD", 26, 2, name, 1, 0xB002151, draft.cpu.flags, 96))
    _zen_5(draft, 0x00B00F21)
    _tcb(draft, "0304000800000051")
    _sbin(draft, "amd_sev_fam1ah_model0xh.sbin")


def turin_one_table(draft: Draft) -> None:
    """The RMP as one table, as BIOSes make it for kernels before 6.14; RMP_CFG is there."""
    one = [line for line in draft.log if " RMP " in line.text]
    start, end = draft.rdmsr(RMP_BASE), draft.rdmsr(RMP_END)
    turin(draft)
    draft.wrmsr(RMP_BASE, start)
    draft.wrmsr(RMP_END, end)
    draft.wrmsr(RMP_CFG, 0)
    where = next(n for n, line in enumerate(draft.log) if " RMP " in line.text)
    draft.unsay(" RMP ")
    draft.log[where:where] = one


def turin_fast(draft: Draft) -> None:
    """As the two-socket machines for eight GPUs carry it."""
    turin(draft)
    name = "AMD EPYC 9575F 64-Core Processor"
    become(draft, replace(draft.cpu, name=name, cores=64))


def turin_dense(draft: Draft) -> None:
    """192 cores with SMT off in the BIOS: fewer processors, none of them offline."""
    name = "AMD EPYC 9965 192-Core Processor"
    become(draft, Cpu("AuthenticAMD", 26, 17, name, 0, 0xB101054, draft.cpu.flags, 192))
    draft.present = draft.online = 192
    draft.smt = "notsupported"
    _zen_5(draft, 0x00B10F10)
    _tcb(draft, "0304000800000054")
    draft.remove("/lib/firmware/amd/amd_sev_fam19h_model1xh.sbin")


def venice(draft: Draft) -> None:
    """Newer than every list of floors. Of its name and microcode nothing is published: made up."""
    name = "AMD EPYC 9006 engineering name"
    become(draft, Cpu("AuthenticAMD", 26, 80, name, 0, 0xB500001, draft.cpu.flags, 96))
    _zen_5(draft, 0x00B50F00)
    _tcb(draft, "0304000800000051")
    draft.remove("/lib/firmware/amd/amd_sev_fam19h_model1xh.sbin")


def turin_other_stepping(draft: Draft) -> None:
    """A part of a known generation whose own sequence of microcode nobody lists."""
    turin(draft)
    become(draft, replace(draft.cpu, stepping=3))
    sign(draft, 0x00B00F23)


def _zen_5(draft: Draft, signature: int) -> None:
    """RMPREAD and a segmented RMP (snp-host.md §1.2, §1.5): one GiB for each 256."""
    sign(draft, signature)
    draft.leaf("0x8000001f", eax=0x01A1FF3B)
    draft.cpuid["0x80000025"] = (36 | 40 << 6, 64, 0, 0)
    draft.wrmsr(RMP_END, 0)
    draft.wrmsr(RMP_CFG, 1 | 38 << 8)
    say_segments(draft, top=0x8080000)


def say_segments(draft: Draft, *, top: int) -> None:
    """What the kernel says of a segmented table; its registers show no more than a base."""
    start, span, table = draft.rdmsr(RMP_BASE), 1 << 38, 1 << 30
    lines = [
        f"Segmented RMP base table physical range [{start:#018x} - {start + 0x4FFF:#018x}]",
        "Segmented RMP using 256GB segments",
    ]
    for number in range(-(-(top << 12) // span)):
        own = 0x1000000000 + number * table
        covers = f"[{number * span:#018x} - {min((number + 1) * span, top << 12) - 1:#018x}]"
        at = f"[{own:#018x} - {own + table - 1:#018x}]"
        lines.append(f"RMP segment {number} physical address {at} covering {covers}")
    where = next(n for n, line in enumerate(draft.log) if " RMP " in line.text)
    usec = draft.log[where].usec
    draft.unsay(" RMP ")
    draft.log[where:where] = [Line(6, usec, f"SEV-SNP: {line}") for line in lines]


def rome(draft: Draft) -> None:
    """SEV and SEV-ES, but no SNP in the silicon."""
    name = "AMD EPYC 7742 64-Core Processor"
    become(draft, Cpu("AuthenticAMD", 23, 49, name, 0, 0x830107C, draft.cpu.flags, 64))
    draft.flags(drop=("sev_snp", "debug_swap", "avx512f", "avx512vl", "avx512dq"))
    sign(draft, 0x00830F10)
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


def become(draft: Draft, cpu: Cpu) -> None:
    draft.cpu = cpu
    draft.present = draft.online = cpu.threads
    base.put_brand(draft, cpu.name)


def sign(draft: Draft, eax: int) -> None:
    """Family, model and stepping as CPUID packs them."""
    for leaf in ("0x1", "0x80000001"):
        draft.leaf(leaf, eax=eax)


def _tcb(draft: Draft, version: str) -> None:
    draft.sev["snp_platform_status"] = {"hex": base.SNP_STATUS[:32] + version * 2}


def _sbin(draft: Draft, name: str) -> None:
    draft.remove("/lib/firmware/amd/amd_sev_fam19h_model1xh.sbin")
    draft.put(f"/lib/firmware/amd/{name}", b"made up: any bytes\n")
