"""Things done side by side, or one after the other: each to a device of its own."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

T = TypeVar("T")


class Together(Protocol):
    """Calls each function once; the answers in order. What one raises is raised when all ended."""

    def __call__(self, calls: Sequence[Callable[[], T]]) -> list[T]: ...


def side_by_side(calls: Sequence[Callable[[], T]]) -> list[T]:
    if len(calls) <= 1:
        return in_turn(calls)
    with ThreadPoolExecutor(max_workers=len(calls)) as pool:
        futures = [pool.submit(call) for call in calls]
    return [future.result() for future in futures]


def in_turn(calls: Sequence[Callable[[], T]]) -> list[T]:
    return [call() for call in calls]
