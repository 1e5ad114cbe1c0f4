"""Findings into what a Node shows: labels, one report, one condition (kubernetes.md §4.3, §6.1).

Pure: the same judgement gives the same bytes, so that an unchanged host costs no write.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from nodeagent.model.findings import Finding, Judgement
from nodeagent.model.host import POLICY_DEMANDS
from nodeagent.model.probe import PROBE
from nodeagent.model.words import CcMode, Level, Profile, Ready, Verdict

PREFIX = "nodeagent.io/"
REPORT_VERSION = 1
REPORT_BYTES = 4096
GRACE_CYCLES = 2
"""How many looks that could not tell a standing label survives (design.md §2)."""

_LEVELS = {
    "snp": Level.ENABLED,
    "iommu": Level.PASSTHROUGH,
    "firmware": Level.COMPLIANT,
    "gpu": Level.GPU,
    "runtime": Level.RUNTIME,
}
_GPU_VALUES = ("gpu.cc-mode", "gpu.count", "gpu.chip")
_CPU_VALUES = ("snp.generation", "snp.asids", "snp.api", "smt", "tcb.snp", "tcb.microcode")
_DEMANDS = tuple(f"snp.policy.{name}" for name in POLICY_DEMANDS)
_TOLD = ("ready", "kernel", *_LEVELS, *_GPU_VALUES, *_CPU_VALUES, *_DEMANDS)
_NAMES = (*_TOLD, "profile", "simulated")

COMPAT_READY = "nvidia.com/cc.ready.state"
COMPAT_MODE = "nvidia.com/cc.mode.state"
COMPAT = frozenset({COMPAT_READY, COMPAT_MODE})
"""What Kata's classes and people read where NVIDIA's cc-manager is; ours as the authority alone."""
_COMPAT_READY = {CcMode.ON: "true", CcMode.PPCIE: "true", CcMode.OFF: "false"}

_SEEN_BYTES = 240
_DO_BYTES = 480
_MESSAGE_BYTES = 1000
_PROVEN_DEVICES = 64
_GRAVEST_FIRST = (Verdict.FAIL, Verdict.UNKNOWN, Verdict.WARN)


class Status(StrEnum):
    """A Kubernetes condition's three answers."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Condition:
    status: Status
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one look says a Node should show, before any grace.

    `labels` are proven. `unsure` names the labels that this look could neither prove nor
    deny. What is in neither is proven not to hold.
    """

    labels: Mapping[str, str]
    unsure: frozenset[str]
    report: str
    condition: Condition


class _Unsure:
    """The type of `_UNSURE`: a label about which the look could not tell."""


_UNSURE = _Unsure()
_Answer = str | _Unsure | None


def names(prefix: str) -> frozenset[str]:
    """Every label that has a meaning of ours: nobody else may say such a thing."""
    return frozenset(prefix + name for name in _NAMES)


def switch_key(prefix: str) -> str:
    """The annotation that keeps what a switch has yet to give back."""
    return f"{prefix}switch"


def last_switch_key(prefix: str) -> str:
    return f"{prefix}last-switch"


def cordon_key(prefix: str) -> str:
    return f"{prefix}cordoned-by-us"


def probe_key(prefix: str) -> str:
    """The annotation that keeps how the site's probe pod ended."""
    return f"{prefix}probe"


def report_key(prefix: str) -> str:
    return f"{prefix}report"


def taint(prefix: str) -> dict[str, str]:
    """For clusters that schedule by resource alone; another effect of that key is not ours."""
    return {"key": f"{prefix}not-ready", "effect": "NoSchedule"}


def condition_type(prefix: str) -> str:
    return f"{prefix}ConfidentialReady"


def desired(  # noqa: PLR0913 - each is a fact of its own, and none belongs to another
    judgement: Judgement,
    *,
    simulated: bool,
    publish_simulated: bool,
    boot_id: str,
    prefix: str = PREFIX,
    proven: Mapping[str, CcMode] | None = None,
    note: str = "",
    is_authority: bool = False,
) -> Wanted:
    """What the Node should show. `proven` also counts devices that are held by now.

    `note` is a sentence for the condition about what was asked of this node.
    """
    answers = {prefix + name: said for name, said in _answers(judgement).items()}
    if simulated:
        answers[f"{prefix}simulated"] = "true"
    hidden = simulated and not publish_simulated
    if hidden:
        answers[f"{prefix}ready"] = None
    elif is_authority:
        answers |= _compat(judgement)
    return Wanted(
        labels=dict(_sure(answers)),
        unsure=frozenset(key for key, said in answers.items() if said is _UNSURE),
        report=_report(judgement, simulated, boot_id, proven),
        condition=_condition(judgement, hidden=hidden, note=note),
    )


