"""What the processors show: identity, CPUID, and registers of every online CPU."""

from collections.abc import Mapping
from typing import NamedTuple

from nodeagent.model.seen import Seen, Unreadable
from nodeagent.model.words import Generation

SYSCFG = 0xC0010010
HWCR = 0xC0010015
SEV_STATUS = 0xC0010131
RMP_BASE = 0xC0010132
RMP_END = 0xC0010133
RMP_CFG = 0xC0010136
MSRS = (SYSCFG, HWCR, RMP_BASE, RMP_END, RMP_CFG, SEV_STATUS)
MSR_NAMES = {
    SYSCFG: "SYSCFG",
    HWCR: "HWCR",
    SEV_STATUS: "SEV_STATUS",
    RMP_BASE: "RMP_BASE",
    RMP_END: "RMP_END",
    RMP_CFG: "RMP_CFG",
}

_SNP_CAPABLE = frozenset(Generation) - {Generation.NAPLES, Generation.ROME}


class CpuIdentity(NamedTuple):
    """From /proc/cpuinfo, the same in a pod; flags are the kernel's, filtered (§1.3)."""

    vendor: str
    family: int
    model: int
    stepping: int
    name: str
    flags: frozenset[str]
    processors: int

    @property
    def is_amd(self) -> bool:
        return self.vendor == "AuthenticAMD"

    @property
    def in_vm(self) -> bool:
        return "hypervisor" in self.flags

    @property
    def generation(self) -> Generation | None:
        """None where the part is no EPYC that could ever do SNP (snp-host.md §1.1)."""
        if not self.is_amd:
            return None
        return _generation(self.family, self.model)

    @property
    def can_snp(self) -> bool:
        return self.generation in _SNP_CAPABLE

    @property
    def is_epyc(self) -> bool:
        """By its name: workstation parts lie in the same ranges of models (snp-host.md §1.1)."""
        return "EPYC" in self.name.upper()


def _generation(family: int, model: int) -> Generation | None:
    match family, model >> 4:
        case 0x17, 0x0:
            return Generation.NAPLES
        case 0x17, 0x3:
            return Generation.ROME
        case 0x19, 0x0:
            return Generation.MILAN
        case 0x19, 0x1:
            return Generation.GENOA
        case 0x19, 0xA:
            return Generation.BERGAMO_SIENA
        case 0x1A, 0x0 | 0x1 if model <= 0x11:
            return Generation.TURIN
        case 0x1A, 0x5 | 0x9 | 0xA | 0xC:
            return Generation.VENICE
        case _ if family >= 0x1A:
            return Generation.UNKNOWN
        case _:
            return None


class CpuidRegs(NamedTuple):
    """One leaf, as the instruction returns it."""

    eax: int
    ebx: int
    ecx: int
    edx: int


class SevLeaf(NamedTuple):
    """CPUID 0x8000001F as the silicon and the BIOS show it, unfiltered by the kernel."""

    regs: CpuidRegs

    @property
    def sev(self) -> bool:
        return bool(self.regs.eax & 1 << 1)

    @property
    def snp(self) -> bool:
        return bool(self.regs.eax & 1 << 4)

    @property
    def segmented_rmp(self) -> bool:
        return bool(self.regs.eax & 1 << 23)

    @property
    def min_sev_asid(self) -> int:
        """Lowest ASID of a SEV guest without ES; 1 leaves none for ES and SNP."""
        return self.regs.edx

    @property
    def asids(self) -> int:
        return self.regs.ecx

    @property
    def page_flush_msr(self) -> bool:
        return bool(self.regs.eax & 1 << 2)

    @property
    def secure_tsc(self) -> bool:
        return bool(self.regs.eax & 1 << 8)

    @property
    def c_bit(self) -> int:
        """The address bit that says "encrypted"."""
        return self.regs.ebx & 0x3F

    @property
    def address_bits_lost(self) -> int:
        return self.regs.ebx >> 6 & 0x3F

    @property
    def vmpls(self) -> int:
        return self.regs.ebx >> 12 & 0xF


class CpuValues(NamedTuple):
    """One register over all online CPUs: which CPUs show which value, and which none."""

    by_value: Mapping[int, tuple[int, ...]]
    unreadable: tuple[tuple[int, Unreadable], ...] = ()

    @property
    def one(self) -> int | None:
        """The value, if every CPU shows the same; None if they differ or none was read."""
        return next(iter(self.by_value)) if len(self.by_value) == 1 else None

    @property
    def most(self) -> int | None:
        """What most CPUs show; they differ only on a machine that is broken anyway."""
        if not self.by_value:
            return None
        return max(self.by_value, key=lambda value: (len(self.by_value[value]), value))

    @property
    def all_set_bits(self) -> int | None:
        """The bits that are set on every CPU that was read."""
        if not self.by_value:
            return None
        bits = -1
        for value in self.by_value:
            bits &= value
        return bits

    def masked(self, mask: int) -> dict[int, tuple[int, ...]]:
        """Regrouped under the bits of `mask`, the largest group first."""
        groups: dict[int, tuple[int, ...]] = {}
        for value, cpus in self.by_value.items():
            groups[value & mask] = groups.get(value & mask, ()) + cpus
        return dict(sorted(groups.items(), key=lambda group: (-len(group[1]), group[0])))


class Cpus(NamedTuple):
    """All that is read of the processors."""

    identity: Seen[CpuIdentity]
    sev_leaf: Seen[SevLeaf]
    msrs: Mapping[int, Seen[CpuValues]]
    online: Seen[tuple[int, ...]]
    present: Seen[tuple[int, ...]]
    smt: Seen[str]
    microcode: Seen[CpuValues]

    def msr(self, index: int) -> Seen[CpuValues]:
        return self.msrs[index]


_RMP_ADDRESS = 0x000F_FFFF_FFFF_E000  # bits 51:13
_RMP_BOOKKEEPING = 0x4000  # bytes before the first entry
_PAGE = 4096
_RMP_ENTRY = 16  # bytes for each 4 KiB page


class Rmp(NamedTuple):
    """The reverse map table's registers and their arithmetic (snp-host.md §1.5).

    Addresses in bytes; `end` is the last byte, `cfg` 0 where the register does not exist.
    """

    base_msr: int
    end_msr: int
    cfg: int

    @property
    def base(self) -> int:
        return self.base_msr & _RMP_ADDRESS

    @property
    def end(self) -> int:
        """Zero where only the low 13 bits are set: that is how an empty range reads."""
        return self.end_msr if self.end_msr & _RMP_ADDRESS else 0

    @property
    def segmented(self) -> bool:
        return bool(self.cfg & 1)

    @property
    def size(self) -> int:
        return self.end - self.base + 1

    def needed(self, max_pfn: int) -> int:
        """Bytes that a contiguous table must have to cover pages below `max_pfn`."""
        pages = max(max_pfn, (self.end + _PAGE) // _PAGE)
        return pages * _RMP_ENTRY + _RMP_BOOKKEEPING
