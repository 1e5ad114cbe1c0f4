"""From a record to what a capture holds: files by where they lie, and what is not there."""

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from nodeagent.capture.answers import Json, answers
from nodeagent.capture.excerpts import Excerpts
from nodeagent.capture.processes import PROC, choose_processes
from nodeagent.capture.record import Record
from nodeagent.capture.shape import NOT_CAPTURED, encoded, errno_name
from nodeagent.errors import CaptureError
from nodeagent.host import klog
from nodeagent.model.host import Uname
from nodeagent.model.seen import Unreadable
from nodeagent.seams import Files

MAX_ENTRIES = 50_000
MAX_BYTES = 256 << 20
_MAX_HOPS = 40
_WHOLE_CONFIG = 4096

NEVER = (
    "/dmi/id/product_serial",
    "/dmi/id/product_uuid",
    "/dmi/id/board_serial",
    "/dmi/id/chassis_serial",
    "/dmi/id/chassis_asset_tag",
    "/dmi/id/board_asset_tag",
    "/vpd",
)
"""Files that hold nothing but what names one machine. No check reads them, and none may."""


class Contents(NamedTuple):
    """A capture before it is masked and written. Paths are the host's, from `/`."""

    files: Mapping[str, bytes]
    links: Mapping[str, str]
    folders: frozenset[str]
    absent: tuple[str, ...]
    denied: Mapping[str, str]
    listed: tuple[str, ...]
    probes: Json
    uname: Uname | None
    boot_id: str | None
    log_from: str | None


def gather(record: Record, files: Files) -> Contents:
    """`files` answers what the look had no need to ask: which folders are links, what is absent."""
    choose_processes(record)
    probes = answers(record)
    places = _Places(files)
    tree = _Tree(places)
    denied = {**_gaps(record), **probes.gaps}
    origin = _put_log(record, tree, denied)
    for path, content in _contents(record, files):
        if path.endswith(NEVER):
            denied[path] = "never captured"
        else:
            tree.put(places.real(path), content)
    for path, text in record.links.items():
        if isinstance(text, str):
            tree.links[places.real(path, follow=False)] = text
    _put_entries(record, tree, places, probes.devices)
    absent = {path for path, seen in _answers_by_path(record) if seen is None} | probes.absent
    return Contents(
        files=tree.files,
        links={path: _relative(path, text) for path, text in (places.links | tree.links).items()},
        folders=frozenset(tree.folders),
        absent=_absent(absent, record, tree, files),
        denied={path: errno_name(why) for path, why in sorted(denied.items())},
        listed=tuple(sorted(_listed(record))),
        probes=probes.probes,
        uname=record.uname if isinstance(record.uname, Uname) else None,
        boot_id=_boot_id(record),
        log_from=origin,
    )


class _Places:
    """Where paths really lie, as the host resolves them; remembers every link on the way."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._folders: dict[str, str] = {}
        self._targets: dict[str, str | None] = {}

    @property
    def links(self) -> dict[str, str]:
        return {path: text for path, text in self._targets.items() if text is not None}

    def is_link(self, path: str) -> bool:
        return self._targets.get(path) is not None

    def real(self, path: str, *, follow: bool = True) -> str:
        """Without links in it; `follow`: nor at its end."""
        folder, _, name = path.rstrip("/").rpartition("/")
        if folder not in self._folders:
            self._folders[folder] = self._walk(folder)
        at = f"{self._folders[folder].rstrip('/')}/{name}"
        return self._walk(at) if follow else at

    def _walk(self, path: str) -> str:
        at, hops = "", 0
        steps = path.split("/")[::-1]
        while steps:
            step = steps.pop()
            if step == "..":
                at = at.rpartition("/")[0]
            if step in {"", ".", ".."}:
                continue
            here = f"{at}/{step}"
            text = self._target(here) if hops < _MAX_HOPS else None
            if text is None:
                at = here
                continue
            hops += 1
            at = "" if text.startswith("/") else at
            steps += text.split("/")[::-1]
        return at or "/"

    def _target(self, path: str) -> str | None:
        if path not in self._targets:
            found = self._files.link(path)
            self._targets[path] = found if isinstance(found, str) else None
        return self._targets[path]


class _Tree:
    """Files, links and folders by where they really lie, within what a capture can hold."""

    def __init__(self, places: _Places) -> None:
        self.files: dict[str, bytes] = {}
        self.links: dict[str, str] = {}
        self.folders: set[str] = set()
        self._places = places
        self._above: set[str] = {"/"}
        self._size = 0

    def put(self, path: str, content: bytes) -> None:
        # What changed its kind while it was looked at: a folder with something in it stays.
        if path in self._above:
            return
        self._size += len(content)
        self.files[path] = content
        self._lead_to(path)

    def add_folder(self, path: str) -> None:
        self.files.pop(path, None)
        self.folders.add(path)
        self._lead_to(path)

    def stand_in(self, path: str) -> None:
        """Something is there, and nobody looked what: an empty file for a device, or a folder."""
        known = (self.files, self.folders, self._above, self.links)
        if self._places.is_link(path) or any(path in each for each in known):
            return
        if path.startswith("/dev/"):
            self.put(path, b"")
        else:
            self.add_folder(path)

    def leads_to(self, path: str) -> bool:
        return path in self._above

    def _lead_to(self, path: str) -> None:
        if self._size > MAX_BYTES or len(self.files) + len(self.folders) > MAX_ENTRIES:
            raise CaptureError("this host shows more than a capture can hold")
        above = posixpath.dirname(path)
        while above not in self._above:
            self._above.add(above)
            self.files.pop(above, None)
            above = posixpath.dirname(above)


def _put_log(record: Record, tree: _Tree, denied: dict[str, str]) -> str | None:
    """The log as if the ring had given it; where it really comes from."""
    found = record.log
    if found is None:
        record.contents[klog.RING] = None
        return None
    if isinstance(found, Unreadable):
        if found.why != NOT_CAPTURED:
            denied[klog.RING] = found.why
        return None
    origin, lines = found
    # Level and time are not ours to say: what we read is cut down to the text.
    tree.put(klog.RING, b"".join(encoded(f"6,{n},0,-;{line}\n") for n, line in enumerate(lines)))
    denied.pop(klog.RING, None)
    return None if origin == klog.RING else origin


def _contents(record: Record, files: Files) -> Iterator[tuple[str, bytes]]:
    excerpts = Excerpts(record)
    for path, seen in record.contents.items():
        if isinstance(seen, bytes):
            yield path, excerpts.of(path, seen)
    for path, pieces in record.pieces.items():
        # The look had it open and read some words; what lies between must not read as zeros.
        whole = files.read_bytes(path, _WHOLE_CONFIG)
        content = bytearray(whole if isinstance(whole, bytes) else b"")
        for offset, piece in pieces.items():
            if len(content) < offset <= _WHOLE_CONFIG:
                content.extend(bytes(offset - len(content)))
            if offset <= len(content):
                content[offset : offset + len(piece)] = piece
        yield path, bytes(content)


def _answers_by_path(record: Record) -> Iterator[tuple[str, object]]:
    yield from record.contents.items()
    yield from record.listings.items()
    yield from record.links.items()
    for path, here in record.presence.items():
        yield path, None if here is False else here


def _gaps(record: Record) -> dict[str, str]:
    """Why a path could not be looked at, unless it was also looked at in another way."""
    gaps: dict[str, str] = {}
    for path, seen in _answers_by_path(record):
        if isinstance(seen, Unreadable) and seen.why != NOT_CAPTURED:
            gaps.setdefault(path, seen.why)
    known = {path for path, seen in record.contents.items() if isinstance(seen, bytes)}
    known |= {path for path, seen in record.listings.items() if isinstance(seen, tuple)}
    return {path: why for path, why in gaps.items() if path not in known}


def _listed(record: Record) -> set[str]:
    """Folders that are in the capture name by name; /proc is not, for few processes are."""
    return {
        path for path, names in record.listings.items() if isinstance(names, tuple) and path != PROC
    }


def _put_entries(record: Record, tree: _Tree, places: _Places, devices: Iterable[str]) -> None:
    """Every name that was listed or asked for is there, if nothing else is known of it."""
    listings = {
        places.real(path): names
        for path, names in record.listings.items()
        if isinstance(names, tuple)
    }
    for folder in listings:
        tree.add_folder(folder)
    for folder, names in listings.items():
        for name in names:
            tree.stand_in(f"{folder.rstrip('/')}/{name}")
    for path, here in record.presence.items():
        if here is True:
            tree.stand_in(places.real(path, follow=False))
    for path in devices:
        tree.stand_in(path)


def _absent(absent: set[str], record: Record, tree: _Tree, files: Files) -> tuple[str, ...]:
    """The outermost folders that are not there, but for what a listing shows anyway."""
    outermost: set[str] = set()
    for path in absent:
        above = posixpath.dirname(path)
        names = record.listings.get(above) if above != PROC else None
        if isinstance(names, tuple) and posixpath.basename(path) not in names:
            continue
        # Not up to the top: what is missing there may only not be mounted.
        while above.count("/") > 1 and not tree.leads_to(above) and files.has(above) is False:
            path, above = above, posixpath.dirname(above)  # noqa: PLW2901 - climbing
        outermost.add(path)
    return tuple(sorted(outermost))


def _relative(path: str, text: str) -> str:
    """The same link without leading out of the tree by itself, whoever follows it."""
    folder = posixpath.dirname(path)
    low = depth = 0 if folder == "/" else folder.count("/")
    for step in text.split("/"):
        depth += {"..": -1, ".": 0, "": 0}.get(step, 1)
        low = min(low, depth)
    if low >= 0 and not text.startswith("/"):
        return text
    return posixpath.relpath(posixpath.normpath(posixpath.join("/", folder, text)), folder)


def _boot_id(record: Record) -> str | None:
    seen = record.contents.get("/proc/sys/kernel/random/boot_id")
    words = seen.decode(errors="replace").split() if isinstance(seen, bytes) else []
    return words[0] if words else None
