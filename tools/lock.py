"""Locks requirements/*.in by hash; records no address of where a package came from."""

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "requirements"


def main() -> int:
    """`uv pip compile` for each set; uv is installed for this alone, it is in no set."""
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "uv"], check=True)
    for source in sorted(FOLDER.glob("*.in")):
        print(f"locking {source.name}")
        subprocess.run(
            [
                *(sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal"),
                *("--python-version", "3.11", "--generate-hashes", "--no-annotate"),
                "--no-header",
                *("--output-file", str(source.with_suffix(".txt")), str(source)),
            ],
            check=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
