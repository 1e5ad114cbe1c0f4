"""What a switch needs of the cluster, one step at a time (kubernetes.md §3.2).

Nothing is resumed: what to do next follows from the Node, the devices and who uses them.
"""

import itertools
from collections.abc import Iterator
from functools import cache
from typing import TypeVar

from nodeagent import data
from nodeagent.model.cluster import (
    Begin,
    Cordon,
    Evict,
    Finish,
    Guest,
    Note,
    Queue,
    Relabel,
    Standing,
    Step,
    Switch,
    Uncordon,
    Wait,
)
from nodeagent.model.pause import TooLongError, is_paused, pause, restore
from nodeagent.model.seen import Unreadable

T = TypeVar("T")

DEPLOY = "nvidia.com/gpu.deploy."
DONE, FAILED, BLOCKED, WITHDRAWN = "done", "failed", "blocked", "withdrawn"
"""How a switch ends: `blocked` where it could not begin in time, `withdrawn` with its wish."""


@cache
def operands() -> tuple[str, ...]:
    """Deploy labels that are paused, in that order; the other way round they come back."""
    return tuple(DEPLOY + name for name in data.load("operands.json")["pause"])


def next_step(now: Standing, begin: Note | None) -> Step | Wait | None:
    """None where nothing is left to do. `begin`: what to note if a switch is to begin."""
    return next(_steps(now, begin), None)


def minds_pods(step: Step | Wait | None, now: Standing) -> bool:
    """Whether a step that was planned without a look at the operands' pods depends on them."""
    if isinstance(step, Queue | Begin | Cordon | Relabel | Evict):
        return False
    paused = now.note.paused if now.note else ()
    return bool(paused) or any(map(is_paused, now.deploy.values()))


def withholds(step: Step | Wait | None) -> bool:
    """Whether the node must not be called ready yet: the last steps come after the labels."""
    return not isinstance(step, Uncordon | Finish | None)


def _steps(now: Standing, begin: Note | None) -> Iterator[Step | Wait]:
    if shall_switch(now):
        yield from _before(now, begin)
        if now.want:
            yield Switch(now.want)
    else:
        yield from _after(now)


def shall_switch(now: Standing) -> bool:
    failed = now.note is not None and (now.note.failed or now.note.want is not now.want)
    return bool(now.want and now.unsettled and not now.refused and not now.is_late and not failed)


def _before(now: Standing, begin: Note | None) -> Iterator[Step | Wait]:
    yield from _untold(now)
    if now.note is None:
        yield from _in_the_way(now)
    # A switch that was begun goes on, slot or not: half of it would help nobody.
    if now.want and (now.waits_for_turn is None or (now.waits_for_turn and now.note is None)):
        yield Queue(now.want, now.waits_for_turn or "")
    if now.note is None and begin is not None:
        yield Begin(begin)
    if not now.is_unschedulable:
        yield Cordon()
    yield from _evict(now)
    yield from _pause(now)
    yield from _in_use(now)


def _untold(now: Standing) -> Iterator[Wait]:
    """Either witness that could not look stops us: what it may have seen is not known."""
    for each in (now.guests, now.holders):
        if isinstance(each, Unreadable):
            yield Wait(f"who uses the GPUs cannot be told: {each}", is_blocked=True)


def _in_the_way(now: Standing) -> Iterator[Wait]:
    """Whom nobody may ask to go. What has a device open may belong to a pod that will."""
    guests = _told(now.guests)
    if not any(each.may_go for each in guests):
        yield from _in_use(now)
    elif staying := tuple(each for each in guests if not each.may_go):
        yield from _in_use(now._replace(guests=staying, holders=()))


def _evict(now: Standing) -> Iterator[Step | Wait]:
    """All who may be asked, before anybody is waited for."""
    guests = [each for each in _told(now.guests) if each.may_go]
    staying = [each for each in guests if not each.is_leaving]
    yield from (Evict(each) for each in staying if each.is_due)
    yield from (stands_against(each) for each in staying if each.refused)
    yield from (Wait(f"until {each} is gone") for each in guests)


def stands_against(guest: Guest) -> Wait:
    return Wait(f"{guest} cannot be evicted: {guest.refused}", is_blocked=True)


def _in_use(now: Standing) -> Iterator[Wait]:
    guests, holders = _told(now.guests), _told(now.holders)
    users = (*map(str, guests), *holders)
    if users:
        more = f" and {len(users) - 1} more" if users[1:] else ""
        why = f": {guests[0].why}" if guests and guests[0].why else ""
        yield Wait(f"in use by {users[0]}{more}{why}", is_blocked=True)


def _told(seen: tuple[T, ...] | Unreadable) -> tuple[T, ...]:
    return () if isinstance(seen, Unreadable) else seen


def _pause(now: Standing) -> Iterator[Step | Wait]:
    for key in operands():
        value = now.deploy.get(key)
        if value is None:
            continue
        try:
            paused = pause(value)
        except TooLongError as error:
            yield Wait(f"cannot pause {key}: {error}", is_blocked=True)
            return
        if paused != value:
            yield Relabel(key, value, paused)
    if isinstance(now.pods, Unreadable):
        yield Wait(f"the operands' pods cannot be seen: {now.pods}", is_blocked=True)
        return
    for key in operands():
        if is_paused(now.deploy.get(key, "")) and now.pods.get(key):
            yield Wait(f"until {now.pods[key][0].name} is gone")


def _after(now: Standing) -> Iterator[Step | Wait]:
    """Everything back, proven to be back, and only then the node for new work."""
    for key in reversed(operands()):
        value = now.deploy.get(key)
        if value is not None and is_paused(value):
            yield Relabel(key, value, restore(value))
    missing = tuple(_missing(now, now.note)) if now.note else ()
    if missing and not now.is_late:
        yield missing[0]
    if now.is_cordoned_by_us:
        yield Uncordon()
    yield from missing[:1]
    if now.note is not None:
        result = _result(now, now.note)
        yield Finish(now.note, result, _against(now) if result == BLOCKED else "")


def _against(now: Standing) -> str:
    """What a switch waited for in vain, by name."""
    refused = (stands_against(each) for each in _told(now.guests) if each.refused)
    found = next(itertools.chain(refused, _untold(now), _in_use(now)), None)
    return found.says if found else ""


def _missing(now: Standing, note: Note) -> Iterator[Wait]:
    """What was there before and is not back."""
    pods = {} if isinstance(now.pods, Unreadable) else now.pods
    for key in note.paused:
        if now.deploy.get(key) == "true" and key in pods:
            if not pods[key]:
                yield Wait(f"until there is a pod for {key} again")
            yield from (
                Wait(f"until {pod.name} is ready again") for pod in pods[key] if not pod.is_ready
            )
    for resource, count in sorted(note.allocatable.items()):
        there = now.allocatable.get(resource, 0)
        if there < count:
            yield Wait(f"until {resource} is back: {there} of {count}")


def _result(now: Standing, note: Note) -> str:
    if note.failed:
        return FAILED
    if note.want is not now.want:
        return WITHDRAWN
    return BLOCKED if now.unsettled else DONE
