"""Rows 5, 19b–23, 26: the PSP, its INIT, and the state it says it is in."""

from collections.abc import Mapping

from nodeagent.checks.answer import Answer, Gap, Hit, Miss, any_heard, gap, logged, shown
from nodeagent.checks.silicon import smee
from nodeagent.model.codes import Code
from nodeagent.model.facts import Facts
from nodeagent.model.host import KernelLog, NotAsked, PlatformStatus, PspFailure, SnpStatus, Version
from nodeagent.model.seen import Seen, Unreadable
from nodeagent.model.text import printable

MIN_API: Version = (1, 51)
_DEAD = 0xFFFFFFFF
_OFFLINING = ("nosmt", "maxcpus", "nr_cpus")


def init_errors(facts: Facts) -> Mapping[int, str] | Gap:
    """SEV and SNP INIT errors of this boot: the number, and the line that has it."""
    log = facts.log
    if not isinstance(log, KernelLog):
        return gap("kernel log", log)
    events = log.since_init("snp_init_failed", "sev_init_failed")
    if not events and not log.whole and not log.first("snp_api"):
        return gap("kernel log", None, absent="it no longer reaches back to the boot")
    return {_number(event.fields["error"]): shown(event) for event in reversed(events)}


def _number(text: str) -> int:
    """The kernel prints hex with 0x and decimal without; a leading zero means nothing."""
    return int(text, 16) if text[:2].lower() == "0x" else int(text)


def incomplete(facts: Facts) -> Answer:
    """Row 5. Error 0x13, HW platform; with memory encryption off the cause is that."""
    errors = init_errors(facts)
    if isinstance(errors, Gap):
        return errors
    if 0x13 not in errors:
        return Miss()
    code = Code.BIOS_SMEE_OFF if smee(facts) is False else None
    return Hit(f"the kernel says: {errors[0x13]}", "kernel log", code=code)


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
            missing = str(other) if isinstance(other, PspFailure) else "not there"
            return gap("/dev/sev", other, absent=missing)


def tmr_failed(facts: Facts) -> Answer:
    """Row 19c. The driver found no memory for its trusted region: no SEV-ES, so no SNP guest."""
    return logged(facts.log, "tmr_failed")


def invalid_config(facts: Facts) -> Answer:
    """Row 20. Error 0x3, or the kernel skipped INIT for offline CPUs (from about 7.2)."""
    log = facts.log
    skipped = log.since_init("cpus_offline") if isinstance(log, KernelLog) else ()
    if skipped:
        return Hit(f"the kernel says: {shown(skipped[0])}", "kernel log", Code.CPUS_OFFLINE)
    errors = init_errors(facts)
    if isinstance(errors, Gap):
        return errors
    if 0x3 not in errors:
        return Miss()
    cause, because = _config_cause(facts)
    return Hit(f"{because}the kernel says: {errors[0x3]}", "kernel log", cause)


def _config_cause(facts: Facts) -> tuple[Code | None, str]:
    """In the order in which the field found them (snp-host.md §2.3, row 20)."""
    hidden = isinstance(facts.cpus.online, Unreadable)
    if offline(facts) or (hidden and offlining_options(facts)):
        return Code.CPUS_OFFLINE, f"{shown_offline(facts)}; "
    if facts.kernel.efi is False:
        return Code.LEGACY_BOOT, "there is no /sys/firmware/efi; "
    if isinstance(api_too_old(facts), Hit):
        return Code.SEV_FW_TOO_OLD, "the SEV firmware is old; "
    return None, ""


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


def alone(facts: Facts) -> Answer:
    """Row 21. 0x1 with no later row's error: it follows any other failure of INIT by itself."""
    errors = init_errors(facts)
    if isinstance(errors, Gap):
        return errors
    if 0x1 not in errors or set(errors) - {0x1, 0x3, 0x13}:
        return Miss()
    return Hit(f"the kernel says: {errors[0x1]}", "kernel log")


def wbinvd(facts: Facts) -> Answer:
    """Row 22."""
    errors = init_errors(facts)
    if isinstance(errors, Gap):
        return errors
    return Hit(f"the kernel says: {errors[0xE]}", "kernel log") if 0xE in errors else Miss()


def other_error(facts: Facts) -> Answer:
    """After rows 5, 20–22: any other INIT error."""
    errors = init_errors(facts)
    if isinstance(errors, Gap):
        return errors
    named = {0x1, 0x3, 0xE, 0x13}
    others = [line for error, line in errors.items() if error not in named]
    return Hit(f"the kernel says: {others[0]}", "kernel log") if others else Miss()


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
        case NotAsked(why):
            return Gap(Unreadable("/dev/sev", f"not asked: {why}"))
        case PspFailure() as failure if _says_not_initialised(failure):
            return Hit(f"the PSP answers {failure}: SNP is not initialised", "/dev/sev")
        case other:
            missing = str(other) if isinstance(other, PspFailure) else "not there"
            return gap("/dev/sev", other, absent=missing)


def _says_not_initialised(failure: PspFailure) -> bool:
    """EINVAL from the driver, or the firmware's own word for it (snp-host.md §0.3, §4.2)."""
    return failure.errno == "EINVAL" or failure.firmware in {0x1, 0x20}
