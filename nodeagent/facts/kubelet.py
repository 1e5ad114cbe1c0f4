"""Reads the kubelet: is there one, does it run, and with which settings in the end?"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from nodeagent.facts import documents
from nodeagent.facts.processes import Process
from nodeagent.model import rancher
from nodeagent.model.runtime import DEFAULT_TIMEOUT_S, Kubelet, Layer
from nodeagent.model.seen import Unreadable
from nodeagent.seams import Files

NAMES = ("kubelet", "k3s-server", "k3s-agent", "k3s", "kubelite")
_MAX_DROP_INS = 64
_MAX_DEPTH = 4
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_YAML_TRUE = _TRUE | {"y", "Y", "yes", "Yes", "YES", "on", "On", "ON"}
_YAML_FALSE = _FALSE | {"n", "N", "no", "No", "NO", "off", "Off", "OFF"}
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}


class Flags(NamedTuple):
    """Flags by name, each with every value that it was given, and where they stand."""

    values: Mapping[str, tuple[str, ...]]
    where: str

    def last(self, name: str) -> str | None:
        return self.values.get(name, (None,))[-1]


def read(files: Files, process: Process | Unreadable | None, version: str | None) -> Kubelet:
    """Of a kubelet that is there; `process` is the running one, if one is seen to run."""
    if isinstance(process, Unreadable):
        return Kubelet("kubelet", False, version, (process,))
    if process and process.name != "kubelet":
        kind = "microk8s" if process.name == "kubelite" else "k3s"
        return _embedded(files, kind, process, version=version)
    flags = _flags(files, process)
    if flags is None:
        there = dict(zip(rancher.PRODUCTS, traces(files), strict=True))
        for product in (each for each, here in there.items() if here is True):
            return _embedded(files, product, None, version=version)
        hidden = next((each for each in there.values() if isinstance(each, Unreadable)), None)
        none = Unreadable("kubelet", "does not run, and no unit file says how it would")
        flags = hidden or none
    layers = (flags,) if isinstance(flags, Unreadable) else tuple(_layers(files, flags))
    return Kubelet("kubelet", process is not None, version, layers)


def traces(files: Files) -> list[bool | Unreadable]:
    """What has a kubelet within and ran here once: its folder of drop-ins tells."""
    return [files.has(_folder(each)) for each in rancher.PRODUCTS]


def _folder(product: str) -> str:
    return f"{rancher.agent(product)}/kubelet.conf.d"


def _embedded(files: Files, name: str, process: Process | None, *, version: str | None) -> Kubelet:
    """k3s and microk8s run the kubelet within themselves, without a command line of its own.

    k3s and RKE2 put a configuration that they were given into their own drop-in folder; what
    their `kubelet-arg` sets beside that becomes flags. RKE2 runs a kubelet with a command line.
    """
    if name not in rancher.PRODUCTS:
        unseen = Unreadable(name, "the flags of the kubelet within it are not looked at")
        return Kubelet(name, process is not None, version, (), unseen)
    from nodeagent.facts import k3s  # noqa: PLC0415 - only where it is

    given = k3s.read(files, name, process)
    layers = (*_drop_ins(files, _folder(name)), *given.layers)
    return Kubelet(name, process is not None, version, layers, given.unseen)


def _flags(files: Files, process: Process | None) -> Flags | Unreadable | None:
    """Of the running process, else as its unit would start it."""
    if process:
        path = f"/proc/{process.pid}/cmdline"
        if isinstance(process.words, Unreadable):
            return process.words
        return Flags(flags(process.words[1:]), path)
    from nodeagent.facts import units  # noqa: PLC0415 - only where a kubelet does not run

    command = units.command(files, "kubelet.service")
    if isinstance(command, units.Command):
        return Flags(flags(command.words[1:]), command.where)
    return command


def flags(words: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """`--name=value` and `--name value`; a name may be spelled with underscores."""
    found: dict[str, list[str]] = {}
    for number, word in enumerate(words):
        if not word.startswith("--"):
            continue
        name, equals, value = word[2:].partition("=")
        after = words[number + 1] if number + 1 < len(words) else ""
        found.setdefault(name.replace("_", "-"), []).append(value if equals else after)
    return {name: tuple(values) for name, values in found.items()}


def _layers(files: Files, given: Flags) -> Iterator[Layer | Unreadable]:
    """File, drop-ins, flags: each may override what stands before it."""
    path = given.last("config")
    if path:
        yield _file(files, path)
    folder = given.last("config-dir")
    if folder:
        yield from _drop_ins(files, folder.rstrip("/"))
    try:
        yield flag_layer(given)
    except ValueError as error:
        yield Unreadable(given.where, str(error))


def _file(files: Files, path: str) -> Layer | Unreadable:
    if not path.startswith("/"):
        return Unreadable(path, "is relative to a folder that is not known")
    tree = documents.read(files, path, documents.yaml)
    if tree is None:
        return Unreadable(path, "is absent, though the kubelet was given it")
    if isinstance(tree, Unreadable):
        return tree
    try:
        return layer(tree, path)
    except ValueError as error:
        return Unreadable(path, str(error))


def _drop_ins(files: Files, folder: str, depth: int = 0) -> Iterator[Layer | Unreadable]:
    """`*.conf` in the order of their names, folders among them included, as kubelet walks."""
    names = files.names(folder)
    if isinstance(names, Unreadable):
        yield names
        return
    for name in sorted(names or ())[:_MAX_DROP_INS]:
        if name.endswith(".conf"):
            yield _file(files, f"{folder}/{name}")
        elif depth < _MAX_DEPTH:
            yield from _drop_ins(files, f"{folder}/{name}", depth + 1)


def layer(tree: object, where: str) -> Layer:
    """What a KubeletConfiguration, or a part of one, sets; ValueError where it is none."""
    top = documents.table(tree)
    gates = top.get("featureGates")
    if gates is not None and not isinstance(gates, dict):
        raise ValueError("has featureGates that are no mapping")
    return Layer(
        where,
        {name: _gate(value) for name, value in documents.table(gates).items()},
        _timeout(top["runtimeRequestTimeout"]) if "runtimeRequestTimeout" in top else None,
        clears="featureGates" in top and gates is None,
        endpoint=documents.text(top, "containerRuntimeEndpoint") or None,
    )


def _gate(value: object) -> bool | None:
    return None if value is None else _truth(str(value), _YAML_TRUE, _YAML_FALSE)


def _truth(word: str, true: frozenset[str], false: frozenset[str]) -> bool:
    if word not in true | false:
        raise ValueError(f"has a feature gate that is {word!r:.20}")
    return word in true


def _timeout(value: object) -> float:
    """Zero and null mean the kubelet's own default."""
    return (duration(str(value)) if value is not None else 0) or DEFAULT_TIMEOUT_S


