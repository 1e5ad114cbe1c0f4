"""What the agent does, and what it did, as a person reads it."""

import textwrap
from collections.abc import Iterable, Iterator

from nodeagent.model.status import Api, Asked, Entry, Status, Switching, Verdict
from nodeagent.model.text import shown

WIDTH = 80
_HEAD = 12
_WORDS = {"True": "READY", "False": "NOT READY", "Unknown": "CANNOT TELL"}


def status(told: Status, *, is_alive: bool, age_s: float) -> str:
    """Of an agent that runs no more it is what it told last."""
    lines = [
        ("agent", _agent(told, is_alive, age_s)),
        ("verdict", _verdict(told.verdict, told.profile)),
        ("wanted", _wanted(told.wanted)),
        ("switch", _switch(told.switch)),
        ("blocked", f"{told.blocked.by},{_since(told.blocked.since)}" if told.blocked else "no"),
        ("API", _api(told.api)),
        ("authority", told.authority.who or "not known"),
    ]
    return "\n".join(line for head, text in lines for line in _wrapped(head, text))


def _agent(told: Status, is_alive: bool, age_s: float) -> str:
    agent, on = told.agent, f" on node {told.node}" if told.node else ""
    if not is_alive:
        return (
            f"runs no more{on}: its last sign of life was {_ago(age_s)} ago; this is its last word"
        )
    return f"running{on} (pid {agent.pid}){_since(agent.since)}, last seen {_ago(age_s)} ago"


def _ago(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds:.0f} s"


def _since(moment: str) -> str:
    return f" since {moment}" if moment else ""


def _verdict(told: Verdict, profile: str) -> str:
    word = _WORDS.get(told.status, "not known yet")
    about = f" for {profile}" if profile else ""
    reason = f", {told.reason}: {told.message}" if told.reason else ""
    return f"{word}{about}{_since(told.since)}{reason}"


def _wanted(told: Asked) -> str:
    if not told.mode:
        return "no mode is asked for"
    return f"{told.mode}, as asked by {told.by}" if told.by else told.mode


def _switch(told: Switching | None) -> str:
    if told is None:
        return "none under way"
    how = f"under way{_since(told.started)}" if told.started else "due"
    count = f", {told.done} of {told.of} devices done" if told.of else ""
    step = f": {told.step}" if told.step else ""
    by = f", as asked by {told.by}" if told.by else ""
    return f"{_from_to(told.was, told.want)}, {how}{by}{count}{step}"


def _from_to(was: str, now: str) -> str:
    return f"from {was or 'unlike modes'} to {now}"


def _api(told: Api) -> str:
    if told.reachable is None:
        return "not asked"
    if told.reachable:
        return f"answers{_since(told.since)}"
    return f"away{_since(told.since)}: {told.error}"


# What happened.


def history(entries: Iterable[Entry], bad: int = 0) -> str:
    """The newest last, as in a log."""
    lines = [line for each in entries for line in _told(each)] or ["nothing has happened yet"]
    if bad:
        lines.append(f"{bad} line{'' if bad == 1 else 's'} of the file could not be read")
    return "\n".join(lines)


def _told(entry: Entry) -> Iterator[str]:
    yield from textwrap.wrap(
        shown(f"{entry.at}  {entry.what:<9}  {_happened(entry)}"),
        WIDTH,
        subsequent_indent=" " * 33,
        break_on_hyphens=False,
    )


def _happened(entry: Entry) -> str:
    cause = f": {entry.cause}" if entry.cause else ""
    if entry.what == "drift":
        return entry.cause
    if entry.what != "switch":
        return f"from {entry.was or 'not known'} to {entry.now}{cause}"
    took = f" in {entry.seconds} s" if entry.seconds is not None else ""
    by = f", as asked by {entry.by}" if entry.by else ""
    way = f" {_from_to(entry.was, entry.now)}" if entry.now else ""
    return f"{entry.result}{took}{way}{by}{cause}"


def _wrapped(head: str, text: str) -> Iterator[str]:
    yield from textwrap.wrap(
        shown(text),
        WIDTH,
        initial_indent=f"{head:<{_HEAD}}",
        subsequent_indent=" " * _HEAD,
        break_on_hyphens=False,
    )
