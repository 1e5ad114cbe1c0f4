"""The authority's part of a cycle: what the cluster gives up for a switch, the switch, and back."""

import itertools
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

from nodeagent import labels as words
from nodeagent.agent import authority
from nodeagent.agent.authority import Claim
from nodeagent.agent.converge import May, Told
from nodeagent.agent.journal import Journal
from nodeagent.agent.logs import chain
from nodeagent.agent.narrator import Narrator
from nodeagent.agent.slots import Slots
from nodeagent.agent.switch import DeviceEnd, End
from nodeagent.agent.witness import AT_ONCE_S, EVERY_S
from nodeagent.errors import AgentError, ClusterError
from nodeagent.kube.events import Said
from nodeagent.kube.evict import Evictions
from nodeagent.kube.failures import ConflictError, RefusedError
from nodeagent.kube.node import ASKS, NodeView
from nodeagent.kube.nodes import NodeClient
from nodeagent.labels import Condition, Status, Wanted
from nodeagent.model.cluster import (
    Begin,
    DeviceStanding,
    Evict,
    Finish,
    Guest,
    Note,
    Pods,
    Queue,
    Standing,
    Step,
    Switch,
    Wait,
)
from nodeagent.model.pause import is_paused, pause
from nodeagent.model.seen import Unreadable
from nodeagent.model.switching import Remove, Reset, Stage, Unbind
from nodeagent.model.switching import Step as DeviceStep
from nodeagent.model.words import CcMode
from nodeagent.plan import cluster as plan
from nodeagent.publish.apiserver import rfc3339, utc_now
from nodeagent.steps import cluster as steps

WAIT_S = 0.5
BLOCKED_S = 5.0
"""A VM may have a GPU for hours: each look costs, and nobody waits for the first second."""
_SOAK_S = 30.0
"""Its slot must be renewed meanwhile, however seldom it looks."""
BACK = "rolled_back"
_CONFLICT_S = 0.1
_AGAIN_S = 2.0
_QUEUE_S = (3.0, 7.0)
_MOST_STEPS = 64
_RANDOM = random.SystemRandom()
_OFFERED = "nvidia.com/"
_IRREVERSIBLE = (Unbind, Stage, Reset, Remove)

log = logging.getLogger(__name__)


class Switcher(Protocol):
    """The devices of this host."""

    def switch(self, want: CcMode, told: Told, may: May) -> Sequence[DeviceEnd]:
        """Bring them to a mode. BlockedError and HostError where it did not begin."""

    def guests(self, within_s: float) -> tuple[Guest, ...] | Unreadable:
        """Who was given one, of an answer not older than that."""


class Source(Protocol):
    """The Node: as it was last heard of, from the server itself, and after our own writes."""

    def ask(self, name: str) -> NodeView | None: ...

    def wrote(self, view: NodeView) -> NodeView: ...


class Cluster(NamedTuple):
    """The Node of that name, how it is written, and who hears of transitions."""

    name: str
    source: Source
    client: NodeClient
    say: Callable[[Said], object]
    boot_id: str = ""
    evictions: Evictions | None = None
    """Where pods may be asked to go."""
    journal: Journal = Journal(None)
    ended: Callable[[str, float], object] = lambda _result, _seconds: None
    """Hears how each switch ended, and after how many seconds."""


@dataclass(frozen=True, slots=True)
class Terms:
    """A switch that could not begin for `deadline_s` gives everything back, and is tried again
    `again_s` later.
    """

    node: str
    prefix: str
    claim: Claim
    deadline_s: float = 1800.0
    again_s: float = 600.0


class Next(NamedTuple):
    """What is to be done about the node as it was looked at, and what is to be said of it."""

    step: Step | Wait | None
    standing: Standing
    begin: Note | None
    is_ours: bool = True
    """Whether the mode of this node's devices is ours to change, and ours to tell."""


