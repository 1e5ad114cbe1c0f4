"""A plan as it is read and as data, at 80 columns: alike steps together, each with why."""

import json
from collections.abc import Sequence

import pytest
import yaml

from nodeagent.model.switching import Bind, Decode, Reset, Rest, Stage, Step, Unbind
from nodeagent.model.words import CcMode
from nodeagent.report.plan import Line, Names, document, lines, text
from tests.hosts import hgx, recipes
from tests.hosts.draft import GPU
from tests.kill.board import addresses
from tests.unit.command import run
from tests.unit.looks import HOSTS

ON, OFF = CcMode.ON, CcMode.OFF
GPUS, SWITCHES = addresses(8), addresses(0, 4)
NAMES = Names(frozenset(SWITCHES))
MACHINES = sorted(
    (recipes.READY | recipes.GPUS | recipes.BASEBOARDS).keys() | {"gh200", "genoa-iommu-pt"}
)


# Captured hosts


@pytest.mark.parametrize("mode", CcMode)
@pytest.mark.parametrize("name", MACHINES)
def test_every_plan_fits_80_columns(
    name: str, mode: CcMode, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run("plan", "-v", "--force", "--mode", mode, "--capture", HOSTS / name)
    captured = capsys.readouterr()

    assert code in {0, 3}
    assert bool(captured.out) is (code == 0)
    assert [line for line in captured.out.split("\n") if len(line) > 80] == []
    assert captured.out.startswith(("PLAN: ", "nothing to do: ") if code == 0 else "")


def test_a_plan_is_numbered_steps_each_with_why(capsys: pytest.CaptureFixture[str]) -> None:
    run("plan", "--mode", "off", "--capture", HOSTS / "genoa-gpu-pending")

    assert capsys.readouterr().out.split("\n")[:9] == [
        "PLAN: 0000:41:00.0 to off, now on",
        "  1. keep 0000:41:00.0 awake",
        "       asleep its registers do not answer",
        "  2. take 0000:41:00.0 away from vfio-pci",
        "       nobody may have it open while it is reset",
        "  3. let 0000:41:00.0 decode memory",
        "       without a driver its registers are not to be reached",
        "  4. reset 0000:41:00.0",
        "       what is staged counts from the next boot on",
    ]


def test_a_capture_with_the_firmwares_answers_is_planned_by_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run("plan", "--mode", "on", "--capture", HOSTS / "genoa-gpu-asked")
    assert capsys.readouterr().out == "nothing to do: 0000:41:00.0 to on already\n"

    run("plan", "--mode", "off", "--capture", HOSTS / "genoa-gpu-asked")
    assert "       knobs 8=0, 10=0\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("host", "mode", "headline"),
    [
        ("genoa-hgx-h100", "off", "PLAN: 8 GPUs and 4 NVSwitches to off, now ppcie"),
        ("genoa-hgx-h100", "on", "PLAN: 8 GPUs to on, 4 NVSwitches to off, now ppcie"),
        ("genoa-hgx-h100-cc", "off", "PLAN: 8 GPUs and 4 NVSwitches to off"),
        ("turin-hgx-b200", "devtools", "PLAN: 8 GPUs to devtools, now on"),
        ("turin-hgx-b200-firewall", "devtools", "PLAN: 8 GPUs to devtools"),
        ("genoa-two-gpus-mixed", "on", "PLAN: 0000:41:00.0 and 0000:81:00.0 to on"),
        ("genoa-gpu-d3hot", "on", "PLAN: 0000:41:00.0 to on"),
    ],
)
def test_the_headline_names_devices_and_modes(
    host: str, mode: str, headline: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run("plan", "--mode", mode, "--capture", HOSTS / host)

    assert capsys.readouterr().out.split("\n")[0] == headline


def test_a_forced_plan_says_what_it_means(capsys: pytest.CaptureFixture[str]) -> None:
    run("plan", "--mode", "on", "--force", "--capture", HOSTS / "genoa-iommu-pt")

    said = " ".join(capsys.readouterr().out.split())
    assert "note: forced, though the host cannot start a confidential VM: the GPUs work" in said


def test_verbose_names_every_device_of_a_step(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("plan", "--mode", "off", "--capture", HOSTS / "genoa-hgx-h100")
    run(*words)
    short = capsys.readouterr().out
    run(*words, "-v")
    long = capsys.readouterr().out

    assert hgx.LAST_SWITCH not in short
    assert long.count(hgx.LAST_SWITCH) == short.count("8 GPUs and 4 NVSwitches") - 1


def test_verbose_adds_nothing_where_all_are_named_already(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ("plan", "--mode", "off", "--capture", HOSTS / "genoa-two-gpus-mixed")
    run(*words)
    short = capsys.readouterr().out
    run(*words, "-v")

    assert capsys.readouterr().out == short


def test_a_plan_as_data_has_the_steps_of_the_text(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("plan", "--mode", "on", "--capture", HOSTS / "genoa-hgx-h100")
    run(*words, "-o", "json")
    found = json.loads(capsys.readouterr().out)
    run(*words, "-o", "yaml")
    assert yaml.safe_load(capsys.readouterr().out) == found
    run(*words)
    numbers = [line for line in capsys.readouterr().out.split("\n") if line[:3].strip().isdecimal()]

    assert found.keys() == {"version", "mode", "devices", "notes", "waves"}
    assert (found["version"], found["mode"], found["notes"]) == (1, "on", [])
    assert [each["mode"] for each in found["devices"]] == ["on"] * 2 + ["on"] * 2 + ["on"] * 2 + [
        "off"
    ] * 4 + ["on"] * 2
    assert len(found["waves"]) == len(numbers)
    assert all(len(wave) == 12 for wave in found["waves"])
    assert found["waves"][0][0] == {
        "bdf": hgx.FIRST_GPU,
        "step": "wake",
        "does": f"keep {hgx.FIRST_GPU} awake",
        "why": "asleep its registers do not answer",
    }


def test_a_recovery_is_three_rungs_and_a_last_word(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("plan", "--recover", GPU, "--capture", HOSTS / "genoa-gpu-gone")
    run(*words)
    said = capsys.readouterr().out.rstrip().split("\n")
    run(*words, "-o", "json")
    found = json.loads(capsys.readouterr().out)

    assert [line for line in said if len(line) > 80] == []
    assert said[0].startswith(f"RECOVER {GPU}: ")
    assert said[-1] == "  4. else: power cycle the node"
    assert found.keys() == {"version", "recover", "rungs"}
    assert [each["rung"] for each in found["rungs"]] == [
        "function level reset",
        "bus reset",
        "remove and rescan",
    ]
    assert all(each.keys() == {"rung", "not_here", "steps"} for each in found["rungs"])


# Lines


def one_wave(steps: Sequence[Step], why: str = "because") -> list[Line]:
    [wave] = lines([(steps, [why] * len(steps))], NAMES)
    return wave


@pytest.mark.parametrize(
    ("bdfs", "said"),
    [
        (GPUS[:1], "reset 0000:23:00.0"),
        (GPUS[:2], "reset 0000:23:00.0 and 0000:24:00.0"),
        (GPUS[:3], "reset 3 GPUs"),
        (GPUS + SWITCHES, "reset 8 GPUs and 4 NVSwitches"),
        ([*GPUS[:2], SWITCHES[0]], "reset 2 GPUs and 1 NVSwitch"),
        ([GPUS[0], *SWITCHES], "reset 1 GPU and 4 NVSwitches"),
        (SWITCHES, "reset 4 NVSwitches"),
    ],
)
def test_alike_steps_are_one_line(bdfs: list[str], said: str) -> None:
    [line] = one_wave([Reset(bdf) for bdf in bdfs])

    assert line == Line(said, "because", tuple(bdfs))


@pytest.mark.parametrize(
    "steps",
    [
        [Stage(GPUS[0], ON), Stage(GPUS[1], OFF)],
        [Unbind(GPUS[0], "nvidia"), Unbind(GPUS[1], "vfio-pci")],
        [Reset(GPUS[0]), Reset(GPUS[1], "flr")],
        [Bind(GPUS[0], "nvidia"), Rest(GPUS[1])],
    ],
)
def test_unlike_steps_are_lines_of_their_own(steps: list[Step]) -> None:
    assert [line.text for line in one_wave(steps)] == [str(step) for step in steps]


def test_the_same_step_for_another_reason_is_a_line_of_its_own() -> None:
    both = [(Stage(GPUS[0], ON), Stage(GPUS[1], ON))]
    [wave] = lines([(both[0], ("knobs 8=1", "knobs 10=2, 8=1"))], NAMES)

    assert [line.why for line in wave] == ["knobs 8=1", "knobs 10=2, 8=1"]


def test_only_the_first_line_of_a_wave_has_its_number() -> None:
    waves = lines(
        [((Stage(GPUS[0], ON), Decode(GPUS[1])), ("a", "b")), ((Reset(GPUS[0]),), ("c",))], NAMES
    )

    assert text("PLAN", waves, ["mind this"]).split("\n") == [
        "PLAN",
        "  1. stage on on 0000:23:00.0 (only knobs that differ)",
        "       a",
        "     let 0000:24:00.0 decode memory",
        "       b",
        "  2. reset 0000:23:00.0",
        "       c",
        "  note: mind this",
    ]


def test_long_words_are_wrapped_below_their_beginning_and_made_safe() -> None:
    odd = "\x1b[31m" + "word " * 40
    said = text(odd, [one_wave([Unbind(GPUS[0], odd)], odd)], [odd]).split("\n")

    assert [line for line in said if len(line) > 80 or not line.isprintable()] == []
    assert [line[:8] for line in said if "?[31m" in line] == [
        "?[31mwor",
        "  1. tak",
        "       ?",
        "  note: ",
    ]
    assert len([line for line in said if line.startswith("        word")]) == 2


def test_notes_as_data_are_made_safe_and_devices_sorted() -> None:
    found = document(ON, {"b": ON, "a": OFF}, [], ["\x1b[31mred"])

    assert found == {
        "version": 1,
        "mode": "on",
        "devices": [{"bdf": "a", "mode": "off"}, {"bdf": "b", "mode": "on"}],
        "notes": ["?[31mred"],
        "waves": [],
    }
