"""Counts are printed under the tests' closing line."""

import pytest

from tests.kill.cutting import KILLED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for kind, number in sorted(KILLED.items()):
        terminalreporter.write_line(f"programs ended at a write and run again, {kind}: {number:,}")
