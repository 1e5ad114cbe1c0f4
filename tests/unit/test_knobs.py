"""The order of knob writes: wherever a reset strikes between two of them, it finds no half mode."""

from collections.abc import Iterator
from itertools import product

import pytest

from nodeagent.model.knobs import FILTER_ON, Configured, Knob, Line, Write, is_possible, writes
from nodeagent.model.words import CcMode

MODES = (Knob.CC, Knob.DEVTOOLS, Knob.PPCIE)
OFF = {Knob.CC: 0, Knob.DEVTOOLS: 0, Knob.FILTER: 0, Knob.PPCIE: 0}
ON = OFF | {Knob.CC: 1, Knob.FILTER: 2}
DEVTOOLS = OFF | {Knob.CC: 1, Knob.DEVTOOLS: 1}
PPCIE = OFF | {Knob.FILTER: 2, Knob.PPCIE: 1}


def _every(line: Line) -> Iterator[Configured]:
    """Every combination that a device can be in, whatever a program before us left."""
    knobs = (*MODES, Knob.FILTER, Knob.K2, Knob.K34)
    for values in product((0, 1), (0, 1), (0, 1), (0, 1, 2), (0, 1), (0, 1)):
        found: dict[int, int] = dict(zip(knobs, values, strict=True))
        yield Configured(line, found)
        if line is not Line.SWITCH:
            yield Configured(line, {knob: found[knob] for knob in knobs if knob is not Knob.PPCIE})


def _after_each(now: Configured, want: CcMode) -> Iterator[Configured]:
    values = dict(now.values)
    for write in writes(now, want):
        values = {**values, write.knob: write.value}
        yield Configured(now.line, values)


CASES = [
    (now, want)
    for line in Line
    for now in _every(line)
    for want in CcMode
    if is_possible(now, want)
]


def test_the_last_write_leaves_the_mode_that_was_asked_for() -> None:
    for now, want in CASES:
        *_, last = [now, *_after_each(now, want)]
        assert last.mode is want, (now, want)
        assert not last.on(Knob.K2) or want is CcMode.OFF
        if now.line is Line.BLACKWELL:
            assert last.values.get(Knob.FILTER) == now.values.get(Knob.FILTER)
        else:
            needs = now.line is Line.HOPPER and want in {CcMode.ON, CcMode.PPCIE}
            assert last.values[Knob.FILTER] == (FILTER_ON if needs else 0), (now, want)


def _devtools_alone(now: Configured) -> bool:
    return now.on(Knob.DEVTOOLS) and not now.on(Knob.CC)


def _both(now: Configured) -> bool:
    return now.on(Knob.CC) and now.on(Knob.PPCIE)


def _bare(now: Configured) -> bool:
    """A mode that needs the filter, without it."""
    protected = now.mode is CcMode.ON or now.on(Knob.PPCIE)
    return now.line is Line.HOPPER and protected and now.values.get(Knob.FILTER) != FILTER_ON


@pytest.mark.parametrize("half", [_devtools_alone, _both, _bare])
def test_no_write_makes_a_half_mode(half: object) -> None:
    """One that was there before may last until the write that mends it, and never comes back."""
    assert callable(half)
    for now, want in CASES:
        was = half(now)
        for state in _after_each(now, want):
            assert was or not half(state), (now, want, state)
            was = half(state)


def test_what_is_so_already_is_not_written() -> None:
    for now, want in CASES:
        values = dict(now.values)
        for write in writes(now, want):
            assert values.get(write.knob, 0) != write.value
            values[write.knob] = write.value
        assert writes(Configured(now.line, values), want) == ()


@pytest.mark.parametrize(
    ("line", "now", "want", "expected"),
    [
        (Line.HOPPER, OFF, CcMode.ON, [(10, 2), (8, 1)]),
        (Line.HOPPER, OFF, CcMode.PPCIE, [(10, 2), (45, 1)]),
        (Line.HOPPER, ON, CcMode.OFF, [(8, 0), (10, 0)]),
        (Line.HOPPER, ON, CcMode.PPCIE, [(8, 0), (45, 1)]),
        (Line.HOPPER, PPCIE, CcMode.OFF, [(45, 0), (10, 0)]),
        (Line.HOPPER, PPCIE, CcMode.ON, [(45, 0), (8, 1)]),
        # In between it is on, so the filter is up for as long.
        (Line.HOPPER, OFF, CcMode.DEVTOOLS, [(10, 2), (8, 1), (6, 1), (10, 0)]),
        (Line.HOPPER, DEVTOOLS, CcMode.OFF, [(10, 2), (6, 0), (8, 0), (10, 0)]),
        (Line.HOPPER, DEVTOOLS, CcMode.ON, [(10, 2), (6, 0)]),
        (Line.HOPPER, ON, CcMode.DEVTOOLS, [(6, 1), (10, 0)]),
        (Line.HOPPER, OFF | {Knob.DEVTOOLS: 1}, CcMode.OFF, [(6, 0)]),
        (Line.HOPPER, OFF | {Knob.K2: 1, Knob.K34: 1}, CcMode.OFF, []),
        (Line.HOPPER, ON | {Knob.K2: 1, Knob.K34: 1}, CcMode.ON, [(2, 0), (34, 0)]),
        (Line.BLACKWELL, {8: 0, 6: 0, 10: 2}, CcMode.ON, [(8, 1)]),
        (Line.BLACKWELL, {8: 1, 6: 1, 34: 1}, CcMode.OFF, [(6, 0), (8, 0)]),
        (Line.SWITCH, OFF, CcMode.PPCIE, [(45, 1)]),
        (Line.SWITCH, OFF | {Knob.CC: 1, Knob.FILTER: 2}, CcMode.PPCIE, [(8, 0), (45, 1), (10, 0)]),
    ],
)
def test_the_writes(
    line: Line, now: dict[int, int], want: CcMode, expected: list[tuple[int, int]]
) -> None:
    assert writes(Configured(line, now), want) == tuple(Write(Knob(a), b) for a, b in expected)


@pytest.mark.parametrize(
    ("line", "now", "want"),
    [
        (Line.BLACKWELL, OFF, CcMode.PPCIE),
        (Line.HOPPER, {8: 0, 6: 0, 10: 0}, CcMode.PPCIE),
        (Line.SWITCH, OFF, CcMode.ON),
        (Line.SWITCH, OFF, CcMode.DEVTOOLS),
    ],
)
def test_a_mode_that_the_device_does_not_know_is_refused(
    line: Line, now: dict[int, int], want: CcMode
) -> None:
    with pytest.raises(ValueError, match=f"does not know {want}"):
        writes(Configured(line, now), want)
