"""Judges what works today and bites later: options and kernels. Warns, never gates."""

from collections.abc import Sequence

from nodeagent.checks import known, silicon
from nodeagent.checks.answer import Hit
from nodeagent.checks.check import Check, plain
from nodeagent.checks.known import OldKernel
from nodeagent.checks.options import Option, asked, closed, in_force, truth
from nodeagent.checks.wanted import dotted
from nodeagent.model.codes import Code
from nodeagent.model.cpu import CpuIdentity
from nodeagent.model.facts import Facts
from nodeagent.model.findings import Outcome, ok, unknown, warn
from nodeagent.model.host import KernelLog, Version
from nodeagent.model.pci import Devices
from nodeagent.model.text import printable
from nodeagent.model.words import Level

_SEV = "kvm_amd.sev"


def can_host_snp(facts: Facts) -> bool:
    """Whether what helps or harms SNP is of interest here at all."""
    rows = (silicon.in_vm, silicon.not_amd, silicon.too_old)
    return not any(isinstance(row(facts), Hit) for row in rows)


def hazards(facts: Facts) -> tuple[Outcome, ...]:
    """Options that the kernel obeys, to the host's harm."""
    if not can_host_snp(facts):
        return ()
    force = in_force(facts)
    found = [
        warn(Code.OPTION_HAZARD, f"{option.seen}: {row.says}", where=option.where)
        for row in known.options().hazards
        if (option := force.get(row.name)) and is_value(option, row.value)
    ]
    return tuple(found) or _nothing(facts, "no option that harms")


def is_value(option: Option, value: str | None) -> bool:
    """Whether an option has a value of the data file; a 0 there is any way to say no."""
    if value is None:
        return True
    return truth(option.value) is False if value == "0" else value in option.value.split(",")


def ignored(facts: Facts) -> tuple[Outcome, ...]:
    """Options that look as if they did something: the wrong module, or misspelt."""
    if not can_host_snp(facts):
        return ()
    odd = {option.name: meant for option in asked(facts) if (meant := _meant(facts, option))}
    force = in_force(facts)
    found = [
        warn(
            Code.OPTION_IGNORED,
            f"{force[name].seen}: {printable(name, 40)} is no such option, {meant} is one",
            where=force[name].where,
        )
        for name, meant in odd.items()
    ]
    return tuple(found) or _nothing(facts, "every option of KVM and the PSP's driver is one")


def _meant(facts: Facts, option: Option) -> str | None:
    """The option that was probably meant; None where the module may well take this one.

    Newer kernels have parameters that no table knows, so the module's own list is asked first.
    """
    parameters = known.options().parameters
    module, _, name = option.name.partition(".")
    if module not in parameters or name in parameters[module]:
        return None
    takes = facts.kernel.takes.get(module)
    if isinstance(takes, tuple) and name in takes:
        return None
    for other in ("kvm_amd", "kvm", "ccp"):
        if name in parameters[other]:
            return f"{other}.{name}"
    if not isinstance(takes, tuple) or not ("sev" in name or "snp" in name):
        return None
    return "kvm_amd.sev_snp" if "snp" in name else "kvm_amd.sev_es" if "es" in name else _SEV


def _nothing(facts: Facts, seen: str) -> tuple[Outcome, ...]:
    unread = closed(facts)
    if unread:
        return (unknown(Code.NO_ACCESS, printable(str(unread)), where=unread.where),)
    return (ok(seen),)


def kernel_for_cpu(facts: Facts) -> tuple[Outcome, ...]:
    """By its number alone. Only newer code speaks of segments, so then it was backported."""
    cpu, version = facts.cpus.identity, facts.kernel.version
    if not can_host_snp(facts) or not isinstance(cpu, CpuIdentity) or version is None:
        return ()
    if isinstance(facts.log, KernelLog) and facts.log.first("rmp_segmented"):
        return (ok("the kernel knows segmented RMPs"),)
    rows = [row for row in known.kernels().cpu if cpu.family >= row.family]
    return _below(facts, version, rows, Code.KERNEL_OLD_FOR_CPU)


def kernel_for_gpu(facts: Facts) -> tuple[Outcome, ...]:
    version = facts.kernel.version
    if not isinstance(facts.devices, Devices) or not facts.devices.gpus or version is None:
        return ()
    if not can_host_snp(facts):
        return ()
    return _below(facts, version, known.kernels().gpu, Code.KERNEL_OLD_FOR_GPU)


def _below(
    facts: Facts, version: Version, rows: Sequence[OldKernel], code: Code
) -> tuple[Outcome, ...]:
    """The gravest row first; a vendor may have backported what a number does not show."""
    release = printable(str(facts.kernel.release), 40)
    for row in rows:
        if version < row.below:
            want = dotted(rows[-1].below)
            seen = f"kernel {release} {row.says} (wanted: {want}, or a vendor's backport)"
            return (warn(code, seen, where="uname"),)
    return (ok(f"kernel {release}"),)


CHECKS: tuple[Check, ...] = (
    Check("kernel.options", Level.ENABLED, "no option that harms", plain(hazards)),
    Check("kernel.typos", Level.ENABLED, "only options that exist", plain(ignored)),
    Check("kernel.for_cpu", Level.ENABLED, "a kernel made for this CPU", plain(kernel_for_cpu)),
    Check("kernel.for_gpu", Level.PASSTHROUGH, "a kernel tried with GPUs", plain(kernel_for_gpu)),
)
"""In reading order."""
