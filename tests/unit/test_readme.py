"""The README's examples are what the program prints."""

import re
import shlex
from pathlib import Path

import pytest

from nodeagent.cli.main import main

REPOSITORY = Path(__file__).parents[2]
BLOCKS = re.findall(
    r"^```\n\$ nodeagent (.*)\n((?:.*\n)*?)```$",
    (REPOSITORY / "README.md").read_text(),
    re.MULTILINE,
)


@pytest.mark.parametrize(("words", "printed"), BLOCKS, ids=[words for words, _ in BLOCKS])
def test_an_example_is_what_the_program_prints(
    words: str,
    printed: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(REPOSITORY)

    with pytest.raises(SystemExit):
        main(shlex.split(words))

    assert capsys.readouterr().out == printed


def test_the_readme_has_examples() -> None:
    assert len(BLOCKS) >= 2
