"""What the next reset brings, and what attests only after a boot: said where it is known."""

import json
from pathlib import Path
from typing import Any

import pytest

from nodeagent.capture.archive import open_capture
from nodeagent.errors import CaptureError
from nodeagent.model.findings import Finding
from nodeagent.model.knobs import Configured, Line
from nodeagent.model.pci import Devices
from nodeagent.model.seen import Unreadable
from nodeagent.model.words import CcMode, Verdict
from tests.hosts import gpu_states, hgx, recipes
from tests.hosts.base import genoa_ready
from tests.hosts.draft import GPU, Delta, Draft
from tests.unit.looks import HOSTS, drafted, facts_of, judged

PASS, FAIL, UNKNOWN, SKIP = Verdict.PASS, Verdict.FAIL, Verdict.UNKNOWN, Verdict.SKIP
OFF = {6: 0, 8: 0, 10: 0, 45: 0}
ON = OFF | {8: 1, 10: 2}
PROTECTED = OFF | {10: 2, 45: 1}
SWITCH_OFF, SWITCH_PROTECTED = OFF, OFF | {45: 1}


def said(check: str, host: Path, *, want: CcMode | None = None) -> list[Finding]:
    return [each for each in judged(host, want=want).findings if each.check == check]


def told(check: str, host: Path, *, want: CcMode | None = None) -> list[tuple[Verdict, str | None]]:
    return [(each.verdict, each.code) for each in said(check, host, want=want)]


def made(folder: Path, *deltas: Delta, of: str = "genoa-ready") -> Path:
    draft = genoa_ready() if of == "genoa-ready" else recipes.draft(of)
    for delta in deltas:
        delta(draft)
    return drafted(draft, folder / "host")


def knobs(values: dict[int, int], bdf: str = GPU) -> Delta:
    def delta(draft: Draft) -> None:
        draft.knobs[bdf] = values

    return delta


# The check gpu.pending


def test_of_a_device_that_nobody_asked_nothing_is_said() -> None:
    assert told("gpu.pending", HOSTS / "genoa-ready") == []


@pytest.mark.parametrize(
    ("values", "active", "answer", "seen"),
    [
        (ON, 0x1, (PASS, None), f"{GPU} stays on over its next reset"),
        (OFF, 0x0, (PASS, None), f"{GPU} stays off over its next reset"),
        (
            OFF,
            0x1,
            (FAIL, "GPU_MODE_PENDING"),
            f"{GPU}: it is on until its next reset, and off then",
        ),
        (
            PROTECTED,
            0x1,
            (FAIL, "GPU_MODE_PENDING"),
            f"{GPU}: it is on until its next reset, and ppcie then",
        ),
        (
            OFF | {6: 1},
            0x0,
            (FAIL, "GPU_MODE_INVALID"),
            f"{GPU}: its knobs are of no valid mode",
        ),
        (
            ON | {45: 1},
            0x1,
            (FAIL, "GPU_MODE_INVALID"),
            f"{GPU}: its knobs are of no valid mode",
        ),
    ],
)
def test_the_configured_mode_is_held_against_the_active_one(
    values: dict[int, int],
    active: int,
    answer: tuple[Verdict, str | None],
    seen: str,
    tmp_path: Path,
) -> None:
    host = made(tmp_path, knobs(values), gpu_states.mode(active))
    [finding] = said("gpu.pending", host)

    assert (finding.verdict, finding.code) == answer
    assert finding.outcome.seen == seen


def test_beside_a_mode_that_is_not_known_nothing_is_judged(tmp_path: Path) -> None:
    [finding] = said("gpu.pending", made(tmp_path, knobs(ON), gpu_states.asleep_d3hot))

    assert finding.verdict is SKIP
    assert finding.outcome.seen == f"{GPU} is configured to on; its active mode is not known"


@pytest.mark.parametrize(
    ("mode", "want", "counted"),
    [
        ("genoa-hgx-h100", None, True),
        ("genoa-hgx-h100", CcMode.PPCIE, True),
        ("genoa-hgx-h100-cc", None, False),
        ("genoa-hgx-h100-cc", CcMode.ON, False),
        ("genoa-hgx-h100-cc", CcMode.PPCIE, True),
    ],
)
def test_switches_count_under_protected_pcie_alone(
    mode: str, want: CcMode | None, counted: bool, tmp_path: Path
) -> None:
    """A switch that the next reset brings to the other mode than it runs in."""
    configured = SWITCH_PROTECTED if mode.endswith("cc") else SWITCH_OFF
    host = made(tmp_path, knobs(configured, hgx.LAST_SWITCH), of=mode)
    found = said("gpu.pending", host, want=want)

    assert [(each.code, each.outcome.device) for each in found] == (
        [("GPU_MODE_PENDING", hgx.LAST_SWITCH)] if counted else []
    )


def test_without_a_look_at_the_bus_nothing_is_pending(tmp_path: Path) -> None:
    def closed(draft: Draft) -> None:
        draft.denied["/sys/bus/pci/devices"] = "EACCES"

    host = made(tmp_path, knobs(OFF), closed)

    assert isinstance(facts_of(host).devices, Unreadable)
    assert told("gpu.pending", host) == told("gpu.attest", host) == []


# Knobs in a capture


def with_knobs(folder: Path, value: Any) -> Path:  # noqa: ANN401 - any JSON, that is the point
    host = made(folder)
    path = host / "probes.json"
    probes = json.loads(path.read_text())
    probes["gpu"][GPU]["knobs"] = value
    path.write_text(json.dumps(probes))
    return host


