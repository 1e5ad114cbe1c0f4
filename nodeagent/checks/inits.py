"""Rows 5 and 20–22b: what the PSP answered to INIT, and the cause that the facts bear out."""

from collections.abc import Iterator, Mapping

from nodeagent.checks.answer import Answer, Gap, Hit, Miss, gap, shown
from nodeagent.checks.causes import weigh
from nodeagent.checks.psp_errors import number
from nodeagent.checks.silicon import smee
from nodeagent.model.codes import Code
from nodeagent.model.facts import Facts
from nodeagent.model.host import KernelLog

_STATE, _CONFIG, _WBINVD, _PLATFORM = 0x1, 0x3, 0xE, 0x13
_LOG = "kernel log"


def init_errors(facts: Facts) -> Mapping[int, str] | Gap:
    """SEV and SNP INIT errors of this boot: the number, and the line that has it."""
    log = facts.log
    if not isinstance(log, KernelLog):
        return gap(_LOG, log)
    events = log.since_init("snp_init_failed", "sev_init_failed")
    if not events and not log.whole and not log.first("snp_api"):
        return gap(_LOG, None, absent="it no longer reaches back to the boot")
    return {number(event.fields["error"]): shown(event) for event in reversed(events)}


def incomplete(facts: Facts) -> Answer:
    """Row 5. Error 0x13, HW platform; with memory encryption off the cause is that."""
    code = Code.BIOS_SMEE_OFF if smee(facts) is False else None
    answer = _with(facts, _PLATFORM)
    return answer._replace(code=code, cause=None) if code and isinstance(answer, Hit) else answer


def invalid_config(facts: Facts) -> Answer:
    """Row 20. Error 0x3, or the kernel skipped INIT for offline CPUs (from about 7.2)."""
    log = facts.log
    skipped = log.since_init("cpus_offline") if isinstance(log, KernelLog) else ()
    if skipped:
        return Hit(f"the kernel says: {shown(skipped[0])}", _LOG, Code.CPUS_OFFLINE)
    return _with(facts, _CONFIG)


def alone(facts: Facts) -> Answer:
    """Row 21. 0x1 with no later row's error: it follows any other failure of INIT by itself."""
    found = init_errors(facts)
    if not isinstance(found, Gap) and set(found) - {_STATE, _CONFIG, _PLATFORM}:
        return Miss()
    return _with(facts, _STATE)


def wbinvd(facts: Facts) -> Answer:
    """Row 22."""
    return _with(facts, _WBINVD)


def other_error(facts: Facts) -> Answer:
    """After rows 5, 20–22: any other INIT error."""
    found = init_errors(facts)
    if isinstance(found, Gap):
        return found
    others = [each for each in found if each not in {_STATE, _CONFIG, _WBINVD, _PLATFORM}]
    return _with(facts, others[0]) if others else Miss()


def _with(facts: Facts, error: int) -> Answer:
    found = init_errors(facts)
    if isinstance(found, Gap):
        return found
    if error not in found:
        return Miss()
    weighed = weigh(facts, error)
    because = f"{weighed.because}; " if weighed.because else ""
    return Hit(f"{because}the kernel says: {found[error]}", _LOG, weighed.first)


def may_also_be(facts: Facts) -> Iterator[str]:
    """Causes of this boot's INIT errors that were not the first and are not excluded."""
    found = init_errors(facts)
    if isinstance(found, Gap):
        return
    for error in found:
        for code, why in weigh(facts, error).others:
            yield f"INIT error {error:#x} may also come of {code}: {why}"
