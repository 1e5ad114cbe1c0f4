"""What the CPU offers encrypted guests is shown as the register has it, and judged by nobody."""

import pytest

from nodeagent.checks.sev import features, name
from nodeagent.model.cpu import CpuIdentity, CpuidRegs, SevLeaf
from nodeagent.model.facts import Facts
from nodeagent.model.host import Kvm, SnpStatus
from nodeagent.model.seen import Seen, Unreadable
from nodeagent.model.words import Verdict
from tests.unit.looks import HOSTS, facts_of

READY = facts_of(HOSTS / "genoa-ready")
GENOA = CpuidRegs(0x0101FF3B, 0x000041B3, 1006, 100)  # snp-host.md §8.2
FIELDS = "C-bit 51; 6 address bits lost; 4 VMPLs; 1006 ASIDs, those from 100 without SEV-ES"
CLOSED = Unreadable("/dev/cpu/0/cpuid", "EPERM: Operation not permitted")


def _with(leaf: Seen[SevLeaf], kvm: Seen[Kvm] = None) -> Facts:
    return READY._replace(
        cpus=READY.cpus._replace(sev_leaf=leaf), kernel=READY.kernel._replace(kvm=kvm)
    )


@pytest.mark.parametrize(
    ("eax", "kvm", "seen"),
    [
        (GENOA.eax & ~(1 << 2 | 1 << 8), None, FIELDS),
        (GENOA.eax & ~(1 << 8) | 1 << 2, None, f"{FIELDS}; page flush MSR"),
        (GENOA.eax & ~(1 << 2), None, f"{FIELDS}; Secure TSC"),
        (
            GENOA.eax & ~(1 << 2),
            Kvm(12, sev_vmsa_features=1 << 9),
            f"{FIELDS}; Secure TSC, and KVM has it",
        ),
        (
            GENOA.eax & ~(1 << 2),
            Kvm(12, sev_vmsa_features=1 << 5),
            f"{FIELDS}; Secure TSC, which this KVM has not",
        ),
    ],
)
def test_a_register_is_shown_bit_by_bit(eax: int, kvm: Kvm | None, seen: str) -> None:
    [found] = features(_with(SevLeaf(GENOA._replace(eax=eax)), kvm))

    assert (found.verdict, found.seen) == (Verdict.PASS, seen)


def test_ciphertext_hiding_is_shown_where_it_is_on() -> None:
    psp = READY.psp.snp
    assert isinstance(psp, SnpStatus)
    facts = READY._replace(psp=READY.psp._replace(snp=psp._replace(hiding_enabled=True)))

    [found] = features(facts)

    assert found.seen.endswith("; ciphertext hiding on")


@pytest.mark.parametrize("leaf", [None, CLOSED])
def test_a_register_that_cannot_be_read_is_unknown(leaf: Seen[SevLeaf]) -> None:
    [found] = features(_with(leaf))

    assert found.verdict is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("called", "verdict"),
    [
        ("AMD EPYC 9654 96-Core Processor", Verdict.PASS),
        ("epyc of a kind", Verdict.PASS),
        ("AMD Ryzen Threadripper PRO 7995WX 96-Cores", Verdict.WARN),
        ("", None),
    ],
)
def test_a_name_without_epyc_is_doubted(called: str, verdict: Verdict | None) -> None:
    cpu = READY.cpus.identity
    assert isinstance(cpu, CpuIdentity)
    facts = READY._replace(cpus=READY.cpus._replace(identity=cpu._replace(name=called)))

    assert [each.verdict for each in name(facts)] == ([verdict] if verdict else [])
