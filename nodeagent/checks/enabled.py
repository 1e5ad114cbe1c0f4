"""Judges `enabled` by the decision table, and shows its facets one by one."""

from nodeagent.checks import firmware, kernel
from nodeagent.checks.answer import (
    Gap,
    Hit,
    Miss,
    shown,
)
from nodeagent.checks.psp_errors import failure
from nodeagent.checks.table import FACETS, Answered, Facet, first
from nodeagent.model.codes import Code
from nodeagent.model.facts import Facts
from nodeagent.model.findings import Outcome, bad, ok, skip, unknown, warn
from nodeagent.model.host import KernelLog, PspFailure
from nodeagent.model.seen import Unreadable
from nodeagent.model.text import printable
from nodeagent.model.words import Confidence, Level

_PARAMETER = "/sys/module/kvm_amd/parameters/sev_snp"


def judge(facts: Facts, answered: tuple[Answered, ...]) -> Outcome:
    """The level's one outcome: the first row that matches, or the evidence for SNP being on."""
    hit = first(answered)
    if hit and isinstance(hit.answer, Hit):
        return bad(hit.code, hit.answer.seen, where=hit.answer.where, cause=hit.answer.cause)
    value = facts.kernel.parameter("kvm_amd.sev_snp")
    loaded = facts.kernel.is_loaded("kvm_amd")
    for gap in (loaded, value):
        if isinstance(gap, Unreadable):
            return unknown(Code.NO_ACCESS, printable(str(gap)), where=gap.where)
    if kernel.snp_offered(facts):
        return _evidence(facts)
    return _off(facts, str(value))


def _evidence(facts: Facts) -> Outcome:
    """`Y` alone is known to lie before 6.16 (snp-host.md §3.3): it takes a second witness."""
    if firmware.snp_running(facts):
        return ok("PSP state INIT, RMP initialised", where="/dev/sev")
    if isinstance(facts.psp.snp, PspFailure):
        # A PSP that was asked and failed outweighs what log and KVM said earlier.
        return unknown(
            Code.SNP_UNPROVEN, f"the PSP answers {failure(facts.psp.snp)}", where="/dev/sev"
        )
    if isinstance(facts.log, KernelLog) and facts.log.first("snp_api"):
        return ok("kvm_amd offers SEV-SNP, and the log has its API line", where=facts.log.origin)
    if kernel.offers_for_certain(facts) and kernel.snp_flag(facts) and kernel.es_capacity(facts):
        seen = "kvm_amd offers SEV-SNP, the kernel shows the flag, and there are ASIDs"
        return ok(seen, where=_PARAMETER, confidence=Confidence.MEDIUM)
    seen = "kvm_amd has sev_snp=Y, and nothing that can be read from here confirms it"
    return unknown(Code.SNP_UNPROVEN, seen, where=_PARAMETER)


def _off(facts: Facts, value: str) -> Outcome:
    """Off for certain, no row to tell why: the three-way shorthand of snp-host.md §2.3."""
    flag = kernel.snp_flag(facts)
    # A kernel whose kvm_amd has the parameter knows the flag as well, whatever its version.
    code = Code.SNP_OFF_FIRMWARE_SIDE if flag is False else Code.SNP_OFF_KERNEL_SIDE
    shows = "shows" if flag else "does not show"
    seen = f"kvm_amd has sev_snp={printable(value, 20)}, and the kernel {shows} the flag sev_snp"
    return bad(code, seen, where=_PARAMETER)


def facets(facts: Facts, answered: tuple[Answered, ...], level: Level) -> dict[str, Outcome]:
    """Each facet of the level: its first row that matches, else what kept it from telling."""
    return {
        name: _facet(facts, facet, [each for each in answered if each.row.facet == name])
        for name, facet in FACETS.items()
        if facet.level is level
    }


def _facet(facts: Facts, facet: Facet, rows: list[Answered]) -> Outcome:
    for each in rows:
        if isinstance(each.answer, Hit):
            answer = each.answer
            return bad(each.code, answer.seen, where=answer.where, cause=answer.cause)
        if each.overruled:
            refuted = each.overruled
            return warn(each.code, f"{refuted.seen}; SNP runs all the same", where=refuted.where)
    gaps = [each.answer for each in rows if isinstance(each.answer, Gap)]
    if gaps:
        return unknown(Code.NO_ACCESS, printable(str(gaps[0].gap)), where=gaps[0].gap.where)
    told = "; ".join(
        each.answer.seen for each in rows if isinstance(each.answer, Miss) and each.answer.seen
    )
    if facet.holds and not facet.holds(facts):
        return skip(told or "waits for what comes before it")
    return ok(told or "no sign of trouble")


def log_trouble(facts: Facts) -> Outcome | None:
    """The last thing that went wrong while SNP was on; it does not gate what works now."""
    log = facts.log
    events = log.of("trouble") if isinstance(log, KernelLog) else ()
    if not events or not isinstance(log, KernelLog):
        return None
    return warn(Code.SNP_LOG_TROUBLE, f"the kernel says: {shown(events[-1])}", where=log.origin)


def cpus_online(facts: Facts) -> Outcome | None:
    """A hazard of its own; where INIT failed of it the table names it as the cause."""
    if firmware.offline(facts):
        return warn(Code.CPUS_OFFLINE, firmware.shown_offline(facts))
    if isinstance(facts.cpus.online, tuple) and isinstance(facts.cpus.present, tuple):
        return ok(f"all {len(facts.cpus.online)} CPUs are online")
    return None
