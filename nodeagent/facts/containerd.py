"""Reads containerd's configuration, imports included: its runtime handlers and proxy plugins.

Sections of imported files are merged key by key, as containerd 2 means it; a later file that
replaces a whole plugin's section in some 1.x and 2.0 releases is not modelled.
"""

from collections.abc import Iterator

from nodeagent.facts import documents
from nodeagent.facts.processes import Process
from nodeagent.model import rancher
from nodeagent.model.runtime import Containerd, Handler
from nodeagent.model.seen import Seen, Unreadable
from nodeagent.seams import Files

NAME = "containerd"
_DEFAULT = "/etc/containerd/config.toml"
_OWN_IMPORT = "/etc/containerd/conf.d/*.toml"
_MAX_FILES = 64
# Configuration versions 3, 2 and 1.
_CRI = ("io.containerd.cri.v1.runtime", "io.containerd.grpc.v1.cri", "cri")
_IMAGES = "io.containerd.cri.v1.images"
_FIELDS = ("runtime_type", "runtime_path", "snapshotter")


def serves_pods(process: Process) -> bool:
    """Docker runs a containerd of its own beside the kubelet's."""
    return process.name == NAME and "/docker/" not in (_given(process) or "")


def read(files: Files, process: Process | Unreadable | None, *, within: str) -> Containerd:
    """`process` is the running one, if one is seen to run; `within`: what else it is part of."""
    handlers: dict[str, dict[str, str]] = {}
    proxies: set[str] = set()
    closed = process if isinstance(process, Unreadable) else None
    own = within in rancher.PRODUCTS
    path = f"{rancher.agent(within)}/containerd/config.toml" if own else _DEFAULT
    if isinstance(process, Process):
        closed = process.words if isinstance(process.words, Unreadable) else None
        path = _given(process) or path
    for where, tree in _trees(files, path):
        if isinstance(tree, Unreadable):
            closed = closed or tree
            continue
        top = documents.table(tree)
        proxies |= documents.table(top, "proxy_plugins").keys()
        for name, fields in _handlers(top):
            handlers.setdefault(name, {}).update({**fields, "where": where})
    found = tuple(_handler(files, name, handlers[name]) for name in sorted(handlers))
    return Containerd(None, found, frozenset(proxies), closed, None)


def _given(process: Process) -> str | None:
    words = process.words if isinstance(process.words, tuple) else ()
    for number, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name in {"--config", "-config", "-c", "--c"}:
            return value if equals else (*words, "")[number + 1]
    return None


def _trees(files: Files, path: str) -> Iterator[tuple[str, Seen[object]]]:
    """Each file once, in the order in which containerd merges them (LoadConfig)."""
    pending, loaded = [path], set[str]()
    while pending and len(loaded) < _MAX_FILES:
        path = pending.pop(0)
        if path in loaded:
            continue
        loaded.add(path)
        tree = _tree(files, path)
        yield path, tree
        if isinstance(tree, Unreadable):
            continue
        imports = documents.items(documents.table(tree), "imports")
        if tree is None and path == _DEFAULT:
            imports = [_OWN_IMPORT]  # what containerd 2.2 and newer do without a file of their own
        for pattern in (each for each in imports if isinstance(each, str)):
            matches = _matches(files, pattern, path)
            if isinstance(matches, Unreadable):
                yield pattern, matches
            else:
                pending += matches


def _tree(files: Files, path: str) -> Seen[object]:
    if not path.startswith("/"):
        return Unreadable(path, "is relative to a folder that is not known")
    return documents.read(files, path, documents.toml)


def _matches(files: Files, pattern: str, parent: str) -> list[str] | Unreadable:
    if not pattern.startswith("/"):
        pattern = f"{parent.rpartition('/')[0]}/{pattern}"
    folder, _, name = pattern.rpartition("/")
    if "*" in folder:
        return Unreadable(pattern, "names a pattern of folders")
    if "*" not in name:
        return [pattern]
    from fnmatch import fnmatchcase  # noqa: PLC0415 - only for an import by pattern

    names = files.names(folder)
    if isinstance(names, Unreadable):
        return names
    return [f"{folder}/{each}" for each in sorted(names or ()) if fnmatchcase(each, name)]


def _handlers(top: object) -> Iterator[tuple[str, dict[str, str]]]:
    for plugin in _CRI:
        runtimes = documents.table(top, "plugins", plugin, "containerd", "runtimes")
        for name in runtimes:
            runtime = documents.table(runtimes, name)
            fields = {key: documents.text(runtime, key) for key in _FIELDS if key in runtime}
            options = documents.table(runtime, "options")
            if "ConfigPath" in options:
                fields["config"] = documents.text(options, "ConfigPath")
            yield name, fields
    platforms = documents.table(top, "plugins", _IMAGES, "runtime_platforms")
    for name in platforms:
        snapshotter = documents.text(documents.table(platforms, name), "snapshotter")
        if snapshotter:
            yield name, {"snapshotter": snapshotter}


def _handler(files: Files, name: str, fields: dict[str, str]) -> Handler:
    config = fields.get("config", "")
    return Handler(
        name=name,
        kind=fields.get("runtime_type", ""),
        shim=fields.get("runtime_path", ""),
        config=config,
        snapshotter=fields.get("snapshotter", ""),
        where=fields["where"],
        config_there=files.has(config) if config.startswith("/") else None,
    )
