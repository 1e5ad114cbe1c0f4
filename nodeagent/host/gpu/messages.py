"""Messages to a device's FSP and its answers, as 32-bit words (gpu-cc.md §7).

Every packet is alone: an MCTP transport header, an NVDM message header, then what is asked.
"""

from collections.abc import Sequence
from typing import NamedTuple

from nodeagent.errors import HostError

Words = tuple[int, ...]

_ALONE = 0xC0000000
"""MCTP transport header of a message in one packet: SOM and EOM, all else zero."""
_VENDOR_DEFINED = 0x7E
_NVIDIA = 0x10DE
_PRC = 0x13
_RESPONSE = 0x15
_READ, _WRITE = 0x0C, 0x0D
_KNOB_BYTES = 2
"""Byte 9 of a knob's message: knobs are 16 bits wide."""

_HEAD = 5  # words of an answer before its payload
INVALID_KNOB = 0x1E3
"""The firmware does not know this knob."""

_ERRORS = {
    0x9E: "invalid state",
    0x9F: "file not found",
    0xA0: "not supported",
    0xA1: "invalid data",
    INVALID_KNOB: "this firmware does not know the knob",
    0x202: "this firmware refuses every knob, as old or unprovisioned ones do",
}


class FspError(HostError):
    """The FSP understood, and answered with an error code. `code` is dword 4 of its answer."""

    def __init__(self, asked: str, code: int, *, firmware: str = "") -> None:
        meaning = _ERRORS.get(code)
        said = f"error {code:#x}" + (f", {meaning}" if meaning else "")
        of = f" (FSP firmware {firmware})" if firmware else ""
        super().__init__(f"the FSP answers {said} when asked to {asked}{of}")
        self.code = code


class GarbledError(HostError):
    """What came back is no answer to what was asked."""


class Request(NamedTuple):
    """What to send, how to say it in words, and how many words of payload come back."""

    asks: str
    words: Words
    payload: int


def read_knob(knob: int) -> Request:
    """The answer's payload is one word, of which the lower half is the value."""
    return Request(f"read knob {knob}", (*_head(), _sub(_READ, knob)), 1)


def write_knob(knob: int, value: int) -> Request:
    """The value takes effect at the next reset, and stays until it is written anew."""
    if not 0 <= value <= 0xFFFF:
        raise ValueError(f"a knob is 16 bits wide: {value:#x}")
    return Request(f"write {value} to knob {knob}", (*_head(), _sub(_WRITE, knob), value), 0)


def payload(asked: Request, answer: Sequence[int], *, firmware: str = "") -> Words:
    """What follows the head of a good answer; FspError and GarbledError of a bad one."""
    if len(answer) < _HEAD:
        raise GarbledError(f"the FSP answers {len(answer)} words when asked to {asked.asks}")
    transport, head, _task, echo, code, *rest = answer
    for what, seen, wanted in (
        ("a message in one packet", transport & 0xC0000000, _ALONE),
        ("a message of NVIDIA's", head & 0xFFFFFF, _NVIDIA << 8 | _VENDOR_DEFINED),
        ("a response", head >> 24, _RESPONSE),
        ("a response to this question", echo, _PRC),
    ):
        if seen != wanted:
            raise GarbledError(
                f"the FSP's answer to {asked.asks} is not {what}: {seen:#x} for {wanted:#x}"
            )
    if code:
        raise FspError(asked.asks, code, firmware=firmware)
    if len(rest) != asked.payload:
        raise GarbledError(
            f"the FSP answers {len(rest)} words of payload for {asked.payload} to {asked.asks}"
        )
    return tuple(rest)


def value(words: Words) -> int:
    """A knob's value; the upper half of its word means nothing and may hold anything."""
    return words[0] & 0xFFFF


def _head() -> Words:
    return (_ALONE, _PRC << 24 | _NVIDIA << 8 | _VENDOR_DEFINED)


def _sub(message: int, knob: int) -> int:
    if not 0 < knob <= 0xFFFF:
        raise ValueError(f"no knob has the number {knob}")
    return message | _KNOB_BYTES << 8 | knob << 16
