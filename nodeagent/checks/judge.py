"""From facts to the answer: every level, the one root cause, and what to do in order."""

from collections.abc import Iterable, Mapping

from nodeagent.checks import (
    cluster,
    compliant,
    enabled,
    fabric,
    firmware,
    gpu,
    hazards,
    kernel,
    passthrough,
    probe,
    runtime,
    sev,
    upkeep,
)
from nodeagent.checks.answer import Gap, Hit
from nodeagent.checks.check import Ask, Check
from nodeagent.checks.demands import demands
from nodeagent.checks.notes import notes
from nodeagent.checks.remedies import remedy_for
from nodeagent.checks.table import FACETS, Answered, answers
from nodeagent.model.codes import Code
from nodeagent.model.cpu import CpuIdentity
from nodeagent.model.facts import Facts
from nodeagent.model.findings import Finding, Judgement, LevelVerdict, Outcome, Values, skip
from nodeagent.model.policy import ACCEPTABLE, NO_POLICY, Policy
from nodeagent.model.probe import PROBE
from nodeagent.model.seen import Unreadable
from nodeagent.model.words import (
    CcMode,
    Confidence,
    Level,
    Profile,
    Ready,
    Verdict,
)

_IOMMU_ROOTS = frozenset({Code.BIOS_IOMMU_OFF, Code.IOMMU_PASSTHROUGH_OR_OFF})
_NEEDS_TRANSLATION = frozenset({Code.IOMMU_PASSTHROUGH_OR_OFF})
_NEEDS_IOMMU = _NEEDS_TRANSLATION | {Code.IOMMU_GROUP_MISSING, Code.GPU_NOT_VFIO}
_WORST = (Verdict.FAIL, Verdict.UNKNOWN, Verdict.PASS, Verdict.SKIP)
_TABLE = frozenset({"snp.enabled", *FACETS, "log.trouble", "cpus.online"})
"""What one fault of the table explains; other hazards of the same level stand for themselves."""
_PRIVILEGE = ("EPERM", "EACCES")


CHECKS: tuple[Check, ...] = (
    *sev.CHECKS,
    *passthrough.CHECKS,
    *fabric.CHECKS,
    *gpu.CHECKS,
    *runtime.CHECKS,
    *cluster.CHECKS,
    *hazards.CHECKS,
    *compliant.CHECKS,
    *upkeep.CHECKS,
)
"""In reading order."""

_BESIDE_TABLE = {
    "snp.enabled": "SNP guests can start now",
    "log.trouble": "a quiet log",
    "cpus.online": "every CPU online",
}


def wanted() -> dict[str, tuple[Level, str]]:
    """Every check there is: its level, and what it wants."""
    return {
        **{name: (facet.level, facet.wants) for name, facet in FACETS.items()},
        **{name: (Level.ENABLED, wants) for name, wants in _BESIDE_TABLE.items()},
        **{check.name: (check.level, check.wants) for check in CHECKS},
        PROBE: (Level.RUNTIME, probe.WANTS),
    }


def judge(
    facts: Facts, *, profile: Profile, want: CcMode | None, policy: Policy = NO_POLICY
) -> Judgement:
    """The whole answer. `want` None: any confidential mode that all devices share will do."""
    answered = answers(facts)
    ask = Ask(profile, want, policy)
    findings = tuple(_accepted(each, policy) for each in _findings(facts, answered, ask))
    levels = _levels(findings, _required(facts, ask))
    ready = _ready(levels)
    todo = _todo(findings, levels, ready)
    return Judgement(
        ready=ready,
        profile=profile,
        wanted=want,
        root=todo[0] if todo else None,
        todo=todo,
        levels=levels,
        findings=findings,
        kernel=_kernel(answered, levels),
        values=_values(facts),
        proven=_proven(facts),
        root_adds=_root_adds(answered, findings),
        notes=notes(facts),
        lapsed=tuple(each for each in policy.accepted if policy.today and not policy.holds(each)),
    )


def _findings(facts: Facts, answered: tuple[Answered, ...], ask: Ask) -> tuple[Finding, ...]:
    capable = [
        _finding(facts, name, FACETS[name].level, FACETS[name].wants, outcome)
        for name, outcome in enabled.facets(facts, answered, Level.CAPABLE).items()
    ]
    blocked = next((each for each in capable if each.verdict is Verdict.FAIL), None)
    if blocked and Level.CAPABLE in ask.profile.required:
        return (*_only_root(capable, blocked), *_skipped(f"waits for {blocked.check}"))
    rest = [*_enabled(facts, answered, blocked), *_checked(facts, ask, blocked)]
    root = next((each for each in rest if each.verdict is Verdict.FAIL), None)
    no_groups = not facts.iommu.groups
    folded = [_fold(each, root, no_groups=no_groups) for each in rest]
    return (*capable, *folded)


