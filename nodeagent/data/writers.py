"""Who writes a label that pods select, and who offers a resource that they ask for."""

from typing import NamedTuple

from nodeagent import data


class Writer(NamedTuple):
    """`rank` is the place in the order in which a node is made ready."""

    rank: int
    who: str
    do: str
    other: str
    """What it means that a node has the label, with another value."""


NOBODY = 1 << 10


def of_label(key: str) -> Writer | None:
    return _find("labels", key)


def of_resource(name: str) -> Writer | None:
    return _find("resources", name)


def _find(table: str, wanted: str) -> Writer | None:
    """The nearest entry: a whole key before a prefix of it."""
    best = ""
    found = None
    for rank, each in enumerate(data.load("writers.json")[table]):
        key: str = each["key"]
        matches = key == wanted or (key.endswith("/") and wanted.startswith(key))
        if matches and len(key) > len(best):
            best = key
            found = Writer(rank, each["who"], each["do"], each.get("other", ""))
    return found
