"""systemd reads our unit as we mean it. Nothing is installed or started."""

from __future__ import annotations

import subprocess
from pathlib import Path

UNIT = Path(__file__).parents[2] / "systemd" / "nodeagent.service"
EXPOSED = 35  # of 100; what is left is root, the network and the capabilities the unit explains


def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    """With a program that is there: verify insists on one."""
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/usr/bin/nodeagent", "/bin/true"))

    assert _analyze("verify", str(unit)) == (0, "")


def test_the_unit_is_as_closed_as_looking_allows() -> None:
    code, told = _analyze("security", "--offline=yes", f"--threshold={EXPOSED}", str(UNIT))

    assert code == 0, told


def _analyze(*args: str) -> tuple[int, str]:
    done = subprocess.run(
        ["systemd-analyze", "--no-pager", *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout
