"""Which processes a capture keeps: as few as its facts need."""

from collections.abc import Iterator

from nodeagent.capture.record import Record
from nodeagent.model.pci import held_node
from nodeagent.model.seen import Seen, Unreadable

PROC = "/proc"


def choose_processes(record: Record) -> None:
    """Forget every process but those that matter: what runs on a host is nobody's business.

    Kept are the holders of a device, those whose command line was read, and the first that
    did not show what it holds: one is all it takes to be unsure. If none is left, the first
    of all, for a /proc without processes would be one that hides them.
    """
    pids = sorted({pid for path in _paths(record) if (pid := _pid(path))}, key=int)
    opened = {pid: _held_by(record, pid) for pid in pids}
    kept = {pid for pid, (nodes, _) in opened.items() if nodes}
    kept.update([pid for pid, (_, closed) in opened.items() if closed][:1])
    kept |= {pid for pid in pids if record.contents.get(f"{PROC}/{pid}/cmdline")}
    # Without it a search by name would take /proc for one that hides processes.
    kept |= {pid for pid in pids[:1] if pid == "1" and f"{PROC}/1/comm" in record.contents}
    kept = kept or set([pid for pid in pids if f"{PROC}/{pid}/fd" in record.listings][:1])
    for kind in (record.contents, record.listings, record.links, record.presence):
        for path in [path for path in kind if (pid := _pid(path)) and pid not in kept]:
            del kind[path]
    for pid in kept:
        _keep_only_nodes(record, pid)
    names = record.listings.get(PROC)
    if isinstance(names, tuple):
        record.listings[PROC] = tuple(sorted(kept))


def _paths(record: Record) -> Iterator[str]:
    for kind in (record.contents, record.listings, record.links, record.presence):
        yield from kind


def _pid(path: str) -> str | None:
    if not path.startswith(f"{PROC}/"):
        return None
    name = path.split("/", 3)[2]
    return name if name.isdecimal() and name.isascii() else None


def _held_by(record: Record, pid: str) -> tuple[set[str], bool]:
    """The descriptors that hold a device, and whether any could not be looked at."""
    folder = f"{PROC}/{pid}/fd"
    names = record.listings.get(folder)
    if not isinstance(names, tuple):
        return set(), isinstance(names, Unreadable)
    links = {name: record.links.get(f"{folder}/{name}") for name in names}
    nodes = {name for name, link in links.items() if isinstance(link, str) and held_node(link)}
    return nodes, any(isinstance(link, Unreadable) for link in links.values())


def _keep_only_nodes(record: Record, pid: str) -> None:
    folder = f"{PROC}/{pid}/fd"
    names = record.listings.get(folder)
    if not isinstance(names, tuple):
        return
    kept: list[str] = []
    for name in names:
        path = f"{folder}/{name}"
        link: Seen[str] = record.links.pop(path, None)
        node = held_node(link) if isinstance(link, str) else None
        if node or isinstance(link, Unreadable):
            record.links[path] = node or link
            kept.append(name)
    record.listings[folder] = tuple(kept)
