"""Reads this boot's kernel log down to the lines that mean something."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from nodeagent import data
from nodeagent.model.host import KernelLog, LogEvent
from nodeagent.model.seen import Seen, Unreadable
from nodeagent.seams import Probes

_MAX_EVENTS = 2000
# These may be said without end; that they were said at all is what a few lines say.
_ENOUGH = {"amd_vi": 1, "harmless": 1, "harmless_second_socket": 1, "d3cold": 16}
_MARKS = (
    "SEV",
    "AMD-Vi",
    "SNP",
    "PSP",
    "SVM",
    "RMP",
    "psp",
    "PFN",
    "ccp ",
    "D3cold",
    "IOMMU_IOAS_MAP",
    "Linux version ",
)


class Wording(NamedTuple):
    """How one kind of line is told: a plain test first, then the pattern."""

    kind: str
    has: str
    pattern: str


@cache
def wordings() -> tuple[Wording, ...]:
    """Every known line; one kind may have several wordings."""
    rows: list[dict[str, Any]] = data.load("log.json")["lines"]
    return tuple(Wording(row["kind"], row["has"], row["pattern"]) for row in rows)


def read(probes: Probes) -> Seen[KernelLog]:
    """Whole only if it begins with the kernel's first line: otherwise it has turned over."""
    found = probes.log_lines()
    if found is None or isinstance(found, Unreadable):
        return found
    origin, lines = found
    events: list[LogEvent] = []
    whole = False
    said: dict[Wording, int] = {}
    for number, line in enumerate(lines):
        if any(mark in line for mark in _MARKS):
            for wording, event in _said(line):
                said[wording] = said.get(wording, 0) + 1
                if said[wording] <= _ENOUGH.get(wording.kind, _MAX_EVENTS):
                    events.append(event)
        if number == 0:
            whole = line.startswith("Linux version ")
        if len(events) > _MAX_EVENTS:
            return KernelLog(tuple(events), whole=False, origin=origin)
    return KernelLog(tuple(events), whole, origin)


def events_of(line: str) -> list[LogEvent]:
    """Everything that one line says; most lines say nothing."""
    return [event for _, event in _said(line)]


def _said(line: str) -> Iterator[tuple[Wording, LogEvent]]:
    for wording in wordings():
        # The plain test first: it spares compiling what never occurs.
        match = re.search(wording.pattern, line, re.ASCII) if wording.has in line else None
        if match:
            fields = {name: value for name, value in match.groupdict().items() if value}
            yield wording, LogEvent(wording.kind, line, fields)
