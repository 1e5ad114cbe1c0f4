"""RuntimeClasses: which nodes each selects, which handler it names, what it asks for beside."""

from collections.abc import Mapping

from nodeagent.kube.client import Api
from nodeagent.kube.cluster import runtime_classes
from nodeagent.model.runtime import RuntimeClass
from nodeagent.model.seen import Unreadable

_REFUSED = Unreadable("RuntimeClasses", "this account has no right to list runtimeclasses")


def read(api: Api) -> tuple[RuntimeClass, ...] | Unreadable:
    """By name. ClusterError where the server does not answer."""
    listed = runtime_classes(api)
    if listed is None:
        return _REFUSED
    return tuple(sorted(_class(each) for each in listed if isinstance(each, dict)))


def _class(raw: Mapping[str, object]) -> RuntimeClass:
    selector = _dict(_dict(raw, "scheduling"), "nodeSelector")
    return RuntimeClass(
        name=str(_dict(raw, "metadata").get("name", "")),
        handler=str(raw.get("handler", "")),
        selector=_texts(selector) if selector else None,
        overhead=_texts(_dict(_dict(raw, "overhead"), "podFixed")),
    )


def _texts(raw: Mapping[str, object]) -> dict[str, str]:
    return {key: str(value) for key, value in raw.items()}


def _dict(raw: Mapping[str, object], key: str) -> Mapping[str, object]:
    value = raw.get(key)
    return value if isinstance(value, dict) else {}
