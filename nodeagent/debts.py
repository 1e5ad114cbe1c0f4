"""What we took from devices and must give back: a small file each, that survives our death.

They lie under /run, so a boot, which gives everything back by itself, forgives them. The device's
lock is held by whoever changes its file.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from nodeagent.errors import HostError
from nodeagent.model.switching import Debt

VERSION = 1
_LIMIT = 1 << 16
_SUFFIX, _STAGED = ".owed", ".staged"


def _untouched(_what: str) -> None:
    """Nobody watches our writes."""


class Debts:
    """Every change is on disk before anything is done that it is about."""

    def __init__(self, folder: Path, touch: Callable[[str], None] = _untouched) -> None:
        """`touch` is called before and after each write; tests end the program there."""
        self.folder = folder
        self._touch = touch

    def all(self) -> Mapping[str, Debt]:
        """HostError where a file is there and is none of ours: guessing would lose a driver."""
        return dict(self._all())

    def _all(self) -> Iterator[tuple[str, Debt]]:
        try:
            names = sorted(os.listdir(self.folder))
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise HostError(f"cannot read what is owed: {self.folder}") from error
        for name in names:
            if name.endswith(_SUFFIX) and not name.startswith("."):
                debt = self._read(name.removesuffix(_SUFFIX))
                if debt is not None:
                    yield name.removesuffix(_SUFFIX), debt

    def _read(self, bdf: str) -> Debt | None:
        path = self._path(bdf)
        try:
            with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
                raw = file.read(_LIMIT)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise HostError(f"cannot read what is owed: {path}") from error
        try:
            found = json.loads(raw)
            return _debt({VERSION: found["owed"]}[found["version"]])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise HostError(
                f"{path} is not as this program writes it",
                hint="bind the driver that is missing by hand, then remove the file",
            ) from error

    def owe(self, bdf: str, **more: str | bool) -> None:
        """Add what is about to be taken; what is owed already stays as it was first seen."""
        old = self._read(bdf) or Debt()
        new = {name: each for name, each in more.items() if getattr(old, name) is None}
        if new:
            self._write(bdf, old._replace(**new))  # type: ignore[arg-type]

    def settle(self, bdf: str) -> None:
        self._touch("before settling")
        try:
            self._path(bdf).unlink(missing_ok=True)
        except OSError as error:
            raise HostError(f"cannot write that nothing is owed: {self._path(bdf)}") from error
        self._touch("after settling")

    def stage(self, bdf: str) -> None:
        """Note that knobs are about to be written: until its next reset they do not count."""
        self._touch("before noting")
        try:
            self.folder.mkdir(mode=0o755, parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            os.close(os.open(self._staged(bdf), flags, 0o600))
        except OSError as error:
            raise HostError(f"cannot note that {bdf} is staged: {self.folder}") from error
        self._touch("after noting")

    def unstage(self, bdf: str) -> None:
        """It was reset since."""
        self._touch("before forgetting")
        try:
            self._staged(bdf).unlink(missing_ok=True)
        except OSError as error:
            raise HostError(f"cannot note that {bdf} was reset: {self.folder}") from error
        self._touch("after forgetting")

    def staged(self) -> frozenset[str]:
        """Devices whose knobs were written and that were not reset since."""
        try:
            names = os.listdir(self.folder)
        except (FileNotFoundError, NotADirectoryError):
            return frozenset()
        except OSError as error:
            raise HostError(f"cannot read what is staged: {self.folder}") from error
        return frozenset(name.removesuffix(_STAGED) for name in names if name.endswith(_STAGED))

    def _staged(self, bdf: str) -> Path:
        return self.folder / f"{bdf}{_STAGED}"

    def _path(self, bdf: str) -> Path:
        return self.folder / f"{bdf}{_SUFFIX}"

    def _write(self, bdf: str, debt: Debt) -> None:
        """Beside it, synced, then renamed over: a reader sees the old or the new."""
        text = json.dumps({"version": VERSION, "owed": debt._asdict()})
        beside = self.folder / f".{bdf}.new"
        self._touch("before debts")
        try:
            self.folder.mkdir(mode=0o755, parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
            with open(os.open(beside, flags, 0o600), "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            self._touch("between debts")
            os.replace(beside, self._path(bdf))
        except OSError as error:
            with suppress(OSError):
                beside.unlink()
            raise HostError(f"cannot write what is owed: {self._path(bdf)}") from error
        self._touch("after debts")


_TEXTS = ("driver", "override", "control", "reset_method")
_TRUTHS = ("decode", "removed")


def _debt(value: Mapping[str, object]) -> Debt:
    """A version that knew less owed less."""
    texts = {name: value.get(name) for name in _TEXTS}
    if any(not isinstance(each, str | None) for each in texts.values()):
        raise TypeError("a debt is text")
    truths = {name: value.get(name) for name in _TRUTHS}
    if any(each is not None and not isinstance(each, bool) for each in truths.values()):
        raise TypeError("decode and removed are true or false")
    return Debt(**texts, **truths)  # type: ignore[arg-type]
