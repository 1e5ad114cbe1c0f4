"""Which devices left a confidential mode in this boot: some parts attest only after the next one.

An empty file each, under /run, which a boot empties.
"""

import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from nodeagent.errors import HostError

_SUFFIX = ".left-cc"


def leave(folder: Path, bdfs: Collection[str]) -> None:
    for bdf in bdfs:
        try:
            folder.mkdir(mode=0o755, parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            os.close(os.open(folder / f"{bdf}{_SUFFIX}", flags, 0o644))
        except OSError as error:
            raise HostError(f"cannot note that {bdf} leaves its mode: {folder}") from error


def forget(folder: Path, bdfs: Collection[str]) -> None:
    for bdf in bdfs:
        with suppress(OSError):
            (folder / f"{bdf}{_SUFFIX}").unlink()


def left(folder: Path) -> frozenset[str]:
    """Of none where the folder cannot be read: nobody who cannot read it has switched anything."""
    try:
        names = os.listdir(folder)
    except OSError:
        return frozenset()
    return frozenset(each.removesuffix(_SUFFIX) for each in names if each.endswith(_SUFFIX))
