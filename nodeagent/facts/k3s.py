"""Reads what k3s, or an RKE2 that does not run, gives the kubelet: `kubelet-arg`, nothing else."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from nodeagent.facts import documents, units
from nodeagent.facts.kubelet import Flags, flag_layer
from nodeagent.facts.processes import Process
from nodeagent.model import rancher
from nodeagent.model.runtime import Layer
from nodeagent.model.seen import Seen, Unreadable
from nodeagent.seams import Files

_MAX_DROP_INS = 64
_CONFIG_NAME = {"k3s": "K3S_CONFIG_FILE", "rke2": "RKE2_CONFIG_FILE"}


class Given(NamedTuple):
    """Layers above the drop-ins of the kubelet. `unseen`: what above these cannot be told."""

    layers: tuple[Layer | Unreadable, ...]
    unseen: Unreadable | None


class _Args(NamedTuple):
    values: tuple[str, ...]
    where: str


def read(files: Files, product: str, process: Process | None) -> Given:
    """Its file and drop-ins, then its command line, which counts more."""
    command = _command(files, product, process)
    if isinstance(command, Unreadable):
        return Given((), command)
    flags = list(rancher.flags(command.words))
    own = _Args(tuple(value for name, value in flags if name == "--kubelet-arg"), command.where)
    default = rancher.config(product)
    path = next((value for name, value in flags if name == "--config"), None)
    path = command.variables.get(_CONFIG_NAME[product]) or path or default
    if path == default:
        kept = _configured(files, default)
    else:
        kept = Unreadable(path, f"is where {product} is configured, and is not looked at")
    if isinstance(kept, Unreadable):
        return Given((_layer(own),), kept)
    weaker = _layer(kept)
    if own.values and isinstance(weaker, Layer) and (weaker.gates or weaker.timeout_s):
        # The manual has the command line replace the list, the parser's comment has it add to it.
        weaker = Unreadable(kept.where, "may not count beside a kubelet-arg of the command line")
    return Given((weaker, _layer(own)), None)


def _command(files: Files, product: str, process: Process | None) -> units.Start | Unreadable:
    """How it was started: it overwrites its own arguments, so mostly only a unit tells."""
    words = process.words if process and isinstance(process.words, tuple) else ()
    own = rancher.given(words)
    if process and len(own) > 1:
        return units.Start(tuple(own), f"/proc/{process.pid}/cmdline", {})
    names: tuple[str, ...] = rancher.UNITS[product]
    # A running agent and a running server each have one unit; the other's may be left over.
    names = tuple(name for name in names if not process or _is_of(process, name)) or names
    for name in names:
        start = units.start(files, name, rancher.unit_excerpt)
        if start is not None:
            return start
    return Unreadable(product, "was not started by a unit of its name: its flags are not seen")


def _is_of(process: Process, unit: str) -> bool:
    return ("agent" in process.name) == ("agent" in unit)


def _configured(files: Files, path: str) -> _Args | Unreadable:
    """A later file replaces the list, or adds to it where its key ends in a plus."""
    values: tuple[str, ...] = ()
    where = path
    paths = _paths(files, path)
    if isinstance(paths, Unreadable):
        return paths
    for each in paths:
        found = _file(files, each)
        if isinstance(found, Unreadable):
            return found
        for key, more in found or ():
            values = (*values, *more) if key.endswith("+") else more
            where = each
    return _Args(values, where)


def _paths(files: Files, path: str) -> list[str] | Unreadable:
    names = files.names(f"{path}.d")
    if isinstance(names, Unreadable):
        return names
    drop_ins = sorted(name for name in names or () if name.lower().endswith((".yaml", ".yml")))
    return [path, *(f"{path}.d/{name}" for name in drop_ins[:_MAX_DROP_INS])]


def _file(files: Files, path: str) -> Seen[list[tuple[str, tuple[str, ...]]]]:
    raw = files.read_bytes(path, rancher.LIMIT + 1)
    if not isinstance(raw, bytes):
        return raw
    part = rancher.config_excerpt(raw)
    if part == rancher.NOT_PLAIN:
        return Unreadable(path, "is no plain list of keys, or too large")
    try:
        tree = documents.yaml(part)
        return [(key, tuple(_words(value))) for key, value in documents.table(tree).items()]
    except ValueError as error:
        return Unreadable(path, str(error))


def _words(value: object) -> Iterator[str]:
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, str):
            yield each
        elif each is not None:
            raise ValueError("has a kubelet-arg that is no word")


def _layer(args: _Args) -> Layer | Unreadable:
    try:
        return flag_layer(Flags(_flags(args.values), args.where))
    except ValueError as error:
        return Unreadable(args.where, str(error))


def _flags(values: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """`feature-gates=A=true`; a plus or minus at the name's end only says what k3s' own is for."""
    found: dict[str, tuple[str, ...]] = {}
    for value in values:
        name, equals, text = value.removeprefix("--").partition("=")
        name = name.rstrip("-+").replace("_", "-")
        found[name] = (*found.get(name, ()), text if equals else "true")
    return found
