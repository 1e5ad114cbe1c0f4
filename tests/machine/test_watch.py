"""`check --watch` as a person has it: a terminal, a host that changes, and Ctrl-C."""

import os
import pty
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import ioctl
from pathlib import Path

import pytest

PARAMETER = "sys/module/kvm_amd/parameters/sev_snp"
COMMAND = (sys.executable, "-m", "nodeagent", "check", "--watch", "--every", "0.5")
PATIENCE_S = 60


@pytest.fixture
def host(hosts: Path, tmp_path: Path) -> Path:
    """A captured host that a test may change."""
    copy = tmp_path / "host"
    shutil.copytree(hosts / "genoa-ready", copy, symlinks=True)
    return copy


class _Terminal:
    def __init__(self, screen: int) -> None:
        self._screen = screen
        self.seen = ""

    def await_text(self, text: str) -> None:
        end = time.monotonic() + PATIENCE_S
        while text not in self.seen:
            left = end - time.monotonic()
            assert left > 0, f"{text!r} never came: {self.seen[-2000:]}"
            if select.select([self._screen], [], [], left)[0]:
                self.seen += os.read(self._screen, 1 << 16).decode()

    def press_ctrl_c(self) -> None:
        os.write(self._screen, b"\x03")


@contextmanager
def _on_terminal(*words: str | Path) -> Iterator[tuple[_Terminal, "subprocess.Popen[bytes]"]]:
    screen, inside = pty.openpty()
    ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 80, 0, 0))
    child = subprocess.Popen(
        # With the terminal as its own, Ctrl-C reaches it as from a keyboard.
        ["setsid", "--ctty", "--wait", *COMMAND, *(str(word) for word in words)],
        stdin=inside,
        stdout=inside,
        stderr=inside,
    )
    os.close(inside)
    try:
        yield _Terminal(screen), child
    finally:
        child.kill()
        child.wait()
        os.close(screen)


def test_a_change_is_drawn_in_place_and_ctrl_c_gives_the_last_code(host: Path) -> None:
    with _on_terminal(host) as (terminal, child):
        terminal.await_text("first look")
        assert "\x1b[H\x1b[2J" in terminal.seen

        (host / "root" / PARAMETER).write_text("N\n")
        terminal.await_text("not-ready (was ready)")
        assert terminal.seen.count("\x1b[H\x1b[2J") == 2

        terminal.press_ctrl_c()
        assert child.wait(PATIENCE_S) == 1


def test_a_mounted_host_is_watched_as_well(host: Path) -> None:
    """The live readers; what this machine's own probes say does not change meanwhile."""
    with _on_terminal("--root", host / "root") as (terminal, child):
        terminal.await_text("first look")

        cmdline = host / "root/proc/cmdline"
        cmdline.write_text(cmdline.read_text().rstrip() + " mitigations=off kvm_amd.sev_snp=0\n")
        (host / "root" / PARAMETER).write_text("N\n")
        terminal.await_text("snp.enabled")

        terminal.press_ctrl_c()
        assert child.wait(PATIENCE_S) in {0, 1, 4}


def test_into_a_file_each_change_has_its_time(host: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with out.open("wb") as file, subprocess.Popen([*COMMAND, host], stdout=file) as child:
        _await(out, "first look")
        (host / "root" / PARAMETER).write_text("N\n")
        _await(out, "not-ready (was ready)")
        child.send_signal(signal.SIGINT)
        assert child.wait(PATIENCE_S) == 1

    text = out.read_text()
    assert "\x1b" not in text
    assert [line[:6] for line in text.split("\n") if line.startswith("---")] == ["--- 20"] * 2


def _await(out: Path, text: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while text not in out.read_text():
        assert time.monotonic() < end, f"{text!r} never came"
        time.sleep(0.05)


def test_it_ends_with_its_reader(host: Path) -> None:
    with subprocess.Popen([*COMMAND, host], stdout=subprocess.PIPE) as child:
        assert child.stdout
        assert child.stdout.readline().startswith(b"---")
        child.stdout.close()

        (host / "root" / PARAMETER).write_text("N\n")
        assert child.wait(PATIENCE_S) == 1