def _finding(facts: Facts, name: str, level: Level, wanted: str, outcome: Outcome) -> Finding:
    return Finding(name, level, wanted, outcome, remedy_for(outcome, facts))


def _only_root(capable: list[Finding], root: Finding) -> list[Finding]:
    """Nothing else is blamed, not even another question of the same level."""
    return [
        each
        if each is root or each.verdict is not Verdict.FAIL
        else Finding(each.check, each.level, each.wanted, skip(f"waits for {root.check}"), None)
        for each in capable
    ]


def _skipped(why: str, levels: Iterable[Level] = tuple(Level)[1:]) -> list[Finding]:
    return [Finding(level.value, level, "", skip(why), None) for level in levels]


def _enabled(
    facts: Facts, answered: tuple[Answered, ...], blocked: Finding | None
) -> list[Finding]:
    """The table's verdict first, then its facets; none of them gates by itself."""
    if blocked:
        return [Finding("snp.enabled", Level.ENABLED, "", skip(f"waits for {blocked.check}"), None)]
    below = tuple(each for each in answered if FACETS[each.row.facet].level is Level.ENABLED)
    found = [_beside(facts, "snp.enabled", enabled.judge(facts, below))]
    found += [
        _finding(facts, name, Level.ENABLED, FACETS[name].wants, outcome)
        for name, outcome in enabled.facets(facts, below, Level.ENABLED).items()
    ]
    trouble = enabled.log_trouble(facts)
    if trouble:
        found.append(_beside(facts, "log.trouble", trouble))
    online = enabled.cpus_online(facts)
    if online:
        found.append(_beside(facts, "cpus.online", online))
    return found


def _beside(facts: Facts, name: str, outcome: Outcome) -> Finding:
    return _finding(facts, name, Level.ENABLED, _BESIDE_TABLE[name], outcome)


def _checked(facts: Facts, ask: Ask, blocked: Finding | None) -> list[Finding]:
    """Of a CPU that cannot do SNP at all no firmware is judged."""
    found = [
        _finding(facts, check.name, check.level, check.wants, outcome)
        for check in CHECKS
        if not (blocked and check.level is Level.COMPLIANT)
        for outcome in check.judge(facts, ask)
    ]
    unasked = _skipped(f"waits for {blocked.check}", (Level.COMPLIANT,)) if blocked else []
    return found + unasked


def _fold(each: Finding, root: Finding | None, *, no_groups: bool) -> Finding:
    """A facet folds under the table's row; what needs an IOMMU, under the IOMMU that is off."""
    if root is None or each is root or root.code is None or each.verdict is Verdict.PASS:
        return each
    same_table = each.check in _TABLE and root.check in _TABLE
    follows = _NEEDS_IOMMU if no_groups else _NEEDS_TRANSLATION
    if not same_table and not (root.code in _IOMMU_ROOTS and each.code in follows):
        return each
    return Finding(each.check, each.level, each.wanted, each.outcome, each.remedy, root.code)


def _accepted(each: Finding, policy: Policy) -> Finding:
    """Marked where the site lives with it; what could not be told cannot be lived with."""
    if not policy.accepted or each.verdict not in {Verdict.FAIL, Verdict.WARN}:
        return each
    accepted = policy.accepts(each.code)
    waived = each.verdict is Verdict.FAIL and each.level in ACCEPTABLE
    return each._replace(accepted=accepted, is_waived=waived) if accepted else each


def _required(facts: Facts, ask: Ask) -> frozenset[Level]:
    """Floors only where they are asked for, pods only where a kubelet could start them."""
    required = ask.profile.required | ({Level.COMPLIANT} if ask.policy.require_floors else set())
    return required if facts.runtime.kubelet else required - {Level.RUNTIME}


def _levels(findings: tuple[Finding, ...], required: frozenset[Level]) -> dict[Level, LevelVerdict]:
    return {
        level: _level([each for each in findings if each.level is level], level in required)
        for level in Level
    }


def _level(findings: list[Finding], required: bool) -> LevelVerdict:
    """`enabled` is judged by its table alone; the other levels by their worst finding."""
    table = [each for each in findings if each.check == "snp.enabled"]
    deciding = table or [each for each in findings if each.verdict is not Verdict.WARN]
    worst = next(
        (each for verdict in _WORST for each in deciding if each.verdict is verdict),
        None,
    )
    if worst is None:
        return LevelVerdict(Verdict.SKIP, Confidence.HIGH, "nothing to look at", required)
    says = worst.outcome.seen
    if worst.verdict is Verdict.PASS and not table:
        says = "; ".join(each.outcome.seen for each in deciding[:2])
        alike = [each for each in deciding if each.check == deciding[0].check]
        says += f" and {len(alike) - 2} more" if len(alike) > 2 else ""
    unsure = any(each.outcome.confidence is Confidence.MEDIUM for each in deciding)
    confidence = Confidence.MEDIUM if unsure else Confidence.HIGH
    return LevelVerdict(worst.verdict, confidence, says, required, _without(deciding))


