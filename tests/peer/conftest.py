"""Other people's programs beside ours. What is not there is said in the closing lines."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, NamedTuple, NoReturn

import pytest

from tests.real import build

if TYPE_CHECKING:
    from pathlib import Path

_MISSING: list[str] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in _MISSING:
        terminalreporter.write_line(line, yellow=True)


@pytest.fixture(scope="session")
def snphost() -> Path:
    """Where a machine has no cargo these tests fail, unless they may be left out."""
    program = build.snphost()
    if program is None:
        leave_out("snphost was not run beside ours: no cargo here (any Rust toolchain has it)")
    return program


def leave_out(why: str) -> NoReturn:
    """What is left out has failed, unless whoever runs it said before that it may be."""
    if not os.environ.get("NODEAGENT_MAY_LEAVE_OUT"):
        pytest.fail(f"{why}; NODEAGENT_MAY_LEAVE_OUT=1 runs the rest without it")
    if why not in _MISSING:
        _MISSING.append(why)
    pytest.skip(why)


class Said(NamedTuple):
    """What `snphost ok` said: each test that ran by its name, and those that it skipped."""

    tests: dict[str, str]
    messages: dict[str, str]
    skipped: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.tests, *self.skipped)


def ask(snphost: Path, *under: str) -> Said:
    """`under` are words that come before the program: a namespace to run it in."""
    done = subprocess.run(
        [*under, str(snphost), "ok", "-o", "json"], capture_output=True, text=True, check=False
    )
    found = json.loads(done.stdout)
    return Said(
        {each["name"]: each["status"] for each in found["tests"]},
        {each["name"]: each.get("message", "") for each in found["tests"]},
        tuple(found["skipped"]),
    )


@pytest.fixture(scope="session")
def said(snphost: Path) -> Said:
    return ask(snphost)
