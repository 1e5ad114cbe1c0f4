"""Writes a capture as a folder or a .tar.gz: beside its place first, then all of it at once."""

import datetime as dt
import gzip
import io
import json
import os
import posixpath
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from nodeagent.capture.gather import Contents
from nodeagent.capture.read import VERSION
from nodeagent.errors import CaptureError, UsageError

SUFFIX = ".tar.gz"
_OTHER_SUFFIXES = (".tgz", ".tar", ".gz", ".zip", ".tar.xz", ".tar.zst")
_TOP = "nodeagent-capture"
_NOBODY = 65534

Entries = dict[str, bytes | str | None]
"""By path in the capture: a file's bytes, a link's text, or None for a folder."""


class About(NamedTuple):
    """What host.json says of the capture itself."""

    captured: str
    note: str
    root: bool
    masked: Mapping[str, int]


class Written(NamedTuple):
    files: int
    size: int


def entries(contents: Contents, about: About) -> Entries:
    """The capture's files by path, sorted: equal contents give equal entries."""
    found: Entries = {f"root{path}": None for path in contents.folders}
    found |= {f"root{path}": data for path, data in contents.files.items()}
    found |= {f"root{path}": text for path, text in contents.links.items()}
    found["host.json"] = _json(_host(contents, about))
    found["probes.json"] = _json(contents.probes)
    found.setdefault("root", None)
    return dict(sorted(found.items()))


def _host(contents: Contents, about: About) -> dict[str, Any]:
    host = {
        "version": VERSION,
        "captured": about.captured,
        "note": about.note or None,
        "uname": contents.uname._asdict() if contents.uname else None,
        "boot_id": contents.boot_id,
        "euid": 0 if about.root else _NOBODY,
        "log_from": contents.log_from,
        "masked": dict(about.masked),
        "absent": list(contents.absent),
        "listed": list(contents.listed),
        "denied": dict(contents.denied),
    }
    return {key: value for key, value in host.items() if value is not None}


def _json(value: Mapping[str, Any]) -> bytes:
    # ASCII: what was no UTF-8 on the host must survive, and JSON has an escape for it.
    return (json.dumps(value, indent=1) + "\n").encode()


def write(found: Entries, path: str, *, captured: str) -> Written:
    """Write all of it at `path`, which must not be there yet; a failure leaves nothing behind."""
    path = os.path.abspath(path)
    make = _archive if path.endswith(SUFFIX) else _folder
    try:
        with _reserved(path, folder=make is _folder) as beside:
            make(found, beside, _seconds(captured))
    except OSError as error:
        raise CaptureError(
            f"cannot write the capture {path}: {error.strerror or error}",
            hint="another PATH, which is not there yet, in a folder that this user may write",
        ) from error
    files = sum(1 for data in found.values() if data is not None)
    return Written(files, sum(len(data) for data in found.values() if isinstance(data, bytes)))


def refuse_place(path: str, looked_at: str | None) -> None:
    """A place that is taken, of no kind we write, or within what is looked at."""
    if path.endswith(_OTHER_SUFFIXES) and not path.endswith(SUFFIX):
        raise UsageError(f"{path}: a capture is a folder or a {SUFFIX}", hint=f"PATH{SUFFIX}")
    if os.path.lexists(path):
        raise UsageError(
            f"{path} is there already", hint="a capture never overwrites: another PATH"
        )
    where = os.path.realpath(os.path.dirname(os.path.abspath(path)))
    closed = [
        os.path.join(root, name) for root in {"/", looked_at or "/"} for name in ("proc", "sys")
    ]
    closed += (
        [looked_at] if looked_at and os.path.exists(os.path.join(looked_at, "host.json")) else []
    )
    for place in map(os.path.realpath, closed):
        if where == place or where.startswith(place.rstrip("/") + "/"):
            raise UsageError(f"{path} lies within what is looked at", hint="a PATH elsewhere")


@contextmanager
def _reserved(path: str, *, folder: bool) -> Iterator[str]:
    """A private place beside `path` to write to, which becomes `path` at the end.

    The name is taken at once, so that two at a time never write over each other.
    """
    if folder:
        os.mkdir(path, 0o700)
    else:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    above = None
    try:
        above = tempfile.mkdtemp(prefix=".nodeagent-", dir=os.path.dirname(path))
        beside = os.path.join(above, os.path.basename(path))
        yield beside
        os.rename(beside, path)
    except BaseException:
        with suppress(OSError):
            (os.rmdir if folder else os.unlink)(path)
        raise
    finally:
        if above:
            shutil.rmtree(above, ignore_errors=True)


def _folder(found: Entries, out: str, _seconds: int) -> None:
    os.mkdir(out, 0o700)
    for name, data in found.items():
        place = os.path.join(out, name)
        _make_folders(place if data is None else os.path.dirname(place))
        if isinstance(data, str):
            os.symlink(data, place)
        elif data is not None:
            with open(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(data)


def _make_folders(path: str) -> None:
    """Like os.makedirs, which leaves all but the last one open to everybody."""
    if not os.path.isdir(path):
        _make_folders(os.path.dirname(path))
        os.mkdir(path, 0o700)


def _archive(found: Entries, out: str, seconds: int) -> None:
    """The same bytes for the same contents: sorted, everybody's, of one time."""
    with (
        open(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file,
        gzip.GzipFile(
            filename="", fileobj=file, mode="wb", compresslevel=6, mtime=seconds
        ) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        folders: set[str] = set()
        for name, data in found.items():
            for above in _folders_above(f"{_TOP}/{name}", folders):
                archive.addfile(_member(above, None, seconds))
            if data is None and f"{_TOP}/{name}" in folders:
                continue
            member = _member(f"{_TOP}/{name}", data, seconds)
            archive.addfile(member, io.BytesIO(data) if isinstance(data, bytes) else None)
            if data is None:
                folders.add(member.name)


def _folders_above(name: str, known: set[str]) -> list[str]:
    new: list[str] = []
    above = posixpath.dirname(name)
    while above and above not in known:
        known.add(above)
        new.append(above)
        above = posixpath.dirname(above)
    return new[::-1]


def _member(name: str, data: bytes | str | None, seconds: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.mtime = seconds
    member.mode = 0o700 if data is None else 0o600
    if data is None:
        member.type = tarfile.DIRTYPE
    elif isinstance(data, str):
        member.type, member.linkname = tarfile.SYMTYPE, data
    else:
        member.size = len(data)
    return member


def now() -> str:
    """RFC 3339, to the second."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _seconds(captured: str) -> int:
    try:
        return max(0, int(dt.datetime.fromisoformat(captured).timestamp()))
    except (ValueError, OverflowError):
        return 0
