"""Who has a GPU's device node open."""

from collections.abc import Mapping
from typing import NamedTuple

from nodeagent.model.pci import Holder, held_node
from nodeagent.model.seen import Unreadable
from nodeagent.seams import Files

_MAX_PROCESSES = 1 << 17


class Holding(NamedTuple):
    """Holders by device node, and what kept us from seeing all of them, if anything did."""

    by_node: Mapping[str, tuple[Holder, ...]]
    closed: Unreadable | None


def read(files: Files) -> Holding:
    """One process that hides a descriptor may hold what nobody else was seen to hold."""
    names = files.names("/proc")
    if not isinstance(names, tuple):
        return Holding({}, names or Unreadable("/proc", "is absent"))
    pids = sorted((name for name in names if name.isdecimal()), key=int)
    if not pids:  # a /proc that hides even ourselves
        return Holding({}, Unreadable("/proc", "shows no process"))
    found: dict[str, list[Holder]] = {}
    closed: Unreadable | None = None
    for pid in pids[:_MAX_PROCESSES]:
        nodes, gap = _nodes(files, pid)
        closed = closed or gap
        for node in nodes:
            found.setdefault(node, []).append(Holder(int(pid), _command(files, pid), node))
    return Holding({node: tuple(holders) for node, holders in found.items()}, closed)


def _nodes(files: Files, pid: str) -> tuple[set[str], Unreadable | None]:
    """A process that is gone meanwhile holds nothing."""
    folder = f"/proc/{pid}/fd"
    descriptors = files.names(folder)
    if not isinstance(descriptors, tuple):
        return set(), descriptors
    links = [files.link(f"{folder}/{name}") for name in descriptors]
    closed = next((link for link in links if isinstance(link, Unreadable)), None)
    return {node for link in links if isinstance(link, str) and (node := held_node(link))}, closed


def _command(files: Files, pid: str) -> str:
    name = files.read(f"/proc/{pid}/comm", 64)
    return name if isinstance(name, str) and name else "?"