def blind(
    why: str,
    *,
    profile: Profile,
    boot_id: str,
    prefix: str = PREFIX,
    proven: Mapping[str, CcMode] | None = None,
) -> Wanted:
    """What the Node should show when the look itself failed: nothing new, nothing denied."""
    head = {
        "version": REPORT_VERSION,
        "verdict": Ready.CANNOT_TELL,
        "profile": profile,
        "boot_id": boot_id,
        "root": {"seen": _line(why, _SEEN_BYTES)},
    }
    return Wanted(
        labels={},
        unsure=frozenset(prefix + name for name in (*_TOLD, "profile", "simulated")),
        report=_fit(head, [], proven or {}),
        condition=Condition(Status.UNKNOWN, "CannotTell", _line(why, _MESSAGE_BYTES)),
    )


def earlier_boot() -> Condition:
    """What a Node says between its boot and our first look."""
    return Condition(Status.UNKNOWN, "CannotTell", "the host was booted and not yet looked at")


def settle(
    wanted: Wanted, standing: Mapping[str, str], waited: Mapping[str, int]
) -> tuple[dict[str, str], dict[str, int]]:
    """The labels to show after grace, and for how many looks each has been waiting.

    A label that stands survives two looks that could not tell; a look that denies it takes
    it at once, and one that cannot tell never sets it (kubernetes.md §4.1: a kubelet's
    restart kills the pods whose selector no longer matches).
    """
    labels = dict(wanted.labels)
    waiting = {}
    for key in wanted.unsure & standing.keys():
        looks = waited.get(key, 0) + 1
        if looks <= GRACE_CYCLES:
            labels[key] = standing[key]
            waiting[key] = looks
    return labels, waiting


def comparable(wanted: Wanted, standing: Mapping[str, str], prefix: str) -> dict[str, str]:
    """Of the labels that stand, those that mean now what they meant when they were set.

    What was said of a simulated machine says nothing of a live one, nor the other way
    about; and `ready` for another profile is another word.
    """
    simulated, profile, ready = (prefix + name for name in ("simulated", "profile", "ready"))
    if simulated not in wanted.unsure and (simulated in standing) != (simulated in wanted.labels):
        return {}
    if profile in wanted.unsure or standing.get(profile) == wanted.labels.get(profile):
        return dict(standing)
    return {key: value for key, value in standing.items() if key != ready}


# One answer a label.


def _answers(judgement: Judgement) -> dict[str, _Answer]:
    answers = {name: _flag(_verdict(judgement, level)) for name, level in _LEVELS.items()}
    answers["ready"] = _ready(judgement.ready)
    answers["kernel"] = _flag(judgement.kernel)
    answers["profile"] = judgement.profile.value
    values = judgement.values
    answers |= _gpu_values(judgement)
    # Capacity of this silicon and BIOS: once known it holds for the boot, so that a value
    # which is not known now is no proof of another.
    cpu = (values.generation, values.asids, values.snp_api, values.smt)
    tcb = (values.tcb_snp, values.tcb_microcode)
    for name, value in zip(_CPU_VALUES, (*cpu, *tcb), strict=True):
        answers[name] = _UNSURE if value is None else str(value)
    for label, name in zip(_DEMANDS, POLICY_DEMANDS, strict=True):
        answers[label] = _met((values.policy or {}).get(name))
    return answers


def _met(demand: bool | None) -> _Answer:
    if demand is None:
        return _UNSURE
    return "true" if demand else None


def _gpu_values(judgement: Judgement) -> dict[str, _Answer]:
    """GPUs can be taken out: only a look that could not tell leaves the old value standing."""
    absent = _UNSURE if _verdict(judgement, Level.GPU) is Verdict.UNKNOWN else None
    values = judgement.values
    gpu = (values.cc_mode, values.gpu_count, values.gpu_chip)
    return {
        name: absent if value is None else str(value)
        for name, value in zip(_GPU_VALUES, gpu, strict=True)
    }


