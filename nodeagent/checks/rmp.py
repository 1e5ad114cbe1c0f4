"""Rows 7–10: the memory that the BIOS reserves for the reverse map table."""

from nodeagent.checks.answer import Answer, Gap, Hit, Miss, any_heard, gap, logged
from nodeagent.model.cpu import (
    RMP_BASE,
    RMP_CFG,
    RMP_END,
    CpuIdentity,
    CpuValues,
    Rmp,
    SevLeaf,
)
from nodeagent.model.facts import Facts
from nodeagent.model.seen import Seen, Unreadable

_WHERE = "MSR 0xc0010132, 0xc0010133"


def registers(facts: Facts) -> Rmp | Gap:
    """The RMP registers as most CPUs show them; RMP_CFG is 0 where it faults."""
    base, end = facts.cpus.msr(RMP_BASE), facts.cpus.msr(RMP_END)
    for index, found in ((RMP_BASE, base), (RMP_END, end)):
        if not isinstance(found, CpuValues):
            return gap(f"MSR {index:#x}", found, absent="the msr module is not loaded")
    contiguous = Rmp(_most(base), _most(end), 0)
    cfg = facts.cpus.msr(RMP_CFG)
    if isinstance(cfg, CpuValues):
        return Rmp(contiguous.base_msr, contiguous.end_msr, cfg.most or 0)
    if contiguous.end or _has_no_segments(facts, cfg):
        return contiguous
    return gap(f"MSR {RMP_CFG:#x}", cfg)


def _has_no_segments(facts: Facts, cfg: Seen[CpuValues]) -> bool:
    """The register faults on a CPU that lacks it; one that is merely closed proves nothing."""
    leaf = facts.cpus.sev_leaf
    faults = isinstance(cfg, Unreadable) and cfg.why.startswith("EIO")
    return faults or (isinstance(leaf, SevLeaf) and not leaf.segmented_rmp)


def _most(values: Seen[CpuValues]) -> int:
    return (values.most or 0) if isinstance(values, CpuValues) else 0


def not_reserved(facts: Facts) -> Answer:
    """Row 7. END is 0 by design where the table is segmented."""
    return any_heard(_reserved(facts), logged(facts.log, "rmp_not_reserved"), _flag(facts))


def _reserved(facts: Facts) -> Answer:
    rmp = registers(facts)
    if isinstance(rmp, Gap):
        return rmp
    if rmp.base == 0 or (rmp.end == 0 and not rmp.segmented):
        seen = f"RMP_BASE is {rmp.base_msr:#x} and RMP_END is {rmp.end_msr:#x}: nothing reserved"
        return Hit(seen, _WHERE)
    if rmp.segmented:
        return Miss(f"segmented RMP at {rmp.base:#x}")
    return Miss(f"RMP at {rmp.base:#x}-{rmp.end:#x}")


def _flag(facts: Facts) -> Answer:
    """The kernel shows `sev_snp` only after it accepted a reservation: it can only acquit."""
    cpu = facts.cpus.identity
    if isinstance(cpu, CpuIdentity) and "sev_snp" in cpu.flags:
        return Miss("the kernel accepted the RMP reservation")
    return gap("MSR 0xc0010132", facts.cpus.msr(RMP_BASE), absent="the msr module is not loaded")


def invalid(facts: Facts) -> Answer:
    """Row 8."""
    return any_heard(_ordered(facts), logged(facts.log, "rmp_invalid"), _flag(facts))


def _ordered(facts: Facts) -> Answer:
    rmp = registers(facts)
    if isinstance(rmp, Gap):
        return rmp
    if not rmp.segmented and rmp.end and rmp.base > rmp.end:
        return Hit(f"RMP_BASE {rmp.base:#x} lies above RMP_END {rmp.end:#x}", _WHERE)
    return Miss()


def too_small(facts: Facts) -> Answer:
    """Row 9. A segmented table cannot be read from here: there the log alone tells."""
    return any_heard(_coverage(facts), logged(facts.log, "rmp_too_small"))


def _coverage(facts: Facts) -> Answer:
    rmp = registers(facts)
    if isinstance(rmp, Gap):
        return rmp
    if rmp.segmented:
        return gap("segmented RMP", None, absent="only the kernel can read its table")
    top = facts.kernel.max_pfn
    if not isinstance(top, int):
        return gap("/proc/zoneinfo", top)
    needed = rmp.needed(top)
    if rmp.size < needed:
        return Hit(
            f"the RMP has {max(rmp.size, 0):#x} bytes and needs {needed:#x} for {_gib(top)}",
            _WHERE,
        )
    return Miss(f"{rmp.size:#x} bytes cover all {_gib(top)} ({needed:#x} needed)")


def _gib(pfn: int) -> str:
    return f"{pfn * 4096 / (1 << 30):.0f} GiB"


def segment_bad(facts: Facts) -> Answer:
    """Row 10. Only a segmented table can have it, and only the kernel can tell."""
    rmp = registers(facts)
    told = logged(facts.log, "rmp_segment_bad")
    if isinstance(rmp, Rmp) and not rmp.segmented and not isinstance(told, Hit):
        return Miss()
    return told
