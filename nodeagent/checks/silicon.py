"""Rows 1–4 and 6: what the processors and the BIOS's first switches show."""

from nodeagent.checks.answer import (
    Answer,
    Gap,
    Hit,
    Miss,
    any_heard,
    gap,
    logged,
)
from nodeagent.model.codes import Code
from nodeagent.model.cpu import (
    HWCR,
    MSR_NAMES,
    RMP_BASE,
    RMP_CFG,
    RMP_END,
    SEV_STATUS,
    SYSCFG,
    CpuIdentity,
    CpuValues,
    SevLeaf,
)
from nodeagent.model.facts import Facts
from nodeagent.model.text import printable

_SMEE = 1 << 23
_SNP_ENABLE = 1 << 24
_MUST_AGREE = {
    SYSCFG: 0x03880000,  # fixed MTRR DRAM modification, SMEE, SNP, VMPL
    HWCR: 1,  # SMMLOCK
    RMP_BASE: ~0,
    RMP_END: ~0,
    RMP_CFG: ~0,
}
_CPUINFO = "/proc/cpuinfo"


def identity(facts: Facts) -> CpuIdentity | Gap:
    found = facts.cpus.identity
    return found if isinstance(found, CpuIdentity) else gap(_CPUINFO, found)


def in_vm(facts: Facts) -> Answer:
    """Row 1. The kernel refuses host SNP under a hypervisor."""
    cpu = identity(facts)
    if isinstance(cpu, Gap):
        return cpu
    if cpu.in_vm:
        return Hit("the CPU shows a hypervisor: this is a virtual machine", _CPUINFO)
    status = facts.cpus.msr(SEV_STATUS)
    if isinstance(status, CpuValues) and status.all_set_bits:
        return Hit("SEV_STATUS is not zero, as inside a SEV guest", "MSR 0xc0010131")
    return Miss("bare metal: no hypervisor flag")


def not_amd(facts: Facts) -> Answer:
    """Row 2."""
    cpu = identity(facts)
    if isinstance(cpu, Gap):
        return cpu
    if cpu.is_amd:
        return Miss(f"{cpu.vendor}, {printable(cpu.name, 60)}")
    return Hit(f"the CPU is {printable(cpu.vendor, 20)}: {printable(cpu.name, 60)}", _CPUINFO)


def too_old(facts: Facts) -> Answer:
    """Row 3. A model that never had SNP; an unknown newer one goes on."""
    cpu = identity(facts)
    if isinstance(cpu, Gap):
        return cpu
    where = f"family {cpu.family:#x} model {cpu.model:#x}"
    if cpu.can_snp:
        return Miss(f"{cpu.generation}, {where}")
    return Hit(f"{printable(cpu.name, 60) or 'this part'} is {where}, before SNP", _CPUINFO)


def inconsistent(facts: Facts) -> Answer:
    """Row 3b. Registers that must be alike on every online CPU."""
    gaps = []
    for index, mask in _MUST_AGREE.items():
        values = facts.cpus.msr(index)
        if not isinstance(values, CpuValues):
            # RMP_CFG faults on CPUs without segmented RMP: that is no gap.
            if index != RMP_CFG:
                gaps.append(gap(f"MSR {index:#x}", values))
            continue
        groups = values.masked(mask)
        if len(groups) > 1:
            seen = f"{MSR_NAMES[index]} is {difference(groups)}"
            return Hit(seen, f"MSR {index:#x}")
        if values.unreadable:
            gaps.append(Gap(values.unreadable[0][1]))
    return gaps[0] if gaps else Miss("SYSCFG, HWCR and RMP registers agree on every online CPU")


def difference(groups: dict[int, tuple[int, ...]]) -> str:
    """Which CPUs show another value than most."""
    (common, _), *odd = groups.items()
    named = ", ".join(f"{value:#x} on CPU {_cpus(cpus)}" for value, cpus in odd[:3])
    return f"{common:#x} on most CPUs, but {named}"


def _cpus(cpus: tuple[int, ...]) -> str:
    shown = ", ".join(str(cpu) for cpu in sorted(cpus)[:4])
    return shown if len(cpus) <= 4 else f"{shown} and {len(cpus) - 4} more"


def bit(facts: Facts, index: int, mask: int) -> bool | Gap:
    """Whether a bit is set on every CPU that could be read."""
    values = facts.cpus.msr(index)
    if not isinstance(values, CpuValues):
        return gap(f"MSR {index:#x}", values, absent="the msr module is not loaded")
    return bool((values.all_set_bits or 0) & mask)


def smee(facts: Facts) -> bool | Gap:
    """SYSCFG[23]: the BIOS's own switch; Linux never sets it."""
    return bit(facts, SYSCFG, _SMEE)


def snp_enable(facts: Facts) -> bool | Gap:
    """SYSCFG[24]: set by the kernel once it accepts RMP and IOMMU."""
    return bit(facts, SYSCFG, _SNP_ENABLE)


def smee_off(facts: Facts) -> Answer:
    """Row 4. Three witnesses: the log, SYSCFG[23], and where that is closed the `sev` flag.

    The kernel derives the flag from the register, so the register wins where both are there.
    """
    register = _smee_register(facts)
    told = _sev_flag(facts) if isinstance(smee(facts), Gap) else register
    return any_heard(told, logged(facts.log, "smee_off"))


def _smee_register(facts: Facts) -> Answer:
    on = smee(facts)
    if isinstance(on, Gap):
        return on
    if not on:
        return Hit("SYSCFG[23] is 0: memory encryption is off", "MSR 0xc0010010")
    locked = bit(facts, HWCR, 1)
    if locked is False:
        return Hit("HWCR[0] is 0: SMM is not locked", "MSR 0xc0010015", code=Code.BIOS_SMM_UNLOCKED)
    if isinstance(locked, Gap):
        # A missing flag would only say that one of the two is off, and SMEE is on.
        return _sev_flag(facts) if _shows_sev(facts) else locked
    return Miss("SYSCFG[23] is 1 on every CPU")


def _shows_sev(facts: Facts) -> bool:
    cpu = identity(facts)
    return not isinstance(cpu, Gap) and "sev" in cpu.flags


def _sev_flag(facts: Facts) -> Answer:
    cpu = identity(facts)
    if isinstance(cpu, Gap):
        return cpu
    if not cpu.can_snp or "sev" in cpu.flags:
        return Miss("the kernel shows the `sev` flag")
    leaf = facts.cpus.sev_leaf
    if not cpu.is_epyc or (isinstance(leaf, SevLeaf) and not leaf.sev):
        # A CPU without SEV has no such flag either, whatever the BIOS is set to.
        absent = "the msr module is not loaded"
        return gap(f"MSR {SYSCFG:#x}", facts.cpus.msr(SYSCFG), absent=absent)
    return Hit("the kernel shows no `sev` flag on a CPU that has SEV", _CPUINFO)


def hidden(facts: Facts) -> Answer:
    """Row 6. A capable part whose raw CPUID denies SNP: the BIOS hides the bit."""
    cpu = identity(facts)
    if isinstance(cpu, Gap):
        return cpu
    if "sev_snp" in cpu.flags:
        return Miss("CPUID shows SEV-SNP to the kernel")
    leaf = facts.cpus.sev_leaf
    if not isinstance(leaf, SevLeaf):
        return gap("CPUID 0x8000001f", leaf, absent="the cpuid module is not loaded")
    if cpu.can_snp and not leaf.snp:
        return Hit("CPUID 0x8000001f EAX[4] is 0 on a CPU that has SNP", "/dev/cpu/0/cpuid")
    return Miss("CPUID shows SEV-SNP")
