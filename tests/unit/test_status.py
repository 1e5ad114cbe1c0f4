"""`status`, `history`, and `check` beside an agent, from the files that an agent left."""

import json
import os
from pathlib import Path

import pytest

from nodeagent import diary
from nodeagent.model.status import (
    Agent,
    Api,
    Asked,
    Authority,
    Blocked,
    Entry,
    Status,
    Switching,
    Verdict,
)
from tests.unit.command import run

AT = "2026-11-24T12:00:00Z"
BY = "kubectl-label (nvidia.com/cc.mode=on)"
SWITCHING = Status(
    node="gpu-1",
    profile="snp-gpu",
    wanted=Asked("on", BY),
    verdict=Verdict("False", "Switching", "switching from off to on: 5 resetting, 3 done", AT),
    switch=Switching("off", "on", BY, AT, "switching from off to on: 5 resetting", 3, 8),
    blocked=Blocked("in use by pod tenants/a (nvidia.com/pgpu)", AT),
    api=Api(False, AT, "cannot reach the API server https://10.0.0.1:6443: Connection refused"),
    authority=Authority(True, "this agent"),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of an agent that runs: this process stands for it."""
    diary.write_status(str(tmp_path), SWITCHING._replace(agent=diary.here()))
    return tmp_path


def test_status_says_what_is_done_who_blocks_it_and_since_when(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("status", "--run-dir", folder) == 0

    out = capsys.readouterr().out
    words = " ".join(out.split())
    assert "running on node gpu-1" in words
    assert "NOT READY for snp-gpu since 2026-11-24T12:00:00Z, Switching" in words
    assert f"on, as asked by {BY}" in words
    assert "from off to on, under way since 2026-11-24T12:00:00Z" in words
    assert "3 of 8 devices done" in words
    assert "by in use by" not in words
    assert "blocked in use by pod tenants/a (nvidia.com/pgpu), since 2026-11-24T12:00:00Z" in words
    assert "away since 2026-11-24T12:00:00Z: cannot reach the API server" in words
    assert "authority this agent" in words
    assert max(map(len, out.splitlines())) <= 80


def test_json_and_yaml_have_every_field(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("status", "--run-dir", folder, "-o", "json")
    told = json.loads(capsys.readouterr().out)

    assert told["running"] is True
    assert told["switch"]["from"] == "off"
    assert (told["switch"]["done"], told["switch"]["of"]) == (3, 8)
    assert told["blocked"] == {"by": "in use by pod tenants/a (nvidia.com/pgpu)", "since": AT}
    assert told["wanted"] == {"mode": "on", "by": BY}


def test_an_agent_that_died_is_said_to_be_gone(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = diary.here()._replace(started=1)
    diary.write_status(str(folder), SWITCHING._replace(agent=gone))

    assert run("status", "--run-dir", folder) == 3
    assert "runs no more on node gpu-1" in capsys.readouterr().out


def test_without_an_agent_it_says_where_it_looked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("status", "--root", tmp_path) == 3
    assert f"no agent has told anything in {tmp_path}/run/nodeagent" in capsys.readouterr().err
    assert run("history", "--root", tmp_path) == 3
    assert f"{tmp_path}/var/lib/nodeagent" in capsys.readouterr().err


def test_a_capture_has_no_agent(hosts: Path) -> None:
    assert run("status", "--capture", hosts / "genoa-ready") == 2
    assert run("history", "--capture", hosts / "genoa-ready") == 2


def test_history_is_a_log_of_transitions_with_their_cause(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = [
        Entry(AT, "condition", "True AllChecksPassed", "False Switching", cause="x " * 190),
        Entry(AT, "switch", "off", "on", BY, result="started"),
        Entry(AT, "switch", "off", "on", BY, 42, "failed", "0000:41:00.0: no answer"),
        Entry(AT, "drift", cause="0000:41:00.0: driver nvidia (was vfio-pci)"),
        Entry(AT, "api", "reachable", "away", cause="cannot reach the API server"),
    ]
    kept = tmp_path / "var/lib/nodeagent"
    kept.mkdir(parents=True)
    diary.write_history(str(kept), entries)

    assert run("history", "--root", tmp_path) == 0

    out = capsys.readouterr().out
    words = " ".join(out.split())
    assert f"switch started from off to on, as asked by {BY}" in words
    assert "failed in 42 s from off to on" in words
    assert "api from reachable to away: cannot reach the API server" in words
    assert max(map(len, out.splitlines())) <= 80
    assert run("history", "--root", tmp_path, "-o", "json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["entries"][2]["seconds"] == 42
    assert told["unread"] == 0


def test_the_folder_of_the_history_is_a_setting(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "srv/here").mkdir(parents=True)
    diary.write_history(str(tmp_path / "srv/here"), [Entry(AT, "drift", cause="moved")])
    config = tmp_path / "config.yaml"
    config.write_text("state_folder: /srv/here\n")

    assert run("history", "--root", tmp_path, "--config", config) == 0
    assert "moved" in capsys.readouterr().out


# Check, beside an agent.


def beside(root: Path, process: Agent) -> None:
    folder = root / "run/nodeagent"
    folder.mkdir(parents=True, exist_ok=True)
    diary.write_status(str(folder), SWITCHING._replace(agent=process))


def wanted(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[object, object]:
    capsys.readouterr()
    run("check", "--no-wake", *words, "-o", "json")
    told = json.loads(capsys.readouterr().out)
    return told["wanted_mode"], told.get("wanted_by")


def test_check_goes_by_the_mode_of_the_agent_that_runs_here(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert wanted(capsys, "--root", tmp_path) == (None, None)
    beside(tmp_path, diary.here())
    assert wanted(capsys, "--root", tmp_path) == ("on", BY)

    run("check", "--no-wake", "--root", tmp_path)
    out = capsys.readouterr().out
    assert "in mode on" in out.splitlines()[0]
    assert f"the agent here is asked for that mode by {BY}" in " ".join(out.split())


def test_what_was_given_wins_over_the_agent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    beside(tmp_path, diary.here())
    config = tmp_path / "config.yaml"
    config.write_text("mode: ppcie\n")
    assert wanted(capsys, "--root", tmp_path, "--mode", "ppcie") == ("ppcie", None)
    assert wanted(capsys, "--root", tmp_path, "--config", config) == ("ppcie", None)


def test_an_agent_that_died_asks_for_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    beside(tmp_path, diary.here()._replace(started=1))
    assert wanted(capsys, "--root", tmp_path) == (None, None)


@pytest.mark.parametrize("damage", [b"", b"\xff", b'{"version":1,"wanted":{"mode":"loud"}}'])
def test_a_damaged_status_is_nothing_to_go_by(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: bytes
) -> None:
    beside(tmp_path, diary.here())
    (tmp_path / "run/nodeagent" / diary.STATUS).write_bytes(damage)
    assert wanted(capsys, "--root", tmp_path) == (None, None)


def test_a_capture_is_judged_by_itself(hosts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert os.path.isabs(hosts)
    assert wanted(capsys, "--capture", hosts / "genoa-ready") == (None, None)
