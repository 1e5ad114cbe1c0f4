"""What of ours is on one Node, and the patch that takes back just that (kubernetes.md §1.3)."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from nodeagent.model.pause import is_paused, restore
from nodeagent.model.text import printable

MANAGER = "nodeagent"
"""Of the fields that are ours only where we wrote them."""

_COMPAT = ("nvidia.com/cc.mode.state", "nvidia.com/cc.ready.state")
_DEPLOY = "nvidia.com/gpu.deploy."
_BY_NFD = "nfd.node.kubernetes.io/feature-labels"

Node = Mapping[str, object]
Operation = dict[str, object]


class Ours(NamedTuple):
    """All of it on one Node. `paused`: operands' labels as they are, and as they were before us.

    `taints`: their places in the list. `is_switching`: its agent is at work just now. `by_nfd`:
    labels of ours that NFD would write again.
    """

    name: str
    uid: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    paused: Mapping[str, tuple[str, str]]
    taints: Mapping[int, Mapping[str, object]]
    is_cordoned: bool
    condition: str
    is_switching: bool
    by_nfd: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.operations() or self.condition)

    def operations(self) -> list[Operation]:
        """One JSON patch for all but the condition, which belongs to the status.

        Each with a test of what it takes: a Node that changed meanwhile refuses the whole, and
        is looked at again. The cordon goes together with the note that it is ours.
        """
        told = [
            *_removals("/metadata/labels", self.labels),
            *_removals("/metadata/annotations", self.annotations),
            *self._restored(),
        ]
        # From the end, for each removal moves what comes after it.
        for place, taint in sorted(self.taints.items(), reverse=True):
            told += _removal(f"/spec/taints/{place}", taint)
        if self.is_cordoned:
            told += _removal("/spec/unschedulable", True)
        return [_test("/metadata/uid", self.uid), *told] if told else []

    def _restored(self) -> list[Operation]:
        told: list[Operation] = []
        for key, (now, before) in sorted(self.paused.items()):
            path = f"/metadata/labels/{_escaped(key)}"
            told += [_test(path, now), {"op": "replace", "path": path, "value": before}]
        return told

    def lines(self) -> list[tuple[str, str]]:
        """A kind and a thing, one for each thing."""
        told = [("label", f"{key}={value}") for key, value in sorted(self.labels.items())]
        told += [("annotation", key) for key in sorted(self.annotations)]
        told += [("condition", self.condition)] if self.condition else []
        told += [("taint", f"{taint['key']}:{taint['effect']}") for taint in self.taints.values()]
        told += [("cordon", "the node takes pods again")] if self.is_cordoned else []
        for key, (_, before) in sorted(self.paused.items()):
            told.append(("pause", f"{key}={before} again"))
        return [(kind, printable(thing, 400)) for kind, thing in told]


def ours(node: Node, prefix: str) -> Ours:
    """Of a Node as the API server tells it."""
    metadata, spec = _dict(node, "metadata"), _dict(node, "spec")
    labels, notes = _texts(_dict(metadata, "labels")), _texts(_dict(metadata, "annotations"))
    written = _written(metadata.get("managedFields"))
    condition = _condition(node, f"{prefix}ConfidentialReady")
    reason = condition.get("reason") if condition else None
    listed = notes.get(_BY_NFD, "").split(",")
    return Ours(
        name=str(metadata.get("name", "")),
        uid=str(metadata.get("uid", "")),
        labels={
            key: value
            for key, value in labels.items()
            if key.startswith(prefix) or (key in _COMPAT and key in written)
        },
        annotations={key: value for key, value in notes.items() if key.startswith(prefix)},
        paused={
            key: (value, restore(value))
            for key, value in labels.items()
            if key.startswith(_DEPLOY) and is_paused(value)
        },
        taints=dict(_taints(spec.get("taints"), f"{prefix}not-ready")),
        is_cordoned=f"{prefix}cordoned-by-us" in notes and spec.get("unschedulable") is True,
        condition=f"{prefix}ConfidentialReady" if condition else "",
        is_switching=f"{prefix}switch" in notes or reason == "Switching",
        by_nfd=tuple(key for key in labels if key.startswith(prefix) and key in listed),
    )


def _taints(taints: object, key: str) -> list[tuple[int, Mapping[str, object]]]:
    return [
        (place, each)
        for place, each in enumerate(taints if isinstance(taints, list) else ())
        if isinstance(each, dict) and each.get("key") == key and each.get("effect") == "NoSchedule"
    ]


def _written(managed: object) -> frozenset[str]:
    """Labels in an entry of ours and in nobody else's: what another wrote as well is his."""
    mine: set[str] = set()
    others: set[str] = set()
    for entry in managed if isinstance(managed, list) else ():
        keys = _dict(_dict(_dict(entry, "fieldsV1"), "f:metadata"), "f:labels")
        by_us = isinstance(entry, dict) and entry.get("manager") == MANAGER
        (mine if by_us else others).update(key.removeprefix("f:") for key in keys)
    return frozenset(mine - others)


def _condition(node: Node, kind: str) -> Mapping[str, object]:
    conditions = _dict(node, "status").get("conditions")
    for each in conditions if isinstance(conditions, list) else ():
        if isinstance(each, dict) and each.get("type") == kind:
            return each
    return {}


def _removals(folder: str, found: Mapping[str, str]) -> list[Operation]:
    return [
        operation
        for key, value in sorted(found.items())
        for operation in _removal(f"{folder}/{_escaped(key)}", value)
    ]


def _removal(path: str, value: object) -> Sequence[Operation]:
    return _test(path, value), {"op": "remove", "path": path}


def _test(path: str, value: object) -> Operation:
    return {"op": "test", "path": path, "value": value}


def _escaped(key: str) -> str:
    """As a JSON pointer wants it (RFC 6901)."""
    return key.replace("~", "~0").replace("/", "~1")


def _dict(raw: object, key: str) -> Mapping[str, object]:
    value = raw.get(key) if isinstance(raw, Mapping) else None
    return value if isinstance(value, dict) else {}


def _texts(raw: Mapping[str, object]) -> dict[str, str]:
    return {key: value for key, value in raw.items() if isinstance(value, str)}
