"""What the runtime level wants, from its data, and words that its checks share."""

from collections.abc import Iterable
from typing import Any

from nodeagent import data
from nodeagent.model.codes import Code
from nodeagent.model.facts import Facts
from nodeagent.model.findings import Outcome, unknown
from nodeagent.model.runtime import Kubelet, Release
from nodeagent.model.seen import Unreadable
from nodeagent.model.text import printable

SHOWN = 60
"""How much of a stranger's name is worth a place in a report's line."""


def asked_for(topic: str) -> dict[str, Any]:
    found: dict[str, Any] = data.load("runtime.json")[topic]
    return found


def floor_of(topic: str, key: str = "floor") -> Release:
    return tuple(asked_for(topic)[key])


def dotted(numbers: Iterable[int]) -> str:
    return ".".join(str(number) for number in numbers)


def unread(gap: Unreadable) -> Outcome:
    return unknown(Code.NO_ACCESS, printable(str(gap)), where=gap.where)


def installed(facts: Facts) -> Kubelet | None:
    found = facts.runtime.kubelet
    return found if isinstance(found, Kubelet) else None
