"""When to try the API server again."""

import random
import time
from collections.abc import Callable

FIRST_S = 1.0
LONGEST_S = 60.0

_RANDOM = random.SystemRandom()


class Backoff:
    """Full jitter, 1 to 60 s: after an outage every agent of a fleet comes back at once.

    The limit doubles with each failure; the wait is anywhere below it.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[float, float], float] = _RANDOM.uniform,
    ) -> None:
        self._clock = clock
        self._draw = draw
        self._limit_s = FIRST_S
        self._until = 0.0

    @property
    def left_s(self) -> float:
        """Seconds in which the server is to be left alone."""
        return max(0.0, self._until - self._clock())

    def failed(self, *, at_least_s: float = 0.0) -> None:
        wait = max(self._draw(0.0, self._limit_s), at_least_s)
        self._until = self._clock() + wait
        self._limit_s = min(self._limit_s * 2, LONGEST_S)

    def worked(self) -> None:
        self._limit_s = FIRST_S
        self._until = 0.0
