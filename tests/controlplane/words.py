"""The words of the product that these tests hold it to, written down a second time on purpose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.real.api import Object

ACCOUNT = "nodeagent"
MANAGE = "nodeagent-manage"  # that of an agent which may switch
NAMESPACE = "nodeagent"
MANAGER = "nodeagent"  # the field manager; another one would orphan every label in the field
PREFIX = "nodeagent.io/"

READY = f"{PREFIX}ready"
SNP = f"{PREFIX}snp"
SIMULATED = f"{PREFIX}simulated"
PROFILE = f"{PREFIX}profile"
REPORT = f"{PREFIX}report"
SWITCH = f"{PREFIX}switch"
LAST_SWITCH = f"{PREFIX}last-switch"
CORDONED = f"{PREFIX}cordoned-by-us"
CC_MODE = "nvidia.com/cc.mode"
CC_STATE = "nvidia.com/cc.mode.state"
CC_READY = "nvidia.com/cc.ready.state"
TOKEN = "paused-by-nodeagent"  # noqa: S105 - a word, and no secret
CONDITION = f"{PREFIX}ConfidentialReady"


def node_path(name: str) -> str:
    return f"/api/v1/nodes/{name}"


def ours(node: Object) -> dict[str, str]:
    """The labels of ours on a Node."""
    found: dict[str, str] = node["metadata"].get("labels", {})
    return {key: value for key, value in found.items() if key.startswith(PREFIX)}


def is_ready(node: Object) -> bool:
    return ours(node).get(READY) == "true"


def condition(node: Object) -> dict[str, Any] | None:
    """Ours among the Node's conditions."""
    found: list[dict[str, Any]] = node["status"].get("conditions", [])
    return next((each for each in found if each["type"] == CONDITION), None)
