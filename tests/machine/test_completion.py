"""Real shells complete our words. They are in tests/node/packages.txt; none is skipped."""

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|[\r\x07\x08]")
_START = {
    "bash": (
        ("bash", "--norc", "--noprofile", "-i"),
        'PS1="> "; eval "$(nodeagent completion bash)"',
    ),
    "zsh": (
        ("zsh", "-f", "-i"),
        'PS1="> "; autoload -U compinit; compinit -u -D; eval "$(nodeagent completion zsh)"',
    ),
}


@pytest.fixture
def setting(tmp_path: Path) -> Mapping[str, str]:
    """An environment in which `nodeagent` is this repository's."""
    program = tmp_path / "bin" / "nodeagent"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m nodeagent "$@"\n')
    program.chmod(0o755)
    return {
        "PATH": f"{program.parent}:/usr/local/bin:/usr/bin:/bin",
        "PYTHONPATH": str(REPOSITORY),
        "HOME": str(tmp_path),
        "TERM": "dumb",
        "LC_ALL": "C.UTF-8",
    }


def _needs(shell: str) -> None:
    assert shutil.which(shell), f"{shell} is missing: apt-get install {shell}"


class Typist:
    """A shell on a terminal of its own, and somebody who types."""

    def __init__(self, words: tuple[str, ...], setting: Mapping[str, str]) -> None:
        self._terminal, theirs = pty.openpty()
        self._shell = subprocess.Popen(
            words,
            env=dict(setting),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)

    def type(self, text: str, until: str, *, within_s: float = 40) -> str:
        """What the terminal shows after typing, up to the awaited words."""
        os.write(self._terminal, text.encode())
        shown = ""
        deadline = time.monotonic() + within_s
        while until not in shown and time.monotonic() < deadline:
            if select.select([self._terminal], [], [], 0.2)[0]:
                shown += _CONTROL.sub("", os.read(self._terminal, 4096).decode(errors="replace"))
        return shown

    def leave(self) -> None:
        self._shell.kill()
        self._shell.wait()
        os.close(self._terminal)


@pytest.mark.parametrize("shell", ["bash", "zsh"])
@pytest.mark.parametrize(
    ("typed", "becomes"),
    [
        ("nodeagent ch", "nodeagent check "),
        ("nodeagent check --prof", "nodeagent check --profile "),
        ("nodeagent check --profile gp", "nodeagent check --profile gpu "),
        ("nodeagent check -o y", "nodeagent check -o yaml "),
        ("nodeagent explain BIOS_SME", "nodeagent explain BIOS_SMEE_OFF "),
    ],
)
def test_tab_completes(shell: str, typed: str, becomes: str, setting: Mapping[str, str]) -> None:
    _needs(shell)
    words, start = _START[shell]
    typist = Typist(words, setting)
    try:
        typist.type(f"{start}; echo rea''dy\n", until="ready\n")
        shown = typist.type(f"{typed}\t", until=becomes)
    finally:
        typist.leave()

    assert becomes in shown


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("nodeagent ch", ["check"]),
        ("nodeagent check --prof", ["--profile"]),
        ("nodeagent check --mode o", ["off", "on"]),
        ("nodeagent explain BIOS_SME", ["BIOS_SMEE_OFF"]),
    ],
)
def test_fish_completes(typed: str, offered: list[str], setting: Mapping[str, str]) -> None:
    _needs("fish")
    script = f"nodeagent completion fish | source; complete -C '{typed}'"
    done = subprocess.run(
        ["fish", "--no-config", "-c", script],
        env=dict(setting),
        capture_output=True,
        text=True,
        check=True,
    )

    assert sorted(line.partition("\t")[0] for line in done.stdout.splitlines()) == offered


def test_a_shell_that_is_not_asked_for_is_not_started(setting: Mapping[str, str]) -> None:
    """bash's script used to cost a bash; nothing of the host is run to print one."""
    done = subprocess.run(
        [sys.executable, "-m", "nodeagent", "completion", "bash"],
        env=dict(setting) | {"PATH": "/nonexistent"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stderr == ""
    assert "complete -o nosort -F _nodeagent_completion nodeagent" in done.stdout
