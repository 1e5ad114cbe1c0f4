"""What the runtime level wants, from its data, and words that its checks share."""

from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

from nodeagent import data
from nodeagent.model.codes import Code
from nodeagent.model.facts import Facts
from nodeagent.model.findings import Outcome, unknown
from nodeagent.model.runtime import Kubelet, Release
from nodeagent.model.seen import Unreadable
from nodeagent.model.text import printable

SHOWN = 60
"""How much of a stranger's name is worth a place in a report's line."""


class Gate(NamedTuple):
    """A feature gate of the kubelet, and the release from which it is on by itself."""

    name: str
    on_from: Release | None


class Wanted(NamedTuple):
    """What runtime.json asks for; its `source` members are for who reads the file."""

    kubelet: Release
    gates: tuple[Gate, ...]
    request_timeout_s: int
    handler: str
    configuration: str
    other_handlers: frozenset[str]
    containerd: Release
    snapshotter: str
    built_in_snapshotters: frozenset[str]
    kata: Release
    kata_with_switches: Release
    kata_without_advisory: Release
    advisory: str
    qemu: Release
    inotify: int


@cache
def wanted() -> Wanted:
    rows = data.load("runtime.json")
    handler, containerd, kata = rows["handler"], rows["containerd"], rows["kata"]
    return Wanted(
        kubelet=tuple(rows["kubelet"]["floor"]),
        gates=tuple(
            Gate(name, tuple(gate["on_from"]) if "on_from" in gate else None)
            for name, gate in rows["gates"].items()
        ),
        request_timeout_s=rows["request_timeout_s"]["floor"],
        handler=handler["name"],
        configuration=handler["configuration"],
        other_handlers=frozenset(handler["others"]),
        containerd=tuple(containerd["validated"]),
        snapshotter=containerd["snapshotter"],
        built_in_snapshotters=frozenset(containerd["built_in"]),
        kata=tuple(kata["floor"]),
        kata_with_switches=tuple(kata["floor_with_switches"]),
        kata_without_advisory=tuple(kata["floor_without_advisory"]),
        advisory=kata["advisory"],
        qemu=tuple(rows["qemu"]["floor"]),
        inotify=rows["inotify"]["floor"],
    )


def dotted(numbers: Iterable[int]) -> str:
    return ".".join(str(number) for number in numbers)


def unread(gap: Unreadable) -> Outcome:
    return unknown(Code.NO_ACCESS, printable(str(gap)), where=gap.where)


def installed(facts: Facts) -> Kubelet | None:
    found = facts.runtime.kubelet
    return found if isinstance(found, Kubelet) else None
