"""What a device's firmware is configured to, and the writes that make it something else.

Pure: from what is there to the ordered writes (gpu-cc.md §8). Every state between two writes is
one that a reset may find, so the order is the safety.
"""

from collections.abc import Iterable, Iterator, Mapping
from enum import IntEnum, StrEnum
from typing import NamedTuple

from nodeagent.model.words import CcMode


class Knob(IntEnum):
    """Ids of PRC knobs (gpu-cc.md §7.4). Those without a name of NVIDIA's have none of ours."""

    K2 = 2
    K4 = 4
    DEVTOOLS_IN_BAND = 5
    DEVTOOLS = 6
    CC_IN_BAND = 7
    CC = 8
    FILTER_IN_BAND = 9
    FILTER = 10
    K34 = 34
    PPCIE_IN_BAND = 44
    PPCIE = 45


FILTER_ON = 2
"""BAR0_DECOUPLER: 0 off, 2 on; 1 is never used."""


class Line(StrEnum):
    """Which rules a device goes by."""

    HOPPER = "hopper"
    BLACKWELL = "blackwell"
    SWITCH = "switch"


_LINES = {"hopper": Line.HOPPER, "ls10": Line.SWITCH}


def line_of(family: str) -> Line:
    """The rules of a family of registers (see chips.json)."""
    return _LINES.get(family, Line.BLACKWELL)


class Configured(NamedTuple):
    """Every knob that was asked for; one that this firmware does not know is not in it."""

    line: Line
    values: Mapping[int, int]

    def on(self, knob: Knob) -> bool:
        return self.values.get(knob, 0) != 0

    @property
    def knows_ppcie(self) -> bool:
        return Knob.PPCIE in self.values

    @property
    def mode(self) -> CcMode | None:
        """None for a combination that must never be: devtools alone, or both modes at once."""
        cc, devtools, ppcie = (self.on(each) for each in (Knob.CC, Knob.DEVTOOLS, Knob.PPCIE))
        match cc, devtools, ppcie:
            case False, False, False:
                return CcMode.OFF
            case True, False, False:
                return CcMode.ON
            case True, True, False:
                return CcMode.DEVTOOLS
            case False, False, True:
                return CcMode.PPCIE
            case _:
                return None


class Write(NamedTuple):
    knob: Knob
    value: int


ALLOWED_BY: Mapping[Knob, Knob] = {
    Knob.CC: Knob.CC_IN_BAND,
    Knob.DEVTOOLS: Knob.DEVTOOLS_IN_BAND,
    Knob.FILTER: Knob.FILTER_IN_BAND,
    Knob.PPCIE: Knob.PPCIE_IN_BAND,
}
"""The knob that says whether the host may change this one, or only the BMC."""

_MUST_BE_OFF: Mapping[Line, tuple[Knob, ...]] = {
    Line.HOPPER: (Knob.K2, Knob.K4, Knob.K34),
    Line.SWITCH: (Knob.K2, Knob.K4, Knob.K34),
    Line.BLACKWELL: (Knob.K2, Knob.K4),
}
"""Features that no confidential mode goes with; 34 is Hopper's and the switches' alone."""


ASKED: Mapping[Line, tuple[Knob, ...]] = {
    Line.HOPPER: (Knob.CC, Knob.DEVTOOLS, Knob.FILTER, Knob.PPCIE),
    Line.BLACKWELL: (Knob.CC, Knob.DEVTOOLS, Knob.FILTER),
    Line.SWITCH: (Knob.CC, Knob.DEVTOOLS, Knob.FILTER, Knob.PPCIE),
}
"""What tells the configured mode, in the order in which it is asked for."""


def telling(line: Line) -> tuple[Knob, ...]:
    """What tells whether the configured mode is whole: with one of the others on, it is not."""
    return (*ASKED[line], *_MUST_BE_OFF[line])


def needed(line: Line) -> tuple[Knob, ...]:
    """Beside those, what must be known before the first write: it may refuse, or want writes."""
    return (*(ALLOWED_BY[knob] for knob in ASKED[line]), *_MUST_BE_OFF[line])


def is_possible(now: Configured, want: CcMode) -> bool:
    match want:
        case CcMode.ON | CcMode.DEVTOOLS:
            return now.line is not Line.SWITCH
        case CcMode.PPCIE:
            return now.line is not Line.BLACKWELL and now.knows_ppcie
        case CcMode.OFF:
            return True


def way_out(line: Line, want: CcMode) -> str | None:
    """What helps a device that does not know the mode, if anything does."""
    if want is CcMode.PPCIE and line is not Line.BLACKWELL:
        return "its firmware does not know protected PCIe: update the VBIOS"
    return None


def writes(now: Configured, want: CcMode) -> tuple[Write, ...]:
    """The knobs that differ, in an order that shows a reset no half mode wherever it strikes.

    Never devtools without CC, never CC with PPCIE, and on a Hopper GPU never a mode that needs
    the BAR0 filter without it: the filter goes up before and comes down after (§8.3). So it may
    stand for a moment where it is not needed, which hides registers and betrays nothing.
    """
    if not is_possible(now, want):
        raise ValueError(f"this device does not know {want}")
    modes = _changes(now.values, [*_cleared(now.line, want), *_modes(want, now)])
    if now.line is Line.BLACKWELL:
        return modes
    filtered = now.line is Line.HOPPER and any(map(_needs_filter, _states(now.values, modes)))
    first = [Write(Knob.FILTER, FILTER_ON)] if filtered else []
    *_, after = _states(now.values, modes)
    last = FILTER_ON if now.line is Line.HOPPER and _needs_filter(after) else 0
    return _changes(now.values, [*first, *modes, Write(Knob.FILTER, last)])


def _cleared(line: Line, want: CcMode) -> list[Write]:
    return [] if want is CcMode.OFF else [Write(knob, 0) for knob in _MUST_BE_OFF[line]]


def _modes(want: CcMode, now: Configured) -> list[Write]:
    """CC is the first to come and the last to go: devtools alone is no mode (§8.2)."""
    ppcie = [Write(Knob.PPCIE, int(want is CcMode.PPCIE))] if now.knows_ppcie else []
    if want in {CcMode.ON, CcMode.DEVTOOLS}:
        return [*ppcie, Write(Knob.CC, 1), Write(Knob.DEVTOOLS, int(want is CcMode.DEVTOOLS))]
    off = [Write(Knob.DEVTOOLS, 0), Write(Knob.CC, 0)]
    return [*off, *ppcie] if want is CcMode.PPCIE else [*ppcie, *off]


def _changes(values: Mapping[int, int], ordered: Iterable[Write]) -> tuple[Write, ...]:
    """Without those that would change nothing where they stand."""
    so_far, found = dict(values), []
    for write in ordered:
        if so_far.get(write.knob, 0) != write.value:
            so_far[write.knob] = write.value
            found.append(write)
    return tuple(found)


def _states(values: Mapping[int, int], ordered: Iterable[Write]) -> Iterator[Mapping[int, int]]:
    """What a reset could find: now, and after each write."""
    so_far = dict(values)
    yield so_far
    for write in ordered:
        so_far = {**so_far, write.knob: write.value}
        yield so_far


def _needs_filter(values: Mapping[int, int]) -> bool:
    on = bool(values.get(Knob.CC)) and not values.get(Knob.DEVTOOLS)
    return on or bool(values.get(Knob.PPCIE))
