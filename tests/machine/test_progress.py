"""A switch as a person sees it at a terminal: asked first, then a line a device that moves."""

import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from fcntl import ioctl
from pathlib import Path

import pytest

from tests.machine.simulated import PATIENCE_S, Node, served

pytestmark = pytest.mark.timeout(120)

GPU = "0000:23:00.0"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with served(tmp_path / "hgx", rate=3.0) as node:
        yield node


def _at_terminal(
    node: Node, answer: bytes, words: tuple[str, ...] = ("apply", "--mode", "on")
) -> tuple[str, int]:
    """All that it wrote to a terminal of 80 columns, and its exit code."""
    screen, inside = pty.openpty()
    ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 80, 0, 0))
    with subprocess.Popen(
        node.command(*words), stdin=inside, stdout=inside, stderr=inside
    ) as apply:
        os.close(inside)
        seen, asked, end = "", False, time.monotonic() + PATIENCE_S
        while time.monotonic() < end and select.select([screen], [], [], PATIENCE_S)[0]:
            try:
                seen += os.read(screen, 1 << 16).decode()
            except OSError:  # the other end is closed
                break
            if "Go ahead?" in seen and not asked:
                asked = True
                os.write(screen, answer)
    os.close(screen)
    return seen, apply.returncode


def test_a_refusal_is_folded_between_words(node: Node) -> None:
    seen, code = _at_terminal(node, b"", ("plan", "--mode", "on", "--gpu", "0000:99:00.0"))

    lines = seen.replace("\r", "").split("\n")
    assert code == 2
    assert max(map(len, lines)) <= 80
    assert "".join(lines).replace("    ", " ").endswith("0000:e3:00.0, 0000:e4:00.0")


def test_each_gpu_has_a_line_that_moves(node: Node) -> None:
    seen, code = _at_terminal(node, b"y\n")

    assert code == 0, seen
    for doing in ("staging", "resetting", "booting", "at rest"):
        assert re.search(rf"{GPU}  \[#*\.*\]  {doing}", seen), doing
    assert "\033[12A" in seen  # a line for each GPU and NVSwitch, drawn in place
    plain = re.sub(r"\033\[\d*[A-Z]", "", seen)
    assert max(map(len, plain.replace("\r", "").split("\n"))) <= 80


def test_whoever_says_no_has_changed_nothing(node: Node) -> None:
    seen, code = _at_terminal(node, b"n\n")

    assert code == 1
    assert "PLAN: " in seen
    assert node.owed == []
    assert "on" not in {node.text(GPU, "power_state"), node.driver(GPU)}
    assert node.run("gpus").stdout.count(" off ") == 12
