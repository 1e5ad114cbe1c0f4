"""Writes by processes of their own: what they may do, and what happens when one is stuck."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from nodeagent import locks
from nodeagent.errors import StuckWriteError
from nodeagent.host.changing import ChangingMachine
from nodeagent.host.hands import Hand
from nodeagent.locks import BusyError
from tests.real.wait import eventually

BDF, OTHER = "0000:41:00.0", "0000:42:00.0"
DEVICES = "sys/bus/pci/devices"


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[int]:
    with locks.taken(tmp_path / "run", [BDF], command="apply") as taken:
        yield taken[BDF]


@pytest.fixture
def full() -> Iterator[tuple[int, int]]:
    """A pipe that takes no more: a write to it waits until somebody reads."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.write(writer, b"x" * 4096)
    yield reader, writer
    for each in (reader, writer):
        os.close(each)


def test_a_write_is_done_and_its_error_comes_back(lock: int, tmp_path: Path) -> None:
    attribute = tmp_path / "reset"
    attribute.write_text("")
    hand = Hand(lock)

    descriptor = os.open(attribute, os.O_WRONLY)
    hand.write(descriptor, "reset", "1", 10.0)
    os.close(descriptor)
    closed = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(OSError, match="No space left on device"):
        hand.write(closed, "full", "1", 10.0)
    os.close(closed)
    hand.close()

    assert attribute.read_text() == "1"
    assert locks.started(hand.pid) is None


def test_a_write_that_does_not_return_holds_nobody_up_and_keeps_the_lock(
    full: tuple[int, int], tmp_path: Path
) -> None:
    reader, writer = full
    folder = tmp_path / "run"
    with locks.taken(folder, [BDF], command="apply") as taken:
        hand = Hand(taken[BDF])
        locks.note_writer(taken[BDF], hand.pid)
        began = time.monotonic()
        with pytest.raises(StuckWriteError, match=r"unbind did not return within 0\.2 s"):
            hand.write(writer, "unbind", BDF, 0.2)
        assert time.monotonic() - began < 10
        with pytest.raises(StuckWriteError):  # and nothing else is tried on it
            hand.write(writer, "reset", "1", 10.0)
        hand.close()

    with pytest.raises(BusyError, match=BDF), locks.taken(folder, [BDF], command="apply"):
        pass
    os.read(reader, 4096)  # whoever had the device lets it go
    eventually(lambda: locks.started(hand.pid) is None, within_s=30)
    os.waitpid(hand.pid, 0)
    with locks.taken(folder, [BDF], command="apply"):
        pass


