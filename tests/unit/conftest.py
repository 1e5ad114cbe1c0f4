"""Unit tests touch no true /sys, no network and no other process: it fails at once."""

import sys
from collections.abc import Iterator

import pytest

from tests.unit.looks import EXAMPLES
from tests.unit.mutations import DONE


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.write_line(f"properties: {EXAMPLES} random examples each")
    if DONE:
        terminalreporter.write_line(f"mutated captures: {sum(DONE):,}")


_FORBIDDEN = {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "socket.connect"}
_TRUE_FOLDERS = ("/sys", "/proc/cpuinfo", "/proc/cmdline", "/dev/cpu", "/dev/kmsg", "/dev/sev")
_armed: list[bool] = []


def _hook(event: str, args: tuple[object, ...]) -> None:
    if not _armed:
        return
    if event in _FORBIDDEN:
        raise AssertionError(f"a unit test reached out of its process: {event} {args!r:.200}")
    if event == "open" and isinstance(args[0], str) and args[0].startswith(_TRUE_FOLDERS):
        raise AssertionError(f"a unit test looked at the true {args[0]}")


# An audit hook sees every such call, whichever module makes it; it cannot be taken away again.
sys.addaudithook(_hook)


@pytest.fixture(autouse=True)
def nothing_outside() -> Iterator[None]:
    _armed.append(True)
    yield
    _armed.pop()
