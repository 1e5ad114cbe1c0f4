"""Time of the model: the machine's own, that made faster, or one that only moves when told."""

import time


class RealClock:
    """`rate` model seconds pass in one of ours."""

    def __init__(self, rate: float = 1.0) -> None:
        self._rate = rate

    def now(self) -> float:
        return time.monotonic() * self._rate

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds / self._rate)


class ManualClock:
    """Sleeping is the only thing that takes time."""

    def __init__(self) -> None:
        self._now = 0.0

    def now(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now += seconds