class Duty:
    """Does what can be done, and comes back with the next cycle for the rest."""

    def __init__(  # noqa: PLR0913 - what a switch needs of the world, and a clock
        self,
        terms: Terms,
        cluster: Cluster,
        devices: Switcher,
        *,
        pods: Callable[[], Pods],
        slots: Slots,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._terms = terms
        self._source, self._client = cluster.source, cluster.client
        self._say = cluster.say
        self._ended_as = cluster.ended
        self._is_back = False
        self._evictions = cluster.evictions
        self._journal = cluster.journal
        self.claim = terms.claim
        self._pods = pods
        self._slots = slots
        self._turn: str | None = None
        self._devices = devices
        self._now = now
        self._told = ""
        self.has_switched = False
        """Whether the last `work` began to change devices: then it is no drift."""

    # What is next.

    def consider(self, node: NodeView, devices: DeviceStanding, want: CcMode | None) -> Next:
        elsewhere = authority.stands_down(node.labels, self._pods)
        note = steps.noted(node.annotations, self._terms.prefix)
        deploy = {key: node.labels[key] for key in plan.operands() if key in node.labels}
        standing = Standing(
            want=want,
            unsettled=devices.unsettled,
            refused=elsewhere or self._refused(node, devices, want, note),
            holders=devices.holders,
            guests=devices.guests,
            deploy=deploy,
            pods={},
            allocatable=_offered(node),
            is_unschedulable=node.unschedulable,
            is_cordoned_by_us=words.cordon_key(self._terms.prefix) in node.annotations,
            note=note,
            is_late=note is not None and self._seconds(note) > self._terms.deadline_s,
        )
        if not self._slots.is_held:
            standing = standing._replace(waits_for_turn=self._turn)
        if note or plan.shall_switch(standing) or any(map(is_paused, deploy.values())):
            standing = standing._replace(guests=self._see_guests(devices.guests))
        begin = self._begin(node, standing, want) if want and note is None else None
        step = plan.next_step(standing, begin)
        if plan.minds_pods(step, standing):  # a list that is up to date takes the server 0.1 s
            standing = standing._replace(pods=self._see_pods())
            step = plan.next_step(standing, begin)
        return Next(step, standing, begin, is_ours=not elsewhere)

    def _see_pods(self) -> Pods | Unreadable:
        try:
            return self._pods()
        except ClusterError as error:
            return Unreadable("the operator's namespace", chain(error))

    def _see_guests(self, guests: tuple[Guest, ...] | Unreadable) -> tuple[Guest, ...] | Unreadable:
        if self._evictions is None or isinstance(guests, Unreadable):
            return guests
        return self._evictions.seen(guests)

    def _begin(self, node: NodeView, standing: Standing, want: CcMode) -> Note:
        asked = node.labels.get(ASKS)
        by = f"{node.asked_by or 'somebody'} ({ASKS}={asked})" if asked else "the configuration"
        pausable = [key for key in plan.operands() if _is_pausable(standing.deploy.get(key, ""))]
        return Note(
            want=want,
            was=node.labels.get(f"{self._terms.prefix}gpu.cc-mode", ""),
            started=rfc3339(self._now()),
            asked_by=by,
            allocatable={key: each for key, each in standing.allocatable.items() if each},
            paused=tuple(pausable),
        )

    def _refused(
        self, node: NodeView, devices: DeviceStanding, want: CcMode | None, note: Note | None
    ) -> str:
        return (
            devices.refused
            or authority.maintained(node.labels, node.annotations)
            or (self._ended(node, want) if note is None else "")
        )

    def _ended(self, node: NodeView, want: CcMode | None) -> str:
        """A switch that failed is not tried again until it is asked for anew."""
        last = steps.last(node.annotations, self._terms.prefix)
        if last.get("to") != want or last.get("result") not in {plan.FAILED, plan.BLOCKED}:
            return ""
        ended = _moment(last.get("started"), last.get("seconds"))
        if ended is None:
            return ""
        if last["result"] == plan.BLOCKED:
            again = datetime.fromtimestamp(ended + self._terms.again_s, UTC)
            why = f"{last['why']}; " if last.get("why") else ""
            return f"{why}tried again at {rfc3339(again)}" if self._now() < again else ""
        asked = _moment(node.asked_at, 0)
        if asked is not None and asked > ended:
            return ""
        return f"it failed at {last.get('started')}: {last.get('why')}; ask anew to try again"

    def _seconds(self, note: Note) -> float:
        began = _moment(note.started, 0)
        return 0.0 if began is None else self._now().timestamp() - began

    # What is said.

    def temper(self, wanted: Wanted, ahead: Next, node: NodeView) -> Wanted:
        """Nothing says ready while a switch is ahead or under way."""
        note, step = ahead.standing.note, ahead.step
        if plan.withholds(step):
            return words.withheld(wanted, self._condition(ahead), node.labels, self._terms.prefix)
        is_due = bool(ahead.standing.unsettled and ahead.standing.want)
        if note is None and ahead.standing.refused and is_due:
            wanted = replace(wanted, condition=self._unswitched(node, wanted, ahead.standing))
        return words.failed(wanted) if self._has_failed(wanted, ahead, node) else wanted

    def _unswitched(self, node: NodeView, wanted: Wanted, now: Standing) -> Condition:
        told = wanted.condition
        last = steps.last(node.annotations, self._terms.prefix)
        given_up = last.get("result") == plan.BLOCKED and now.refused == self._ended(node, now.want)
        if given_up and told.status is Status.FALSE:
            says = f"switching to {now.want} was given up: {now.refused}"
            return Condition(Status.FALSE, "Blocked", says)
        return replace(told, message=f"{told.message}; not switched: {now.refused}")

    def _has_failed(self, wanted: Wanted, ahead: Next, node: NodeView) -> bool:
        """Until the devices are seen to be as wanted after all, whoever brought them there."""
        if not ahead.is_ours or f"{self._terms.prefix}gpu" in wanted.labels:
            return False
        last, now = steps.last(node.annotations, self._terms.prefix), ahead.standing
        failed = last.get("result") == plan.FAILED and last.get("to") == now.want
        return failed or bool(now.note and now.note.failed)

    def _condition(self, ahead: Next) -> Condition:
        now, step = ahead.standing, ahead.step
        note = now.note or ahead.begin
        want = note.want if note else now.want
        head = f"from {note.was or 'unlike modes'} to {want}" if note else f"to {want}"
        if isinstance(step, Queue) and step.says:
            return Condition(Status.FALSE, "Blocked", f"switching {head}: {step}")
        if isinstance(step, Evict) and step.guest.refused:
            step = plan.stands_against(step.guest)  # as long as it is only asked once more
        if isinstance(step, Wait) and step.is_blocked:
            return Condition(Status.FALSE, "Blocked", f"switching {head} waits: {step.says}")
        says = step.says if isinstance(step, Wait) else str(step)
        return Condition(Status.FALSE, "Switching", f"switching {head}: {says}")

    # What is done.

    def work(self, node: NodeView, ahead: Next, devices: DeviceStanding) -> float | None:
        """Seconds after which to look again, None where all is done. ClusterError.

        The labels were published before: what comes after them waits for the next cycle.
        """
        withheld, self.has_switched = plan.withholds(ahead.step), False
        for _ in range(_MOST_STEPS):
            step = ahead.step
            if step is None:
                self._turn = None
                self._slots.rest(is_well=not ahead.standing.unsettled)
                return _SOAK_S if self._slots.is_held else None
            if isinstance(step, Queue):
                self._turn = self._ask_for_a_turn(step.want)
                if self._turn:
                    self._wait(Wait(f"its turn: {self._turn}", is_blocked=True))
                    return _RANDOM.uniform(*_QUEUE_S)
                ahead = self.consider(node, devices, ahead.standing.want)
                continue
            if isinstance(step, Wait):
                self._wait(step)
                return BLOCKED_S if step.is_blocked else WAIT_S
            if plan.shall_switch(ahead.standing) and self._is_shown_ready(node):
                self._wait(Wait("until NFD has taken ready from the Node"))
                return WAIT_S
            if isinstance(step, Switch):
                return self._change(node, ahead)
            if withheld and not plan.withholds(step):
                return 0.0
            try:
                node = self._do(node, step)
            except ConflictError as error:
                log.debug("%s: the Node is another one by now: %s", step, error)
                return _CONFLICT_S
            ahead = self.consider(node, devices, ahead.standing.want)
        return WAIT_S

    def _ask_for_a_turn(self, want: CcMode) -> str:
        """A right that is missing stops the switch alone, and not what is published."""
        try:
            return self._slots.seek(want)
        except RefusedError as error:
            return f"the fleet cannot be asked: {error}"

    def _is_shown_ready(self, node: NodeView) -> bool:
        """What we publish through NFD goes from the Node only when NFD comes by."""
        return node.labels.get(f"{self._terms.prefix}ready") == "true"

    def _do(self, node: NodeView, step: Step) -> NodeView:
        if isinstance(step, Evict):
            return self._evict(node, step)
        note = step.note if isinstance(step, Finish) else None
        seconds = int(self._seconds(note)) if note else 0
        moment = steps.Moment(rfc3339(self._now()), seconds)
        after = steps.do(step, node, self._client, self._terms.prefix, moment)
        log.info("%s", step)
        if isinstance(step, Begin):
            note = step.note
            says = f"switching from {note.was or 'unlike modes'} to {note.want}, as asked by"
            self._say(Said("SwitchStarted", f"{says} {note.asked_by}"))
            self._journal.began(note)
        elif isinstance(step, Finish):
            self._say(_ended_event(step, seconds))
            self._journal.ended(step.note, step.result, seconds)
            self._ended_as(BACK if self._is_back else step.result, seconds)
            if step.result in {plan.DONE, plan.FAILED}:
                self._slots.ended(step.note.want, failed=step.result == plan.FAILED)
        self._told = ""
        return self._source.wrote(after)

    def _evict(self, node: NodeView, step: Evict) -> NodeView:
        if self._evictions is not None:
            if not step.guest.refused:
                log.info("%s", step)
                self._say(Said("Evicting", str(step)))
            self._evictions.evict(step.guest)
        return node

    def _wait(self, step: Wait) -> None:
        if step.says == self._told:
            return
        self._told = step.says
        log.info("waiting: %s", step.says)
        if step.is_blocked:
            self._journal.waits(step.says)
            self._say(Said("SwitchBlocked", step.says, is_warning=True))

    def _change(self, node: NodeView, ahead: Next) -> float:
        """The devices; what failed is noted, and what was not finished is left to the next.

        Seconds until that: what could not be done now is not tried again at once.
        """
        note = ahead.standing.note
        if note is None:
            return WAIT_S
        self.has_switched = True
        self._journal.changes(note, len(ahead.standing.unsettled))
        narrator = Narrator(note, lambda says: self._narrate(node.name, says, narrator.done))
        with narrator:
            try:
                ends = self._devices.switch(note.want, narrator.told, self._gate(node, note))
            except AgentError as error:
                log.warning("the switch did not begin: %s", chain(error))
                return _AGAIN_S
        failed = [each for each in ends if each.end in {End.FAILED, End.BACK}]
        self._is_back = bool(failed) and all(each.end is End.BACK for each in failed)
        if failed:
            why = "; ".join(_why(each) for each in failed)
            log.warning("the switch to %s failed: %s", note.want, why)
            noted = {words.switch_key(self._terms.prefix): steps.written(replace(note, failed=why))}
            self._source.wrote(self._client.annotate(node, noted))
        return _AGAIN_S if any(each.end is End.LEFT for each in ends) else 0.0

    def _gate(self, node: NodeView, note: Note) -> May:
        """Read back before every step that cannot be undone: who switches, and what is paused.

        Who was given a device is asked for real before the first; by then nobody is given one.
        """
        within_s = itertools.chain([AT_ONCE_S], itertools.repeat(EVERY_S))

        def may(wave: Sequence[DeviceStep]) -> bool:
            if not any(isinstance(step, _IRREVERSIBLE) for step in wave):
                return True
            try:
                self._slots.keep()
                now = self._source.ask(node.name)
            except ClusterError as error:
                log.warning("the switch stops here: %s", chain(error))
                return False
            why = self._against(now, node, note) or _held(self._devices.guests(next(within_s)))
            if why:
                log.warning("the switch stops here: %s", why)
            return not why

        return may

    def _against(self, now: NodeView | None, before: NodeView, note: Note) -> str:
        if now is None or now.uid != before.uid:
            return "the Node is another one"
        for key in (f"{self._terms.prefix}ready", words.COMPAT_READY):
            if now.labels.get(key) == "true":
                return f"somebody has set {key}=true"
        for key in plan.operands():
            value = now.labels.get(key, "")
            if _is_pausable(value) and not is_paused(value):
                return f"{key}={value} is not paused any more"
        if now.labels.get(ASKS, "") != before.labels.get(ASKS, ""):
            return f"{ASKS} asks for something else now"
        if steps.noted(now.annotations, self._terms.prefix) != note:
            return "our note on the Node is gone or changed"
        return authority.stands_down(now.labels, self._pods)

    def _narrate(self, name: str, says: str, done: int) -> None:
        """The condition of the moment. What cannot be written is not news enough to stop for."""
        self._journal.steps(says, done)
        try:
            node = self._source.ask(name)
            if node is not None and node.condition is not None:
                shown = replace(
                    node.condition, reason="Switching", message=says, heartbeat=rfc3339(self._now())
                )
                self._source.wrote(self._client.apply_condition(node, shown))
        except ClusterError as error:
            log.debug("the step cannot be told: %s", error)


def _held(guests: tuple[Guest, ...] | Unreadable) -> str:
    if isinstance(guests, Unreadable):
        return f"who uses the GPUs cannot be told: {guests}"
    return f"in use by {guests[0]}" if guests else ""


def _offered(node: NodeView) -> dict[str, int]:
    found = {key: text for key, text in node.allocatable.items() if key.startswith(_OFFERED)}
    return {key: int(text) for key, text in found.items() if text.isdecimal()}


def _is_pausable(value: str) -> bool:
    try:
        return pause(value) != value or is_paused(value)
    except ValueError:
        return True


def _why(end: DeviceEnd) -> str:
    return f"{end.bdf}: {end.error or f'{end.end}, to {end.before}'}"


def _ended_event(step: Finish, seconds: int) -> Said:
    note = step.note
    if step.result == plan.DONE:
        return Said("SwitchDone", f"switched to {note.want} in {seconds} s")
    told = note.failed or step.why
    why = f": {told}" if told else ""
    reason = "SwitchFailed" if step.result == plan.FAILED else "SwitchBlocked"
    return Said(reason, f"the switch to {note.want} {step.result}{why}", is_warning=True)


def _moment(started: object, seconds: object) -> float | None:
    try:
        began = datetime.fromisoformat(str(started))
    except ValueError:
        return None
    more = seconds if isinstance(seconds, int | float) else 0
    return began.replace(tzinfo=began.tzinfo or UTC).timestamp() + more
