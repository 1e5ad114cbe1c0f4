"""Operands that another program paused, and whether that program is still there to end it.

kubernetes.md §1.3: who dies between pausing and giving back leaves them paused for ever.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import NamedTuple

from nodeagent import data
from nodeagent.model.cluster import Pods, Relabel
from nodeagent.model.pause import Wedge, restore
from nodeagent.model.seen import Unreadable
from nodeagent.plan.cluster import DEPLOY, operands

_UPGRADE = "nvidia.com/gpu-driver-upgrade-state"
_NO_SETS = Unreadable("the operator's namespace", "it has no DaemonSet for any operand")


class Other(NamedTuple):
    """A program that pauses operands. `at_start`: only while a pod of its owners starts."""

    token: str
    who: str
    owners: tuple[str, ...]
    at_start: bool


@cache
def others() -> tuple[Other, ...]:
    return tuple(
        Other(
            each["token"],
            each["who"],
            tuple(DEPLOY + name for name in each["owners"]),
            "at_start" in each,
        )
        for each in data.load("pauses.json")["tokens"]
    )


def is_any(labels: Mapping[str, str]) -> bool:
    """Whether it is worth asking for pods at all."""
    tokens = {each.token for each in others()}
    return any(tokens & set(value.split("_")) for _, value in _deploy(labels))


def wedges(labels: Mapping[str, str], pods: Pods | Unreadable) -> tuple[Wedge, ...]:
    """By key, the tokens that stand; each with a living owner, if it has one."""
    return tuple(
        Wedge(key, value, each.token, each.who, restore(value, each.token), owner)
        for key, value in sorted(_deploy(labels))
        for each in others()
        if each.token in value.split("_")
        for owner in (_owner(each, labels, pods),)
    )


@cache
def mendable() -> frozenset[str]:
    """Deploy labels that we give back for others: those that the admission policy names."""
    also = data.load("pauses.json")["also_paused"]
    return frozenset({*operands(), *(DEPLOY + name for name in also)})


def mends(found: Sequence[Wedge], is_due: Callable[[Wedge], bool]) -> tuple[Relabel, ...]:
    """One word of each label, where every program that paused it is gone for long enough."""
    by_key: dict[str, list[Wedge]] = {}
    for each in found:
        by_key.setdefault(each.key, []).append(each)
    return tuple(
        Relabel(key, those[0].value, those[0].restored)
        for key, those in by_key.items()
        if key in mendable() and all(each.owner is None and is_due(each) for each in those)
    )


def _deploy(labels: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    return ((key, value) for key, value in labels.items() if key.startswith(DEPLOY))


def _owner(
    each: Other, labels: Mapping[str, str], pods: Pods | Unreadable
) -> str | Unreadable | None:
    """A pod in which it lives: its DaemonSet wants one only where the owner's label is `true`."""
    state = labels.get(_UPGRADE, "")
    if each.at_start and state not in {"", "upgrade-done"}:
        return f"{_UPGRADE}={state}"
    known = {} if isinstance(pods, Unreadable) else pods
    for key in each.owners:
        for pod in known.get(key, ()):
            if not (each.at_start and pod.is_ready):
                return pod.name
    if not any(labels.get(key) == "true" for key in each.owners):
        return None
    if isinstance(pods, Unreadable):
        return pods
    return None if pods else _NO_SETS
