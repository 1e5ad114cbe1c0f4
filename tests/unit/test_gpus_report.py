"""`gpus` as a table of 80 columns and as data: each device's modes, its driver, who has it."""

import json
from collections.abc import Iterable
from typing import Any

import pytest
import yaml

from nodeagent.checks.gpu import Mode, mode_of
from nodeagent.model.findings import Outcome
from nodeagent.model.knobs import Configured, Line
from nodeagent.model.pci import Asleep, Gpu, Held, Holder, Sighting
from nodeagent.model.seen import NotAsked, Unreadable
from nodeagent.model.words import CcMode
from nodeagent.report.gpus import Answer, Row, document, row, text
from tests.hosts import recipes
from tests.hosts.draft import GPU
from tests.unit.command import run
from tests.unit.looks import HOSTS, facts_of

QEMU = Holder(4242, "qemu-system-x86", "/dev/vfio/devices/vfio0")


def captured(name: str = "genoa-ready") -> Gpu:
    devices = facts_of(HOSTS / name).devices
    assert not isinstance(devices, Unreadable)
    return devices.gpus[0]


def row_of(gpu: Gpu) -> Row:
    found: Mode | Outcome = mode_of(gpu, "none")
    return row(gpu, found.mode if isinstance(found, Mode) else found)


def table(gpu: Gpu) -> list[str]:
    """The lines below the head."""
    return text([row_of(gpu)]).split("\n")[1:]


def demand_80(lines: Iterable[str]) -> None:
    assert [line for line in lines if len(line) > 80] == []


# Every captured host


