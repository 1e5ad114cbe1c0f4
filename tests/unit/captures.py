"""Captures taken in tests, and what a mask makes of a judgement."""

import dataclasses
import os
import tempfile
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from nodeagent.capture.archive import open_capture
from nodeagent.capture.mask import Mask
from nodeagent.capture.record import Recorder
from nodeagent.capture.take import take
from nodeagent.capture.write import About, Entries, entries, write
from nodeagent.facts.look import look
from nodeagent.model.facts import Facts
from nodeagent.seams import Machine
from tests.unit.looks import facts_of

T = TypeVar("T")
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - a RAM disk
WHEN = "2026-11-20T09:30:00Z"


class Captured(NamedTuple):
    """A look, and the capture that was taken of it."""

    facts: Facts
    mask: Mask
    entries: Entries


def captured(machine: Machine) -> Captured:
    recorder = Recorder(machine)
    facts = look(recorder)
    taken = take(recorder, note=facts.source.note)
    about = About(WHEN, taken.note, facts.source.root, taken.mask.counts)
    return Captured(facts, taken.mask, entries(taken.contents, about))


def captured_host(host: Path) -> Captured:
    with open_capture(str(host)) as machine:
        return captured(machine)


def written(found: Captured, out: Path) -> Path:
    write(found.entries, str(out), captured=WHEN)
    return out


def replayed(found: Captured) -> Facts:
    """What a look at the written capture finds. In memory: hundreds of tests write one."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        return facts_of(written(found, Path(folder) / "capture"))


def masked(value: T, mask: Mask) -> T:
    """The same value with every text in it masked."""
    made = _masked(value, mask)
    assert isinstance(made, type(value))
    return made


def _masked(value: Any, mask: Mask) -> Any:  # noqa: ANN401 - whatever facts are made of
    if isinstance(value, str) and not isinstance(value, Enum):
        return mask.text(value)
    if isinstance(value, tuple):
        parts = [_masked(each, mask) for each in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if isinstance(value, frozenset):
        return frozenset(_masked(each, mask) for each in value)
    if isinstance(value, Mapping):
        return {_masked(key, mask): _masked(each, mask) for key, each in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts_by_name = {
            field.name: _masked(getattr(value, field.name), mask)
            for field in dataclasses.fields(value)
        }
        return dataclasses.replace(value, **parts_by_name)
    return value
