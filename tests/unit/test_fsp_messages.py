"""Messages to the FSP byte by byte, and every way in which an answer is none (gpu-cc.md §7)."""

import struct

import pytest

from nodeagent.host.gpu import messages
from nodeagent.host.gpu.messages import FspError, GarbledError, read_knob, write_knob

GOOD = (0xC0000000, 0x1510DE7E, 0x3, 0x13, 0x0)


def _bytes(words: tuple[int, ...]) -> str:
    return struct.pack(f"<{len(words)}I", *words).hex(" ")


@pytest.mark.parametrize(
    ("request_", "sent"),
    [
        (read_knob(8), "00 00 00 c0 7e de 10 13 0c 02 08 00"),
        (read_knob(45), "00 00 00 c0 7e de 10 13 0c 02 2d 00"),
        (write_knob(8, 1), "00 00 00 c0 7e de 10 13 0d 02 08 00 01 00 00 00"),
        (write_knob(10, 2), "00 00 00 c0 7e de 10 13 0d 02 0a 00 02 00 00 00"),
    ],
)
def test_what_is_sent(request_: messages.Request, sent: str) -> None:
    assert _bytes(request_.words) == sent


@pytest.mark.parametrize("word", [1, 0xBEEF0001, 0xFFFF0001])
def test_the_upper_half_of_a_value_means_nothing(word: int) -> None:
    assert messages.value(messages.payload(read_knob(8), (*GOOD, word))) == 1


def test_a_written_knob_is_answered_by_a_head_alone() -> None:
    assert messages.payload(write_knob(8, 1), GOOD) == ()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((), "answers 0 words"),
        (GOOD[:4], "answers 4 words"),
        ((0x80000000, *GOOD[1:], 1), "not a message in one packet"),
        ((GOOD[0], 0x1510DF7E, *GOOD[2:], 1), "not a message of NVIDIA's"),
        ((GOOD[0], 0x1510DE7D, *GOOD[2:], 1), "not a message of NVIDIA's"),
        ((GOOD[0], 0x1310DE7E, *GOOD[2:], 1), "not a response"),
        ((*GOOD[:3], 0x14, 0, 1), "not a response to this question"),
        (GOOD, "0 words of payload for 1"),
        ((*GOOD, 1, 2), "2 words of payload for 1"),
    ],
)
def test_what_is_no_answer_is_said_to_be_none(answer: tuple[int, ...], said: str) -> None:
    with pytest.raises(GarbledError, match=said):
        messages.payload(read_knob(8), answer)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (0x1E3, "error 0x1e3, this firmware does not know the knob when asked to read knob 45"),
        (0x202, "error 0x202, this firmware refuses every knob"),
        (0x9E, "error 0x9e, invalid state"),
        (0x6, r"error 0x6 when asked to read knob 45 \(FSP firmware 4.17\)"),
    ],
)
def test_an_error_code_is_a_sentence(code: int, said: str) -> None:
    """The field's own exchange: five words, and no payload after an error."""
    with pytest.raises(FspError, match=said) as error:
        messages.payload(read_knob(45), (*GOOD[:4], code), firmware="4.17")

    assert error.value.code == code


@pytest.mark.parametrize(("knob", "value"), [(0, 0), (-1, 0), (0x10000, 0), (8, -1), (8, 0x10000)])
def test_what_no_knob_can_be_is_a_mistake_of_ours(knob: int, value: int) -> None:
    with pytest.raises(ValueError, match="knob"):
        write_knob(knob, value)
