"""Rows 19b, 19c, 23, 26: the PSP, its firmware, and the state it says it is in."""

from nodeagent.checks.answer import Answer, Gap, Hit, Miss, any_heard, gap, logged
from nodeagent.checks.psp_errors import failure as told
from nodeagent.model.facts import Facts
from nodeagent.model.host import KernelLog, NotAsked, PlatformStatus, PspFailure, SnpStatus, Version
from nodeagent.model.seen import Seen, Unreadable
from nodeagent.model.text import printable

MIN_API: Version = (1, 51)
_DEAD = 0xFFFFFFFF
_OFFLINING = ("nosmt", "maxcpus", "nr_cpus")


def psp_dead(facts: Facts) -> Answer:
    """Row 19b. The driver gave up on the PSP, or every answer is "never called"."""
    return any_heard(logged(facts.log, "psp_dead", "psp_dead_answer"), _dead_answer(facts))


def _dead_answer(facts: Facts) -> Answer:
    match facts.psp.platform:
        case PspFailure(errno="EBUSY", firmware=firmware) if firmware == _DEAD:
            return Hit(
                "the PSP does not answer: every command ends in 0xffffffff, EBUSY", "/dev/sev"
            )
        case PlatformStatus():
            return Miss("the PSP answers")
        case other:
            missing = told(other) if isinstance(other, PspFailure) else "not there"
            return gap("/dev/sev", other, absent=missing)


def tmr_failed(facts: Facts) -> Answer:
    """Row 19c. The driver found no memory for its trusted region: no SEV-ES, so no SNP guest."""
    return logged(facts.log, "tmr_failed")


def shown_offline(facts: Facts) -> str:
    """How many CPUs are missing, and the option that asks for it."""
    missing = offline(facts)
    options = printable(", ".join(offlining_options(facts)), 60)
    count = f"{len(missing)} CPUs are present but offline" if missing else "CPUs may be offline"
    return f"{count} (command line: {options})" if options else count


def offline(facts: Facts) -> tuple[int, ...]:
    """CPUs that are present and not online, as far as both lists can be read."""
    online, present = facts.cpus.online, facts.cpus.present
    if isinstance(online, tuple) and isinstance(present, tuple):
        return tuple(sorted(set(present) - set(online)))
    return ()


def offlining_options(facts: Facts) -> tuple[str, ...]:
    words = facts.kernel.cmdline
    if not isinstance(words, tuple):
        return ()
    return tuple(word for word in words if word.partition("=")[0] in _OFFLINING)


def sev_version(facts: Facts) -> Seen[tuple[int, int, int]]:
    """API and build: from the PSP, else from the line that the driver logged when it asked."""
    platform = facts.psp.platform
    if isinstance(platform, PlatformStatus):
        return (*platform.api, platform.build)
    if isinstance(facts.log, KernelLog):
        event = facts.log.first("sev_api", "snp_api")
        if event:
            major, minor, build = (int(event.fields[name]) for name in ("major", "minor", "build"))
            return major, minor, min(build, 0xFFFFFFFF)
    return platform if isinstance(platform, Unreadable) else None


def api_version(facts: Facts) -> Seen[Version]:
    version = sev_version(facts)
    return version[:2] if isinstance(version, tuple) else version


def api_too_old(facts: Facts) -> Answer:
    """Row 23. The driver says nothing of it above debug level: only the version tells."""
    api = api_version(facts)
    if not isinstance(api, tuple):
        return gap("/dev/sev", api)
    shown_api, least = (f"{major}.{minor}" for major, minor in (api, MIN_API))
    if api < MIN_API:
        return Hit(f"SEV firmware API is {shown_api}, and SNP needs {least}", "/dev/sev")
    return Miss(f"SEV firmware API {shown_api}")


def snp_running(facts: Facts) -> bool:
    """The PSP itself says so: no other witness is as good."""
    return isinstance(facts.psp.snp, SnpStatus) and facts.psp.snp.running


def unheard(facts: Facts) -> Unreadable | None:
    """What kept the PSP's word on SNP from being had, where something did."""
    match facts.psp.snp:
        case Unreadable() as gap:
            return gap
        case NotAsked(why=why, blind=True):
            return Unreadable("/dev/sev", f"not asked: {why}")
        case _:
            return None


def state_lost(facts: Facts) -> Answer:
    """Row 26. KVM offers SNP, the PSP says it is not initialised."""
    offered = facts.kernel.parameter("kvm_amd.sev_snp")
    if isinstance(offered, Unreadable):
        return Gap(offered)
    if offered not in {"Y", "1"}:
        return Miss()
    match facts.psp.snp:
        case SnpStatus() as status if status.running:
            return Miss("the PSP is initialised, and so is the RMP")
        case SnpStatus() as status:
            rmp = "initialised" if status.rmp_initialised else "not initialised"
            seen = f"KVM offers SNP, but the PSP is in state {status.state} and the RMP {rmp}"
            return Hit(seen, "/dev/sev")
        case NotAsked(why=why):
            return Gap(Unreadable("/dev/sev", f"not asked: {why}"))
        case PspFailure() as failure if _says_not_initialised(failure):
            return Hit(f"the PSP answers {told(failure)}: SNP is not initialised", "/dev/sev")
        case other:
            missing = told(other) if isinstance(other, PspFailure) else "not there"
            return gap("/dev/sev", other, absent=missing)


def _says_not_initialised(failure: PspFailure) -> bool:
    """EINVAL from the driver, or the firmware's own word for it (snp-host.md §0.3, §4.2)."""
    return failure.errno == "EINVAL" or failure.firmware in {0x1, 0x20}
