"""How one node stands, by what its agent put on it. Whatever has another shape reads as absent."""

import json
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from nodeagent.model.text import printable

WANTED = "nvidia.com/cc.mode"
_BY_NFD = "nfd.node.kubernetes.io/feature-labels"
_TEXT_CHARS = 1000
_LONGEST_S = 10 * 365 * 86400

Node = Mapping[str, object]


class State(StrEnum):
    """In the order in which equally many nodes are listed."""

    NOT_READY = "not ready"
    BLOCKED = "blocked"
    CANNOT_TELL = "cannot tell"
    STALE = "stale"
    NO_AGENT = "no agent"
    SWITCHING = "switching"
    READY = "ready"


class LastSwitch(NamedTuple):
    """`asked_by`, `result`: words. `ended`: seconds since the epoch, where that is known."""

    was: str
    to: str
    asked_by: str
    result: str
    started: str
    seconds: float | None
    ended: float | None


class Standing(NamedTuple):
    """`root`: the code of what to fix first. `says`: the condition's message.

    `beats`: whether there is a heartbeat to be expected; `beat`: the last one in seconds since
    the epoch. `to_do`: what the report advises.
    """

    name: str
    state: State
    root: str = ""
    says: str = ""
    to_do: str = ""
    mode: str = ""
    wanted: str = ""
    tcb: str = ""
    chip: str = ""
    gpus: str = ""
    beats: bool = False
    beat: float | None = None
    simulated: bool = False
    last_switch: LastSwitch | None = None


class Clock(NamedTuple):
    """`now` in seconds since the epoch; a heartbeat further off than `limit_s` is stale."""

    now: float
    limit_s: float


def aged(node: Standing, clock: Clock) -> Standing:
    """As it is to be believed now: what an agent said that no longer reports is no more known."""
    if not node.beats or (node.beat is not None and abs(clock.now - node.beat) <= clock.limit_s):
        return node
    return node._replace(state=State.STALE, root="", to_do="")


def standing(node: Node, prefix: str) -> Standing:
    """Of a Node as the API server tells it, however old that is."""
    metadata = _dict(node, "metadata")
    labels, notes = _dict(metadata, "labels"), _dict(metadata, "annotations")
    condition = _condition(node, f"{prefix}ConfidentialReady")
    report = _parsed(notes.get(f"{prefix}report"))
    root = _dict(report, "root")
    state = _state(labels, notes, condition, prefix)
    says = _text(condition, "message")
    if state is State.NOT_READY and condition.get("status") == "True":
        says = f"every check passes, but there is no label {prefix}ready"
    return Standing(
        name=_text(metadata, "name"),
        state=state,
        root=_root(state, root, condition),
        says=says or _text(root, "seen"),
        to_do=_text(root, "do") if state in (State.NOT_READY, State.CANNOT_TELL) else "",
        mode=_text(labels, f"{prefix}gpu.cc-mode"),
        wanted=_text(labels, WANTED) or _text(report, "wanted"),
        tcb=_text(labels, f"{prefix}tcb.snp"),
        chip=_text(labels, f"{prefix}gpu.chip"),
        gpus=_text(labels, f"{prefix}gpu.count"),
        beats=bool(condition),
        beat=_seconds(condition.get("lastHeartbeatTime")),
        simulated=f"{prefix}simulated" in labels,
        last_switch=_last_switch(notes.get(f"{prefix}last-switch")),
    )


_BY_REASON = {"Switching": State.SWITCHING, "Blocked": State.BLOCKED}
_BY_STATUS = {"True": State.READY, "Unknown": State.CANNOT_TELL}


def _state(
    labels: Mapping[str, object],
    notes: Mapping[str, object],
    condition: Mapping[str, object],
    prefix: str,
) -> State:
    """Ready takes both, the label that the scheduler goes by and the condition.

    Without a condition there is no agent, unless NFD says that it holds our labels: it lets
    them expire by itself.
    """
    is_ready = labels.get(f"{prefix}ready") == "true"
    if not condition:
        held = _text(notes, _BY_NFD).split(",")
        if f"{prefix}profile" not in held:
            return State.NO_AGENT
        return State.READY if is_ready else State.NOT_READY
    state = _BY_REASON.get(_text(condition, "reason")) or _BY_STATUS.get(_text(condition, "status"))
    if state is State.READY and not is_ready:
        return State.NOT_READY
    return state or State.NOT_READY


def _root(state: State, root: Mapping[str, object], condition: Mapping[str, object]) -> str:
    """The report's code; it may be of another moment than a condition with another word."""
    if state not in (State.NOT_READY, State.CANNOT_TELL):
        return ""
    if condition.get("status") == "True":
        return ""
    code, reason = _text(root, "code"), _text(condition, "reason")
    camel = "".join(part.capitalize() for part in code.split("_"))
    return code if code and reason in ("", camel, "CannotTell") else reason


def _last_switch(raw: object) -> LastSwitch | None:
    told = _parsed(raw)
    if told.get("version") != 1:
        return None
    began, seconds = _seconds(told.get("started")), _length(told.get("seconds"))
    return LastSwitch(
        was=_text(told, "from"),
        to=_text(told, "to"),
        asked_by=_text(told, "asked_by"),
        result=_text(told, "result"),
        started=_text(told, "started"),
        seconds=seconds,
        ended=began if began is None else began + (seconds or 0.0),
    )


def _length(raw: object) -> float | None:
    """Seconds; JSON may also hold what is no number, and numbers that no float can hold."""
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not 0 <= raw <= _LONGEST_S:
        return None
    return float(raw)


def _condition(node: Node, kind: str) -> Mapping[str, object]:
    conditions = _dict(node, "status").get("conditions")
    for each in conditions if isinstance(conditions, list) else ():
        if isinstance(each, dict) and each.get("type") == kind:
            return each
    return {}


def _parsed(raw: object) -> Mapping[str, object]:
    """Anybody may have written it."""
    if not isinstance(raw, str):
        return {}
    try:
        told = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _seconds(raw: object) -> float | None:
    try:
        moment = datetime.fromisoformat(raw) if isinstance(raw, str) else None
        return moment.timestamp() if moment and moment.tzinfo else None
    except (ValueError, OverflowError):
        return None


def _dict(raw: object, key: str) -> Mapping[str, object]:
    value = raw.get(key) if isinstance(raw, Mapping) else None
    return value if isinstance(value, dict) else {}


def _text(raw: Mapping[str, object], key: str) -> str:
    value = raw.get(key)
    return printable(value, _TEXT_CHARS) if isinstance(value, str) else ""
