"""Strangers' YAML, JSON and TOML as plain trees: bounded in size and depth, no alias, no type.

Every scalar of YAML and JSON is text or None, so that nothing is built of what a file says.
Trees of unchanged bytes are kept between looks and must not be changed.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, NoReturn

from nodeagent.facts import plain_yaml
from nodeagent.model.seen import Seen, Unreadable
from nodeagent.seams import Files

LIMIT = 128 << 10
_DEPTH = 32
_DOTS = 100  # tomllib takes a minute for one key of 50 000 parts
_KEPT = 64
_NULL = frozenset({"", "~", "null", "Null", "NULL"})


def read(files: Files, path: str, parse: Callable[[bytes], object]) -> Seen[object]:
    """The file as a tree. One that is too large or no such document is unreadable."""
    raw = files.read_bytes(path, LIMIT + 1)
    if not isinstance(raw, bytes):
        return raw
    if len(raw) > LIMIT:
        return Unreadable(path, f"is larger than {LIMIT >> 10} KiB")
    try:
        return parse(raw)
    except ValueError as error:
        return Unreadable(path, str(error))


def table(tree: object, *keys: str) -> Mapping[str, object]:
    """The mapping at the end of these keys; an empty one where there is none."""
    for key in keys:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree if isinstance(tree, dict) else {}


def text(tree: Mapping[str, object], key: str) -> str:
    value = tree.get(key)
    return value if isinstance(value, str) else ""


def items(tree: Mapping[str, object], key: str) -> list[object]:
    value = tree.get(key)
    return value if isinstance(value, list) else []


@lru_cache(maxsize=_KEPT)
def toml(raw: bytes) -> object:
    import tomllib  # noqa: PLC0415 - only where there is a container runtime

    if any(line.count(b".") > _DOTS for line in raw.split(b"\n") if line.lstrip()[:1] != b"#"):
        raise ValueError(f"has a line with more than {_DOTS} dots")
    try:
        return tomllib.loads(raw.decode())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is no TOML: {_short(error)}") from None


@lru_cache(maxsize=_KEPT)
def yaml(raw: bytes) -> object:
    """The first document, YAML or JSON; aliases, which can make much of little, are refused."""
    if raw.lstrip()[:1] == b"{":
        return _json(raw)
    plain = plain_yaml.read(raw)
    if plain is not None:
        return plain
    import yaml as library  # noqa: PLC0415 - half the cost of a start

    loader = getattr(library, "CSafeLoader", library.SafeLoader)
    try:
        events = library.parse(raw, Loader=loader)
        found = _first_document(events)
    except library.YAMLError as error:
        raise ValueError(f"is no YAML: {_short(error)}") from None
    return {} if found is None else found  # empty, which is not absent


def _json(raw: bytes) -> object:
    import json  # noqa: PLC0415

    try:
        return _plain(json.loads(raw), _DEPTH)
    except RecursionError:
        _too_deep()
    except ValueError as error:
        raise ValueError(f"is no JSON: {_short(error)}") from None


def _plain(value: object, left: int) -> object:
    if left == 0:
        _too_deep()
    if isinstance(value, dict):
        return {key: _plain(inner, left - 1) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner, left - 1) for inner in value]
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else str(value)


def _first_document(events: Iterator[Any]) -> object:
    for event in events:
        if type(event).__name__ not in {"StreamStartEvent", "DocumentStartEvent"}:
            return None if type(event).__name__ == "StreamEndEvent" else _node(event, events, 0)
    return None


def _node(event: Any, events: Iterator[Any], depth: int) -> object:  # noqa: ANN401
    """Goes as deep as the document, so the depth is bounded before each step down."""
    if depth > _DEPTH:
        _too_deep()
    match type(event).__name__:
        case "ScalarEvent":
            return None if not event.style and event.value in _NULL else event.value
        case "SequenceStartEvent":
            return [_node(each, events, depth + 1) for each in _until("SequenceEndEvent", events)]
        case "MappingStartEvent":
            found: dict[str, object] = {}
            for each in _until("MappingEndEvent", events):
                key = _node(each, events, depth + 1)
                value = _node(next(events), events, depth + 1)
                found[key if isinstance(key, str) else ""] = value
            return found
        case _:
            raise ValueError("uses YAML aliases, which are not followed")


def _until(end: str, events: Iterator[Any]) -> Iterator[Any]:
    for event in events:
        if type(event).__name__ == end:
            return
        yield event


def _too_deep() -> NoReturn:
    raise ValueError(f"is nested deeper than {_DEPTH}")


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:80]
