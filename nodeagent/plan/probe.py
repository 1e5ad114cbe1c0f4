"""When to probe a node with a pod of its site, what its end means, and for how long it counts.

Ready waits for it: after a boot, after a switch, and once the last one has expired.
"""

from dataclasses import dataclass
from typing import NamedTuple

from nodeagent.model.probe import FAILED, LATE, PASSED, Gate, Probe, ProbePod

_EARLY = 0.8
"""Of its time a pass is renewed, so that ready need not go in between."""
_REFUSED_S = 15.0
"""How long a pod that the kubelet did not take stays, before the next try."""


class Moment(NamedTuple):
    """`is_fit`: everything else says ready. `is_busy`: a switch is ahead or under way.

    `switched`: when the last switch ended. `mode`: what the GPUs run in, empty where not known.
    """

    now: float
    boot_id: str
    mode: str
    is_fit: bool
    is_busy: bool
    switched: float
    last: Probe | None
    pod: ProbePod | None


@dataclass(frozen=True, slots=True)
class Start:
    """Note that it begins, then make its pod."""

    note: Probe


@dataclass(frozen=True, slots=True)
class End:
    """Note how it ended; the pod goes after that."""

    note: Probe


@dataclass(frozen=True, slots=True)
class Remove:
    uid: str


Step = Start | End | Remove


def counting(now: Moment) -> Probe | None:
    """What is kept, if it is of this boot, this mode, and of no time before the last switch."""
    last = now.last
    if last is None or last.boot_id != now.boot_id:
        return None
    if now.mode and last.mode != now.mode:
        return None
    since = last.at if last.began is None else last.began
    return last if since >= now.switched else None


def result(now: Moment, gate: Gate) -> str:
    """How the last one ended that still counts; empty where ready has to wait for one."""
    last = counting(now)
    if last is None:
        return ""
    if last.result == PASSED and gate.valid_s and abs(now.now - last.at) >= gate.valid_s:
        return ""
    return last.result


def next_step(now: Moment, gate: Gate) -> Step | None:
    """None where nothing can be done now."""
    last = counting(now)
    if now.pod is not None:
        return _with_pod(now, gate, last, now.pod)
    if now.is_busy:
        return None
    if last is None or last.began is None:
        due = now.is_fit and _is_due(now, gate, last)
        return Start(_begun(now, last)) if due else None
    if abs(now.now - last.began) >= gate.deadline_s:
        return End(_ended(now, last, LATE, last.why or "its pod is gone"))
    return Start(last)  # noted, and we died before there was a pod; or the kubelet refused it


def _with_pod(now: Moment, gate: Gate, last: Probe | None, pod: ProbePod) -> Step | None:
    """A pod that nobody waits for goes: one of before, or one that is in a switch's way."""
    if pod.is_leaving:
        return None
    if now.is_busy or last is None or last.began is None:
        return Remove(pod.uid)
    if pod.ended is not None and not pod.is_refused:
        return End(_ended(now, last, PASSED if pod.ended else FAILED, pod.why))
    if abs(now.now - last.began) >= gate.deadline_s:
        return End(_ended(now, last, LATE, pod.why))
    if pod.is_refused and abs(now.now - pod.created) >= _REFUSED_S:
        return Remove(pod.uid)
    return None


def _is_due(now: Moment, gate: Gate, last: Probe | None) -> bool:
    if last is None or not last.result:
        return True
    age = abs(now.now - last.at)
    if last.result == PASSED:
        return bool(gate.valid_s) and age >= gate.valid_s * _EARLY
    return age >= gate.again_s


def _begun(now: Moment, last: Probe | None) -> Probe:
    """The last result counts on until there is another."""
    kept = last or Probe(now.boot_id, now.mode)
    return kept._replace(began=now.now)


def _ended(now: Moment, last: Probe, how: str, why: str) -> Probe:
    return last._replace(began=None, result=how, at=now.now, why=why if how != PASSED else "")
