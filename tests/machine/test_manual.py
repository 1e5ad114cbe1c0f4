"""mandoc reads our manual page. It is in tests/node/packages.txt; nothing is skipped."""

import shutil
import subprocess
from pathlib import Path

from nodeagent.model.codes import Code

PAGE = Path(__file__).parents[2] / "man" / "nodeagent.1"


def _mandoc(*words: str) -> subprocess.CompletedProcess[str]:
    assert shutil.which("mandoc"), "mandoc is missing: apt-get install mandoc"
    return subprocess.run(["mandoc", *words], capture_output=True, text=True, check=False)


def test_mandoc_has_nothing_to_say_against_it() -> None:
    done = _mandoc("-Tlint", str(PAGE))

    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_a_page_that_is_wrong_would_be_told(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.1"
    wrong.write_text(PAGE.read_text().replace(".SH CODES\n", ".SH CODES\n.NOSUCHMACRO\n"))

    assert _mandoc("-Tlint", str(wrong)).returncode != 0


def test_every_code_is_readable_on_80_columns() -> None:
    shown = _mandoc("-Tutf8", "-Owidth=80", str(PAGE)).stdout
    plain = shown.replace("_\b", "")
    while "\b" in plain:
        at = plain.index("\b")
        plain = plain[: at - 1] + plain[at + 1 :]

    assert [code for code in Code if code not in plain] == []
    long = [line.strip() for line in plain.split("\n") if len(line) > 80]
    assert [line for line in long if not line.startswith("nodeagent ")] == []  # an example
