"""A manifest's YAML as plain trees: bounded, no alias, no tag, typed as kubectl types it."""

import math
from collections.abc import Iterator
from typing import Any

LIMIT = 1 << 20
_DEPTH = 32
_DOCUMENTS = 500
_NUMBER_CHARS = 40
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
# YAML 1.1, which kubectl's library keeps to: a bare `on` is no text.
_TRUE = frozenset({"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON", "y", "Y"})
_FALSE = frozenset({"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF", "n", "N"})


def read(raw: bytes) -> list[object]:
    """Every document that is not empty. ValueError, in words that follow the file's name."""
    if len(raw) > LIMIT:
        raise ValueError(f"is larger than {LIMIT >> 10} KiB")
    import yaml  # noqa: PLC0415 - half the cost of a start

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return list(_documents(yaml.parse(raw, Loader=loader)))
    except yaml.YAMLError as error:
        raise ValueError(f"is no YAML: {' '.join(str(error).split())[:120]}") from None


def _documents(events: Iterator[Any]) -> Iterator[object]:
    count = 0
    for event in events:
        if type(event).__name__ != "DocumentStartEvent":
            continue
        count += 1
        if count > _DOCUMENTS:
            raise ValueError(f"has more than {_DOCUMENTS} documents")
        found = _node(next(events), events, 0)
        if found is not None:
            yield found


def _node(event: Any, events: Iterator[Any], depth: int) -> object:  # noqa: ANN401
    """Goes as deep as the document, so the depth is bounded before each step down."""
    if depth > _DEPTH:
        raise ValueError(f"is nested deeper than {_DEPTH}")
    if getattr(event, "tag", None) not in {None, "!"}:
        raise _refused(event, f"the tag {str(event.tag)[:30]!r}")
    match type(event).__name__:
        case "ScalarEvent":
            return event.value if event.style else _plain(event.value)
        case "SequenceStartEvent":
            return [_node(each, events, depth + 1) for each in _until("SequenceEndEvent", events)]
        case "MappingStartEvent":
            return _mapping(events, depth)
        case _:
            raise _refused(event, "an alias")


def _mapping(events: Iterator[Any], depth: int) -> dict[str, object]:
    found: dict[str, object] = {}
    for each in _until("MappingEndEvent", events):
        if type(each).__name__ != "ScalarEvent":
            raise ValueError(f"line {each.start_mark.line + 1} has a key that is no text")
        if each.value in found:
            raise ValueError(f"line {each.start_mark.line + 1} has a key twice")
        found[each.value] = _node(next(events), events, depth + 1)
    return found


def _until(end: str, events: Iterator[Any]) -> Iterator[Any]:
    for event in events:
        if type(event).__name__ == end:
            return
        yield event


def _refused(event: Any, what: str) -> ValueError:  # noqa: ANN401
    line = event.start_mark.line + 1
    return ValueError(f"uses {what} on line {line}, which is not followed")


def _plain(text: str) -> object:
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    return _number(text) if text[0] in "+-.0123456789" and len(text) <= _NUMBER_CHARS else text


def _number(text: str) -> object:
    digits = text.lstrip("+-")
    if not text.isascii() or len(text) - len(digits) > 1 or "_" in text:
        return text
    if digits.isdecimal():
        return int(text)
    try:
        found = float(text)
    except ValueError:
        return text
    return found if math.isfinite(found) else text
