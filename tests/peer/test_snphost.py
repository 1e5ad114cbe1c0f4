"""virtee's snphost beside ours, on this machine: the same where both can see.

What cannot be compared here is what this machine does not show. On a virtual machine without
SEV snphost skips what hangs on the CPU's SEV bits: firmware, PSP state, RMP, alias check, and
the informational fields of CPUID. Its memlock test prints its own limit and has no opinion.
"""

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from nodeagent.checks.judge import judge
from nodeagent.facts.look import look
from nodeagent.host.live import LiveMachine
from nodeagent.model.cpu import CpuIdentity, CpuidRegs
from nodeagent.model.facts import Facts
from nodeagent.model.host import Kvm
from nodeagent.model.words import Profile, Verdict
from tests.peer.conftest import Said, ask, leave_out
from tests.peer.table import rows

_SEV_LEAF = 0x8000001F
_ON = {"Y", "1"}


@pytest.fixture(scope="module")
def facts() -> Facts:
    with closing(LiveMachine()) as machine:
        return look(machine)


@pytest.fixture(scope="module")
def sev_leaf() -> CpuidRegs:
    """The instruction's answer through the kernel's device; snphost runs the instruction."""
    with closing(LiveMachine()) as machine:
        found = machine.probes.cpuid(_SEV_LEAF)
    if not isinstance(found, CpuidRegs):
        leave_out(f"CPUID was not compared with snphost's: {found or 'no module cpuid'}")
    return found


def _passed(said: Said, name: str) -> bool:
    return said.tests[name] == "pass"


def test_every_test_of_snphost_has_a_row_in_our_table(said: Said) -> None:
    known = {name for row in rows() for name in row.theirs}

    # One name ends in what was found: `Page flush MSR: DISABLED`.
    assert {name.partition(": ")[0] for name in said.names} <= known


def test_both_see_the_same_processor(said: Said, facts: Facts) -> None:
    cpu = facts.cpus.identity
    assert isinstance(cpu, CpuIdentity)

    assert _passed(said, "AMD CPU") == cpu.is_amd
    assert _passed(said, "Microcode support") == ("EPYC" in cpu.name.upper())


def test_both_see_the_same_sev_bits(said: Said, sev_leaf: CpuidRegs) -> None:
    assert _passed(said, "Secure Memory Encryption (SME)") == bool(sev_leaf.eax & 1)
    assert _passed(said, "Secure Encrypted Virtualization (SEV)") == bool(sev_leaf.eax & 1 << 1)
    flush = "ENABLED" if sev_leaf.eax & 1 << 2 else "DISABLED"
    assert f"Page flush MSR: {flush}" in said.tests


def test_both_reach_kvm_or_neither_does(said: Said, facts: Facts) -> None:
    kvm = facts.kernel.kvm
    assert said.tests["KVM supported"] == ("pass" if isinstance(kvm, Kvm) else "fail")
    if isinstance(kvm, Kvm):
        assert said.messages["KVM supported"] == f"API version: {kvm.api}"


@pytest.mark.parametrize("value", ["Y", "1", "N", "0", "(null)"])
def test_both_read_the_same_from_kvm_amd(snphost: Path, tmp_path: Path, value: str) -> None:
    """Both in a mount namespace of their own, where kvm_amd shows what it would on a host."""
    parameters = tmp_path / "module" / "kvm_amd" / "parameters"
    parameters.mkdir(parents=True)
    for name in ("sev", "sev_es", "sev_snp"):
        (parameters / name).write_text(f"{value}\n")
    under = _with_modules(tmp_path / "module")

    theirs = ask(snphost, *under)

    for name, shown in (("sev", "SEV"), ("sev_es", "SEV-ES"), ("sev_snp", "SEV-SNP")):
        ours = _parameter(under, name)
        assert _passed(theirs, f"{shown} enabled in KVM") == (ours in _ON), name


def _with_modules(folder: Path) -> tuple[str, ...]:
    script = f'mount --bind {folder} /sys/module && exec "$@"'
    return ("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh")


_ASK = """
import sys
from contextlib import closing
from nodeagent.facts.look import look
from nodeagent.host.live import LiveMachine
with closing(LiveMachine()) as machine:
    print(look(machine).kernel.parameter("kvm_amd." + sys.argv[1]))
"""


def _parameter(under: tuple[str, ...], name: str) -> str:
    done = subprocess.run(
        [*under, sys.executable, "-c", _ASK, name], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_what_cannot_be_reached_is_a_failure_there_and_none_here(said: Said, facts: Facts) -> None:
    """The difference that we mean: a device that is missing, or closed, proves nothing broken."""
    cpu = facts.cpus.identity
    if not isinstance(cpu, CpuIdentity) or not cpu.in_vm:
        leave_out("what snphost says without /dev/sev was not compared: this is no VM")
    judgement = judge(facts, profile=Profile.SNP, want=None)

    assert said.messages["Comparing TCB values"].endswith("unable to open /dev/sev")
    assert said.tests["Comparing TCB values"] == "fail"
    failed = [each.check for each in judgement.findings if each.verdict is Verdict.FAIL]
    assert failed == ["snp.bare_metal"]
