"""What a judgement is made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from nodeagent.model.codes import Code
from nodeagent.model.policy import Accepted
from nodeagent.model.words import CcMode, Confidence, Level, Profile, Ready, Restart, Verdict, Who


class Remedy(NamedTuple):
    """What to do about a code: who, what, and what must happen before it counts."""

    who: Who
    do: str
    restart: Restart = Restart.NONE
    note: str = ""

    @property
    def tag(self) -> str:
        """Who acts, and what must happen then: `bios, reboot`."""
        if self.restart is Restart.NONE:
            return self.who.value
        return f"{self.who}, {self.restart.replace('-', ' ')}"


class Outcome(NamedTuple):
    """One check's answer about one thing; what to do about it is the code's remedy."""

    verdict: Verdict
    code: Code | None = None
    seen: str = ""
    where: str = ""
    cause: Code | None = None
    confidence: Confidence = Confidence.HIGH
    device: str | None = None


def ok(seen: str, *, where: str = "", confidence: Confidence = Confidence.HIGH) -> Outcome:
    return Outcome(Verdict.PASS, None, seen, where, confidence=confidence)


def bad(code: Code, seen: str, *, where: str = "", cause: Code | None = None) -> Outcome:
    return Outcome(Verdict.FAIL, code, seen, where, cause)


def warn(code: Code, seen: str, *, where: str = "") -> Outcome:
    return Outcome(Verdict.WARN, code, seen, where)


def unknown(code: Code, seen: str, *, where: str = "") -> Outcome:
    return Outcome(Verdict.UNKNOWN, code, seen, where)


def replace_device(outcome: Outcome, bdf: str) -> Outcome:
    """The same outcome, said of one device."""
    return outcome._replace(device=bdf)


def skip(seen: str) -> Outcome:
    return Outcome(Verdict.SKIP, None, seen)


class Finding(NamedTuple):
    """An outcome with its name, its level, and what to do. `under`: the code it folds under.

    `accepted`: that the site lives with it; `is_waived`: so it gates nothing.
    """

    check: str
    level: Level
    wanted: str
    outcome: Outcome
    remedy: Remedy | None
    under: Code | None = None
    accepted: Accepted | None = None
    is_waived: bool = False

    @property
    def verdict(self) -> Verdict:
        return self.outcome.verdict

    @property
    def code(self) -> Code | None:
        return self.outcome.code


class LevelVerdict(NamedTuple):
    """A level's answer in one line, and whether the profile requires it.

    `without`: what it is without the failures that the site accepts, where there are such.
    """

    verdict: Verdict
    confidence: Confidence
    says: str
    required: bool
    without: Verdict | None = None

    @property
    def counts(self) -> Verdict:
        """As it counts for ready."""
        return self.without or self.verdict


class Values(NamedTuple):
    """Plain values for labels: capacity, never what moves by itself. None: not known.

    The TCB is the reported one. `policy`: what a guest's policy may demand here, by name.
    """

    cc_mode: str | None = None
    gpu_count: int | None = None
    gpu_chip: str | None = None
    generation: str | None = None
    asids: int | None = None
    snp_api: str | None = None
    smt: str | None = None
    tcb_snp: int | None = None
    tcb_microcode: int | None = None
    policy: Mapping[str, bool | None] | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """The answer: ready or not, the one root cause, and everything it rests on.

    `todo` is what to do, in order, the root first. `root_adds` says what looking as root
    would add, where something could not be read. `notes` explain, and change nothing. `lapsed`:
    what the site accepted until a day that has passed.
    """

    ready: Ready
    profile: Profile
    wanted: CcMode | None
    root: Finding | None
    todo: tuple[Finding, ...]
    levels: Mapping[Level, LevelVerdict]
    findings: tuple[Finding, ...]
    kernel: Verdict
    values: Values = field(default_factory=Values)
    proven: Mapping[str, CcMode] = field(default_factory=dict)
    root_adds: str | None = None
    notes: tuple[str, ...] = ()
    lapsed: tuple[Accepted, ...] = ()
