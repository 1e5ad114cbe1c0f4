"""Bad input: one clear line, one way out, exit code 2 or 3, and nothing on standard output."""

from pathlib import Path
from typing import NamedTuple

import pytest

from tests.hosts import base, hgx, pci, recipes
from tests.hosts.draft import GPU
from tests.unit.command import run
from tests.unit.looks import HOSTS, drafted

HGX, READY, B200 = "genoa-hgx-h100", "genoa-ready", "turin-hgx-b200"


class Bad(NamedTuple):
    """The words given of a captured host, and what comes of it."""

    host: str
    words: str
    code: int
    said: str
    hint: str


BAD_INPUT = (
    Bad(READY, "plan --mode onn", 2, "unknown mode 'onn'", "did you mean on?"),
    Bad(READY, "plan --mode x", 2, "unknown mode 'x'", "known: on, off, devtools, ppcie"),
    Bad(READY, "plan", 2, "no mode is asked for", "--mode on|off|devtools|ppcie"),
    Bad(READY, f"plan --mode on --gpu {base.NIC}", 2, f"{base.NIC} is no GPU", f"GPUs here: {GPU}"),
    Bad(
        HGX,
        "plan --mode on --gpu c6:00.0",
        2,
        "0000:c6:00.0 is an NVSwitch",
        "GPUs here: 0000:23:00.0",
    ),
    Bad(HGX, "plan --mode ppcie --gpu 23:00.0", 2, "does not go with ppcie", "all switches"),
    Bad(READY, f"plan --recover {base.NIC}", 2, "is no GPU or NVSwitch here", "`nodeagent gpus`"),
    Bad(READY, f"plan --recover {GPU} --gpu {GPU}", 2, "--recover goes alone", "device is back"),
    Bad(READY, f"plan --recover {GPU} --force", 2, "--recover goes alone", "device is back"),
    Bad(READY, "apply --mode on", 2, "nobody is there to say yes", "add --yes"),
    Bad(READY, "apply --mode on --yes", 2, "a capture cannot be changed", "plan` takes one"),
    Bad(READY, "plan --mode on --ask-firmware", 2, "a capture answers no questions", "leave out"),
    Bad(READY, "gpus --ask-firmware", 2, "a capture answers no questions", "leave out"),
    Bad(READY, "gpus --every 3", 2, "--every is of --watch", "give both"),
    Bad(B200, "plan --mode ppcie", 3, "a mode of Hopper GPUs with NVSwitches alone", "ask for on"),
    Bad(READY, "plan --mode ppcie", 3, "0 are here", "without NVSwitches ask for on"),
    Bad(READY, "plan --mode on --gpus-per-vm 2", 3, "several Hopper GPUs in one", "ask for ppcie"),
    Bad("genoa-gpu-held", "plan --mode on", 3, "is in use by qemu-system-x86 (pid 4242", "stop"),
    Bad("genoa-gpu-gone", "plan --mode off", 3, "will not change 0000:41:00.0", "explain GPU_GONE"),
    Bad("genoa-iommu-pt", "plan --mode on", 3, "cannot start a confidential VM", "or --force"),
)


def demand_two_lines(bad: Bad, host: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*bad.words.split(), "--capture", host) == bad.code

    captured = capsys.readouterr()
    first, second = captured.err.strip().split("\n")
    assert first.startswith("nodeagent: ")
    assert bad.said in first
    assert second.startswith("  try: ")
    assert bad.hint in second
    assert captured.out == ""


@pytest.mark.parametrize("bad", BAD_INPUT, ids=lambda bad: f"{bad.host}: {bad.words}")
def test_bad_input_is_one_clear_line_and_a_way_out(
    bad: Bad, capsys: pytest.CaptureFixture[str]
) -> None:
    demand_two_lines(bad, HOSTS / bad.host, capsys)


def test_a_switch_that_is_not_there_keeps_the_board_out_of_protected_pcie(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draft = recipes.draft(HGX)
    pci.unbind(draft, hgx.LAST_SWITCH)
    pci.unplug(draft, hgx.LAST_SWITCH)
    bad = Bad(HGX, "plan --mode ppcie", 3, "all 4 NVSwitches of the board; 3 are here", "missing")

    demand_two_lines(bad, drafted(draft, tmp_path / "host"), capsys)


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("gh200", "0000:41:00.0 (GH200) is tied to a Grace CPU: no mode but off"),
        ("genoa-l40s", "will not change 0000:41:00.0: device id 0x26b9 is no part"),
        ("genoa-no-gpu", "there is no NVIDIA GPU on this host"),
    ],
)
def test_where_there_is_no_way_out_none_is_made_up(
    host: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("plan", "--mode", "on", "--capture", HOSTS / host) == 3

    [line] = capsys.readouterr().err.strip().split("\n")
    assert line.startswith(f"nodeagent: {said}")


def test_where_no_gpu_has_modes_off_is_done_already(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plan", "--mode", "off", "--capture", HOSTS / "genoa-l40s") == 0

    said = capsys.readouterr().out
    assert said.startswith("nothing to do: no device here has modes\n  note: 0000:41:00.0: ")


@pytest.mark.parametrize("more", [("-o", "json"), ("-v",)])
def test_watching_shows_the_table_alone(
    more: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("gpus", "--watch", *more) == 2
    assert "--watch shows the table and its changes" in capsys.readouterr().err


@pytest.mark.parametrize("host", ["intel", "genoa-iommu-pt"])
def test_no_host_without_snp_gets_a_confidential_mode(
    host: str, hosts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ("--capture", hosts / host)
    assert run("plan", "--mode", "devtools", *place) == 3
    assert "cannot start a confidential VM" in capsys.readouterr().err

    assert run("plan", "--mode", "off", *place) == 0
    assert run("plan", "--mode", "devtools", "--profile", "gpu", *place) == 0