@pytest.mark.parametrize("name", [*recipes.HOSTS, *recipes.UNPRIVILEGED])
def test_every_host_fits_80_columns_and_each_device_has_its_line(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("gpus", "-v", "--capture", HOSTS / name) == 0

    lines = capsys.readouterr().out.rstrip().split("\n")
    demand_80(lines)
    devices = facts_of(HOSTS / name).devices
    if isinstance(devices, Unreadable) or not (devices.gpus or devices.switches):
        assert lines == ["no NVIDIA GPU or NVSwitch here"]
        return
    named = [line.split()[0] for line in lines[1:] if not line.startswith(" ")]
    assert named == [each.bdf for each in (*devices.gpus, *devices.switches)]
    for answer in ("architecture", "product", "this unit"):
        said = [line.split(maxsplit=2) for line in lines if line.startswith(f"    {answer}")]
        assert len(said) == len(named)
        assert all(each[-1] for each in said)


@pytest.mark.parametrize("name", ["genoa-hgx-h100", "genoa-gpu-held-seen", "genoa-no-gpu"])
def test_a_document_says_what_the_table_says(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    run("gpus", "-o", "json", "--capture", HOSTS / name)
    found = json.loads(capsys.readouterr().out)
    run("gpus", "--capture", HOSTS / name)
    lines = [line.split() for line in capsys.readouterr().out.split("\n")[1:]]

    heads = [line for line in lines if line and line[0].startswith("0000:")]
    assert found["version"] == 1
    assert [(each["bdf"], each["active"]) for each in found["devices"]] == [
        (line[0], line[3] if line[1] == "NVSwitch" else line[2]) for line in heads
    ]


# One device


@pytest.mark.parametrize(
    ("host", "active", "state"),
    [
        ("genoa-ready", "on", "idle"),
        ("genoa-gpu-off", "off", "idle"),
        ("genoa-gpu-devtools", "devtools", "idle"),
        ("genoa-gpu-held", "?", "in use"),
        ("genoa-gpu-held-seen", "on", "in use, seen 08:12"),
        ("genoa-gpu-held-seen-last-boot", "?", "in use"),
        ("genoa-gpu-d3hot", "?", "asleep: power state D3hot"),
        ("genoa-gpu-decode-off", "?", "asleep: its memory decode is off"),
        ("genoa-gpu-invalid", "?", "its mode bits are 0x2, no valid mode"),
        ("genoa-gpu-gone", "?", "BOOT_0 reads 0xffffffff, though it is awake and nobody has it"),
        ("genoa-gpu-security-fault", "?", "its security fault register reads 0x1: FUSE_POD"),
        ("genoa-gpu-recovery", "?", "its firmware is in recovery mode"),
        ("genoa-lockdown-integrity", "?", "its registers cannot be read: EPERM"),
        ("genoa-l40s", "?", "device id 0x26b9 is no part with a confidential mode"),
    ],
)
def test_a_device_is_shown_with_its_mode_and_its_state(host: str, active: str, state: str) -> None:
    lines = table(captured(host))

    assert lines[0].split()[2] == active
    assert lines[0].endswith(("idle", "in use", "in use, seen 08:12", "see below"))
    assert state in " ".join(lines)


def test_who_has_a_device_open_is_named() -> None:
    held = captured("genoa-gpu-held-seen")
    both = held._replace(
        status=Held((QEMU, QEMU._replace(pid=7))), holders=(QEMU, QEMU._replace(pid=7))
    )

    assert table(both)[1:] == [
        "    has it open: qemu-system-x86 (pid 4242, /dev/vfio/devices/vfio0)",
        "    has it open: qemu-system-x86 (pid 7, /dev/vfio/devices/vfio0)",
    ]


def test_a_fault_is_shown_of_a_device_in_use_too() -> None:
    fault = captured("genoa-gpu-security-fault")
    held = fault._replace(status=Held((QEMU,)), holders=(QEMU,))

    assert "    its security fault register reads 0x1: FUSE_POD" in table(held)
    assert row_of(held).holders == (str(QEMU),)


def test_where_holders_cannot_be_seen_it_is_not_called_idle() -> None:
    hidden = captured()._replace(holders=Unreadable("/proc/1/fd", "EACCES: Permission denied"))

    assert row_of(hidden).state == "holders cannot be read"


def _configured(values: dict[int, int]) -> Configured:
    return Configured(Line.HOPPER, {6: 0, 8: 0, 10: 0, 45: 0} | values)


@pytest.mark.parametrize(
    ("configured", "word", "pending"),
    [
        (None, "not asked", False),
        (_configured({8: 1}), "on", False),
        (_configured({}), "off", True),
        (_configured({45: 1}), "ppcie", True),
        (_configured({6: 1}), "invalid", False),
        (Unreadable("fsp", "did not answer"), "no answer", False),
        (NotAsked("fsp", "is not asked while it is in use"), "not asked", False),
    ],
)
def test_what_differs_after_the_next_reset_is_pending(
    configured: Configured | Unreadable | None, word: str, pending: bool
) -> None:
    """The captured one runs in mode on."""
    found = row_of(captured()._replace(configured=configured))
    lines = text([found]).split("\n")

    assert found.pending is pending
    assert word in lines[1]
    assert (f"    pending: {word} after its next reset" in lines) is pending


def test_of_a_device_whose_mode_is_not_known_nothing_is_pending() -> None:
    asleep = captured()._replace(status=Asleep("power state D3hot"), configured=_configured({}))

    assert not row_of(asleep).pending
    assert document([row_of(asleep)])["devices"][0]["pending"] is None


@pytest.mark.parametrize(
    ("field", "value", "word"),
    [
        ("driver", None, "none"),
        ("driver", Unreadable("driver", "EACCES"), "?"),
        ("driver", "nvidia", "nvidia"),
        ("group", None, "none"),
        ("group", Unreadable("iommu_group", "EACCES"), "?"),
    ],
)
def test_absent_and_unreadable_are_two_words(
    field: str,
    value: Any,  # noqa: ANN401 - any field of its own type
    word: str,
) -> None:
    gpu = captured()
    found = row_of(gpu._replace(pci=gpu.pci._replace(**{field: value})))

    assert getattr(found, field) == word


@pytest.mark.parametrize(
    "driver",
    ["nvidia-nvswitch", "nvgrace_gpu_vfio_pci", "x" * 200, "\x1b[31mvfio\n", "a\tb" * 20],
)
def test_a_stranger_of_a_drivers_name_breaks_no_table(driver: str) -> None:
    devices = facts_of(HOSTS / "genoa-hgx-h100").devices
    assert not isinstance(devices, Unreadable)
    switch = devices.switches[0]
    asleep = switch._replace(
        pci=switch.pci._replace(driver=driver), status=Asleep("power state D3hot")
    )
    lines = text([row_of(asleep), row_of(captured())]).split("\n")

    demand_80(lines)
    assert all(line.isprintable() for line in lines)
    assert "    asleep: power state D3hot" in lines


def test_a_holders_name_is_wrapped_and_made_safe() -> None:
    evil = QEMU._replace(command="\x1b]0;x\x07" + "long " * 60)
    lines = table(captured()._replace(status=Held((evil,)), holders=(evil,)))

    demand_80(lines)
    assert all(line.isprintable() for line in lines)


def test_switches_are_listed_after_gpus_by_their_name() -> None:
    devices = facts_of(HOSTS / "genoa-hgx-h100").devices
    assert not isinstance(devices, Unreadable)

    shown = [row_of(each).what for each in (*devices.gpus, *devices.switches)]
    assert shown == ["H100"] * 8 + ["NVSwitch LS10"] * 4


def test_no_device_is_said_in_words() -> None:
    assert text([]) == "no NVIDIA GPU or NVSwitch here"
    assert document([]) == {"version": 1, "devices": []}


def test_a_document_has_every_field_of_a_row() -> None:
    held = captured("genoa-gpu-held-seen")._replace(configured=_configured({}))
    answers = [Answer("architecture", yes=True, why="gh100"), Answer("product", yes=None, why="?")]
    found = row(held, CcMode.ON, answers)

    assert document([found])["devices"] == [
        {
            "bdf": GPU,
            "what": "H100",
            "active": "on",
            "configured": "off",
            "pending": True,
            "driver": "vfio-pci",
            "group": "41",
            "holders": ["qemu-system-x86 (pid 4242, /dev/vfio/devices/vfio0)"],
            "state": "in use, seen 08:12",
            "capability": {
                "architecture": {"yes": True, "why": "gh100"},
                "product": {"yes": None, "why": "?"},
            },
        }
    ]


def test_a_document_without_questions_has_no_answers() -> None:
    [device] = document([row_of(captured())])["devices"]

    assert device["configured"] is None
    assert device["pending"] is None
    assert "capability" not in device


def test_a_sighting_stands_in_for_a_mode_that_nobody_may_read() -> None:
    """Even beside a fault: what it ran in before is worth knowing then."""
    seen = Sighting(CcMode.DEVTOOLS, "2026-11-20T23:59:00Z")
    held = captured("genoa-gpu-held")._replace(remembered=seen)
    fault = captured("genoa-gpu-security-fault")._replace(
        status=Held((QEMU,)), holders=(QEMU,), remembered=seen
    )

    assert (row_of(held).active, row_of(held).state) == (CcMode.DEVTOOLS, "in use, seen 23:59")
    assert row_of(fault).active is CcMode.DEVTOOLS


@pytest.mark.parametrize("host", ["genoa-hgx-h100", "genoa-gpu-asked", "genoa-no-gpu"])
def test_json_and_yaml_say_the_same(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    run("gpus", "-v", "-o", "json", "--capture", HOSTS / host)
    as_json = json.loads(capsys.readouterr().out)
    run("gpus", "-v", "-o", "yaml", "--capture", HOSTS / host)

    assert yaml.safe_load(capsys.readouterr().out) == as_json
