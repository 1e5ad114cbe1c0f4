"""A stranger's document, read by path: what has another shape is said with its place."""

from collections.abc import Iterator
from typing import NamedTuple

from nodeagent.explain.pod import quantity
from nodeagent.model.text import printable

_PATH_CHARS = 200


class ShapeError(ValueError):
    """The document is not what it says it is; the message names the place."""


class Tree:
    """A value and where it stands. What is absent, or null, is None and has no children."""

    __slots__ = ("path", "value")

    def __init__(self, value: object, path: str = "") -> None:
        self.value = value
        self.path = path

    def at(self, *keys: str) -> "Tree":
        found = self
        for key in keys:
            value = found._table().get(key)
            found = Tree(value, f"{found.path}.{key}" if found.path else key)
        return found

    def items(self) -> "list[Tree]":
        if self.value is None:
            return []
        if not isinstance(self.value, list):
            raise self.wrong("is no list")
        return [Tree(each, f"{self.path}[{index}]") for index, each in enumerate(self.value)]

    def fields(self) -> "Iterator[tuple[str, Tree]]":
        for key, value in self._table().items():
            if not isinstance(key, str):
                raise self.wrong("has a key that is no text")
            yield key, Tree(value, f"{self.path}.{key}")

    def text(self) -> str:
        """Empty where there is none."""
        if self.value is None:
            return ""
        if not isinstance(self.value, str):
            raise self.wrong(_no_text(self.value))
        return self.value

    def texts(self) -> dict[str, str]:
        """A table of texts, such as labels."""
        return {key: each.text() for key, each in self.fields()}

    def flag(self) -> bool:
        if self.value is None:
            return False
        if not isinstance(self.value, bool):
            raise self.wrong("is neither true nor false")
        return self.value

    def number(self) -> int | None:
        if self.value is None:
            return None
        if not isinstance(self.value, int) or isinstance(self.value, bool):
            raise self.wrong("is no whole number")
        return self.value

    def amounts(self) -> dict[str, int]:
        """A table of quantities, in billionths."""
        return {key: each._amount() for key, each in self.fields()}

    def wrong(self, why: str) -> ShapeError:
        return ShapeError(f"{printable(self.path or 'it', _PATH_CHARS)} {why}")

    def _amount(self) -> int:
        try:
            return quantity.parse(self.value)
        except ValueError:
            raise self.wrong(f"is no quantity: {printable(str(self.value), 30)}") from None

    def _table(self) -> dict[object, object]:
        if self.value is None:
            return {}
        if not isinstance(self.value, dict):
            raise self.wrong("is no table")
        return self.value


class Named(NamedTuple):
    """What an object is called."""

    namespace: str
    name: str


def named(tree: Tree) -> Named:
    about = tree.at("metadata")
    return Named(about.at("namespace").text(), about.at("name").text())


def _no_text(value: object) -> str:
    """YAML reads a bare on, yes or true as a truth value, and the API server refuses those."""
    if isinstance(value, bool | int | float):
        said = str(value).lower() if isinstance(value, bool) else str(value)
        return f"is {printable(said, 30)}, which is no text: put it in quotes"
    return "is no text"
