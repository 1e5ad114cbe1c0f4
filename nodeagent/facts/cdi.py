"""Reads the CDI specs of NVIDIA's device plugin: which device nodes a pod would be given."""

from collections.abc import Iterator

from nodeagent.facts import documents
from nodeagent.model.runtime import CdiSpec
from nodeagent.model.seen import Unreadable
from nodeagent.seams import Files

# /var/run is /run on every host of today; the plugin writes there, an administrator in /etc.
FOLDERS = ("/run/cdi", "/etc/cdi")
_VENDOR = "nvidia.com/"
_MAX_FILES = 64


def read(files: Files) -> tuple[tuple[CdiSpec, ...], Unreadable | None]:
    """Every spec of NVIDIA's, and what could not be read."""
    found, closed = [], None
    for folder in FOLDERS:
        names = files.names(folder)
        if isinstance(names, Unreadable):
            closed = closed or names
            continue
        specs = [name for name in names or () if name.endswith((".yaml", ".json"))]
        for name in sorted(specs)[:_MAX_FILES]:
            path = f"{folder}/{name}"
            tree = documents.read(files, path, documents.yaml)
            if isinstance(tree, Unreadable):
                closed = closed or tree
                continue
            kind = documents.text(documents.table(tree), "kind")
            if kind.startswith(_VENDOR):
                found.append(CdiSpec(path, kind, tuple(_nodes(documents.table(tree)))))
    return tuple(found), closed


def _nodes(spec: object) -> Iterator[str]:
    for device in documents.items(documents.table(spec), "devices"):
        edits = documents.table(device, "containerEdits")
        for node in documents.items(edits, "deviceNodes"):
            fields = documents.table(node)
            # On the host a node may have another name than within the container.
            path = documents.text(fields, "hostPath") or documents.text(fields, "path")
            if path:
                yield path
