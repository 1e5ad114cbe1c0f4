"""Write the made-up hosts beside this file, or say where the directories differ from them."""

import argparse
import sys
from pathlib import Path

from tests.hosts import recipes, tree

HERE = Path(__file__).parent


def stale() -> list[str]:
    """Every difference between the recipes and the directories, by path."""
    made = recipes.trees()
    found = [line for name, host in made.items() for line in tree.differences(host, HERE / name)]
    known = set(made) | recipes.CAPTURED
    folders = {path.parent.name for path in HERE.glob("*/host.json")}
    return found + [f"{name}: no recipe makes it" for name in sorted(folders - known)]


def write_stale() -> None:
    """Write the hosts that are missing or differ; a checkout keeps only a few of them."""
    for name, host in recipes.trees().items():
        if next(tree.differences(host, HERE / name), None):
            tree.write(host, HERE / name)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.hosts.make", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 on differences")
    if parser.parse_args().check:
        found = stale()
        print("\n".join(found[:50]) or "tests/hosts is what its recipes make")
        return 1 if found else 0
    write_stale()
    return 0


if __name__ == "__main__":
    sys.exit(main())
