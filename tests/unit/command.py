"""The command line, run within a test."""

from pathlib import Path

import pytest

from nodeagent.cli.main import main


def run(*words: str | Path) -> int:
    """The exit code."""
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    code = stop.value.code
    assert isinstance(code, int)
    return code
