"""The shape of a capture's JSON: every value is checked, every error names file and key."""

import errno
import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, NoReturn

from nodeagent.errors import CaptureError
from nodeagent.host.root import Root
from nodeagent.model.seen import Unreadable

NOT_CAPTURED = "not captured"
_JSON_LIMIT = 16 << 20
_MAX_DEPTH = 16
_LONG_NUMBER = 80  # digits: far more than fit, and few enough to be shown


class Node(NamedTuple):
    """A JSON value that knows its file and key."""

    file: str
    key: str
    value: Any

    def fail(
        self, reason: str, *, hint: str = "the format is described in docs/capture.md"
    ) -> NoReturn:
        at = f"{self.file}: {self.key}" if self.key else self.file
        raise CaptureError(f"{at}: {reason}", hint=hint)

    def get(self, name: str) -> "Node | None":
        """The member `name`; None where it is missing or null."""
        value = self.mapping().get(name)
        return None if value is None else self._child(name, value)

    def items(self) -> Iterator[tuple[str, "Node"]]:
        for name, value in self.mapping().items():
            yield name, self._child(name, value)

    def elements(self) -> Iterator["Node"]:
        if not isinstance(self.value, list):
            self.fail(f"must be a list, is {_kind(self.value)}")
        for number, value in enumerate(self.value):
            yield Node(self.file, f"{self.key}[{number}]", value)

    def mapping(self) -> dict[str, Any]:
        if not isinstance(self.value, dict):
            self.fail(f"must be an object, is {_kind(self.value)}")
        return self.value

    def text(self) -> str:
        if not isinstance(self.value, str):
            self.fail(f"must be a string, is {_kind(self.value)}")
        return self.value

    def number(self, bits: int = 64, *, least: int = 0) -> int:
        """A hex string or an integer that fits `bits`."""
        value = self.value
        if isinstance(value, str):
            try:
                value = int(value[:_LONG_NUMBER], 0)
            except ValueError:
                self.fail(f"must be a number such as 0x1f, is {self.value!r:.40}")
        if isinstance(value, bool) or not isinstance(value, int):
            self.fail(f"must be a whole number, is {_kind(value)}")
        if least and value < least:
            self.fail(f"must be {least} or more, is {value!s:.40}")
        if not 0 <= value < 1 << bits:
            self.fail(f"must fit in {bits} bits, is {value!s:.40}")
        return value

    def hex_bytes(self) -> bytes:
        try:
            return bytes.fromhex(self.text())
        except ValueError:
            self.fail("must be bytes in hex")

    def error(self, where: str) -> Unreadable | None:
        """What `{"error": "EIO"}` stands for; None where this is no such object."""
        if not isinstance(self.value, dict) or "error" not in self.value:
            return None
        return Unreadable(where, describe(self._child("error", self.value["error"]).text()))

    def _child(self, name: str, value: object) -> "Node":
        return Node(self.file, f"{self.key}.{name}" if self.key else name, value)


def load(root: Root, name: str) -> Node | None:
    """The file `name` of a capture as JSON; None where there is none."""
    raw = root.read_bytes(name, _JSON_LIMIT + 1)
    node = Node(name, "", None)
    if raw is None:
        return None
    if isinstance(raw, Unreadable):
        node.fail(raw.why)
    if len(raw) > _JSON_LIMIT:
        node.fail(f"is larger than {_JSON_LIMIT >> 20} MiB")
    try:
        value = json.loads(raw, object_pairs_hook=_without_twins)
    except (ValueError, RecursionError) as error:
        node.fail(f"is no JSON: {error!s:.80}")
    _bound_depth(node, value, _MAX_DEPTH)
    return Node(name, "", value)


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of two members of one name JSON keeps the last: what a person read first would not count."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twin = next(name for name in found if names.count(name) > 1)
        raise ValueError(f"{twin!r:.40} is in one object twice")
    return found


def _bound_depth(node: Node, value: object, left: int) -> None:
    if left == 0:
        node.fail(f"is nested deeper than {_MAX_DEPTH}")
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for part in inner:
        _bound_depth(node, part, left - 1)


def describe(name: str) -> str:
    """An errno name as a live read would have said it: `EPERM: Operation not permitted`."""
    import os  # noqa: PLC0415 - only for the text

    number = getattr(errno, name, None)
    return f"{name}: {os.strerror(number)}" if isinstance(number, int) else name


def errno_name(reason: str) -> str:
    """The errno name that `describe` makes this reason of; another reason is its own name."""
    name = reason.partition(":")[0]
    return name if describe(name) == reason else reason


def paths(node: Node | None) -> frozenset[str]:
    if node is None:
        return frozenset()
    return frozenset(element.text().rstrip("/") or "/" for element in node.elements())


def mapping_of_text(node: Node | None) -> Mapping[str, str]:
    return {} if node is None else {name: value.text() for name, value in node.items()}


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a truth value"}
    return names.get(type(value), "null" if value is None else "a number")


def encoded(text: str) -> bytes:
    """The bytes that decoding made this text of."""
    try:
        return text.encode(errors="surrogateescape")
    except UnicodeEncodeError:  # a lone surrogate of another capture's JSON
        return text.encode(errors="backslashreplace")