_DIES = """
import os, signal, sys
from pathlib import Path
from nodeagent import locks
from nodeagent.host.hands import Hand
writer = int(sys.argv[2])
with locks.taken(Path(sys.argv[1]), ["0000:41:00.0"], command="apply") as taken:
    hand = Hand(taken["0000:41:00.0"])
    locks.note_writer(taken["0000:41:00.0"], hand.pid)
    try:
        hand.write(writer, "unbind", "x", 0.2)
    except Exception:
        print(hand.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_stuck_write_is_known_to_the_next_program_too(
    full: tuple[int, int], tmp_path: Path
) -> None:
    """By number and start time of the process, though the one that began it was killed."""
    reader, writer = full
    folder = tmp_path / "run"
    done = subprocess.run(
        [sys.executable, "-c", _DIES, str(folder), str(writer)],
        pass_fds=(writer,),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    pid = int(done.stdout)
    noted = json.loads((folder / f"{BDF}.lock").read_text())
    assert (noted["writer"], noted["writer_started"]) == (pid, locks.started(pid))

    stuck = rf"a write to {BDF} is stuck since .*: pid {pid}( in \w+)?, left behind"
    with pytest.raises(BusyError, match=stuck), locks.taken(folder, [BDF], command="apply"):
        pass
    with locks.free(folder, [BDF, OTHER], command="look") as free:
        assert set(free) == {OTHER}

    os.read(reader, 4096)
    eventually(lambda: locks.started(pid) is None, within_s=30)
    with locks.taken(folder, [BDF], command="apply"):
        pass


def test_a_device_that_another_program_changes_is_named_with_it(tmp_path: Path) -> None:
    with ExitStack() as stack:
        stack.enter_context(locks.taken(tmp_path, [BDF], command="apply"))
        busy = rf"{BDF} is being changed by nodeagent apply \(pid {os.getpid()}\) since"
        with pytest.raises(BusyError, match=busy), locks.taken(tmp_path, [OTHER, BDF], command="x"):
            pass


@pytest.mark.parametrize("noted", ["", "[]", "{}", "[" * 3000, '{"pid": "x", "writer": []}'])
def test_a_lock_whose_note_is_damaged_still_locks(noted: str, tmp_path: Path) -> None:
    with locks.taken(tmp_path, [BDF], command="apply"):
        (tmp_path / f"{BDF}.lock").write_text(noted)
        with pytest.raises(BusyError, match=BDF), locks.taken(tmp_path, [BDF], command="x"):
            pass


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A host at a folder, with one device: plain files where the kernel has attributes."""
    home = tmp_path / "host" / DEVICES / BDF
    home.mkdir(parents=True)
    (home / "reset").write_text("")
    (home / "config").write_bytes(bytes(range(64)))
    (home / "resource0").write_bytes(bytes(4096))
    (tmp_path / "host/outside").symlink_to("/etc")
    return tmp_path / "host"


@pytest.fixture
def machine(root: Path, tmp_path: Path) -> Iterator[ChangingMachine]:
    machine = ChangingMachine(str(root))
    with locks.taken(tmp_path / "run", [BDF], command="apply") as taken, machine.hands(taken):
        yield machine
    machine.close()


def test_an_attribute_is_written_beneath_the_root(machine: ChangingMachine, root: Path) -> None:
    machine.write(BDF, f"/{DEVICES}/{BDF}/reset", "1")

    assert (root / DEVICES / BDF / "reset").read_text() == "1"


def test_no_write_leaves_the_root(machine: ChangingMachine) -> None:
    with pytest.raises(OSError, match="No such file"):
        machine.write(BDF, "/outside/hostname", "1")


@pytest.mark.parametrize(("on", "command"), [(True, 0x0506), (False, 0x0504)])
def test_only_the_memory_bit_changes(
    on: bool, command: int, machine: ChangingMachine, root: Path
) -> None:
    config = root / DEVICES / BDF / "config"
    before = config.read_bytes()

    machine.set_decode(BDF, on=on)

    after = config.read_bytes()
    assert int.from_bytes(after[4:6], "little") == command
    assert after[:4] + after[6:] == before[:4] + before[6:]


def test_registers_are_loaded_and_stored_as_words(machine: ChangingMachine, root: Path) -> None:
    with machine.bar0(BDF) as regs:
        regs.write(0x10, 0x80010203)
        assert regs.read(0x10) == 0x80010203
        for offset in (0x11, 4096, -4):
            with pytest.raises(OSError, match="is not in this BAR"):
                regs.write(offset, 0)

    raw = (root / DEVICES / BDF / "resource0").read_bytes()
    assert raw[0x10:0x14] == bytes([3, 2, 1, 0x80])
    assert raw.count(0) == 4092


def test_a_device_without_a_hand_is_not_written_to(machine: ChangingMachine, root: Path) -> None:
    with pytest.raises(KeyError):
        machine.write(OTHER, f"/{DEVICES}/{BDF}/reset", "1")
    assert (root / DEVICES / BDF / "reset").read_text() == ""


def test_a_look_is_waited_for_and_a_change_is_not(tmp_path: Path) -> None:
    with ExitStack() as look:
        look.enter_context(locks.free(tmp_path, [BDF], command=locks.LOOK))
        threading.Timer(0.3, look.pop_all().close).start()

        with locks.taken(tmp_path, [BDF], command="apply") as taken:
            assert set(taken) == {BDF}
