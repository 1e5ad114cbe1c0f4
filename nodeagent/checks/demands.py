"""What the owner of a guest may demand of this host in the guest's policy."""

from collections.abc import Mapping

from nodeagent.model.facts import Facts
from nodeagent.model.host import POLICY_DEMANDS, Kvm, SnpStatus
from nodeagent.model.seen import Seen, Unreadable


def demands(facts: Facts) -> Mapping[str, bool | None]:
    """Each demand by name, and whether a guest that makes it can start here; None: not known.

    KVM takes a bit that the firmware knows, and the PSP refuses the guest all the same where
    what it demands is not switched on; so for those two the PSP is heard as well.
    """
    status = facts.psp.snp if isinstance(facts.psp.snp, SnpStatus) else None
    running = {
        "rapl-dis": status.rapl_disabled if status else None,
        "ciphertext-hiding": status.hiding_enabled if status else None,
    }
    taken = {name: _taken(facts.kernel.kvm, bit) for name, bit in POLICY_DEMANDS.items()}
    return {name: each and running.get(name, True) for name, each in taken.items()}


def _taken(kvm: Seen[Kvm], bit: int) -> bool | None:
    """A kernel that does not tell has none of these, as far as anybody can rely on it."""
    if isinstance(kvm, Unreadable) or (kvm and isinstance(kvm.policy_bits, Unreadable)):
        return None
    bits = kvm.policy_bits if kvm else None
    return bool(isinstance(bits, int) and bits & 1 << bit)
