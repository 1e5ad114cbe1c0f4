"""Floors signed as docs/floors.md says, by the real openssl."""

import subprocess
from pathlib import Path

import pytest

from nodeagent import floors
from nodeagent.errors import UsageError

FLOORS = "version: 1\nfloors: []\n"
DOCS = Path(__file__).parents[2] / "docs/floors.md"


def commands() -> str:
    """The shell block of the page that signs a file."""
    blocks = DOCS.read_text().split("```sh\n")[1:]
    return next(block.partition("```")[0] for block in blocks if "pkeyutl" in block)


@pytest.mark.parametrize("raw", [True, False])
def test_what_the_page_signs_is_read_and_a_later_change_is_not(raw: bool, tmp_path: Path) -> None:
    path = tmp_path / "floors.yaml"
    path.write_text(FLOORS)
    subprocess.run(["sh", "-e", "-c", commands()], cwd=tmp_path, check=True, capture_output=True)
    signature = tmp_path / "floors.yaml.sig"
    if not raw:
        done = subprocess.run(["base64", signature], capture_output=True, check=True)
        signature.write_bytes(done.stdout)

    assert floors.load(str(path), str(tmp_path / "floors.pub.pem")) == ()

    path.write_text(FLOORS + "# one line more\n")
    with pytest.raises(UsageError, match="does not fit"):
        floors.load(str(path), str(tmp_path / "floors.pub.pem"))
