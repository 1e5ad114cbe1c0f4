"""What we took from devices and must give back: a small file that survives our death.

It lies under /run, so a boot, which gives everything back by itself, forgives it.
"""

import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from nodeagent.errors import HostError
from nodeagent.model.switching import Debt

VERSION = 1
_LIMIT = 1 << 20


def _untouched(_what: str) -> None:
    """Nobody watches our writes."""


class Debts:
    """One file; every change is on disk before anything is done that it is about."""

    def __init__(self, path: Path, touch: Callable[[str], None] = _untouched) -> None:
        """`touch` is called before and after each write; tests end the program there."""
        self._path = path
        self._touch = touch

    def all(self) -> Mapping[str, Debt]:
        """HostError where the file is there and is none of ours: guessing would lose a driver."""
        try:
            raw = self._path.read_bytes()[: _LIMIT + 1]
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise HostError(f"cannot read what is owed: {self._path}") from error
        try:
            found = json.loads(raw)
            devices = {VERSION: found["devices"]}[found["version"]]
            return {str(bdf): _debt(each) for bdf, each in devices.items()}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise HostError(
                f"{self._path} is not as this program writes it",
                hint="bind the drivers that are missing by hand, then remove the file",
            ) from error

    def owe(self, bdf: str, **more: str | bool) -> None:
        """Add what is about to be taken; what is owed already stays as it was first seen."""
        debts = dict(self.all())
        old = debts.get(bdf, Debt())
        new = {name: each for name, each in more.items() if getattr(old, name) is None}
        if not new:
            return
        debts[bdf] = old._replace(**new)  # type: ignore[arg-type]
        self._write(debts)

    def settle(self, bdf: str) -> None:
        debts = dict(self.all())
        if debts.pop(bdf, None) is not None:
            self._write(debts)

    def _write(self, debts: Mapping[str, Debt]) -> None:
        """Beside it, synced, then renamed over: a reader sees the old or the new."""
        devices = {bdf: debts[bdf]._asdict() for bdf in sorted(debts)}
        text = json.dumps({"version": VERSION, "devices": devices}, indent=1)
        beside = self._path.with_name(f".{self._path.name}.new")
        self._touch("before debts")
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
            with open(os.open(beside, flags, 0o600), "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            self._touch("between debts")
            os.replace(beside, self._path)
        except OSError as error:
            with suppress(OSError):
                beside.unlink()
            raise HostError(f"cannot write what is owed: {self._path}") from error
        self._touch("after debts")


def _debt(value: Mapping[str, object]) -> Debt:
    texts = {name: value[name] for name in ("driver", "override", "control")}
    if any(not isinstance(each, str | None) for each in texts.values()):
        raise TypeError("a debt is text")
    decode = value["decode"]
    if decode is not None and not isinstance(decode, bool):
        raise TypeError("decode is true or false")
    return Debt(**texts, decode=decode)  # type: ignore[arg-type]
