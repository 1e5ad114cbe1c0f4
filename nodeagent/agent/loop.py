"""Cycle after cycle, until somebody says stop."""

import random
import time
from collections.abc import Callable

from nodeagent.agent.bell import Bell, Rang
from nodeagent.agent.cycle import Done
from nodeagent.agent.health import Pulse
from nodeagent.agent.notify import Notifier

JITTER = 0.2
_RANDOM = random.SystemRandom()


def run(
    cycle: Callable[[], Done],
    *,
    period_s: float,
    bell: Bell,
    pulse: Pulse,
    notifier: Notifier,
) -> None:
    """The first look at once. Ends between two cycles; what was published stands."""
    while not bell.stopped:
        with pulse.working():
            done = cycle()
        pulse.is_ready = pulse.is_ready or done.published
        notifier.ready()
        notifier.status(done.line)
        rest_s = period_s * _RANDOM.uniform(1 - JITTER, 1 + JITTER)
        if done.retry_s is not None:
            rest_s = min(rest_s, done.retry_s)
        if _rest(rest_s, longest_s=period_s, bell=bell, pulse=pulse, notifier=notifier):
            break
    notifier.stopping()


def _rest(
    seconds: float, *, longest_s: float, bell: Bell, pulse: Pulse, notifier: Notifier
) -> bool:
    """Wait, giving signs of life; True if we shall stop."""
    deadline = time.monotonic() + seconds
    while True:
        pulse.beat()
        notifier.alive()
        left = max(0.0, deadline - time.monotonic())
        rang = bell.wait(min(left, longest_s, notifier.interval_s or longest_s))
        if rang is not Rang.TIME or time.monotonic() >= deadline:
            return rang is Rang.STOP
