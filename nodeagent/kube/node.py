"""A Node as we see it, out of the API server's JSON, and the calls about it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from nodeagent.errors import ClusterError
from nodeagent.model.runtime import NodeSays

ASKS = "nvidia.com/cc.mode"
MANAGER = "nodeagent"
"""Our field manager: the same in every version, or old keys would be orphaned."""


@dataclass(frozen=True, slots=True)
class NodeCondition:
    """Times as RFC 3339 text; empty where the Node shows none."""

    status: str
    reason: str
    message: str
    heartbeat: str
    transition: str


@dataclass(frozen=True, slots=True)
class NodeView:
    """`own_labels`, `own_annotations`: keys of which our field manager is the only owner.

    Only those vanish when an apply leaves them out (kubernetes.md §5.2). `says` is what its
    kubelet told of the host, in the boot `boot_id`.
    """

    name: str
    uid: str
    resource_version: str
    boot_id: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    own_labels: frozenset[str]
    own_annotations: frozenset[str]
    condition: NodeCondition | None
    says: NodeSays | None = None
    unschedulable: bool = False
    allocatable: Mapping[str, str] = field(default_factory=dict)
    asked_by: str = ""
    """Who wrote the label that asks for a mode, by the Node's managed fields."""
    asked_at: str = ""
    taints: tuple[Mapping[str, object], ...] = ()
    """As the server has them: a test in a patch compares them whole."""


class Event(NamedTuple):
    """One line of a watch. `node` is None where it was deleted, and in a bookmark.

    `is_too_old`: the server no longer knows what happened since that version.
    """

    node: NodeView | None
    version: str
    is_deleted: bool = False
    is_too_old: bool = False


class Nodes(Protocol):
    """What can be asked of an API server about a Node. Writes answer with the Node after it.

    All raise ClusterError; a write to a Node with another uid is refused.
    """

    def get(self, name: str) -> NodeView | None: ...

    def apply_metadata(
        self, node: NodeView, *, labels: Mapping[str, str], annotations: Mapping[str, str]
    ) -> NodeView:
        """Ours are exactly these from now on; what only we owned and is left out goes."""

    def remove_labels(self, node: NodeView, keys: Collection[str]) -> NodeView:
        """Whoever wrote them."""

    def apply_condition(self, node: NodeView, condition: NodeCondition) -> NodeView: ...


def view(raw: object, condition_type: str) -> NodeView:
    """The Node in an answer; what has another shape than it should reads as absent."""
    metadata, status = _dict(raw, "metadata"), _dict(raw, "status")
    name, uid = _text(metadata, "name"), _text(metadata, "uid")
    if not (name and uid):
        raise ClusterError("the API server's answer is no Node")
    managed = metadata.get("managedFields")
    at, by = _last_writer(managed, "f:labels", ASKS)
    return NodeView(
        name=name,
        uid=uid,
        resource_version=_text(metadata, "resourceVersion"),
        boot_id=_text(_dict(status, "nodeInfo"), "bootID"),
        labels=_texts(_dict(metadata, "labels")),
        annotations=_texts(_dict(metadata, "annotations")),
        own_labels=_own(managed, "f:labels"),
        own_annotations=_own(managed, "f:annotations"),
        condition=_condition(status.get("conditions"), condition_type),
        says=_says(status),
        unschedulable=_dict(raw, "spec").get("unschedulable") is True,
        allocatable=_texts(_dict(status, "allocatable")),
        asked_by=by,
        asked_at=at,
        taints=_taints(_dict(raw, "spec").get("taints")),
    )


def event(raw: object, condition_type: str) -> Event:
    """A line of a watch; ClusterError where the server says that something is wrong."""
    kind = _text(raw, "type") if isinstance(raw, dict) else ""
    about = _dict(raw, "object")
    version = _text(_dict(about, "metadata"), "resourceVersion")
    match kind:
        case "ADDED" | "MODIFIED":
            return Event(view(about, condition_type), version)
        case "DELETED":
            return Event(None, version, is_deleted=True)
        case "BOOKMARK":
            return Event(None, version)
        case "ERROR" if about.get("code") == 410:
            return Event(None, "", is_too_old=True)
        case _:
            raise ClusterError(f"the watch ends with {_text(about, 'message') or kind or 'noise'}")


def _says(status: Mapping[str, object]) -> NodeSays:
    info, handlers = _dict(status, "nodeInfo"), status.get("runtimeHandlers")
    return NodeSays(
        kubelet=_text(info, "kubeletVersion"),
        runtime=_text(info, "containerRuntimeVersion"),
        handlers=tuple(_text(each, "name") for each in handlers if isinstance(each, dict))
        if isinstance(handlers, list)
        else None,
    )


def _own(managed: object, fields: str) -> frozenset[str]:
    """Keys in our entry and in nobody else's."""
    ours: set[str] = set()
    theirs: set[str] = set()
    for entry in managed if isinstance(managed, list) else ():
        keys = _dict(_dict(_dict(entry, "fieldsV1"), "f:metadata"), fields).keys()
        (ours if _is_our_apply(entry) else theirs).update(keys)
    return frozenset(key.removeprefix("f:") for key in ours - theirs if key != ".")


def _last_writer(managed: object, fields: str, key: str) -> tuple[str, str]:
    """When it was written last, and by whom, where the server knows."""
    found: list[tuple[str, str]] = []
    for entry in managed if isinstance(managed, list) else ():
        keys = _dict(_dict(_dict(entry, "fieldsV1"), "f:metadata"), fields)
        if f"f:{key}" in keys:
            found.append((_text(entry, "time"), _text(entry, "manager")))
    return max(found, default=("", ""))


def _is_our_apply(entry: object) -> bool:
    """An apply through `nodes/status` is an entry of its own, and holds the condition."""
    return (
        isinstance(entry, dict)
        and entry.get("manager") == MANAGER
        and entry.get("operation") == "Apply"
        and not entry.get("subresource")
    )


def _condition(conditions: object, kind: str) -> NodeCondition | None:
    for raw in conditions if isinstance(conditions, list) else ():
        if isinstance(raw, dict) and raw.get("type") == kind:
            return NodeCondition(
                status=_text(raw, "status"),
                reason=_text(raw, "reason"),
                message=_text(raw, "message"),
                heartbeat=_text(raw, "lastHeartbeatTime"),
                transition=_text(raw, "lastTransitionTime"),
            )
    return None


def _taints(raw: object) -> tuple[Mapping[str, object], ...]:
    return tuple(each for each in raw if isinstance(each, dict)) if isinstance(raw, list) else ()


def _dict(raw: object, key: str) -> dict[str, object]:
    value = raw.get(key) if isinstance(raw, dict) else None
    return value if isinstance(value, dict) else {}


def _text(raw: Mapping[str, object], key: str) -> str:
    value = raw.get(key)
    return value if isinstance(value, str) else ""


def _texts(raw: Mapping[str, object]) -> dict[str, str]:
    return {key: value for key, value in raw.items() if isinstance(value, str)}
