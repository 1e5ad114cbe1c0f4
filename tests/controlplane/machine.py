"""A captured machine that becomes another one while somebody looks at it."""

from __future__ import annotations

import shutil
from pathlib import Path

HOSTS = Path(__file__).parents[1] / "hosts"


class Machine:
    """A copy of a host from `tests/hosts`, at a path that stays the same."""

    def __init__(self, folder: Path, host: str) -> None:
        self._folder = folder
        self._lives = 0
        self.path = folder / "machine"
        _copy(host, self.path)

    def become(self, host: str) -> None:
        """At once, or a look would see half of each. The old one stays for a look under way."""
        self._lives += 1
        coming = self._folder / f"coming-{self._lives}"
        _copy(host, coming)
        self.path.rename(self._folder / f"gone-{self._lives}")
        coming.rename(self.path)


def _copy(host: str, path: Path) -> None:
    shutil.copytree(HOSTS / host, path, symlinks=True)