def _verdict(judgement: Judgement, level: Level) -> Verdict:
    judged = judgement.levels.get(level)
    return judged.verdict if judged else Verdict.SKIP


def _flag(verdict: Verdict) -> _Answer:
    if verdict is Verdict.PASS:
        return "true"
    return _UNSURE if verdict is Verdict.UNKNOWN else None


def _ready(ready: Ready) -> _Answer:
    answers: dict[Ready, _Answer] = {Ready.YES: "true", Ready.CANNOT_TELL: _UNSURE}
    return answers.get(ready)


def _compat(judgement: Judgement) -> dict[str, _Answer]:
    """cc-manager's two labels, of the mode that the devices share (kubernetes.md §1.1, §2).

    `devtools` is not confidential, and a mode that is not the wanted one is nobody's to select:
    where cc-manager writes something empty there, or keeps what it wrote before, we say nothing.
    """
    gpu, shared = _verdict(judgement, Level.GPU), judgement.values.cc_mode
    if gpu is Verdict.UNKNOWN or shared is None:
        return dict.fromkeys(sorted(COMPAT), _UNSURE if gpu is Verdict.UNKNOWN else None)
    mode = CcMode(shared) if shared in tuple(CcMode) else None
    is_wanted = judgement.wanted in {None, mode}
    fits = gpu is Verdict.PASS or (is_wanted and mode is CcMode.OFF)
    said = _COMPAT_READY.get(mode) if mode and is_wanted and fits else None
    if said == "true" and _waits_for_probe(judgement):
        said = None
    return {COMPAT_MODE: mode.value if mode else None, COMPAT_READY: said}


def _waits_for_probe(judgement: Judgement) -> bool:
    """Kata's classes must not place pods where the site's own has not ended well."""
    found = [each.verdict for each in judgement.findings if each.check == PROBE]
    return any(verdict is not Verdict.PASS for verdict in found)


def withheld(
    wanted: Wanted, condition: Condition, standing: Mapping[str, str], prefix: str
) -> Wanted:
    """While a switch is under way: nothing says ready, and the mode is the one last said."""
    gone = {f"{prefix}ready", COMPAT_READY}
    labels = {key: value for key, value in wanted.labels.items() if key not in gone}
    labels.pop(COMPAT_MODE, None)
    if COMPAT_MODE in standing:
        labels[COMPAT_MODE] = standing[COMPAT_MODE]
    return replace(
        wanted, labels=labels, unsure=wanted.unsure - gone - {COMPAT_MODE}, condition=condition
    )


def failed(wanted: Wanted) -> Wanted:
    """After a switch that did not reach its mode: as cc-manager says it."""
    labels = {key: value for key, value in wanted.labels.items() if key != COMPAT_READY}
    return replace(wanted, labels={**labels, COMPAT_MODE: "failed"}, unsure=wanted.unsure - COMPAT)


def _sure(answers: Mapping[str, _Answer]) -> Iterator[tuple[str, str]]:
    for key, said in sorted(answers.items()):
        value = _legal(said) if isinstance(said, str) else ""
        if value:
            yield key, value


def _legal(value: str) -> str:
    """As a label value must be (kubernetes.md §5.1); empty where nothing legal is left."""
    spelled = re.sub(r"[^A-Za-z0-9_.-]+", "-", value)
    return spelled.strip("-_.")[:63].rstrip("-_.")


# The condition.


def _condition(judgement: Judgement, *, hidden: bool, note: str) -> Condition:
    status, reason, said = _said(judgement, hidden=hidden)
    message = f"{said}; {note}" if note else said
    return Condition(status, reason, _line(message, _MESSAGE_BYTES))


def _said(judgement: Judgement, *, hidden: bool) -> tuple[Status, str, str]:
    match judgement.ready:
        case Ready.YES if hidden:
            # True here would open a node-readiness rule's gate for a machine that is not this one.
            seen = "every check passes on a simulated machine, which proves nothing of this node"
            return Status.UNKNOWN, "CannotTell", seen
        case Ready.YES:
            required = f"every check that profile {judgement.profile} requires passes"
            required += _waived(judgement.findings)
            return Status.TRUE, "AllChecksPassed", required
        case Ready.NO:
            code = judgement.root.code if judgement.root else None
            return Status.FALSE, code.camel if code else "NotReady", _root_line(judgement)
        case Ready.CANNOT_TELL:
            return Status.UNKNOWN, "CannotTell", _root_line(judgement)