def flag_layer(given: Flags) -> Layer:
    """Gates of several flags add up; of any other flag the last one counts."""
    gates: dict[str, bool | None] = {}
    for text in given.values.get("feature-gates", ()):
        for part in filter(None, text.split(",")):
            name, _, value = part.partition("=")
            gates[name.strip()] = _truth(value.strip(), _TRUE, _FALSE)
    timeout = given.last("runtime-request-timeout")
    seconds = None if timeout is None else _timeout(timeout)
    return Layer(
        given.where, gates, seconds, endpoint=given.last("container-runtime-endpoint") or None
    )


def duration(text: str) -> float:
    """Go's spelling, `20m` or `1h2m3.5s`, in seconds; ValueError for any other."""
    rest = text[1:] if text[:1] in {"-", "+"} else text
    sign = -1 if text.startswith("-") else 1
    if rest == "0":
        return 0.0
    total = 0.0
    while rest:
        end = next((at for at, char in enumerate(rest) if char not in "0123456789."), len(rest))
        unit_end = next(
            (at for at in range(end, len(rest)) if rest[at] in "0123456789."), len(rest)
        )
        number, unit = rest[:end], rest[end:unit_end]
        if unit not in _UNITS or not number.strip(".") or number.count(".") > 1 or end > 20:
            raise ValueError(f"has {text!r:.30}, which is no duration")
        total += float(number) * _UNITS[unit]
        rest = rest[unit_end:]
    if not text.lstrip("+-"):
        raise ValueError("has an empty duration")
    return sign * total
