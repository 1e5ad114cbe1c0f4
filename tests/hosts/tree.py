"""A host in capture format version 1, held in memory: read, written and compared."""

import io
import json
import os
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

Json: TypeAlias = "bool | int | str | list[Json] | dict[str, Json] | None"


@dataclass(frozen=True, slots=True)
class Tree:
    """Paths are as the host has them, from `/`; link targets are relative, as text."""

    files: Mapping[str, bytes]
    links: Mapping[str, str]
    host: Mapping[str, Json]
    probes: Mapping[str, Json]


def write(tree: Tree, out: Path) -> None:
    """Make `out` this host. Only what differs is touched: removing is what disks are slow at."""
    want = _flat(tree)
    have = {place.relative_to(out).as_posix(): place for place in _leaves(out)}
    for path, place in have.items():
        if path not in want or _content(place) != want[path]:
            place.unlink()
    _prune(out)
    for path, data in want.items():
        place = out / path
        if path in have and os.path.lexists(place):
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(data, str):
            place.symlink_to(data)
        else:
            place.write_bytes(data)


def _prune(folder: Path) -> None:
    """A folder that is left empty would say that the host had it."""
    for parent, _, _ in os.walk(folder, topdown=False):
        if not os.listdir(parent):
            os.rmdir(parent)


def read(folder: Path) -> Tree:
    files: dict[str, bytes] = {}
    links: dict[str, str] = {}
    root = folder / "root"
    for place in _leaves(root):
        path = "/" + place.relative_to(root).as_posix()
        if place.is_symlink():
            links[path] = os.readlink(place)
        else:
            files[path] = place.read_bytes()
    host = json.loads((folder / "host.json").read_text(encoding="utf-8"))
    probes = json.loads((folder / "probes.json").read_text(encoding="utf-8"))
    return Tree(files, links, host, probes)


def differences(tree: Tree, folder: Path) -> Iterator[str]:
    """What is in the folder and should not be, is missing, or reads otherwise."""
    want = _flat(tree)
    have = {place.relative_to(folder).as_posix(): place for place in _leaves(folder)}
    for path in sorted(want.keys() | have.keys()):
        if path not in have:
            yield f"{folder.name}/{path}: missing"
        elif path not in want:
            yield f"{folder.name}/{path}: not made by a recipe"
        elif _content(have[path]) != want[path]:
            yield f"{folder.name}/{path}: differs"


def _content(place: Path) -> bytes | str:
    return os.readlink(place) if place.is_symlink() else place.read_bytes()


def packed(tree: Tree) -> bytes:
    """The tree as a .tar, always the same for the same tree: no owner, no time, sorted."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path, data in sorted(_flat(tree).items()):
            member = tarfile.TarInfo(path)
            member.mode = 0o644
            if isinstance(data, str):
                member.type, member.linkname = tarfile.SYMTYPE, data
                tar.addfile(member)
            else:
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    return archive.getvalue()


def _flat(tree: Tree) -> dict[str, bytes | str]:
    """Every file of the directory by its path there; a `str` is a link's target."""
    flat: dict[str, bytes | str] = {"root" + path: data for path, data in tree.files.items()}
    flat.update({"root" + path: target for path, target in tree.links.items()})
    flat["host.json"] = _json(tree.host)
    flat["probes.json"] = _json(tree.probes)
    return flat


def _json(value: Mapping[str, Json]) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


def _leaves(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        here = Path(parent)
        yield from (here / name for name in names)
        # os.walk lists a link to a directory among the folders and does not enter it.
        yield from (here / name for name in folders if (here / name).is_symlink())
