"""Judges the kubelet: is there one, is it new enough, and is it set up for such pods?"""

from collections.abc import Iterator
from typing import NamedTuple

from nodeagent.checks.wanted import SHOWN, dotted, installed, unread, wanted
from nodeagent.model.codes import Code
from nodeagent.model.facts import Facts
from nodeagent.model.findings import Outcome, bad, ok, skip
from nodeagent.model.runtime import DEFAULT_TIMEOUT_S, Kubelet, Setting, at_least, release
from nodeagent.model.seen import Unreadable
from nodeagent.model.text import printable
from nodeagent.model.words import Confidence


def kubelet(facts: Facts) -> tuple[Outcome, ...]:
    """Whether there is one decides whether this level counts at all."""
    found = facts.runtime.kubelet
    if isinstance(found, Unreadable):
        return (unread(found),)
    if found is None:
        return (skip("no kubelet is installed here"),)
    name = f"{found.name} {'runs' if found.running else 'does not run'}"
    version = release(found.version)
    if version is None:
        why = f": {found.version.why}" if isinstance(found.version, Unreadable) else ""
        return (skip(f"{name}, its version is not known{why}"),)
    seen = f"{name}, Kubernetes {printable(str(found.version), 30)}"
    floor = wanted().kubelet
    if not at_least(version, floor):
        return (bad(Code.KUBELET_TOO_OLD, f"{seen}; {dotted(floor)} is wanted"),)
    return (ok(seen),)


# The kubelet's settings.


class Wrong(NamedTuple):
    """A setting that is certainly not as wanted, and the place that sets it, if any does."""

    says: str
    where: str


_Answer = str | Wrong | Unreadable | None


def settings(facts: Facts) -> tuple[Outcome, ...]:
    """One outcome for all: they are set in one place, and take one restart."""
    found = installed(facts)
    if found is None:
        return ()
    answers = [*_gates(found), _timeout(found)]
    wrong = [each for each in answers if isinstance(each, Wrong)]
    if wrong:
        seen = "; ".join(each.says for each in wrong)
        return (bad(Code.KUBELET_NOT_PREPARED, seen, where=wrong[0].where),)
    gap = next((each for each in answers if isinstance(each, Unreadable)), None)
    if gap:
        return (unread(gap),)
    # Flags that are not seen could still say otherwise.
    sure = Confidence.MEDIUM if found.unseen else Confidence.HIGH
    return (ok("; ".join(each for each in answers if isinstance(each, str)), confidence=sure),)


def _gates(found: Kubelet) -> Iterator[_Answer]:
    version = release(found.version)
    for name, on_from in wanted().gates:
        if on_from is None:
            default: bool | None = False
        else:
            default = at_least(version, on_from) if version else None
        yield _gate(found, name, default)


def _gate(found: Kubelet, name: str, default: bool | None) -> _Answer:
    """Its own word, else that of AllAlpha or AllBeta, else the release's default.

    Where the release is not known, its default is not held against anybody.
    """
    said = found.gate(name)
    if said is None and default is not None:
        said = found.gate("AllBeta" if default else "AllAlpha")
    if isinstance(said, Unreadable):
        return said
    if said is None and default is None:
        return None
    if said.value if said else default:
        return f"{name} is on"
    if found.unseen:
        return found.unseen
    return Wrong(f"feature gate {name} is off{_by(said)}", said.where if said else "")


def _timeout(found: Kubelet) -> _Answer:
    said = found.timeout()
    if isinstance(said, Unreadable):
        return said
    floor = wanted().request_timeout_s
    value = said.value if said else DEFAULT_TIMEOUT_S
    seen = f"runtimeRequestTimeout is {_clock(value)}"
    if value >= floor:
        return seen
    if found.unseen:
        return found.unseen
    return Wrong(f"{seen}{_by(said)}, {_clock(floor)} is wanted", said.where if said else "")


def _by(said: Setting | None) -> str:
    return f" in {printable(said.where, SHOWN)}" if said else " by default"


def _clock(seconds: float) -> str:
    """As Go writes it, without parts that are zero."""
    minutes, rest = divmod(seconds, 60)
    return (f"{minutes:g}m" if minutes else "") + (f"{rest:g}s" if rest or not minutes else "")
