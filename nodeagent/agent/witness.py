"""Asks the kubelet which pods hold a device of NVIDIA's: seldom, and never believing a free node
to a kubelet that has only just started."""

import time
from collections.abc import Callable

from nodeagent.host.podresources import Answer
from nodeagent.model.cluster import Guest
from nodeagent.model.seen import Seen, Unreadable

EVERY_S = 10.0
"""The kubelet counts all callers together, and refuses who asks too often (kubernetes.md §3.1)."""

AT_ONCE_S = 0.0
"""For the proof before a switch: an answer from before the cordon, however young, is none."""

YOUNG_S = 5.0
"""A kubelet names nobody for up to a second after its start, whoever holds what (node.md §2)."""


class Witness:
    """Remembers the last answer. `ask` is absent where there is no socket.

    `installed`: whether there is a kubelet, in which case its socket must be there as well.
    """

    def __init__(
        self,
        path: str,
        ask: Callable[[], Seen[Answer]],
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._path = path
        self._ask, self._clock, self._now = ask, clock, now
        self._at: float | None = None
        self._answer: Seen[tuple[Guest, ...]] = None
        self._known: tuple[tuple[int, int, int], float] | None = None

    def guests(
        self, *, installed: bool | Unreadable, within_s: float = EVERY_S
    ) -> tuple[Guest, ...] | Unreadable:
        """Of an answer not older than that."""
        now = self._clock()
        if self._at is None or now - self._at >= within_s:
            self._answer = self._believed(self._ask(), now)
            self._at = self._clock()
        if self._answer is not None:
            return self._answer
        if isinstance(installed, Unreadable):
            return installed
        return Unreadable(self._path, "is missing, though there is a kubelet") if installed else ()

    def _believed(self, answer: Seen[Answer], now: float) -> Seen[tuple[Guest, ...]]:
        if not isinstance(answer, Answer):
            return answer
        if self._known is None or self._known[0] != answer.socket:
            self._known = answer.socket, now
        # By its date, or by how long we have known it where the clock was set back since.
        age_s = max(self._now() - answer.made_s, now - self._known[1])
        if not answer.guests and age_s < YOUNG_S:
            return Unreadable(self._path, "its kubelet has only just started")
        return answer.guests