def _waived(findings: Iterable[Finding]) -> str:
    """What is accepted although it fails, and until when."""
    told = dict.fromkeys(
        f"{each.code} until {each.accepted.until}"
        for each in findings
        if each.accepted and each.is_waived
    )
    return f", but for what is accepted: {', '.join(told)}" if told else ""


def _root_line(judgement: Judgement) -> str:
    """What was seen and what to do about it, or what looking as root would add."""
    root = judgement.root
    if root is None:
        return judgement.root_adds or "not every required check could be made"
    do = root.remedy.do if root.remedy else judgement.root_adds
    seen = _seen(root)
    return f"{seen}; to do: {do}" if do else seen


# The report.


def _report(
    judgement: Judgement, simulated: bool, boot_id: str, proven: Mapping[str, CcMode] | None
) -> str:
    head: dict[str, object] = {
        "version": REPORT_VERSION,
        "verdict": judgement.ready,
        "profile": judgement.profile,
        "boot_id": boot_id,
    }
    if judgement.wanted:
        head["wanted"] = judgement.wanted
    if simulated:
        head["simulated"] = True
    if judgement.root:
        head["root"] = _root(judgement.root)
    rest = [finding for finding in _not_passing(judgement.findings) if finding != judgement.root]
    return _fit(head, rest, judgement.proven if proven is None else proven)


def _not_passing(findings: Iterable[Finding]) -> list[Finding]:
    """The gravest first, else in reading order; what was skipped is nobody's to fix."""
    told = [finding for finding in findings if finding.verdict in _GRAVEST_FIRST]
    return sorted(told, key=lambda finding: _GRAVEST_FIRST.index(finding.verdict))


def _root(finding: Finding) -> dict[str, str]:
    do = finding.remedy.do if finding.remedy else ""
    return _entry(finding) | ({"do": _line(do, _DO_BYTES)} if do else {})


def _entry(finding: Finding) -> dict[str, str]:
    entry = {"check": finding.check, "verdict": finding.verdict.value}
    if finding.code:
        entry["code"] = finding.code.value
    if finding.outcome.device:
        entry["device"] = finding.outcome.device
    if finding.accepted:
        entry |= {
            "accepted_until": finding.accepted.until,
            "why": _line(finding.accepted.why, _SEEN_BYTES),
        }
    return entry | {"seen": _line(finding.outcome.seen, _SEEN_BYTES)}


def _seen(finding: Finding) -> str:
    seen, device = finding.outcome.seen, finding.outcome.device
    return f"{device}: {seen}" if device and device not in seen else seen


def _fit(
    head: Mapping[str, object], findings: Iterable[Finding], proven: Mapping[str, CcMode]
) -> str:
    """As many findings as fit beside the rest, and how many did not."""
    modes = {bdf: proven[bdf].value for bdf in sorted(proven)[:_PROVEN_DEVICES]}
    entries = [_entry(finding) for finding in findings]
    whole = {**head, "findings": [], "left_out": len(entries)}
    if modes:
        whole["proven"] = modes
    room = REPORT_BYTES - len(_json(whole).encode())
    shown: list[dict[str, str]] = []
    for entry in entries:
        room -= len(_json(entry).encode()) + 1
        if room < 0:
            break
        shown.append(entry)
    left = len(entries) - len(shown)
    told = {**whole, "findings": shown, "left_out": left}
    return _json({key: value for key, value in told.items() if key != "left_out" or left})


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _line(text: str, limit: int) -> str:
    """One printable line of at most `limit` bytes.

    A host's bytes need not be UTF-8; what the API server would store otherwise than we sent
    it would look changed, and be written again, for ever.
    """
    safe = "".join(char if char.isprintable() else " " for char in text)
    line = " ".join(safe.split())
    if len(line.encode()) <= limit:
        return line
    return line.encode()[: limit - 3].decode(errors="ignore").rstrip() + "…"
