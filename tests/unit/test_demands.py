"""What a guest's policy may demand of a host: KVM must take the bit, the PSP must have it on."""

from pathlib import Path

import pytest

from nodeagent.checks.demands import demands
from nodeagent.model.host import Kvm, SnpStatus
from nodeagent.model.seen import Seen, Unreadable
from tests.unit.looks import facts_of

GAP = Unreadable("/dev/kvm", "EPERM")
EVERY = 0b11111 << 20 | 1 << 25


def of(host: Path, kvm: Seen[Kvm], **status: bool) -> dict[str, bool | None]:
    facts = facts_of(host)
    assert isinstance(facts.psp.snp, SnpStatus)
    snp = facts.psp.snp._replace(**status)  # type: ignore[arg-type]
    psp = facts.psp._replace(snp=snp)
    return dict(demands(facts._replace(kernel=facts.kernel._replace(kvm=kvm), psp=psp)))


@pytest.mark.parametrize(
    ("bit", "name"),
    [
        (20, "single-socket"),
        (22, "mem-aes-256-xts"),
        (23, "rapl-dis"),
        (24, "ciphertext-hiding"),
        (25, "page-swap-disable"),
    ],
)
def test_each_bit_is_one_demand(bit: int, name: str, hosts: Path) -> None:
    kvm = Kvm(12, policy_bits=1 << bit)

    found = of(hosts / "genoa-ready", kvm, rapl_disabled=True, hiding_enabled=True)

    assert [each for each, met in found.items() if met] == [name]


def test_what_the_psp_has_off_cannot_be_demanded(hosts: Path) -> None:
    found = of(hosts / "genoa-ready", Kvm(12, policy_bits=EVERY))

    assert {name for name, met in found.items() if met is False} == {
        "rapl-dis",
        "ciphertext-hiding",
    }


def test_where_the_psp_is_not_heard_its_demands_are_not_known(hosts: Path) -> None:
    facts = facts_of(hosts / "genoa-policy")

    found = demands(facts._replace(psp=facts.psp._replace(snp=None)))

    assert {name for name, met in found.items() if met is None} == {"rapl-dis", "ciphertext-hiding"}


@pytest.mark.parametrize(
    ("kvm", "met"),
    [
        (None, False),
        (Kvm(12), False),  # a kernel that does not tell
        (Kvm(12, policy_bits=0), False),
        (GAP, None),
        (Kvm(12, policy_bits=GAP), None),
    ],
)
def test_only_what_kvm_says_it_takes_can_be_demanded(
    kvm: Seen[Kvm], met: bool | None, hosts: Path
) -> None:
    found = of(hosts / "genoa-ready", kvm, rapl_disabled=True, hiding_enabled=True)

    assert set(found.values()) == {met}


def test_a_host_that_has_it_all_says_so(hosts: Path) -> None:
    assert set(demands(facts_of(hosts / "genoa-policy")).values()) == {True}