def configured(host: Path) -> Configured | Unreadable | None:
    devices = facts_of(host).devices
    assert isinstance(devices, Devices)
    return devices.gpus[0].configured


ASKED = {"6": 0, "8": 1, "10": 2, "45": 0}


def test_firmware_without_protected_pcie_is_no_gap(tmp_path: Path) -> None:
    host = with_knobs(tmp_path, ASKED | {"45": {"error": "0x1e3"}})
    found = configured(host)

    assert found == Configured(Line.HOPPER, {6: 0, 8: 1, 10: 2})
    assert isinstance(found, Configured)
    assert (found.mode, found.knows_ppcie) == (CcMode.ON, False)
    assert told("gpu.pending", host) == [(PASS, None)]


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (ASKED | {"45": {"error": "0x202"}}, "0x202"),
        (ASKED | {"8": {"error": "0x202"}}, "0x202"),
        (ASKED | {"8": {"error": "0x1e3"}}, "0x1e3"),
        (ASKED | {"8": {"error": "EIO"}}, "EIO: Input/output error"),
        ({"6": 0, "8": 1, "10": 2}, "not captured"),
        ({"6": 0, "10": 2, "45": 0}, "not captured"),
        ({}, "not captured"),
    ],
)
def test_what_the_firmware_did_not_say_is_unknown(
    values: dict[str, Any], why: str, tmp_path: Path
) -> None:
    host = with_knobs(tmp_path, values)
    found = configured(host)

    assert isinstance(found, Unreadable)
    assert found.why == why
    assert told("gpu.pending", host) == [(UNKNOWN, "NO_ACCESS")]


def test_an_error_of_a_knob_that_tells_no_mode_is_no_gap(tmp_path: Path) -> None:
    host = with_knobs(tmp_path, ASKED | {"34": {"error": "0x1e3"}, "2": {"error": "0x202"}})

    assert told("gpu.pending", host) == [(PASS, None)]


def test_knobs_that_were_not_taken_are_not_asked_for(tmp_path: Path) -> None:
    assert configured(with_knobs(tmp_path, None)) is None


@pytest.mark.parametrize(
    ("value", "at"),
    [
        ([], "knobs: must be an object, is a list"),
        ("8=1", "knobs: must be an object, is a string"),
        ({"eight": 1}, "knobs.eight: a knob is a number such as 8"),
        ({"0x8": 1}, "knobs.0x8: a knob is a number such as 8"),
        ({"08": 1}, "knobs.08: a knob is a number such as 8"),
        ({"٨": 1}, "knobs.٨: a knob is a number such as 8"),
        ({"1000": 1}, "knobs.1000: a knob is a number such as 8"),
        ({"": 1}, "knobs.: a knob is a number such as 8"),
        ({"8": 65536}, "knobs.8: must fit in 16 bits, is 65536"),
        ({"8": -1}, "knobs.8: must fit in 16 bits, is -1"),
        ({"8": True}, "knobs.8: must be a whole number, is a truth value"),
        ({"8": 1.5}, "knobs.8: must be a whole number, is a number"),
        ({"8": None}, "knobs.8: must be a whole number, is null"),
        ({"8": "on"}, "knobs.8: must be a number such as 0x1f, is 'on'"),
        ({"8": {"error": 483}}, "knobs.8.error: must be a string, is a number"),
        ({"8": {"code": "0x1e3"}}, "knobs.8: must be a whole number, is an object"),
    ],
)
def test_knobs_of_a_wrong_shape_are_named_by_file_and_key(
    value: Any,  # noqa: ANN401
    at: str,
    tmp_path: Path,
) -> None:
    host = with_knobs(tmp_path, value)

    with pytest.raises(CaptureError) as stop, open_capture(str(host)):
        pass

    assert str(stop.value) == f"probes.json: gpu.{GPU}.{at}"


# The check gpu.attest


def _cannot_tell(draft: Draft) -> None:
    draft.denied[f"/run/nodeagent/{GPU}.left-cc"] = "EACCES"


RTX = "genoa-rtx-pro-6000"


@pytest.mark.parametrize(
    ("deltas", "of", "answers"),
    [
        # A part of which nobody has seen it, whatever was noted of it.
        ((gpu_states.left_cc,), "genoa-ready", []),
        ((), RTX, [(PASS, None)]),
        ((gpu_states.left_cc,), RTX, [(FAIL, "GPU_REBOOT_TO_ATTEST")]),
        ((_cannot_tell,), RTX, [(UNKNOWN, "NO_ACCESS")]),
        # In mode off, or in none that is known, it does not attest in any case.
        ((gpu_states.left_cc, hgx.b200_mode(0, GPU)), RTX, []),
        ((gpu_states.left_cc, gpu_states.asleep_d3hot), RTX, []),
    ],
)
def test_a_part_that_left_its_mode_attests_after_the_next_boot(
    deltas: tuple[Delta, ...],
    of: str,
    answers: list[tuple[Verdict, str | None]],
    tmp_path: Path,
) -> None:
    assert told("gpu.attest", made(tmp_path, *deltas, of=of)) == answers


def test_a_part_that_must_be_booted_first_is_named(tmp_path: Path) -> None:
    [finding] = said("gpu.attest", made(tmp_path, gpu_states.left_cc, of=RTX))

    assert finding.outcome.device == GPU
    assert finding.outcome.seen.startswith(f"{GPU}: it left a confidential mode in this boot")
    assert finding.remedy
    assert finding.remedy.restart == "reboot"
