"""Does one step to our Node. What each leaves behind if we die after it is legal by itself."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple, assert_never

from nodeagent import labels as words
from nodeagent.kube.node import NodeView
from nodeagent.kube.nodes import NodeClient
from nodeagent.model.cluster import (
    Begin,
    Cordon,
    Evict,
    Finish,
    Note,
    Queue,
    Relabel,
    Step,
    Switch,
    Uncordon,
)
from nodeagent.model.words import CcMode

_VERSION = 1
_ENDED_CHARS = 400


class Moment(NamedTuple):
    """RFC 3339 for people, and seconds since the switch began."""

    at: str
    seconds: int


def do(step: Step, node: NodeView, client: NodeClient, prefix: str, moment: Moment) -> NodeView:
    """The Node after it. ClusterError; ConflictError where the Node is not as it was seen."""
    match step:
        case Begin(note):
            return client.annotate(node, {words.switch_key(prefix): written(note)})
        case Cordon():
            return client.cordon(node, words.cordon_key(prefix), moment.at)
        case Relabel(key, was, value):
            return client.set_labels(node, {key: value}, were={key: was})
        case Uncordon():
            return client.uncordon(node, words.cordon_key(prefix))
        case Finish(note, result, why):
            told = ended(note, result, moment, why)
            return client.annotate(
                node, {words.last_switch_key(prefix): told, words.switch_key(prefix): None}
            )
        case Switch() | Queue() | Evict():
            raise TypeError(f"not a step of the Node: {step}")
        case _:
            assert_never(step)


def written(note: Note) -> str:
    told: dict[str, object] = {
        "version": _VERSION,
        "want": note.want.value,
        "was": note.was,
        "started": note.started,
    }
    if note.asked_by:
        told["asked_by"] = note.asked_by
    if note.allocatable:
        told["allocatable"] = dict(sorted(note.allocatable.items()))
    if note.paused:
        told["paused"] = list(note.paused)
    if note.failed:
        told["failed"] = note.failed[:_ENDED_CHARS]
    return _json(told)


def ended(note: Note, result: str, moment: Moment, why: str = "") -> str:
    told: dict[str, object] = {
        "version": _VERSION,
        "from": note.was,
        "to": note.want.value,
        "asked_by": note.asked_by,
        "started": note.started,
        "seconds": moment.seconds,
        "result": result,
    }
    if note.failed or why:
        told["why"] = (note.failed or why)[:_ENDED_CHARS]
    return _json(told)


def noted(annotations: Mapping[str, str], prefix: str) -> Note | None:
    """What we wrote; None of anything else, which nobody but us may have put there."""
    told = _parsed(annotations.get(words.switch_key(prefix), ""))
    want, counts, paused = told.get("want"), told.get("allocatable"), told.get("paused")
    if not isinstance(want, str) or want not in tuple(CcMode):
        return None
    counted = counts if isinstance(counts, dict) else {}
    return Note(
        want=CcMode(want),
        was=_text(told, "was"),
        started=_text(told, "started"),
        asked_by=_text(told, "asked_by"),
        allocatable={str(key): each for key, each in counted.items() if isinstance(each, int)},
        paused=tuple(map(str, paused)) if isinstance(paused, list) else (),
        failed=_text(told, "failed"),
    )


def last(annotations: Mapping[str, str], prefix: str) -> Mapping[str, object]:
    """How the last switch ended; empty where none did."""
    return _parsed(annotations.get(words.last_switch_key(prefix), ""))


def last_ended(annotations: Mapping[str, str], prefix: str) -> float:
    """When that was, in seconds since 1970; zero where it is not known."""
    told = last(annotations, prefix)
    seconds = told.get("seconds")
    try:
        began = datetime.fromisoformat(_text(told, "started")).timestamp()
    except ValueError:
        return 0.0
    return began + (seconds if isinstance(seconds, int) else 0)


def _parsed(text: str) -> Mapping[str, object]:
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) and told.get("version") == _VERSION else {}


def _text(told: Mapping[str, object], key: str) -> str:
    value = told.get(key)
    return value if isinstance(value, str) else ""


def _json(told: Mapping[str, object]) -> str:
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"))
