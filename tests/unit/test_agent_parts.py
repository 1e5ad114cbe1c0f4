"""The agent's small parts: memory, pulse, bell, notifier, logs."""

import contextlib
import io
import json
import logging
import os
import signal
import socket
from pathlib import Path

import pytest

from nodeagent.agent import health, logs
from nodeagent.agent.bell import Bell, Rang
from nodeagent.agent.health import Pulse
from nodeagent.agent.logs import LogFormat, chain
from nodeagent.agent.memory import FILE, Memory, remember
from nodeagent.agent.notify import Notifier
from nodeagent.errors import ClusterError, UsageError
from nodeagent.model.pci import Sighting
from nodeagent.model.words import CcMode
from tests.unit.test_publish import Clock

A, B = "0000:41:00.0", "0000:42:00.0"
NOON = "2026-11-24T12:00:00Z"


def test_a_held_gpu_keeps_the_time_at_which_it_was_last_seen_itself() -> None:
    """Its mode counts as proven, but by memory."""
    before = {A: Sighting(CcMode.ON, NOON)}
    assert remember(before, {A: CcMode.ON}, {A}, "2026-11-24T13:00:00Z") == before


def test_sightings_survive_a_restart_but_no_boot(tmp_path: Path) -> None:
    first = Memory(str(tmp_path), "b1", Clock())
    first.note({A: CcMode.ON}, ())

    assert Memory(str(tmp_path), "b1").sightings == {A: Sighting(CcMode.ON, NOON)}
    assert Memory(str(tmp_path), "b2").sightings == {}


def test_the_file_is_written_only_when_it_says_something_new(tmp_path: Path) -> None:
    clock = Clock()
    memory = Memory(str(tmp_path), "b1", clock)
    memory.note({A: CcMode.ON, B: CcMode.ON}, ())
    first = (tmp_path / FILE).stat().st_ino

    clock.at = clock.at.replace(hour=13)
    memory.note({A: CcMode.ON, B: CcMode.ON}, ())
    assert (tmp_path / FILE).stat().st_ino == first

    memory.note({A: CcMode.ON}, (B,))
    kept = json.loads((tmp_path / FILE).read_text())
    assert kept["gpus"][B] == {"mode": "on", "at": "2026-11-24T13:00:00Z"}
    assert os.listdir(tmp_path) == [FILE]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"version": 2, "boot_id": "b1", "gpus": {}}',
        '{"version": 1, "boot_id": "b1", "gpus": []}',
        '{"version": 1, "boot_id": "b1", "gpus": {"x": {"mode": ["on"], "at": "t"}}}',
        '{"version": 1, "boot_id": "b1", "gpus": {"x": {"mode": "on", "at": 1}}}',
        '{"version": 1, "boot_id": "b1", "gpus": {"x": "on"}}',
        "[" * 50_000,
    ],
)
def test_a_file_that_is_not_ours_says_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    assert Memory(str(tmp_path), "b1").sightings == {}


def test_without_a_folder_nothing_is_lost_but_the_memory(tmp_path: Path) -> None:
    memory = Memory(str(tmp_path / "none"), "b1", Clock())
    memory.note({A: CcMode.ON}, ())
    assert memory.modes == {A: CcMode.ON}


class Seconds:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_loop_that_stands_still_is_dead_and_a_long_cycle_is_not() -> None:
    clock = Seconds()
    pulse = Pulse(10, clock)

    def alive_after(seconds: float) -> bool:
        clock.now += seconds
        return pulse.is_alive

    assert [alive_after(30), alive_after(1)] == [True, False]
    with pulse.working():
        assert [alive_after(100), alive_after(100)] == [True, False]
    assert alive_after(0)


@pytest.mark.parametrize("address", ["8081", "host:", ":x", "127.0.0.1:70000", "127.0.0.1"])
def test_an_address_of_another_shape_is_the_users_error(address: str) -> None:
    with pytest.raises(UsageError, match="HOST:PORT"), health.serving(address, Pulse(1)):
        pass


@pytest.mark.parametrize(
    ("number", "rang"),
    [(signal.SIGTERM, Rang.STOP), (signal.SIGINT, Rang.STOP), (signal.SIGHUP, Rang.LOOK)],
)
def test_a_signal_ends_the_wait(number: signal.Signals, rang: Rang) -> None:
    before = signal.getsignal(signal.SIGHUP)  # a nohup above us ignores it
    with Bell() as bell:
        signal.raise_signal(number)
        assert bell.wait(30) is rang
        assert bell.stopped is (rang is Rang.STOP)
        if rang is Rang.LOOK:
            assert bell.wait(0) is Rang.TIME
    assert signal.getsignal(signal.SIGHUP) is before


def test_a_signal_that_came_before_the_wait_is_not_lost() -> None:
    with Bell() as bell:
        signal.raise_signal(signal.SIGTERM)
        bell.wait(0)
        assert bell.wait(30) is Rang.STOP


@pytest.mark.parametrize("abstract", [False, True])
def test_the_service_manager_hears_what_changed(tmp_path: Path, *, abstract: bool) -> None:
    told = f"@nodeagent-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(told.replace("@", "\0") if abstract else told)
        manager.settimeout(5)
        notifier = Notifier({"NOTIFY_SOCKET": told, "WATCHDOG_USEC": "3000000"}, os.getpid())

        notifier.ready()
        notifier.status("ready")
        notifier.status("ready")
        notifier.alive()

        heard = [manager.recv(100).decode() for _ in range(3)]
    assert heard == ["READY=1", "STATUS=ready", "WATCHDOG=1"]
    assert notifier.interval_s == 1.5


@pytest.mark.parametrize(
    "environment",
    [{}, {"WATCHDOG_USEC": "1000000"}, {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_PID": "1"}],
)
def test_without_a_service_manager_nothing_is_said(environment: dict[str, str]) -> None:
    notifier = Notifier(environment | {"WATCHDOG_USEC": "1000000"}, os.getpid())
    notifier.ready()
    notifier.alive()
    assert notifier.interval_s is None


def test_a_service_manager_that_does_not_listen_holds_nobody_up(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.setblocking(False)
        notifier = Notifier({"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "1000000"}, os.getpid())
        for _ in range(1000):
            notifier.alive()
        notifier.ready()
        with contextlib.suppress(BlockingIOError):
            while True:
                assert manager.recv(100) == b"WATCHDOG=1"

        notifier.ready()

        assert manager.recv(100) == b"READY=1"


def test_an_error_is_told_with_its_causes_and_the_way_out() -> None:
    error = ClusterError("cannot reach it", hint="look at the cable")
    error.__cause__ = OSError(111, "Connection refused")
    assert (
        chain(error) == "cannot reach it: [Errno 111] Connection refused (try: look at the cable)"
    )


def test_json_lines_are_json(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    root = logging.getLogger()
    before = root.handlers[:], root.level
    try:
        logs.start(LogFormat.JSON)
        logging.getLogger("nodeagent.test").info("a %s", "line\nwith a break")
        logging.getLogger("urllib3").debug("headers")
    finally:
        root.handlers[:], level = before
        root.setLevel(level)
    [line] = stream.getvalue().splitlines()
    assert json.loads(line)["message"] == "a line\nwith a break"
