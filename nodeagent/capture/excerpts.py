"""What of a file may go into a capture: of those that hold secrets, the part that is judged.

Masking finds what it knows the look of. What is not written needs no mask.
"""

import json
import tomllib
from collections.abc import Callable, Mapping
from typing import Any

from nodeagent.capture.record import Record
from nodeagent.model import packages, rancher, units

_HANDLER = frozenset({"runtime_type", "runtime_path", "runtime_config_path", "snapshotter"})
_KUBELET = ("featureGates", "runtimeRequestTimeout", "containerRuntimeEndpoint")
_MAX_DOTS = 100  # tomllib takes a minute for one key of 50 000 parts


class Excerpts:
    """One for a capture: which variables a unit's command line uses, its drop-ins say together."""

    def __init__(self, record: Record) -> None:
        self._record = record
        texts = {path: _text(raw) for path, raw in record.contents.items() if _is(raw, path)}
        self._variables = units.variables(texts.values()) - {""}
        self._environment = {
            value.removeprefix("-")
            for text in texts.values()
            for key, value in units.settings(text)
            if key == "EnvironmentFile"
        }

    def of(self, path: str, seen: bytes) -> bytes:
        part = self._part(path, seen)
        if part is not None:
            return part
        if len(seen) < self._record.limits[path] or path.endswith("/config"):
            return seen
        return _without_half_a_word(seen)

    def _part(self, path: str, seen: bytes) -> bytes | None:
        """None for a file that is kept whole, and for one that cannot be taken apart."""
        part = rancher.excerpt(path, seen)
        if part is not None:  # beside it stands the cluster's token
            return part
        if path == packages.STATUS:
            return packages.excerpt(seen)
        if path.endswith("/cmdline") and self._is_rancher(path):
            return b"".join(word + b"\0" for word in _given(seen))
        if units.is_unit(path):
            return _bytes(units.excerpt(_text(seen), self._variables))
        if path in self._environment:
            return _bytes(units.environment_excerpt(_text(seen), self._variables))
        return _part_of_document(path, seen)

    def _is_rancher(self, cmdline: str) -> bool:
        name = self._record.contents.get(f"{cmdline.removesuffix('/cmdline')}/comm")
        return isinstance(name, bytes) and _text(name).strip() in rancher.PROCESSES


def _is(raw: object, path: str) -> bool:
    return isinstance(raw, bytes) and units.is_unit(path)


def _text(raw: object) -> str:
    return raw.decode(errors="surrogateescape") if isinstance(raw, bytes) else ""


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


def _given(cmdline: bytes) -> list[bytes]:
    return [_bytes(word) for word in rancher.given(_text(cmdline.rstrip(b"\0")).split("\0"))]


def _without_half_a_word(raw: bytes) -> bytes:
    """Where a read ended at its limit: half a secret is not recognised, and half of one is left."""
    end = max(raw.rfind(blank) for blank in (b" ", b"\n", b"\0", b"\t"))
    return raw[: end + 1] if end >= 0 else raw


# containerd, CRI-O, Kata: TOML. The kubelet: YAML, or JSON.


def _part_of_document(path: str, raw: bytes) -> bytes | None:
    if path.endswith(".toml") or path.startswith(("/etc/containerd/", "/etc/crio/")):
        return toml(raw)
    if "kubelet" in path.lower() and path.endswith((".yaml", ".yml", ".json", ".conf")):
        return _kubelet(raw)
    return None


def toml(raw: bytes) -> bytes | None:
    """Imports, plugins by name, handlers, and which QEMU; None where it is no TOML."""
    if any(line.count(b".") > _MAX_DOTS for line in raw.split(b"\n")):
        return None
    try:
        top = tomllib.loads(raw.decode())
    except (ValueError, RecursionError):
        return None
    kept: dict[str, Any] = {
        "imports": [each for each in _list(top.get("imports")) if isinstance(each, str)],
        "proxy_plugins": _each(_table(top, "proxy_plugins"), lambda _: {}),
        "plugins": {name: _plugin(_table(top, "plugins", name)) for name in _table(top, "plugins")},
        "crio": {
            "runtime": {"runtimes": _each(_table(top, "crio", "runtime", "runtimes"), _handler)}
        },
        "hypervisor": {"qemu": _words(_table(top, "hypervisor", "qemu"), frozenset({"path"}))},
    }
    return "\n".join(_lines((), _without_nothing(kept))).encode() + b"\n"


