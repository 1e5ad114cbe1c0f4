"""What `pip install` brings to a machine, built here as a wheel."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def test_the_wheel_has_every_file_of_data(tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(
        REPOSITORY / "nodeagent", source / "nodeagent", ignore=shutil.ignore_patterns("*.pyc")
    )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"),
            *("--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), str(source)),
        ],
        check=True,
    )
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())

    folder = source / "nodeagent"
    kept = {
        path.relative_to(source).as_posix()
        for path in (folder / "data").rglob("*")
        if path.is_file()
    }
    assert kept
    assert kept - packed == set()
