"""A plan as a person reads it, and as data; and how a switch ended for each device."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from nodeagent.model.switching import Step
from nodeagent.model.text import shown
from nodeagent.model.words import CcMode

_WIDTH = 80
_NAMED = 2  # devices of a step that are named one by one


class Line(NamedTuple):
    """One kind of step, done to these devices side by side."""

    text: str
    why: str
    bdfs: tuple[str, ...]


class Names(NamedTuple):
    """Which devices are switches; all others are GPUs."""

    switches: frozenset[str] = frozenset()

    def of(self, bdfs: Sequence[str]) -> str:
        """`8 GPUs and 4 NVSwitches`; few are named."""
        if len(bdfs) <= _NAMED:
            return " and ".join(bdfs)
        switches = sum(bdf in self.switches for bdf in bdfs)
        gpus = len(bdfs) - switches
        said = [_counted(gpus, "GPU", "GPUs"), _counted(switches, "NVSwitch", "NVSwitches")]
        return " and ".join(filter(None, said))


def lines(waves: Iterable[tuple[Sequence[Step], Sequence[str]]], names: Names) -> list[list[Line]]:
    """Per wave its steps, alike ones together."""
    return [_lines(steps, why, names) for steps, why in waves]


def _counted(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}" if number else ""


def _lines(steps: Sequence[Step], why: Sequence[str], names: Names) -> list[Line]:
    groups: dict[tuple[str, str], list[str]] = {}
    for step, reason in zip(steps, why, strict=True):
        groups.setdefault((str(step).replace(step.bdf, "\0"), reason), []).append(step.bdf)
    return [
        Line(text.replace("\0", names.of(bdfs)), reason, tuple(bdfs))
        for (text, reason), bdfs in groups.items()
    ]


def text(
    headline: str, waves: Sequence[Sequence[Line]], notes: Iterable[str], *, verbose: bool = False
) -> str:
    """Numbered steps with why; at 80 columns."""
    told = [*wrapped(headline, "", "  ")]
    for number, wave in enumerate(waves, 1):
        for place, line in enumerate(wave):
            mark = f"{number:>3}. " if place == 0 else "     "
            told += wrapped(line.text, mark, "     ")
            told += wrapped(line.why, "       ", "       ")
            if verbose and len(line.bdfs) > _NAMED:
                told += wrapped(" ".join(line.bdfs), "       ", "       ")
    told += [each for note in notes for each in wrapped(note, "  note: ", "        ")]
    return "\n".join(told)


def wrapped(words: str, first: str, rest: str) -> list[str]:
    return textwrap.wrap(shown(words), _WIDTH, initial_indent=first, subsequent_indent=rest)


def document(
    mode: CcMode,
    want: Mapping[str, CcMode],
    waves: Iterable[tuple[Sequence[Step], Sequence[str]]],
    notes: Iterable[str],
) -> dict[str, Any]:
    return {
        "version": 1,
        "mode": mode.value,
        "devices": [{"bdf": bdf, "mode": each.value} for bdf, each in sorted(want.items())],
        "notes": [shown(note) for note in notes],
        "waves": [
            [
                {"bdf": step.bdf, "step": type(step).__name__.lower(), "does": str(step), "why": w}
                for step, w in zip(steps, why, strict=True)
            ]
            for steps, why in waves
        ],
    }
