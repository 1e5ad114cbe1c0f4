"""Says what the CPU offers to encrypted guests, and doubts one that is no EPYC by its name."""

from nodeagent.checks.check import Check, plain
from nodeagent.model.codes import Code
from nodeagent.model.cpu import CpuIdentity, SevLeaf
from nodeagent.model.facts import Facts
from nodeagent.model.findings import Outcome, ok, unknown, warn
from nodeagent.model.host import Kvm, SnpStatus
from nodeagent.model.seen import Unreadable
from nodeagent.model.text import printable
from nodeagent.model.words import Level

_SECURE_TSC = 1 << 9  # among KVM's SEV VMSA features, as in the guest's own SEV_FEATURES


def name(facts: Facts) -> tuple[Outcome, ...]:
    """A warning alone: parts of one cloud have odd names and are fine (snp-host.md §1.1)."""
    cpu = facts.cpus.identity
    if not isinstance(cpu, CpuIdentity) or not cpu.can_snp or not cpu.name:
        return ()
    if cpu.is_epyc:
        return (ok("an EPYC by its name"),)
    return (warn(Code.CPU_NOT_EPYC, f"it calls itself {printable(cpu.name, 60)}"),)


def features(facts: Facts) -> tuple[Outcome, ...]:
    """For people and their scripts alone: nothing is judged by it."""
    leaf = facts.cpus.sev_leaf
    if isinstance(leaf, Unreadable):
        return (unknown(Code.NO_ACCESS, printable(str(leaf)), where=leaf.where),)
    if leaf is None:
        return (unknown(Code.NO_ACCESS, "CPUID cannot be read: no module cpuid, or no such leaf"),)
    fields = (
        f"C-bit {leaf.c_bit}",
        f"{leaf.address_bits_lost} address bits lost",
        f"{leaf.vmpls} VMPLs",
        f"{leaf.asids} ASIDs, those from {leaf.min_sev_asid} without SEV-ES",
    )
    return (ok("; ".join((*fields, *_optional(facts, leaf))), where="CPUID 0x8000001f"),)


def _optional(facts: Facts, leaf: SevLeaf) -> tuple[str, ...]:
    kvm, psp = facts.kernel.kvm, facts.psp.snp
    vmsa = kvm.sev_vmsa_features if isinstance(kvm, Kvm) else None
    in_kvm = "" if not isinstance(vmsa, int) else f", {_in_kvm(vmsa)}"
    hiding = psp.hiding_enabled if isinstance(psp, SnpStatus) else False
    found = (
        ("page flush MSR", leaf.page_flush_msr),
        (f"Secure TSC{in_kvm}", leaf.secure_tsc),
        ("ciphertext hiding on", hiding),
    )
    return tuple(text for text, there in found if there)


def _in_kvm(vmsa: int) -> str:
    return "and KVM has it" if vmsa & _SECURE_TSC else "which this KVM has not"


CHECKS: tuple[Check, ...] = (
    Check("cpu.name", Level.CAPABLE, "an EPYC by its name", plain(name)),
    Check("cpu.sev", Level.ENABLED, "what the CPU offers encrypted guests", plain(features)),
)
"""In reading order."""
