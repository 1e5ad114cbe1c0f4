"""What the agent keeps on its node: `status` and `history` go by nothing else."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from nodeagent import diary
from nodeagent.agent.cycle import CC_MODE
from nodeagent.agent.duty import Next
from nodeagent.agent.journal import NOBODY, US, Journal
from nodeagent.errors import HostError
from nodeagent.kube.failures import UnreachableError
from nodeagent.labels import Condition
from nodeagent.labels import Status as Said
from nodeagent.locks import started
from nodeagent.model.cluster import Note, Queue, Standing, Wait
from nodeagent.model.status import Agent, Asked, Entry, Status, Switching
from nodeagent.model.status import document as document_of
from nodeagent.model.words import CcMode, Verdict
from nodeagent.publish.apiserver import ApiServer
from tests.unit.command import run
from tests.unit.test_agent_cycle import Away, Host, Time, agent
from tests.unit.test_publish import START, Clock

GOOD = Condition(Said.TRUE, "AllChecksPassed", "every check passes")
BAD = Condition(Said.FALSE, "GpuModeOff", "0000:41:00.0 runs with CC off")
NOTE = Note(CcMode.ON, "off", "2026-11-24T12:00:00Z", asked_by="kubectl-label (x=on)")


def journal(folder: Path, kept: Path | None = None, clock: Clock | None = None) -> Journal:
    status = Status("gpu-1", "snp-gpu", diary.here())
    return Journal(str(folder), str(kept) if kept else None, status, clock or Clock())


def told(folder: Path) -> Status:
    found = diary.read_status(str(folder))
    assert found is not None
    return found.status


def history(*folders: Path) -> list[Entry]:
    found = diary.read_history(map(str, folders))
    assert found is not None
    return found[0]


def test_an_idle_agent_writes_nothing_and_gives_signs_of_life(tmp_path: Path) -> None:
    kept = journal(tmp_path)
    kept.looked(GOOD, Asked())
    kept.flush()
    file = tmp_path / diary.STATUS
    first = file.stat().st_ino
    os.utime(file, (0, 0))

    kept.looked(GOOD, Asked())
    kept.flush()

    assert file.stat().st_ino == first
    assert file.stat().st_mtime > 0
    assert sorted(os.listdir(tmp_path)) == [diary.HISTORY, diary.STATUS]


def test_the_condition_is_since_it_changed_and_each_change_is_kept(tmp_path: Path) -> None:
    clock = Clock(START)
    kept = journal(tmp_path, clock=clock)
    kept.looked(GOOD, Asked())
    kept.flush()
    since = told(tmp_path).verdict.since
    clock.at = clock.at.replace(hour=20)
    kept.looked(GOOD, Asked())
    kept.flush()
    assert told(tmp_path).verdict.since == since

    kept.looked(BAD, Asked())
    kept.flush()

    assert told(tmp_path).verdict.since == "2026-11-24T20:00:00Z"
    [first, second] = history(tmp_path)
    assert (first.was, first.now) == ("", "True AllChecksPassed")
    assert (second.was, second.now) == ("True AllChecksPassed", "False GpuModeOff")
    assert second.cause == BAD.message


def test_a_restart_of_the_agent_is_no_transition(tmp_path: Path) -> None:
    clock = Clock(START)
    first = journal(tmp_path, clock=clock)
    first.looked(BAD, Asked())
    first.heard("cannot reach the API server")
    first.flush()
    before = told(tmp_path)

    clock.at = clock.at.replace(hour=20)
    second = journal(tmp_path, clock=clock)
    second.looked(BAD, Asked())
    second.heard("cannot reach the API server")
    second.flush()

    assert told(tmp_path).verdict == before.verdict
    assert told(tmp_path).api == before.api
    assert len(history(tmp_path)) == 2


def test_a_reboot_keeps_the_history_and_knows_what_was_before(tmp_path: Path) -> None:
    run_folder, kept = tmp_path / "run", tmp_path / "lib"
    first = journal(run_folder, kept)
    first.looked(BAD, Asked())
    first.flush()
    (run_folder / diary.STATUS).unlink()

    second = journal(run_folder, kept)
    second.looked(GOOD, Asked())
    second.flush()

    assert [each.was for each in history(kept)] == ["", "False GpuModeOff"]
    assert not (run_folder / diary.HISTORY).exists()


def test_a_hundred_transitions_are_kept_and_the_newest_are(tmp_path: Path) -> None:
    kept = journal(tmp_path)
    for number in range(250):
        kept.drifted(f"drift {number}")
        kept.flush()

    entries = history(tmp_path)
    assert [each.cause for each in entries] == [f"drift {number}" for number in range(150, 250)]
    assert len((tmp_path / diary.HISTORY).read_text().splitlines()) == diary.MOST


def test_where_nothing_must_be_kept_the_history_is_beside_the_status(tmp_path: Path) -> None:
    (tmp_path / "lib").write_text("a file is in the way")
    kept = journal(tmp_path / "run", tmp_path / "lib")
    kept.looked(BAD, Asked())
    kept.flush()

    assert len(history(tmp_path / "lib", tmp_path / "run")) == 1


def test_of_two_folders_the_newest_hundred_are_told_in_their_order(tmp_path: Path) -> None:
    """Where /var/lib could be written for a while alone."""
    for name, hour in (("lib", 12), ("run", 13)):
        (tmp_path / name).mkdir()
        entries = [Entry(f"2026-11-24T{hour}:{n:02}:00Z", "drift", cause=name) for n in range(60)]
        diary.write_history(str(tmp_path / name), entries)

    found = history(tmp_path / "run", tmp_path / "lib")
    assert len(found) == diary.MOST
    assert [each.cause for each in found] == ["lib"] * 40 + ["run"] * 60


def test_where_nothing_can_be_written_nothing_is_said(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    kept = journal(tmp_path / "run", tmp_path / "run")
    kept.looked(BAD, Asked())
    kept.flush()
    kept.flush()

    Journal(None).flush()


def test_of_two_agents_the_one_that_was_there_tells(tmp_path: Path) -> None:
    theirs = diary.here()._replace(pid=os.getppid())
    theirs = theirs._replace(started=_started(theirs.pid))
    other = Journal(str(tmp_path), None, Status("theirs", "snp", theirs), Clock())
    other.flush()

    ours = journal(tmp_path)
    ours.looked(BAD, Asked())
    ours.flush()
    assert told(tmp_path).node == "theirs"
    assert not (tmp_path / diary.HISTORY).exists()

    diary.write_status(str(tmp_path), Status("theirs", "snp", theirs._replace(started=1)))
    ours.flush()
    assert told(tmp_path).node == "gpu-1"


def _started(pid: int) -> int:
    return started(pid) or 0


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b'{"version":2}']
)
def test_a_damaged_status_is_said_and_written_anew(tmp_path: Path, damage: bytes) -> None:
    kept = journal(tmp_path)
    kept.looked(BAD, Asked())
    kept.flush()
    (tmp_path / diary.STATUS).write_bytes(damage)
    with pytest.raises(HostError, match="is not as this program writes it"):
        diary.read_status(str(tmp_path))
    assert run("status", "--run-dir", tmp_path) == 3

    kept.flush()

    assert told(tmp_path).verdict.reason == "GpuModeOff"
    journal(tmp_path)


def test_no_shape_of_a_status_is_a_traceback(tmp_path: Path) -> None:
    whole = Status(switch=Switching())
    kinds: list[object] = [None, 1, -1, 1e999, True, "\ud800\x1b[2J" * 900, [], {}, [{}], 1 << 70]
    for key in document_of(whole):
        for value in (*kinds, *({each: kind} for kind in kinds for each in ("pid", "from", "by"))):
            document = {**document_of(whole), key: value, "version": 1}
            (tmp_path / diary.STATUS).write_text(json.dumps(document))
            for output in ("table", "json", "yaml"):
                assert run("status", "--run-dir", tmp_path, "-o", output) == 3


def test_a_damaged_line_of_the_history_costs_that_line_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = journal(tmp_path)
    kept.drifted("0000:41:00.0: driver nvidia, was vfio-pci")
    kept.flush()
    file = tmp_path / diary.HISTORY
    file.write_bytes(b"\xff\n[[[\n" + file.read_bytes() + b'{"at": 5}\n' + b'{"at": "x", "wh')

    run("history", "--run-dir", tmp_path, "--root", tmp_path)

    out = capsys.readouterr().out
    assert "driver nvidia, was vfio-pci" in out
    assert "4 lines of the file could not be read" in out


@pytest.mark.parametrize("name", [diary.STATUS, diary.HISTORY])
def test_what_is_no_file_is_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    words = ("status",) if name == diary.STATUS else ("history", "--root", tmp_path)
    assert run(*words, "--run-dir", tmp_path) == 3


def test_no_link_is_followed_out_of_the_folder(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    theirs = json.dumps(document_of(Status("theirs")))
    elsewhere.write_text(theirs)
    (tmp_path / "run").mkdir()
    for name in (diary.STATUS, diary.HISTORY, f".{diary.STATUS}.part", f".{diary.HISTORY}.part"):
        (tmp_path / "run" / name).symlink_to(elsewhere)
    with pytest.raises(HostError):
        diary.read_status(str(tmp_path / "run"))

    kept = journal(tmp_path / "run")
    kept.looked(BAD, Asked())
    kept.flush()

    assert elsewhere.read_text() == theirs


@pytest.mark.parametrize(
    ("change", "age_s", "alive"),
    [
        ({}, 9999.0, True),
        ({"started": 1}, 0.0, False),
        ({"pid": 1 << 30}, 0.0, False),
        ({"boot_id": "another"}, 0.0, False),
        ({"namespace": "pid:[1]", "pid": 1}, 150.0, True),
        ({"namespace": "pid:[1]", "pid": 1}, 200.0, False),
    ],
)
def test_an_agent_lives_by_its_process_and_in_a_pod_by_its_heartbeat(
    change: dict[str, object], age_s: float, alive: bool
) -> None:
    process = Agent(**{**diary.here()._asdict(), **change})
    assert diary.is_alive(process, age_s) is alive


# A switch.


def test_a_switch_is_told_step_by_step_and_remembered(tmp_path: Path) -> None:
    clock = Clock(START)
    kept = journal(tmp_path, clock=clock)
    kept.stands(US, None, is_due=False)
    kept.began(NOTE)
    kept.waits("in use by pod a/b (nvidia.com/pgpu)")
    blocked = told(tmp_path).blocked
    assert blocked is not None
    assert blocked.by == "in use by pod a/b (nvidia.com/pgpu)"

    kept.changes(NOTE, 8)
    kept.steps("switching from off to on: 5 resetting, 3 done", 3)
    switch = told(tmp_path).switch
    assert switch is not None
    assert (switch.done, switch.of, switch.by) == (3, 8, NOTE.asked_by)
    assert switch.step == "switching from off to on: 5 resetting, 3 done"
    assert told(tmp_path).blocked is None

    kept.ended(NOTE, "done", 42)
    assert told(tmp_path).switch is None
    results = [(each.result, each.was, each.now, each.seconds) for each in history(tmp_path)]
    assert results == [
        ("started", "off", "on", None),
        ("waiting", "", "", None),
        ("done", "off", "on", 42),
    ]


def test_a_switch_that_goes_on_after_a_restart_counts_what_was_done(tmp_path: Path) -> None:
    first = journal(tmp_path)
    first.changes(NOTE, 8)
    first.steps("switching from off to on: 5 done", 5)

    second = journal(tmp_path)
    second.changes(NOTE, 3)
    second.steps("switching from off to on: 1 done", 1)

    switch = told(tmp_path).switch
    assert switch is not None
    assert (switch.done, switch.of) == (6, 8)


# As the agent does it.


def test_an_agent_tells_its_api_away_and_back(tmp_path: Path) -> None:
    store, host, time = Away(), Host(), Time()
    cycle = agent(store, host, time, journal=journal(tmp_path))
    cycle()
    assert told(tmp_path).api.reachable is True

    store.error = UnreachableError("cannot reach the API server https://x")
    host.verdict = Verdict.FAIL
    cycle()
    status = told(tmp_path)
    assert status.api.reachable is False
    assert status.api.error == "cannot reach the API server https://x"
    assert status.verdict.status == "False"

    store.error = None
    time.now += 10_000
    cycle()
    assert told(tmp_path).api.reachable is True
    words = [(each.was, each.now) for each in history(tmp_path) if each.what == "api"]
    assert words == [("reachable", "away"), ("away", "reachable")]


def test_the_wanted_mode_and_who_asked_are_told_while_the_api_is_away(tmp_path: Path) -> None:
    store, host, time = Away(), Host(), Time()
    store.labels = {CC_MODE: "on"}
    cycle = agent(store, host, time, journal=journal(tmp_path))
    cycle()
    store.error = UnreachableError("cannot reach the API server https://x")
    cycle()

    assert told(tmp_path).wanted == Asked("on", f"somebody ({CC_MODE}=on)")
    assert told(tmp_path).authority == NOBODY


def test_drift_is_remembered(tmp_path: Path) -> None:
    store, host, time = Away(), Host(), Time()
    cycle = agent(store, host, time, journal=journal(tmp_path))
    host.watched = {"0000:41:00.0": {"driver": "vfio-pci"}}
    cycle()
    host.watched = {"0000:41:00.0": {"driver": "nvidia"}}
    cycle()

    [drift] = [each for each in history(tmp_path) if each.what == "drift"]
    assert "nvidia" in drift.cause


def test_a_server_is_never_called_away_where_none_is_asked(tmp_path: Path) -> None:
    kept = journal(tmp_path)
    kept.heard("", is_asked=False)
    kept.flush()
    assert told(tmp_path).api.reachable is None
    assert ApiServer(Away()).asks


# What comes next, and who stands in its way.


def standing(**more: Any) -> Standing:  # noqa: ANN401
    plain: dict[str, Any] = {
        "want": CcMode.ON,
        "unsettled": ("a", "b", "c"),
        "refused": "",
        "holders": (),
        "deploy": {},
        "pods": {},
        "allocatable": {},
        "is_unschedulable": False,
        "is_cordoned_by_us": False,
        "note": None,
    }
    return Standing(**{**plain, **more})


@pytest.mark.parametrize(
    ("step", "more", "blocked", "is_under_way"),
    [
        (Wait("in use by qemu (pid 1)", is_blocked=True), {}, "in use by qemu (pid 1)", True),
        (Wait("until pod x is gone"), {"note": NOTE}, "", True),
        (Queue(CcMode.ON, "gpu-2 has nodeagent-slot-0"), {}, "gpu-2 has nodeagent-slot-0", True),
        (Queue(CcMode.ON), {}, "", True),
        (
            None,
            {"refused": "a driver upgrade is under way"},
            "a driver upgrade is under way",
            False,
        ),
        (None, {"refused": "a driver upgrade is under way", "unsettled": ()}, "", False),
        (None, {"unsettled": ()}, "", False),
    ],
)
def test_who_stands_in_the_way_is_told(
    step: Wait | Queue | None,
    more: dict[str, object],
    blocked: str,
    is_under_way: bool,
    tmp_path: Path,
) -> None:
    kept = journal(tmp_path)
    kept.stands(US, Next(step, standing(**more), NOTE), is_due=True)
    kept.flush()

    found = told(tmp_path)
    assert (found.blocked.by if found.blocked else "") == blocked
    assert (found.switch is not None) is is_under_way


def test_a_switch_that_waits_for_the_api_says_so(tmp_path: Path) -> None:
    clock = Clock(START)
    kept = journal(tmp_path, clock=clock)
    kept.heard("cannot reach the API server")
    kept.stands(US, None, is_due=True)
    kept.flush()
    blocked = told(tmp_path).blocked
    assert blocked is not None
    assert "the API server" in blocked.by

    clock.at = clock.at.replace(hour=20)
    kept.stands(US, None, is_due=True)
    kept.flush()
    assert told(tmp_path).blocked == blocked, "since it began"

    kept.heard("")
    kept.stands(US, Next(None, standing(unsettled=()), None), is_due=False)
    kept.flush()
    assert told(tmp_path).blocked is None


def test_a_short_word_of_many_waits_is_one_transition(tmp_path: Path) -> None:
    """A fleet's queue names another holder every few seconds, for hours."""
    kept = journal(tmp_path)
    for number in range(50):
        wait = Queue(CcMode.ON, f"gpu-{number} has nodeagent-slot-0")
        kept.stands(US, Next(wait, standing(), NOTE), is_due=True)
        kept.flush()

    assert len(history(tmp_path)) == 1
    blocked = told(tmp_path).blocked
    assert blocked is not None
    assert "gpu-49" in blocked.by