def _without(deciding: list[Finding]) -> Verdict | None:
    """What is left to gate once the waived failures are out; nothing left is nothing against it."""
    left = [each.verdict for each in deciding if not each.is_waived]
    if len(left) == len(deciding):
        return None
    worst = next((verdict for verdict in _WORST if verdict in left), Verdict.PASS)
    return Verdict.PASS if worst is Verdict.SKIP else worst


def _ready(levels: Mapping[Level, LevelVerdict]) -> Ready:
    """Ready only if every required level passes; a skipped one proves nothing."""
    verdicts = {each.counts for each in levels.values() if each.required}
    if Verdict.FAIL in verdicts:
        return Ready.NO
    return Ready.YES if verdicts == {Verdict.PASS} else Ready.CANNOT_TELL


def _todo(
    findings: tuple[Finding, ...], levels: Mapping[Level, LevelVerdict], ready: Ready
) -> tuple[Finding, ...]:
    """What keeps the node from being ready, the root first; folded ones go with their root."""
    if ready is Ready.YES:
        return ()
    verdict = Verdict.FAIL if ready is Ready.NO else Verdict.UNKNOWN
    return tuple(
        each
        for each in findings
        if each.verdict is verdict
        and levels[each.level].required
        and levels[each.level].counts is verdict
        and each.under is None
        and not each.is_waived
        and (each.level is not Level.ENABLED or each.check == "snp.enabled")
    )


def _kernel(answered: tuple[Answered, ...], levels: Mapping[Level, LevelVerdict]) -> Verdict:
    """Its kernel rows alone; where SNP is on for certain they cannot be against it."""
    if levels[Level.CAPABLE].verdict is not Verdict.PASS:
        return levels[Level.CAPABLE].verdict
    if levels[Level.ENABLED].verdict is Verdict.PASS:
        return Verdict.PASS
    rows = [each.answer for each in answered if FACETS[each.row.facet].is_kernel]
    if any(isinstance(each, Hit) for each in rows):
        return Verdict.FAIL
    return Verdict.UNKNOWN if any(isinstance(each, Gap) for each in rows) else Verdict.PASS


def _proven(facts: Facts) -> dict[str, CcMode]:
    if isinstance(facts.devices, Unreadable):
        return {}
    lockdown = facts.kernel.lockdown if isinstance(facts.kernel.lockdown, str) else ""
    return gpu.all_modes(facts.devices, lockdown)


def _values(facts: Facts) -> Values:
    cpu = facts.cpus.identity
    found = facts.devices
    gpus = () if isinstance(found, Unreadable) else found.gpus
    proven = _proven(facts)
    chips = {each.chip.product or each.chip.name for each in gpus if each.chip}
    api = firmware.api_version(facts)
    tcb = compliant.reported_tcb(facts)
    generation = cpu.generation if isinstance(cpu, CpuIdentity) else None
    return Values(
        cc_mode=gpu.shared_mode(proven) if gpus and len(proven) == len(gpus) else None,
        gpu_count=None if isinstance(found, Unreadable) else len(gpus),
        gpu_chip="-".join(sorted(chips)) or None,
        generation=generation.value if generation else None,
        asids=kernel.es_capacity(facts),
        snp_api=f"{api[0]}.{api[1]}" if isinstance(api, tuple) else None,
        smt=facts.cpus.smt if isinstance(facts.cpus.smt, str) else None,
        tcb_snp=tcb.snp if tcb else None,
        tcb_microcode=tcb.microcode if tcb else None,
        policy=demands(facts),
    )


def _root_adds(answered: tuple[Answered, ...], findings: tuple[Finding, ...]) -> str | None:
    """What an unprivileged look could not see, in words; None where nothing was refused."""
    if any(each.level is Level.CAPABLE and each.verdict is Verdict.FAIL for each in findings):
        return None
    gaps = [each.answer.gap for each in answered if isinstance(each.answer, Gap)]
    refused = [gap for gap in gaps if gap.why.startswith(_PRIVILEGE)]
    topics = {
        "MSRs": "/msr",
        "CPUID": "/cpuid",
        "the PSP": "/dev/sev",
        "the kernel log": "/dev/kmsg",
    }
    named = [topic for topic, part in topics.items() if any(part in gap.where for gap in refused)]
    return ", ".join(named) or None
