"""Small parsers of kernel text. A value of the wrong shape is unreadable, never a guess."""

from collections.abc import Callable
from typing import TypeVar

from nodeagent.model.seen import Seen, Unreadable
from nodeagent.seams import Files

T = TypeVar("T")
_MAX_CPUS = 1 << 16


def parsed(path: str, text: Seen[str], parse: Callable[[str], T]) -> Seen[T]:
    """What `parse` makes of the text; a ValueError of its makes the input unreadable."""
    if not isinstance(text, str):
        return text
    try:
        return parse(text)
    except ValueError:
        shown = text.encode(errors="backslashreplace").decode(errors="replace")
        return Unreadable(path, f"has an unlikely value {shown!r:.60}")


def number(text: str) -> int:
    """Decimal, or hex with 0x. Underscores and blanks, which int() allows, are refused."""
    if not text.isascii() or not text.isalnum() or len(text) > 20:
        raise ValueError(text)
    return int(text, 16) if text[:2] in {"0x", "0X"} else int(text)


def read_number(files: Files, path: str) -> Seen[int]:
    return parsed(path, files.read(path, 64), number)


def cpu_list(text: str) -> tuple[int, ...]:
    """The kernel's list format, `0-3,8`; an empty text is an empty list."""
    cpus: list[int] = []
    for part in text.split(",") if text else ():
        low, dash, high = part.strip().partition("-")
        first, last = number(low), number(high if dash else low)
        # The kernel lists them in order; a text that repeats them could name them without end.
        if last < first or last >= _MAX_CPUS or (cpus and first <= cpus[-1]):
            raise ValueError(text)
        cpus.extend(range(first, last + 1))
    return tuple(cpus)
