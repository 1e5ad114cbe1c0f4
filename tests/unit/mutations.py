"""Captures damaged at random: in place, and put right again."""

import json
import os
import random
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

DONE: list[int] = []
"""How many mutated captures each test looked at, for the closing lines."""

_ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1 << 70,
    1.5,
    "",
    "0x",
    "x" * 99,
    "\ud800",
    [],
    [[]],
    {},
    {"error": "EIO"},
)
_TEXTS = (b"", b"\n", b"\0", b"0x", b"-1", b"9" * 400, b"\xff\xfe", b"(null)", b"[" * 50, b"Y\r\n")


class Damaged:
    """One capture on disk; what is done to it is undone by `mend`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._whole = {
            path: os.readlink(path) if path.is_symlink() else path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_symlink() or path.is_file()
        }
        self._files = [path for path, content in self._whole.items() if isinstance(content, bytes)]
        self._folders = sorted(
            path for path in folder.rglob("*") if path.is_dir() and not path.is_symlink()
        )
        self._touched: set[Path] = set()

    def mend(self) -> None:
        for path in self._touched:
            _remove(path)
        for path in self._folders:
            path.mkdir(parents=True, exist_ok=True)
        for path, content in self._whole.items():
            if path in self._touched or not os.path.lexists(path):
                _put(path, content)
        self._touched.clear()

    # at random

    def mutate(self, chance: random.Random) -> str:
        """One to four mutations; says which."""
        count = chance.choice((1, 1, 2, 4))
        return "; ".join(self._one(chance) for _ in range(count))

    def _one(self, chance: random.Random) -> str:
        how: Callable[[random.Random, Path], str] = chance.choice(
            (_flip, _flip, _cut, _grow, _replace, _swap_lines, self._delete, self._exchange)
        )
        path = chance.choice(self._files)
        if path.suffix == ".json" and chance.random() < 0.8:
            how = _change_json
        self._touched.add(path)
        return f"{how.__name__} {path.relative_to(self._folder)} {how(chance, path)}"

    def _delete(self, chance: random.Random, path: Path) -> str:
        if chance.random() < 0.3:
            path = path.parent
            self._touched.update(each for each in self._whole if path in each.parents)
        _remove(path)
        return ""

    def _exchange(self, chance: random.Random, path: Path) -> str:
        other = chance.choice(list(self._whole))
        self._touched.add(other)
        if other.is_file() and not other.is_symlink() and path.is_file():
            one, two = path.read_bytes(), other.read_bytes()
            path.write_bytes(two)
            other.write_bytes(one)
        return str(other.relative_to(self._folder))

    # on purpose

    def forget(self, inputs: Iterable[str]) -> None:
        """Take inputs away as if they had never been captured: neither there nor absent."""
        host, probes = self._json("host.json"), self._json("probes.json")
        for name in inputs:
            if name.startswith("/"):
                self._forget_path(name, host)
            elif name == "uname":
                host.pop("uname", None)
            elif name == "probe:log":
                self._forget_path("/dev/kmsg", host)
            else:
                _forget_probe(name.split(":")[1:], probes)
        self._write("host.json", host)
        self._write("probes.json", probes)

    def _forget_path(self, path: str, host: dict[str, Any]) -> None:
        place = _beneath(self._folder / "root", path)
        self._touched.update(each for each in self._whole if place == each or place in each.parents)
        _remove(place)
        above = {path, *(str(each) for each in Path(path).parents)}
        host["absent"] = [each for each in host["absent"] if each not in above]
        host["denied"].pop(path, None)
        gone = {path, str(Path(path).parent)}
        host["listed"] = [each for each in host["listed"] if each not in gone]

    def _json(self, name: str) -> dict[str, Any]:
        value: dict[str, Any] = json.loads((self._folder / name).read_bytes())
        return value

    def _write(self, name: str, value: dict[str, Any]) -> None:
        self._touched.add(self._folder / name)
        (self._folder / name).write_text(json.dumps(value))


def _beneath(root: Path, path: str) -> Path:
    """Where the path lies in the capture: its folder's links followed, its own not."""
    return Path(os.path.realpath(root / Path(path).parent.relative_to("/"))) / Path(path).name


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _put(path: Path, content: bytes | str) -> None:
    _remove(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, str):
        path.symlink_to(content)
    else:
        path.write_bytes(content)


def _forget_probe(name: list[str], probes: dict[str, Any]) -> None:
    kind, *rest = name
    if kind == "sev":
        sev = {"1": "platform_status", "9": "snp_platform_status"}
        probes.get("sev", {}).pop(sev[rest[0]], None)
    elif kind == "msr":
        probes.get("msr", {}).pop(rest[0], None)
    elif kind == "bar0":
        probes.get("gpu", {}).pop(":".join(rest), None)
    else:
        probes.pop(kind, None)


def _flip(chance: random.Random, path: Path) -> str:
    raw = bytearray(path.read_bytes() if path.is_file() else b"")
    for _ in range(chance.choice((1, 1, 8)) if raw else 0):
        raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
    return _written(path, bytes(raw))


def _cut(chance: random.Random, path: Path) -> str:
    raw = path.read_bytes() if path.is_file() else b""
    return _written(path, raw[: chance.randrange(len(raw) + 1)])


def _grow(chance: random.Random, path: Path) -> str:
    raw = path.read_bytes() if path.is_file() else b""
    return _written(path, raw + raw[-chance.randrange(1, 300) :] + chance.choice(_TEXTS))


def _replace(chance: random.Random, path: Path) -> str:
    text = chance.choice(_TEXTS)
    _written(path, text)
    return repr(text[:20])


def _swap_lines(chance: random.Random, path: Path) -> str:
    lines = path.read_bytes().split(b"\n") if path.is_file() else []
    chance.shuffle(lines)
    return _written(path, b"\n".join(lines[: chance.randrange(len(lines) + 1)]))


def _written(path: Path, raw: bytes) -> str:
    if path.is_file():
        path.write_bytes(raw)
    return f"to {len(raw)} bytes"


def _change_json(chance: random.Random, path: Path) -> str:
    """A value of another type, a missing member, or one that stands elsewhere."""
    try:
        whole = json.loads(path.read_bytes())
    except (ValueError, OSError):
        return "again"
    places = list(_places(whole))
    if not places:
        return "of nothing"
    holder, key = chance.choice(places)
    if chance.random() < 0.3:
        del holder[key]
    elif chance.random() < 0.3:
        other, name = chance.choice(places)
        holder[key] = json.loads(json.dumps(other[name])) if name in _keys(other) else None
    else:
        holder[key] = chance.choice(_ODD)
    path.write_text(json.dumps(whole))
    return f"at {key!r}"


def _keys(holder: Any) -> Iterable[Any]:  # noqa: ANN401 - JSON
    return holder if isinstance(holder, dict) else range(len(holder))


def _places(value: Any) -> Iterable[tuple[Any, Any]]:  # noqa: ANN401 - JSON
    if isinstance(value, dict | list):
        for key in list(_keys(value)):
            yield value, key
            yield from _places(value[key])
