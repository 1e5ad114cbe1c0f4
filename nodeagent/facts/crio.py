"""Reads CRI-O's configuration: its runtime handlers, as containerd's are read.

Its file, then every file of its drop-in folder in the order of their names, whatever they are
called; of a handler that two of them have, the later one counts as a whole.
"""

from collections.abc import Iterator

from nodeagent.facts import documents
from nodeagent.facts.processes import Process
from nodeagent.model.runtime import Containerd, Handler
from nodeagent.model.seen import Seen, Unreadable
from nodeagent.seams import Files

NAME = "crio"
SHOWN = "CRI-O"
FOLDER = "/etc/crio"
_FILE = f"{FOLDER}/crio.conf"
_MAX_FILES = 64


def read(files: Files, process: Process | Unreadable | None) -> Containerd:
    """`process` is the running one, if one is seen to run: its flags may name other places."""
    closed = process if isinstance(process, Unreadable) else None
    path, folder = _FILE, f"{_FILE}.d"
    if isinstance(process, Process):
        closed = process.words if isinstance(process.words, Unreadable) else None
        path = _given(process, "--config", "-c") or path
        folder = _given(process, "--config-dir", "-d") or folder
    handlers: dict[str, Handler] = {}
    for where, tree in _trees(files, path, folder.rstrip("/")):
        if isinstance(tree, Unreadable):
            closed = closed or tree
            continue
        runtimes = documents.table(tree, "crio", "runtime", "runtimes")
        for name in runtimes:
            handlers[name] = _handler(files, name, runtimes, where)
    found = tuple(handlers[name] for name in sorted(handlers))
    return Containerd(None, found, frozenset(), closed, None, name=SHOWN)


def _given(process: Process, *names: str) -> str | None:
    words = process.words if isinstance(process.words, tuple) else ()
    for number, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name in names:
            return value if equals else (*words, "")[number + 1]
    return None


def _trees(files: Files, path: str, folder: str) -> Iterator[tuple[str, Seen[object]]]:
    yield path, documents.read(files, path, documents.toml)
    names = files.names(folder)
    if isinstance(names, Unreadable):
        yield folder, names
        return
    for name in sorted(names or ())[:_MAX_FILES]:
        where = f"{folder}/{name}"
        yield where, documents.read(files, where, documents.toml)


def _handler(files: Files, name: str, runtimes: object, where: str) -> Handler:
    runtime = documents.table(runtimes, name)
    config = documents.text(runtime, "runtime_config_path")
    return Handler(
        name=name,
        kind=documents.text(runtime, "runtime_type"),
        shim=documents.text(runtime, "runtime_path"),
        config=config,
        snapshotter="",
        where=where,
        config_there=files.has(config) if config.startswith("/") else None,
    )
