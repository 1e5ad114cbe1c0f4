"""Waiting for a device: until something is so, or the time for it is over."""

from collections.abc import Callable

from nodeagent.errors import HostError
from nodeagent.seams import Clock


class StuckError(HostError):
    """What a device had to do by itself did not happen in the time it has for it."""


def wait_for(is_so: Callable[[], bool], clock: Clock, *, timeout_s: float, step_s: float) -> bool:
    """Whether it became so. Looked at once more after the time is over: a sleep may be long."""
    until = clock.now() + timeout_s
    while not is_so():
        if clock.now() >= until:
            return is_so()
        clock.sleep(step_s)
    return True
