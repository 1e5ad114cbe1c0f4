"""Who has a GPU's device node open."""

from collections.abc import Iterator, Mapping

from nodeagent.model.pci import Holder
from nodeagent.model.seen import Seen, Unreadable
from nodeagent.seams import Files

_NODE_FOLDERS = ("/dev/vfio/", "/dev/nvidia")
_CONTAINER = "/dev/vfio/vfio"
_MAX_PROCESSES = 1 << 17


def read(files: Files) -> Seen[Mapping[str, tuple[Holder, ...]]]:
    """Holders by device node. One process that hides its descriptors makes it unreadable."""
    names = files.names("/proc")
    if not isinstance(names, tuple):
        return names
    pids = sorted((name for name in names if name.isdecimal()), key=int)
    if not pids:  # a /proc that hides even ourselves
        return Unreadable("/proc", "shows no process")
    found: dict[str, list[Holder]] = {}
    gap: Unreadable | None = None
    for pid in pids[:_MAX_PROCESSES]:
        nodes = _nodes(files, pid)
        if isinstance(nodes, Unreadable):
            gap = gap or nodes
            continue
        for node in nodes:
            found.setdefault(node, []).append(Holder(int(pid), _command(files, pid), node))
    if gap and not found:
        return gap
    return {node: tuple(holders) for node, holders in found.items()}


def _nodes(files: Files, pid: str) -> set[str] | Unreadable:
    """A process that is gone meanwhile holds nothing."""
    folder = f"/proc/{pid}/fd"
    descriptors = files.names(folder)
    if descriptors is None:
        return set()
    if isinstance(descriptors, Unreadable):
        return descriptors
    return set(_gpu_nodes(files.link(f"{folder}/{name}") for name in descriptors))


def _gpu_nodes(links: Iterator[Seen[str]]) -> Iterator[str]:
    """A capture keeps these links relative to its root; only what follows /dev counts."""
    for link in links:
        if not isinstance(link, str):
            continue
        at = link.find("/dev/")
        node = link[at:] if at >= 0 else ""
        if node.startswith(_NODE_FOLDERS) and node != _CONTAINER:
            yield node


def _command(files: Files, pid: str) -> str:
    name = files.read(f"/proc/{pid}/comm", 64)
    return name if isinstance(name, str) and name else "?"
