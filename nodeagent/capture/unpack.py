"""Unpacks a .tar.gz of a capture within bounds: it is a stranger's archive, or a damaged one."""

import gzip
import io
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from nodeagent.errors import CaptureError

_MAX_BYTES = 512 << 20
_MAX_MEMBERS = 100_000
_MAX_DEPTH = 64
_MAX_NAME = 64 << 10  # of a header that only holds a name, which is read into memory at once
_BLOCK = 512
_NAMES = frozenset(
    {tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE}
    | {tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK}
)
_PART = 1 << 20


def unpack(path: str, target: Path) -> str:
    """The folder in `target` that holds host.json, at the archive's top or one below.

    All of it is decompressed before any of it is believed: only the end of a gzip file has its
    checksum, and a file that damage took away would read as absent on the host.
    """
    target = target.resolve()
    try:
        with tempfile.TemporaryFile() as plain:
            _decompress(path, plain)
            _unpack_all(path, plain, target)
    except (tarfile.TarError, OSError, EOFError, ValueError, zlib.error) as error:
        said = error.strerror if isinstance(error, OSError) else None
        reason = said or (str(error).splitlines() or ["damaged"])[0]
        raise CaptureError(
            f"{path}: cannot be unpacked: {reason}", hint="it must be a whole .tar.gz of a capture"
        ) from error
    if (target / "host.json").is_file():
        return str(target)
    inner = [entry for entry in target.iterdir() if (entry / "host.json").is_file()]
    return str(inner[0] if len(inner) == 1 else target)


def _decompress(path: str, plain: IO[bytes]) -> None:
    total = 0
    with gzip.open(path) as packed:
        while part := packed.read(_PART):
            total += len(part)
            if total > _MAX_BYTES:
                raise CaptureError(f"{path}: unpacks to more than a capture can hold")
            plain.write(part)
    plain.seek(0)


def _look_through(path: str, plain: IO[bytes]) -> None:
    """Count the members and weigh their names, before a file is made or a name is believed."""
    members = at = 0
    while len(block := plain.read(_BLOCK)) == _BLOCK and block.strip(b"\0"):
        header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        members += header.type not in _NAMES
        if members > _MAX_MEMBERS:
            raise CaptureError(f"{path}: has more members than a capture can hold")
        if header.size < 0:
            raise CaptureError(f"{path}: has a member of {header.size} bytes")
        if header.type in _NAMES and header.size > _MAX_NAME:
            raise CaptureError(f"{path}: has a member with a name of {header.size} bytes")
        # Links and folders have no content, whatever their size says (as tarfile reads it).
        content = header.size if header.isreg() or header.type in _NAMES else 0
        at += _BLOCK + -(-content // _BLOCK) * _BLOCK
        plain.seek(at)
    plain.seek(0)


def _unpack_all(path: str, plain: IO[bytes], target: Path) -> None:
    _look_through(path, plain)
    known: set[str] = set()
    with tarfile.open(fileobj=plain, mode="r:") as archive:
        for member in archive:
            if not member.isdir() and member.name in known:
                raise CaptureError(f"{path}: {member.name!r:.80} is in it twice")
            known.add(member.name)
            _unpack_one(archive, member, target, path)
        end = archive.offset
    # tarfile takes a bad header for the end; the real end is a block of zeros.
    plain.seek(end)
    if plain.read(_BLOCK) != bytes(_BLOCK):
        raise CaptureError(f"{path}: is cut short or damaged", hint="copy it again")


def _unpack_one(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path, path: str) -> None:
    """Files, folders and symbolic links only; links are kept as text, never followed.

    They are not resolved here: reading resolves them beneath the capture's own root, and
    nothing is ever written through one, since a path through a link is refused.
    """
    parts = [part for part in member.name.split("/") if part not in {"", "."}]
    if ".." in parts or member.name.startswith("/"):
        raise CaptureError(f"{path}: {member.name!r:.80} leads out of the archive")
    if len(parts) > _MAX_DEPTH:
        raise CaptureError(f"{path}: {member.name!r:.80} lies too deep")
    if member.issparse():
        raise CaptureError(f"{path}: {member.name!r:.80} is a file with holes")
    place = target.joinpath(*parts)
    if any(target.joinpath(*parts[:depth]).is_symlink() for depth in range(1, len(parts) + 1)):
        raise CaptureError(f"{path}: {member.name!r:.80} lies behind a link")
    if member.isdir():
        place.mkdir(parents=True, exist_ok=True)
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    if member.issym():
        _demand_inside(path, member, parts)
        place.symlink_to(member.linkname)
    elif member.isreg():
        with place.open("wb") as file:
            shutil.copyfileobj(archive.extractfile(member) or io.BytesIO(), file)
    else:
        raise CaptureError(f"{path}: {member.name!r:.80} is no file, folder or symbolic link")


def _demand_inside(path: str, member: tarfile.TarInfo, parts: Sequence[str]) -> None:
    """Nothing would follow it out; but what we write never leads there, so it means no good."""
    depth = len(parts) - 1
    for step in member.linkname.split("/"):
        depth += {"..": -1, ".": 0, "": 0}.get(step, 1)
        if depth < 0 or member.linkname.startswith("/"):
            named = f"{member.name!r:.80} links to {member.linkname!r:.80}"
            raise CaptureError(f"{path}: {named}, out of the archive")
