"""Unpacks a .tar.gz of a capture within bounds: it is a stranger's archive."""

import io
import shutil
import tarfile
from pathlib import Path

from nodeagent.errors import CaptureError

_MAX_BYTES = 512 << 20
_MAX_MEMBERS = 100_000


def unpack(path: str, target: Path) -> str:
    """The folder in `target` that holds host.json, at the archive's top or one below."""
    total = 0
    target = target.resolve()
    try:
        with tarfile.open(path, "r:*") as archive:
            for number, member in enumerate(archive):
                total += member.size
                if number >= _MAX_MEMBERS or total > _MAX_BYTES:
                    raise CaptureError(f"{path}: unpacks to more than a capture can hold")
                _unpack_one(archive, member, target, path)
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise CaptureError(
            f"{path}: cannot be unpacked: {error}", hint="it must be a .tar.gz of a capture"
        ) from error
    if (target / "host.json").is_file():
        return str(target)
    inner = [entry for entry in target.iterdir() if (entry / "host.json").is_file()]
    return str(inner[0] if len(inner) == 1 else target)


def _unpack_one(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path, path: str) -> None:
    """Files, folders and symbolic links only; links are kept as text, never followed.

    They are not resolved here: reading resolves them beneath the capture's own root, and
    nothing is ever written through one, since a path through a link is refused.
    """
    parts = [part for part in member.name.split("/") if part not in {"", "."}]
    if ".." in parts or member.name.startswith("/"):
        raise CaptureError(f"{path}: {member.name!r:.80} leads out of the archive")
    place = target.joinpath(*parts)
    if any((target / Path(*parts[:depth])).is_symlink() for depth in range(1, len(parts) + 1)):
        raise CaptureError(f"{path}: {member.name!r:.80} lies behind a link")
    if member.isdir():
        place.mkdir(parents=True, exist_ok=True)
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    if member.issym():
        place.symlink_to(member.linkname)
    elif member.isreg():
        source = archive.extractfile(member)
        with place.open("wb") as file:
            shutil.copyfileobj(source or io.BytesIO(), file)
    else:
        raise CaptureError(f"{path}: {member.name!r:.80} is no file, folder or symbolic link")
