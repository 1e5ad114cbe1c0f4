"""The microcontroller that keeps a device's knobs and answers messages (gpu-cc.md §7, §13.4)."""

from collections.abc import Sequence

from nodeagent.sim.faults import Faults

_HEADER = 0xC0000000  # SOM and EOM: one packet
_ASKS_PRC = 0x1310DE7E
_ANSWERS = 0x1510DE7E
_TASK, _ECHO = 0x3, 0x13
_READ, _WRITE, _COUPLE = 0x0C, 0x0D, 0x04

_UNKNOWN = 0x1E3
_REFUSED = 0xA0  # what firmware answers where in-band control is off is not known (§7.5)
_INVALID = 0xA1

_ALLOWED_BY = {6: 5, 8: 7, 10: 9, 36: 35, 45: 44, 47: 46}
_PPCIE = frozenset({44, 45})
KNOBS = range(1, 48)
_GARBAGE = 0xBEEF0000  # a value's upper half means nothing


def factory_knobs() -> dict[int, int]:
    """Everything off, and the host may change all of it (§7.5)."""
    return dict.fromkeys(KNOBS, 0) | dict.fromkeys(_ALLOWED_BY.values(), 1)


class Fsp:
    """Knobs outlive resets and power cycles; they count from the next reset on."""

    def __init__(self, knobs: dict[int, int], faults: Faults) -> None:
        self.knobs = knobs
        self._faults = faults

    def answer(self, words: Sequence[int]) -> tuple[int, ...]:
        """One message's answer."""
        if len(words) < 3 or words[0] != _HEADER or words[1] != _ASKS_PRC:
            return _answer(_INVALID)
        if self._faults.answer_code:
            return _answer(self._faults.answer_code)
        message, knob = words[2] & 0xFF, words[2] >> 16
        if message == _COUPLE:
            return _answer(0)
        if knob not in KNOBS or (self._faults.no_ppcie and knob in _PPCIE):
            return _answer(_UNKNOWN)
        if message == _READ and len(words) == 3:
            return _answer(0, _GARBAGE | self.knobs[knob])
        if message == _WRITE and len(words) == 4:
            return _answer(self._write(knob, words[3]))
        return _answer(_INVALID)

    def _write(self, knob: int, value: int) -> int:
        if self.knobs.get(_ALLOWED_BY.get(knob, 0)) == 0:
            return _REFUSED
        self.knobs[knob] = value & 0xFFFF
        return 0


def _answer(code: int, *payload: int) -> tuple[int, ...]:
    return (_HEADER, _ANSWERS, _TASK, _ECHO, code, *payload)
