"""Write the made-up hosts beside this file, or say where the directories differ from them."""

import argparse
import fcntl
import gzip
import os
import shutil
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.hosts import recipes, tree

HERE = Path(__file__).parent
SIMULATED = HERE.parents[1] / "nodeagent/data/hgx.tar.gz"
"""Shipped with the package: the host around its model of GPUs."""

# In the repository as they are, so that they can be looked at without a step; see .gitignore.
KEPT = recipes.CAPTURED | {
    *("genoa-ready", "genoa-iommu-pt", "genoa-no-privileges"),
    *("genoa-gpu-pending", "genoa-gpu-off"),
}


def stale() -> list[str]:
    """Every difference between the recipes and the directories, by path."""
    made = recipes.trees()
    found = [line for name, host in made.items() for line in tree.differences(host, HERE / name)]
    known = set(made) | recipes.CAPTURED
    folders = {path.parent.name for path in HERE.glob("*/host.json")}
    found += [f"{name}: no recipe makes it" for name in sorted(folders - known)]
    return found if _is_shipped_whole() else [*found, f"{SIMULATED.name}: differs"]


def _is_shipped_whole() -> bool:
    """By what is in it: another zlib packs the same bytes in other ways."""
    try:
        packed = gzip.decompress(SIMULATED.read_bytes())
    except (OSError, EOFError, zlib.error):
        return False
    return packed == tree.packed(recipes.simulated())


def write_stale(*, kept: bool) -> None:
    """Write the hosts that are missing or differ, those of the repository only where asked."""
    with _alone():
        _write_stale(kept=kept)


@contextmanager
def _alone() -> Iterator[None]:
    """Two runs of tests may begin at once."""
    folder = os.open(HERE, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _write_stale(*, kept: bool) -> None:
    made = recipes.trees()
    for path in HERE.glob("*/host.json"):
        # A host that was renamed: what a recipe made goes with its recipe, nothing else does.
        if path.parent.name not in made and recipes.MADE in path.read_text(encoding="utf-8"):
            shutil.rmtree(path.parent)
    for name, host in made.items():
        if (kept or name not in KEPT) and next(tree.differences(host, HERE / name), None):
            tree.write(host, HERE / name)
    if kept and not _is_shipped_whole():
        SIMULATED.write_bytes(gzip.compress(tree.packed(recipes.simulated()), mtime=0))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.hosts.make", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 on differences")
    if parser.parse_args().check:
        found = stale()
        print("\n".join(found[:50]) or "tests/hosts is what its recipes make")
        return 1 if found else 0
    write_stale(kept=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
