"""YAML as programs write it, without the library, whose import would be a tenth of a check.

Blocks of keys and lists with one-line scalars: what kubeadm, k3s and device plugins write. For
anything else `read` answers None, and the caller asks the library. A test holds both together:
what is read here, the library reads alike.
"""

from typing import NamedTuple

_KEY_LIMIT = 128
_DEPTH = 24
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_FIRST = _LETTERS | frozenset("/_.")
_KEY = _LETTERS | frozenset("/_.-")
_NULL = frozenset({"~", "null", "Null", "NULL"})


class _Line(NamedTuple):
    indent: int
    text: str


class _NotPlainError(Exception):
    """Only the library can read this."""


def read(raw: bytes) -> object | None:
    try:
        lines = _lines(raw)
        if not lines or lines[0].indent:
            return None
        found, end = _block(lines, 0, 0)
    except _NotPlainError:
        return None
    return found if end == len(lines) and isinstance(found, dict) else None


def _lines(raw: bytes) -> list[_Line]:
    if not raw.isascii():
        raise _NotPlainError
    found: list[_Line] = []
    marked = False
    for whole in raw.decode().split("\n"):
        text = whole.strip(" ")
        if not text.isprintable() or whole.startswith(("...", "%")):
            raise _NotPlainError
        if whole.startswith("---"):
            if found or marked or text != "---":
                raise _NotPlainError
            marked = True
        elif text and not text.startswith("#"):
            found.append(_Line(len(whole) - len(whole.lstrip(" ")), text))
    return found


def _block(lines: list[_Line], at: int, depth: int) -> tuple[object, int]:
    """The mapping or list that begins on this line, and the first line behind it."""
    if depth > _DEPTH:
        raise _NotPlainError
    return (_list if _is_item(lines[at].text) else _mapping)(lines, at, depth)


def _is_item(text: str) -> bool:
    return text == "-" or text.startswith("- ")


def _mapping(lines: list[_Line], at: int, depth: int) -> tuple[dict[str, object], int]:
    found: dict[str, object] = {}
    indent = lines[at].indent
    while at < len(lines) and lines[at].indent == indent and not _is_item(lines[at].text):
        key, colon, text = lines[at].text.partition(":")
        if not _is_key(key) or not colon or text[:1] not in {"", " "}:
            raise _NotPlainError
        text, at = _uncommented(text), at + 1
        # A list may stand as far to the left as the key that it belongs to.
        hangs = at < len(lines) and lines[at].indent == indent and _is_item(lines[at].text)
        if text:
            found[key] = _scalar(text)
        elif hangs or _is_deeper(lines, at, indent):
            found[key], at = _block(lines, at, depth + 1)
        else:
            found[key] = None
    if _is_deeper(lines, at, indent):  # what hangs behind a scalar belongs to it
        raise _NotPlainError
    return found, at


def _list(lines: list[_Line], at: int, depth: int) -> tuple[list[object], int]:
    found: list[object] = []
    indent = lines[at].indent
    while at < len(lines) and lines[at].indent == indent and _is_item(lines[at].text):
        rest = lines[at].text[1:]
        text = _uncommented(rest)
        if _is_item(text) or _begins_mapping(text):
            # What stands behind the dash is the first line of a block of its own.
            behind = rest.lstrip(" ")
            lines[at] = _Line(indent + 1 + len(rest) - len(behind), behind)
            item, at = _block(lines, at, depth + 1)
        elif text:
            item, at = _scalar(text), at + 1
        elif _is_deeper(lines, at + 1, indent):
            item, at = _block(lines, at + 1, depth + 1)
        else:
            item, at = None, at + 1
        found.append(item)
    return found, at


def _is_deeper(lines: list[_Line], at: int, indent: int) -> bool:
    return at < len(lines) and lines[at].indent > indent


def _begins_mapping(text: str) -> bool:
    key, colon, rest = text.partition(":")
    return bool(colon) and rest[:1] in {"", " "} and _is_key(key)


def _is_key(key: str) -> bool:
    plain = key[:1] in _FIRST and _KEY.issuperset(key) and len(key) <= _KEY_LIMIT
    return plain and key not in _NULL


def _uncommented(text: str) -> str:
    """A value without a comment behind it; within quotes there may be none."""
    text = text.strip(" ")
    if text.startswith("#"):
        return ""
    return text if text[:1] in {'"', "'"} else text.partition(" #")[0].rstrip(" ")


def _scalar(text: str) -> object:
    if text in {"{}", "[]"}:
        return {} if text == "{}" else []
    if text in _NULL:
        return None
    if text[0] in {'"', "'"}:
        inner = text[1:-1]
        if len(text) < 2 or text[-1] != text[0] or text[0] in inner or "\\" in inner:
            raise _NotPlainError
        return inner
    if text[0] not in _FIRST or ": " in text or text.endswith(":"):
        raise _NotPlainError
    return text
