"""Judges what works today and bites later: few ASIDs, and what waits for a reboot."""

from nodeagent.checks.check import Check, plain
from nodeagent.checks.firmware import sev_version
from nodeagent.checks.kernel import es_capacity
from nodeagent.model.codes import Code
from nodeagent.model.facts import Facts
from nodeagent.model.findings import Outcome, ok, warn
from nodeagent.model.seen import Unreadable
from nodeagent.model.text import printable
from nodeagent.model.words import Level

_CURRENT = "/sys/fs/cgroup/misc.current"
_FEW = 10  # warned of when less than one in so many is free


def asids(facts: Facts) -> tuple[Outcome, ...]:
    """Said without the number in use: it moves, and a host that did not change says the same."""
    used = facts.kernel.misc_current
    capacity = es_capacity(facts)
    if not capacity or used is None or isinstance(used, Unreadable):
        return ()
    free = capacity - used.get("sev_es", 0)
    if free <= 0:
        seen = f"all {capacity} ASIDs of SEV-ES and SNP guests are in use"
        return (warn(Code.ASIDS_EXHAUSTED, seen, where=_CURRENT),)
    if free * _FEW < capacity:
        seen = f"less than a tenth of the {capacity} ASIDs of SEV-ES and SNP guests is free"
        return (warn(Code.ASIDS_LOW, seen, where=_CURRENT),)
    return (ok(f"ASIDs are free for more SEV-ES and SNP guests (of {capacity})"),)


def reboot(facts: Facts) -> tuple[Outcome, ...]:
    """Only a kernel of the same flavour counts: others may be there for another purpose."""
    running, installed = facts.kernel.release, facts.kernel.installed
    if not isinstance(running, str) or not isinstance(installed, tuple):
        return ()
    number, flavour = release_parts(running)
    newer = [
        name
        for name in installed
        if release_parts(name)[1] == flavour and release_parts(name)[0] > number
    ]
    if not newer:
        return (ok(f"kernel {printable(running, 40)} is the newest of its kind installed"),)
    newest = max(newer, key=release_parts)
    seen = f"kernel {printable(newest, 40)} is installed, {printable(running, 40)} runs"
    return (warn(Code.REBOOT_PENDING, seen, where="/boot"),)


def image(facts: Facts) -> tuple[Outcome, ...]:
    """The driver loads a file only as it starts, and says nothing where the PSP refuses it."""
    files, waits, runs = facts.firmware.files, facts.firmware.image, sev_version(facts)
    if not (isinstance(files, tuple) and isinstance(waits, tuple) and isinstance(runs, tuple)):
        return ()
    newest, running = (".".join(map(str, each)) for each in (waits, runs))
    if waits <= runs:
        return (ok(f"SEV firmware {running} runs, and no newer file waits"),)
    seen = f"SEV firmware {newest} is installed, {running} runs"
    return (warn(Code.SEV_FW_PENDING, seen, where=files[0]),)


def release_parts(release: str) -> tuple[tuple[int, ...], str]:
    """`6.17.0-8-generic` → (6, 17, 0, 8) and what follows, without its digits.

    Distributions count on behind the dash, and put a flavour, their own version and the
    architecture behind that: `5.14.0-570.12.1.el9_6.x86_64`, `6.12.43+deb13-amd64`.
    """
    number: list[int] = []
    rest = release
    while True:
        digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
        after = rest[len(digits) :]
        # A word that only begins with digits, and one too long to be a count, ends the number.
        if not digits or len(digits) > 9 or (after and after[0] not in ".-+"):
            break
        number.append(int(digits))
        if not after or after[0] == "+":
            rest = after
            break
        rest = after[1:]
    return tuple(number), "".join(char for char in rest if not char.isdigit() and char != "_")


CHECKS: tuple[Check, ...] = (
    Check("snp.asids.free", Level.ENABLED, "free ASIDs", plain(asids)),
    Check("kernel.newest", Level.COMPLIANT, "the newest installed kernel", plain(reboot)),
    Check("firmware.newest", Level.COMPLIANT, "the newest installed firmware", plain(image)),
)
"""In reading order."""
