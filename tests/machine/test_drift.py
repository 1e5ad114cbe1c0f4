"""Drift is noticed: by the kernel's own events on this machine, and by looking at a served one."""

import errno
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeagent.agent.bell import Bell, Rang
from nodeagent.agent.uevents import Ear, listening
from tests.machine.simulated import Node, served

pytestmark = pytest.mark.timeout(120)

GPU = "0000:23:00.0"
DEVICES = Path("/sys/bus/pci/devices")


@pytest.fixture
def ear() -> Iterator[Ear]:
    with listening(live=True) as ear:
        assert ear.fileno() is not None
        yield ear


def _ask_for_an_event() -> None:
    """The kernel sends one when asked to; nothing about the device changes."""
    [first, *_] = sorted(DEVICES.iterdir())
    (first / "uevent").write_text("change")


def test_an_event_of_the_kernel_ends_the_wait_at_once(ear: Ear) -> None:
    threading.Timer(0.2, _ask_for_an_event).start()
    began = time.monotonic()

    assert ear.wait(60) is True
    assert time.monotonic() - began < 30


def test_silence_lasts_as_long_as_it_was_asked_for(ear: Ear) -> None:
    ear.drain()

    assert ear.wait(0.05) is False


def test_the_loop_looks_when_the_kernel_speaks(ear: Ear) -> None:
    with Bell(ear) as bell:
        threading.Timer(0.2, _ask_for_an_event).start()

        assert bell.wait(60) is Rang.LOOK
        assert bell.wait(0.01) is Rang.TIME
        os.kill(os.getpid(), signal.SIGTERM)
        assert bell.wait(60) is Rang.STOP


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with served(tmp_path / "hgx") as node:
        yield node


def test_watching_tells_what_somebody_else_changed(node: Node) -> None:
    with node.start("gpus", "--watch", "--every", "0.5") as watch:
        assert watch.stdout
        head = [watch.stdout.readline() for _ in range(13)]
        node.machine.write(GPU, f"/sys/bus/pci/devices/{GPU}/driver/unbind", GPU)
        unbound = watch.stdout.readline()
        node.machine.set_fault(GPU, "lost", value=True)
        lost = watch.stdout.readline()
        watch.send_signal(signal.SIGINT)
        watch.communicate(timeout=60)

    assert head[0].startswith("DEVICE")
    assert re.match(rf"\d\d:\d\d:\d\d  {GPU}: .*driver none \(was vfio-pci\)", unbound)
    assert f"{GPU}: " in lost
    assert watch.returncode == 0


def test_a_storm_that_the_kernel_lost_is_one_that_happened() -> None:
    """ENOBUFS: more events than the socket holds, and the agent must not end of it."""

    class Flooded:
        def fileno(self) -> int:
            return 0

        def poll(self, timeout: float) -> None:
            raise OSError(errno.ENOBUFS, f"No buffer space available within {timeout}")

    assert Ear(Flooded()).drain() is True
