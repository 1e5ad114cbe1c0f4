"""One cycle: ask what is wanted, look, judge, publish."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from nodeagent import labels as words
from nodeagent.agent.authority import CC_MANAGER
from nodeagent.agent.backoff import Backoff
from nodeagent.agent.journal import NOBODY, US, Journal
from nodeagent.agent.logs import chain
from nodeagent.agent.memory import Memory
from nodeagent.errors import AgentError, ClusterError, HostError, nearest
from nodeagent.kube.events import Said
from nodeagent.kube.failures import BusyError, MissingError
from nodeagent.kube.node import NodeView
from nodeagent.labels import Wanted
from nodeagent.model.cluster import DeviceStanding
from nodeagent.model.findings import Judgement
from nodeagent.model.pci import Sighting
from nodeagent.model.runtime import NodeSays
from nodeagent.model.status import Asked, Authority
from nodeagent.model.words import CcMode, Level, Profile, Ready, Verdict
from nodeagent.publish import apiserver
from nodeagent.publish.sink import Show, Sink
from nodeagent.report.drift import Watched, drifts, last_known

if TYPE_CHECKING:
    from nodeagent.agent.aside import Aside
    from nodeagent.agent.duty import Duty, Next

CC_MODE = "nvidia.com/cc.mode"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Look:
    """What one look found. `held`: devices that a process has open. `watched`: see drift."""

    judgement: Judgement
    simulated: bool
    boot_id: str
    held: frozenset[str] = frozenset()
    watched: Watched = field(default_factory=dict)
    devices: DeviceStanding | None = None
    """For the authority alone: what a switch to the wanted mode goes by."""
    gpus: tuple[str, ...] = ()
    asids_used: int | None = None


Looker = Callable[[CcMode | None, Mapping[str, Sighting], NodeSays | None], Look]


@dataclass(frozen=True, slots=True)
class Settings:
    """What the agent was told. `mode` counts while nothing is asked through the Node."""

    node: str
    profile: Profile
    mode: CcMode | None
    boot_id: str
    publish_simulated: bool = False
    prefix: str = words.PREFIX


@dataclass(frozen=True, slots=True)
class Done:
    """How a cycle ended. `ready` is None where the look failed; `retry_s` if it shall not rest."""

    ready: Ready | None
    published: bool
    line: str
    retry_s: float | None


@dataclass(slots=True)
class _Standing:
    """What the last cycle left on the Node, and for how long on grace."""

    labels: dict[str, str] = field(default_factory=dict)
    waiting: dict[str, int] = field(default_factory=dict)
    asked: str = ""


Told = Callable[[Look | None, Mapping[str, CcMode], bool], object]


def uncounted(_look: Look | None, _modes: Mapping[str, CcMode], _is_ready: bool) -> None:
    """Nobody wants to know."""


class Cycle:
    """Does one cycle a call. What it keeps between two is small, and is lost without harm."""

    def __init__(  # noqa: PLR0913 - each is a thing of its own
        self,
        settings: Settings,
        *,
        look: Looker,
        server: Sink,
        memory: Memory,
        backoff: Backoff | None = None,
        duty: Duty | None = None,
        aside: Aside | None = None,
        say: Callable[[Said], object] = lambda _said: None,
        journal: Journal | None = None,
        told: Told = uncounted,
    ) -> None:
        """`duty`: where we may be the one who switches modes here. `say` tells of transitions.

        `told` hears what each look found, and whether it makes ready, before a switch goes on.
        """
        self._settings = settings
        self._look = look
        self._server = server
        self._memory = memory
        self._backoff = backoff or Backoff()
        self._duty = duty
        self._aside = aside
        self._say = say
        self._journal = journal or Journal(None)
        self._authority = NOBODY if duty is None else US
        self._asker = ""
        self._told = told
        self._standing = _kept(server)
        self._asked = ""
        self._wish: CcMode | None = None
        self._is_off = False
        self._says: NodeSays | None = None
        self._met = ""
        self._trouble = ""
        self._kept_trouble = ""
        self._said = ""
        self._watched: Watched = {}

    def __call__(self) -> Done:
        node = self._fetch()
        node = self._meet(node) if node else None
        if node:
            self._hear(node.labels.get(CC_MODE, ""))
            # A Node of another boot, or of another host by a wrong name, says nothing of this one.
            self._says = self._told_of(node) if node.boot_id == self._settings.boot_id else None
            node = self._unlist(node)
        look = self._look_around()
        ahead = self._consider(node, look)
        look = self._gated(look, node, ahead)
        wanted = self._desire(look, node, ahead)
        show = self._settle(wanted, node, ahead)
        line = f"{wanted.condition.reason}: {wanted.condition.message}"
        self._tell(line)
        is_ready = f"{self._settings.prefix}ready" in show.labels
        self._told(look if isinstance(look, Look) else None, self._memory.modes, is_ready)
        other = self._duty.claim.other if self._duty else ""
        if other:  # two who write one Node would undo each other's words
            self._defer(other)
            return Done(_ready(look), False, f"{other}; it tells what is found", None)
        published = self._publish(node, show)
        ready = _ready(look)
        self._record(wanted, look, node, ahead)
        if not published:
            return Done(ready, False, line, self._backoff.left_s or None)
        again_s = self._work(look) if ahead else None
        if self._aside and node and self._says and self._is_of_this_node(look):
            soon_s = self._aside.work(node, is_busy=_is_busy(ahead))
            again_s = soon_s if again_s is None else again_s
        return Done(ready, True, line, again_s)

    def _defer(self, other: str) -> None:
        if other != self._trouble:
            log.warning("%s; nothing is published here", other)
        self._trouble = other

    # The Node.

    def _fetch(self) -> NodeView | None:
        """The Node; None while the server is away, or is to be left alone."""
        if not self._server.asks or self._backoff.left_s > 0:
            return None
        name = self._settings.node
        try:
            node = self._server.node(name)
            if node is None:
                raise MissingError(f"there is no Node {name}", hint="give its name by --node-name")
        except ClusterError as error:
            self._lost(error)
            return None
        return node

    def _meet(self, node: NodeView) -> NodeView | None:
        """At first sight of a Node: take over what stands, if it stands for this boot.

        None where the rest could not be taken back: then it is tried again before a look.
        """
        if node.uid == self._met:
            return node
        boot_id = self._settings.boot_id
        try:
            node = self._server.clear_earlier_boot(node, boot_id)
            ours = self._server.standing(node)
        except ClusterError as error:
            self._lost(error)
            return None
        except HostError as error:
            self._lost_here(error)
            return None
        self._met = node.uid
        self._standing = _inherited(node, ours, self._settings.prefix)
        self._memory.recall(apiserver.proven(node, boot_id, self._settings.prefix))
        return node

    def _publish(self, node: NodeView | None, show: Show) -> bool:
        try:
            if node is None:
                is_all = self._server.alone(show)
                self._kept_trouble = ""
                return is_all
            self._server.publish(node, show)
        except ClusterError as error:
            self._lost(error)
            return False
        except HostError as error:
            self._lost_here(error)
            return False
        if self._trouble:
            log.info("the API server is back: Node %s says what was found", node.name)
        self._trouble = self._kept_trouble = ""
        self._backoff.worked()
        return True

    def _lost_here(self, error: HostError) -> None:
        told = chain(error)
        if told != self._kept_trouble:
            log.warning("%s", told)
        self._kept_trouble = told

    def _lost(self, error: ClusterError) -> None:
        self._backoff.failed(at_least_s=error.retry_after_s if isinstance(error, BusyError) else 0)
        told = chain(error)
        if told != self._trouble:
            log.warning("%s; looking goes on without it", told)
        self._trouble = told

    def _gated(
        self, look: Look | AgentError, node: NodeView | None, ahead: Next | None
    ) -> Look | AgentError:
        if self._aside is None or isinstance(look, AgentError):
            return look
        judgement = self._aside.judged(look.judgement, node, is_busy=_is_busy(ahead))
        return replace(look, judgement=judgement)

    def _is_of_this_node(self, look: Look | AgentError) -> bool:
        return isinstance(look, Look) and (self._settings.publish_simulated or not look.simulated)

    def _told_of(self, node: NodeView) -> NodeSays | None:
        return self._aside.says(node) if self._aside else node.says

    # What is asked.

    def _hear(self, asked: str) -> None:
        """What is no mode changes nothing: the last that was one stays in force."""
        if asked == self._asked:
            return
        self._asked = asked
        if not asked or _mode(asked) is not None:
            self._wish = _mode(asked)
            return
        # After a restart the report still has it.
        self._wish = self._wish or _mode(self._standing.asked)
        told = _not_understood(asked)
        log.warning("%s", told)
        self._say(Said("ModeNotUnderstood", told, is_warning=True))

    @property
    def _want(self) -> CcMode | None:
        """The last wish that was heard holds while the server is away.

        A default for a host whose CPU starts no encrypted VMs is off, as cc-manager has it.
        """
        default = self._settings.mode
        if self._duty and default is not None and self._is_off:
            default = CcMode.OFF
        return self._wish or default

    # The look.

    def _look_around(self) -> Look | AgentError:
        try:
            look = self._looked()
        except AgentError as error:
            return error
        self._memory.note(look.judgement.proven, look.held)
        self._notice(look.watched)
        return look

    def _looked(self) -> Look:
        want = self._want
        look = self._look(want, self._memory.sightings, self._says)
        enabled = look.judgement.levels.get(Level.ENABLED)
        self._is_off = enabled is not None and enabled.verdict is Verdict.FAIL
        if self._want is want:
            return look
        return self._look(self._want, self._memory.sightings, self._says)

    def _desire(self, look: Look | AgentError, node: NodeView | None, ahead: Next | None) -> Wanted:
        """What the Node shall show, before any grace."""
        if isinstance(look, AgentError):
            return self._blind(look, node)
        settings = self._settings
        wanted = words.desired(
            look.judgement,
            simulated=look.simulated,
            publish_simulated=settings.publish_simulated,
            boot_id=look.boot_id,
            prefix=settings.prefix,
            proven=self._memory.modes,
            note="" if _mode(self._asked) or not self._asked else _not_understood(self._asked),
            is_authority=ahead is not None and ahead.is_ours,
        )
        if self._duty and ahead and node:
            return self._duty.temper(wanted, ahead, node)
        return wanted

    # The switch.

    def _unlist(self, node: NodeView) -> NodeView:
        """Before any look: nobody new shall come to a node of which another mode is asked for."""
        prefix, want = self._settings.prefix, self._want
        shown = node.labels.get(words.COMPAT_MODE)
        keys = (
            frozenset({f"{prefix}ready", words.COMPAT_READY}) & node.own_labels & node.labels.keys()
        )
        if self._duty is None or not keys or want is None or shown in {None, want.value}:
            return node
        try:
            return self._server.unlist(node, keys)
        except ClusterError as error:
            self._lost(error)
            return node

    def _consider(self, node: NodeView | None, look: Look | AgentError) -> Next | None:
        if self._duty is None or node is None or isinstance(look, AgentError):
            return None
        return self._duty.consider(node, look.devices, self._want) if look.devices else None

    def _work(self, look: Look | AgentError) -> float | None:
        """Go on with a switch, or with giving back; seconds until the next look, if soon."""
        node = self._fetch()
        ahead = self._consider(node, look)
        if self._duty is None or node is None or ahead is None or isinstance(look, AgentError):
            return self._backoff.left_s if node is None else None
        try:
            again_s = self._duty.work(node, ahead, look.devices or DeviceStanding())
        except ClusterError as error:
            self._lost(error)
            return self._backoff.left_s
        if self._duty.has_switched:
            self._watched = {}  # what we change ourselves is no drift
        return again_s

    def _notice(self, now: Watched) -> None:
        """Who changed what under us is for the log; the labels follow from the look itself."""
        for line in drifts(self._watched, now) if self._watched else ():
            log.warning("drift: %s", line)
            self._journal.drifted(line)
        self._watched = last_known(self._watched, now) if self._watched else now

    def _blind(self, error: AgentError, node: NodeView | None) -> Wanted:
        prefix = self._settings.prefix
        wanted = words.blind(
            chain(error),
            profile=self._settings.profile,
            boot_id=self._settings.boot_id,
            prefix=prefix,
            proven=self._memory.modes,
        )
        if node is None or words.switch_key(prefix) not in node.annotations:
            return wanted
        return words.withheld(wanted, wanted.condition, node.labels, prefix)

    # What is told on the node itself.

    def _record(
        self, wanted: Wanted, look: Look | AgentError, node: NodeView | None, ahead: Next | None
    ) -> None:
        want, devices = self._want, look.devices if isinstance(look, Look) else None
        if node is not None:
            self._authority = self._whose(node, ahead)
            if self._wish is not None and node.labels.get(CC_MODE) == self._wish:
                self._asker = f"{node.asked_by or 'somebody'} ({CC_MODE}={self._wish})"
        by = self._asker if self._wish else "the configuration" if want else ""
        journal = self._journal
        journal.looked(wanted.condition, Asked(want or "", by))
        journal.heard(self._trouble, is_asked=self._server.asks)
        is_due = bool(want and devices and devices.unsettled)
        journal.stands(self._authority, ahead, is_due=is_due)
        journal.flush()

    def _whose(self, node: NodeView, ahead: Next | None) -> Authority:
        if self._duty is None:
            has_manager = node.labels.get(CC_MANAGER) == "true"
            return (
                Authority(who=f"NVIDIA's cc-manager ({CC_MANAGER}=true)") if has_manager else NOBODY
            )
        if ahead is None:
            return self._authority
        return US if ahead.is_ours else Authority(who=ahead.standing.refused)

    # What stands.

    def _settle(self, wanted: Wanted, node: NodeView | None, ahead: Next | None) -> Show:
        """With grace for what stood, on the Node too, and for the same wish.

        While the server is away nothing is taken from the Node, so no grace is used up.
        """
        prefix = self._settings.prefix
        standing = words.comparable(wanted, self._standing.labels, prefix)
        asked = self._want or ""
        if asked != self._standing.asked:
            standing.pop(f"{prefix}ready", None)
            standing.pop(f"{prefix}gpu", None)
            standing.pop(words.COMPAT_READY, None)
        shown = self._shown(node)
        if shown is not None:
            standing = {key: value for key, value in standing.items() if shown.get(key) == value}
        before = self._standing.waiting
        labels, waiting = words.settle(wanted, standing, before)
        if shown is None:
            waiting = {key: before.get(key, 0) for key in waiting}
        self._standing = _Standing(labels, waiting, asked)
        claims = words.COMPAT if ahead is not None and ahead.is_ours else frozenset()
        return Show(labels, wanted.report, wanted.condition, claims)

    def _shown(self, node: NodeView | None) -> Mapping[str, str] | None:
        try:
            return self._server.shown(node)
        except HostError as error:
            self._lost_here(error)
            return None

    def _tell(self, line: str) -> None:
        if line != self._said:
            log.info("%s", line)
        self._said = line


def _is_busy(ahead: Next | None) -> bool:
    return ahead is not None and ahead.step is not None


def _ready(look: Look | AgentError) -> Ready | None:
    return look.judgement.ready if isinstance(look, Look) else None


def _kept(server: Sink) -> _Standing:
    """What an earlier process left on this machine; its grace is used up."""
    try:
        labels = server.shown(None) or {}
    except HostError:  # the first cycle says it
        labels = {}
    return _Standing(dict(labels), dict.fromkeys(labels, words.GRACE_CYCLES))


def _inherited(node: NodeView, labels: Mapping[str, str], prefix: str) -> _Standing:
    """What an earlier process of this boot left.

    Under a condition that says Unknown its grace is used up: else an agent that dies in
    every second look would keep a label for ever.
    """
    unknown = node.condition is None or node.condition.status == words.Status.UNKNOWN
    waiting = dict.fromkeys(labels, words.GRACE_CYCLES) if unknown else {}
    asked = apiserver.reported(node, prefix).get("wanted")
    return _Standing(dict(labels), waiting, asked if isinstance(asked, str) else "")


def _mode(asked: str) -> CcMode | None:
    try:
        return CcMode(asked)
    except ValueError:
        return None


def _not_understood(asked: str) -> str:
    """A label's value is at most 63 harmless characters: the server sees to that."""
    guess = nearest(asked, list(CcMode))
    hint = f"did you mean {guess}?" if guess else f"known are {', '.join(CcMode)}"
    return f"label {CC_MODE}={asked} asks for no known mode, and the last known one counts: {hint}"
