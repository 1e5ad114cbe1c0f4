"""Wait for what a real part will do, instead of sleeping and hoping."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def eventually(
    claim: Callable[[], T],
    *,
    within_s: float,
    every_s: float = 0.1,
    despite: type[Exception] | tuple[type[Exception], ...] = AssertionError,
) -> T:
    """What the claim answers once it holds: it is true, and raises nothing.

    `despite` names what may be raised on the way; the last of it is the cause of the failure.
    """
    deadline = time.monotonic() + within_s
    while True:
        gap: Exception | None = None
        try:
            answer = claim()
        except despite as error:
            gap = error
        else:
            if answer:
                return answer
        if time.monotonic() > deadline:
            name = getattr(claim, "__name__", "the claim")
            raise AssertionError(f"{name} does not hold after {within_s:g} s") from gap
        time.sleep(every_s)


def throughout(claim: Callable[[], object], *, for_s: float, every_s: float = 0.1) -> None:
    """The claim holds now and at every look until the time is over."""
    deadline = time.monotonic() + for_s
    while time.monotonic() < deadline:
        name = getattr(claim, "__name__", "the claim")
        assert claim(), f"{name} held, and then did not"
        time.sleep(every_s)
