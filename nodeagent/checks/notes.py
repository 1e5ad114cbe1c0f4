"""What is worth knowing and changes nothing: short lines that are shown on demand."""

from collections.abc import Iterator

from nodeagent.checks import known
from nodeagent.checks.answer import shown
from nodeagent.checks.hazards import can_host_snp, is_value
from nodeagent.checks.inits import may_also_be
from nodeagent.checks.kernel import config_option
from nodeagent.checks.options import in_force
from nodeagent.checks.wanted import dotted
from nodeagent.model.facts import Facts
from nodeagent.model.host import KernelLog
from nodeagent.model.text import printable

_FOR_LOOKING = {
    "CONFIG_X86_MSR": "MSRs cannot be read",
    "CONFIG_X86_CPUID": "CPUID cannot be read",
    "CONFIG_CGROUP_MISC": "nothing counts the ASIDs",
}


def notes(facts: Facts) -> tuple[str, ...]:
    """In reading order."""
    if not can_host_snp(facts):
        return ()
    return (
        *may_also_be(facts),
        *_kernel(facts),
        *_options(facts),
        *_blind(facts),
        *_firmware_file(facts),
        *_harmless(facts),
    )


def _kernel(facts: Facts) -> Iterator[str]:
    version, newest = facts.kernel.version, known.kernels().newest
    if version and version > newest:
        release = printable(str(facts.kernel.release), 40)
        yield f"kernel {release} is newer than {dotted(newest)}, the newest that this version knows"


def _options(facts: Facts) -> Iterator[str]:
    """Options that guides ask for and that are neither needed nor harmful."""
    force = in_force(facts)
    for row in known.options().notes:
        option = force.get(row.name)
        if option and is_value(option, row.value):
            yield f"{option.seen}: it {row.says}"


def _blind(facts: Facts) -> Iterator[str]:
    for name, lost in _FOR_LOOKING.items():
        if config_option(facts, name) == "n":
            yield f"this kernel was built without {name}: {lost}"


def _harmless(facts: Facts) -> Iterator[str]:
    """Log lines that make people wonder. A second socket's PSP leaves its work to the first."""
    log = facts.log
    if not isinstance(log, KernelLog):
        return
    kinds = ["harmless"]
    if log.first("sev_driver"):
        kinds.append("harmless_second_socket")
    for event in log.of(*kinds):
        yield f"known and harmless: {shown(event)}"


def _firmware_file(facts: Facts) -> Iterator[str]:
    """What lies on the disk for the PSP, and whether this boot loaded it."""
    log, files = facts.log, facts.firmware.files
    loaded = log.first("sev_fw_updated") if isinstance(log, KernelLog) else None
    if loaded:
        yield f"the kernel loaded SEV firmware from the disk: {shown(loaded)}"
    elif isinstance(files, tuple) and files:
        yield f"{files[0]} is present; this boot's log does not say that it was loaded"
