"""A fleet as JSON or YAML."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from nodeagent.fleet.standing import Standing, State
from nodeagent.fleet.table import causes, summary

VERSION = 1


def document(nodes: Sequence[Standing]) -> dict[str, Any]:
    """`nodes` as `ordered` puts them."""
    return {
        "version": VERSION,
        "summary": summary(nodes),
        "ready": is_ready(nodes),
        "groups": {
            "fix": [
                {"state": state.value, "root": root, "nodes": [each.name for each in found]}
                for (state, root), found in causes(nodes).items()
            ],
            "tcb": dict(Counter(each.tcb for each in nodes if each.tcb).most_common()),
            "gpu": dict(Counter(each.chip for each in nodes if each.chip).most_common()),
        },
        "nodes": [_node(each) for each in nodes],
    }


def is_ready(nodes: Sequence[Standing]) -> bool:
    """Whether there are nodes and every one is."""
    return bool(nodes) and all(each.state is State.READY for each in nodes)


def _node(node: Standing) -> dict[str, Any]:
    last = node.last_switch
    return {
        "name": node.name,
        "state": node.state.value,
        "root": node.root,
        "says": node.says,
        "to_do": node.to_do,
        "mode": node.mode,
        "wanted": node.wanted,
        "tcb": node.tcb,
        "gpu": {"chip": node.chip, "count": node.gpus},
        "simulated": node.simulated,
        "heartbeat": None if node.beat is None else _rfc3339(node.beat),
        "last_switch": None
        if last is None
        else {
            "from": last.was,
            "to": last.to,
            "asked_by": last.asked_by,
            "result": last.result,
            "started": last.started,
            "seconds": last.seconds,
        },
    }


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
