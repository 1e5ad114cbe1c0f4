"""An input is a value, absent (None), or unreadable: three answers that never mix."""

from dataclasses import dataclass
from typing import TypeAlias, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Unreadable:
    """We could not look. Never evidence for or against anything."""

    where: str
    why: str

    def __str__(self) -> str:
        return f"{self.where}: {self.why}"


class NotAsked(Unreadable):
    """We could have asked, and did not: somebody uses it, or it would have to be woken."""

    __slots__ = ()


Seen: TypeAlias = T | Unreadable | None
"""`None` means that we looked and it is not there."""


def known(value: Seen[T]) -> T | None:
    """The value where there is one; absent and unreadable alike become None."""
    return None if isinstance(value, Unreadable) else value
