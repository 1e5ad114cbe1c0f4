"""A node's turn in its fleet: slots, a canary, a freeze, failures and windows (kubernetes.md §3.6).

There is no controller. What all must know is in the leases: whose turn it is, in the lease of
the first slot also what was proven, what failed, and whether somebody has stopped it all.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from nodeagent.config import Window
from nodeagent.kube.failures import ConflictError
from nodeagent.kube.leases import Lease
from nodeagent.model.words import CcMode
from nodeagent.publish.apiserver import rfc3339, utc_now

FREEZE, PROVEN, FAILURES = "freeze", "proven", "failures"
_RENEW_S = 40.0
_KEPT = 32
_HOUR = timedelta(hours=1)


class Store(Protocol):
    """The leases. ConflictError where another was faster."""

    def get(self, name: str) -> Lease | None: ...
    def create(self, name: str, holder: str, now: str) -> Lease: ...
    def take(self, lease: Lease, holder: str, now: str) -> Lease: ...
    def free(self, lease: Lease) -> Lease: ...
    def annotate(self, lease: Lease, annotations: Mapping[str, str | None]) -> Lease: ...


@dataclass(frozen=True, slots=True)
class Rollout:
    """How many nodes at once, 0 for all; how long the first has to stay well; what stops it."""

    slots: int = 0
    soak_s: float = 0.0
    failures: int = 0
    windows: tuple[Window, ...] = ()


class Slots:
    """One node's view. Which holder is gone is told by our own clock, never by theirs."""

    def __init__(  # noqa: PLR0913 - two of them are clocks
        self,
        store: Store,
        rollout: Rollout,
        *,
        holder: str,
        prefix: str,
        now: Callable[[], datetime] = utc_now,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._rollout = store, rollout
        self._holder, self._prefix = holder, prefix
        self._now, self._clock = now, clock
        self._seen: dict[str, tuple[str, float]] = {}
        self._held: Lease | None = None
        self._renewed = 0.0
        self._soaks: tuple[CcMode, float] | None = None

    @property
    def is_held(self) -> bool:
        return self._held is not None

    def seek(self, want: CcMode) -> str:
        """Take a slot, if one is free for this mode. Why not, if not; empty where we have one."""
        if not self._rollout.slots:
            return self._closed()
        if self._held is not None:
            self.keep()
            return ""
        first = self._store.get(self._name(0))
        why = self._closed() or self._stopped(first)
        if why:
            return why
        number = self._rollout.slots if self._is_proven(first, want) else 1
        why = ""
        for index in range(number):
            lease = first if index == 0 else self._store.get(self._name(index))
            try:
                taken = self._try(self._name(index), lease)
            except ConflictError:
                taken = False
            if taken:
                return ""
            if lease is not None:
                why = why or f"{lease.holder} has {lease.name}"
        alone = "" if number > 1 else ", and it is the first to try this mode"
        return f"{why or 'another was faster'}{alone if self._rollout.slots > 1 else ''}"

    def _try(self, name: str, lease: Lease | None) -> bool:
        now = rfc3339(self._now())
        if lease is None:
            self._held = self._store.create(name, self._holder, now)
        elif lease.holder in {"", self._holder} or self._is_over(lease):
            self._held = self._store.take(lease, self._holder, now)
        else:
            return False
        self._renewed = self._clock()
        return True

    def _is_over(self, lease: Lease) -> bool:
        """Not renewed for its whole duration since we first saw it so."""
        seen = self._seen.get(lease.name)
        if seen is None or seen[0] != lease.version:
            self._seen[lease.name] = (lease.version, self._clock())
            return False
        return self._clock() - seen[1] > lease.duration_s

    def keep(self) -> None:
        """Renew it where that is due. One that was lost meanwhile is not fought for."""
        if self._held is None or self._clock() - self._renewed < _RENEW_S:
            return
        lease = self._store.get(self._held.name)
        if lease is None or lease.holder != self._holder:
            self._held = None
            return
        try:
            self._held = self._store.take(lease, self._holder, rfc3339(self._now()))
            self._renewed = self._clock()
        except ConflictError:
            return  # somebody annotated it: the next time

    def ended(self, want: CcMode, *, failed: bool) -> None:
        """After a switch: a failure counts for all; the first that is well stays to be watched."""
        if failed:
            self._fail()
        elif self._rollout.soak_s and self._held is not None:
            first = self._store.get(self._name(0))
            if not self._is_proven(first, want):
                self._soaks = (want, self._clock() + self._rollout.soak_s)

    def rest(self, *, is_well: bool) -> None:
        """Nothing is left to do on this node: give the slot to another, after the soak."""
        if self._held is None:
            return
        if self._soaks is not None:
            want, until = self._soaks
            if is_well and self._clock() < until:
                self.keep()
                return
            self._soaks = None
            if is_well:
                self._note(PROVEN, {"want": want, "at": rfc3339(self._now())})
            else:
                self._fail()
        lease = self._store.get(self._held.name)
        if lease is not None and lease.holder == self._holder:
            try:
                self._store.free(lease)
            except ConflictError:
                return
        self._held = None

    # What all know.

    def _closed(self) -> str:
        now = self._now()
        windows = self._rollout.windows
        if not windows or any(window.is_open(now) for window in windows):
            return ""
        return f"outside of every maintenance window ({', '.join(map(str, windows))} UTC)"

    def _stopped(self, first: Lease | None) -> str:
        if first is None:
            return ""
        frozen = first.annotations.get(self._prefix + FREEZE)
        if frozen is not None:
            return f"the fleet is frozen: {frozen or 'no reason was given'}"
        limit = self._rollout.failures
        failed = len(list(self._failures(first)))
        if limit and failed >= limit:
            return f"{failed} nodes failed within the last hour, and {limit} stop the fleet"
        return ""

    def _failures(self, first: Lease) -> Iterator[str]:
        since = self._now() - _HOUR
        for each in _parsed(first.annotations.get(self._prefix + FAILURES, "[]"), list):
            if isinstance(each, str) and _after(each, since):
                yield each

    def _fail(self) -> None:
        first = self._store.get(self._name(0))
        if first is not None:
            told = [*self._failures(first), rfc3339(self._now())][-_KEPT:]
            self._note(FAILURES, told)

    def _is_proven(self, first: Lease | None, want: CcMode) -> bool:
        """No soak asked for, or one node has been well in this mode for that long."""
        if not self._rollout.soak_s:
            return True
        told = first.annotations.get(self._prefix + PROVEN, "{}") if first else "{}"
        return bool(_parsed(told, dict).get("want") == want)

    def _note(self, word: str, told: object) -> None:
        key, text = self._prefix + word, json.dumps(told, separators=(",", ":"))
        for _ in range(5):
            first = self._store.get(self._name(0))
            if first is None:
                return
            try:
                changed = self._store.annotate(first, {key: text})
            except ConflictError:
                continue
            if self._held is not None and self._held.name == changed.name:
                self._held = changed
            return

    @staticmethod
    def _name(index: int) -> str:
        return f"nodeagent-slot-{index}"


def _parsed(text: str, shape: type) -> Any:  # noqa: ANN401 - of that shape, and of anything in it
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return shape()
    return told if isinstance(told, shape) else shape()


def _after(text: str, since: datetime) -> bool:
    try:
        return datetime.fromisoformat(text) > since
    except (ValueError, TypeError):
        return False
