"""How a switch ended, a line a device: each result by itself, and what to do of a failure."""

import pytest

from nodeagent.agent.switch import DeviceEnd, End
from nodeagent.errors import AgentError, HostError
from nodeagent.model.words import CcMode
from nodeagent.report.ends import document, text

ON, OFF = CcMode.ON, CcMode.OFF
ONE, OTHER = "0000:41:00.0", "0000:81:00.0"


def failure() -> AgentError:
    """As it comes from three floors down, with the way out at the one in the middle."""
    try:
        try:
            raise PermissionError(1, "Operation not permitted")
        except OSError as error:
            raise HostError("cannot reset it", hint="power cycle the node") from error
    except HostError as error:
        outer = HostError("already tried")
        outer.__cause__ = error
        return outer


CHAIN = "already tried: cannot reset it: [Errno 1] Operation not permitted"


@pytest.mark.parametrize(
    ("end", "says"),
    [
        (DeviceEnd(ONE, End.DONE, ON, OFF), "on (was off)"),
        (DeviceEnd(ONE, End.DONE, ON, ON), "on"),
        (DeviceEnd(ONE, End.DONE, ON, None), "on"),
        (DeviceEnd(ONE, End.REBOOT, ON, OFF), "on (was off): switched; reboot before attesting"),
        (DeviceEnd(ONE, End.BACK, ON, OFF), "off: rolled back, since another device failed"),
        (
            DeviceEnd(ONE, End.LEFT, ON, OFF),
            "off: not switched; the same command again goes on",
        ),
        (DeviceEnd(ONE, End.LEFT, ON, None), "?: not switched; the same command again goes on"),
        (DeviceEnd(ONE, End.FAILED, ON, OFF, HostError("gone")), "FAILED: gone"),
        (
            DeviceEnd(ONE, End.FAILED, ON, OFF, failure()),
            f"FAILED: {CHAIN}; try: power cycle the node",
        ),
    ],
)
def test_a_device_ends_with_one_result(end: DeviceEnd, says: str) -> None:
    said, _, _ = words(text([end])).partition(" of 1 devices")

    assert said[:-2] == f"{ONE} {says}"


def words(told: str) -> str:
    """However it is wrapped."""
    return " ".join(told.split())


def test_a_line_that_goes_on_is_indented_below_its_device() -> None:
    told = text([DeviceEnd(ONE, End.FAILED, ON, OFF, failure())]).split("\n")

    assert told == [
        "0000:41:00.0  FAILED: already tried: cannot reset it: [Errno 1] Operation not",
        "              permitted; try: power cycle the node",
        "0 of 1 devices are in the mode that was asked for",
    ]


@pytest.mark.parametrize(
    ("ends", "summary"),
    [
        ((End.DONE, End.DONE), "2 of 2 devices are in the mode that was asked for"),
        ((End.DONE, End.FAILED), "1 of 2 devices are in the mode that was asked for"),
        ((End.BACK, End.FAILED), "0 of 2 devices are in the mode that was asked for"),
        ((End.LEFT, End.DONE), "1 of 2 devices are in the mode that was asked for"),
    ],
)
def test_devices_in_the_mode_are_counted(ends: tuple[End, End], summary: str) -> None:
    told = text([DeviceEnd(bdf, end, ON, OFF) for bdf, end in zip((ONE, OTHER), ends, strict=True)])

    assert told.split("\n")[-1] == summary


def test_a_boot_that_is_needed_is_asked_for_once() -> None:
    told = text([DeviceEnd(bdf, End.REBOOT, ON, OFF) for bdf in (ONE, OTHER)]).split("\n")

    assert told[-2:] == [
        "2 of 2 devices are in the mode that was asked for",
        "reboot before attesting: until then an attestation service refuses them",
    ]
    assert text([DeviceEnd(ONE, End.DONE, ON, OFF)]).count("reboot") == 0


def test_what_a_kernel_said_is_made_safe_and_kept_to_80_columns() -> None:
    error = HostError("\x1b]0;x\x07" + "word " * 50, hint="\x1b[31m")
    told = text([DeviceEnd(ONE, End.FAILED, ON, OFF, error)]).split("\n")

    assert [line for line in told if len(line) > 80 or not line.isprintable()] == []


def test_ends_as_data_have_a_word_and_the_whole_chain() -> None:
    ends = [
        DeviceEnd(ONE, End.BACK, ON, OFF),
        DeviceEnd(OTHER, End.FAILED, ON, None, failure()),
        DeviceEnd("x", End.LEFT, OFF, ON),
    ]

    assert document(ends) == {
        "version": 1,
        "devices": [
            {"bdf": ONE, "end": "rolled-back", "mode": "on", "before": "off", "error": None},
            {
                "bdf": OTHER,
                "end": "failed",
                "mode": "on",
                "before": None,
                "error": f"{CHAIN}; try: power cycle the node",
            },
            {"bdf": "x", "end": "not-switched", "mode": "off", "before": "on", "error": None},
        ],
    }


@pytest.mark.parametrize("end", End)
def test_every_end_has_words_and_a_word_of_data(end: End) -> None:
    device = DeviceEnd(ONE, end, ON, OFF, HostError("x") if end is End.FAILED else None)

    assert words(text([device])).split()[1]
    assert " " not in document([device])["devices"][0]["end"]