def _plugin(plugin: Mapping[str, Any]) -> dict[str, Any]:
    snapshotter = frozenset({"snapshotter"})
    return {
        "containerd": {"runtimes": _handlers(_table(plugin, "containerd"))},
        "runtime_platforms": _each(
            _table(plugin, "runtime_platforms"), lambda each: _words(each, snapshotter)
        ),
    }


def _handlers(table: Mapping[str, Any]) -> dict[str, Any]:
    return _each(_table(table, "runtimes"), _handler)


def _handler(runtime: Mapping[str, Any]) -> dict[str, Any]:
    options = _words(_table(runtime, "options"), frozenset({"ConfigPath"}))
    return _words(runtime, _HANDLER) | ({"options": options} if options else {})


def _words(table: Mapping[str, Any], keys: frozenset[str]) -> dict[str, Any]:
    """These keys; one that holds no text counts as one that holds none."""
    return {
        key: each if isinstance(each, str) else "" for key, each in table.items() if key in keys
    }


def _each(
    table: Mapping[str, Any], cut: Callable[[Mapping[str, Any]], dict[str, Any]]
) -> dict[str, Any]:
    """Every name of the table stays: that it is there is what counts."""
    return {name: cut(_table(table, name)) for name in table}


def _table(tree: object, *keys: str) -> dict[str, Any]:
    for key in keys:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree if isinstance(tree, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _without_nothing(tree: dict[str, Any]) -> dict[str, Any]:
    """Without the tables that were only led through; those that were there are in no such place."""
    found = {
        key: _without_nothing(each)
        if key in {"plugins", "crio", "runtime", "hypervisor"} and isinstance(each, dict)
        else each
        for key, each in tree.items()
    }
    return {key: each for key, each in found.items() if each not in ({}, [])}


def _lines(above: tuple[str, ...], table: Mapping[str, Any]) -> list[str]:
    """A table's own keys before its sub-tables, as TOML wants it."""
    lines = [f"[{'.'.join(map(_quoted, above))}]"] if above else []
    for key, value in table.items():
        if isinstance(value, str):
            lines.append(f"{_quoted(key)} = {_quoted(value)}")
        elif isinstance(value, list):
            lines.append(f"{_quoted(key)} = [{', '.join(map(_quoted, value))}]")
    for key, value in table.items():
        if isinstance(value, dict):
            lines += _lines((*above, key), value)
    return lines


def _quoted(text: str) -> str:
    """A basic string: JSON's escapes are TOML's, but for DEL, which must not stand bare."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _kubelet(raw: bytes) -> bytes | None:
    if raw.lstrip()[:1] == b"{":
        try:
            tree = json.loads(raw)
        except (ValueError, RecursionError):
            return None
        return json.dumps({key: tree[key] for key in _KUBELET if key in tree}).encode() + b"\n"
    return _block(raw, _KUBELET)


def _block(raw: bytes, keys: tuple[str, ...]) -> bytes | None:
    """These keys at the top of a plain block mapping, if a parser agrees that they are whole."""
    import yaml  # noqa: PLC0415 - only where there is a kubelet

    if any(mark in raw for mark in (b"&", b"*", b"\t")):
        return None
    kept: list[bytes] = []
    inside = False
    for line in raw.split(b"\n"):
        if line[:1] not in {b" ", b"#", b"-", b""}:
            inside = line.partition(b":")[0].decode(errors="replace").strip("\"' ") in keys
        if inside and line.strip():
            kept.append(line)
    part = b"".join(line + b"\n" for line in kept)
    try:
        whole, cut = (yaml.load(each, Loader=yaml.BaseLoader) for each in (raw, part))  # noqa: S506
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    if not isinstance(whole, dict):
        return None
    wanted = {key: whole[key] for key in keys if key in whole}
    return part if (cut or {}) == wanted and list(cut or {}) == list(wanted) else None
