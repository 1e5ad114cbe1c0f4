"""The gate: a probe pod of the site's, which must end well before this node is called ready."""

import json
import logging
import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple, assert_never

from nodeagent.agent.duty import Cluster
from nodeagent.agent.logs import chain
from nodeagent.checks import probe as check
from nodeagent.errors import ClusterError
from nodeagent.kube import probes
from nodeagent.kube.events import Said
from nodeagent.kube.node import NodeView
from nodeagent.kube.probes import Object, ProbePods
from nodeagent.labels import probe_key, switch_key
from nodeagent.model.findings import Judgement
from nodeagent.model.probe import PASSED, Gate, Probe
from nodeagent.model.words import Ready
from nodeagent.plan import probe as plan
from nodeagent.publish.apiserver import rfc3339, utc_now
from nodeagent.steps.cluster import last_ended

POLL_S = 3.0
_REST_S = 30.0
_VERSION = 1
_STEPS = 4
_WHY_CHARS = 300

log = logging.getLogger(__name__)


class Terms(NamedTuple):
    gate: Gate
    manifest: Object
    prefix: str


class Probing:
    """What is kept of it is on the Node; the pod is asked for only while there may be one."""

    def __init__(
        self,
        terms: Terms,
        cluster: Cluster,
        pods: ProbePods,
        *,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._terms, self._cluster, self._pods = terms, cluster, pods
        self._now = now
        self._may_be_there = True
        self._moment: plan.Moment | None = None
        self._rests_until = 0.0
        self._changed = 0
        self._told = ""

    def judged(self, judgement: Judgement, node: NodeView | None, *, is_busy: bool) -> Judgement:
        """With what the probe says. While the server is away, as it was last known."""
        if node is not None:
            mode = judgement.values.cc_mode or ""
            last = read(node.annotations.get(probe_key(self._terms.prefix), ""))
            self._moment = plan.Moment(
                now=self._now().timestamp(),
                boot_id=self._cluster.boot_id,
                mode=mode,
                is_fit=judgement.ready is Ready.YES,
                is_busy=is_busy,
                switched=self._switched(node, last, mode),
                last=last,
                pod=None,
            )
        known = self._moment
        if known is None:
            return check.gated(judgement, "", "")
        result, kept = plan.result(known, self._terms.gate), plan.counting(known)
        return check.gated(judgement, result, kept.why if kept and result else self._told)

    def _switched(self, node: NodeView, last: Probe | None, mode: str) -> float:
        """Since when a probe counts: after our own switch, and after a change behind our back.

        A switch ends only once its note is gone, and labels come back before that.
        """
        if switch_key(self._terms.prefix) in node.annotations:
            return math.inf
        if last is not None and mode and last.mode != mode:
            # To the second, as what begins now is noted.
            self._changed = math.floor(self._now().timestamp())
        return max(last_ended(node.annotations, self._terms.prefix), self._changed)

    def work(self, node: NodeView) -> float | None:
        """Go on with it; seconds until the next look, if soon."""
        now = self._now().timestamp()
        if self._moment is None or 0 < self._rests_until - now <= _REST_S:
            return None
        try:
            return self._work(node, self._moment._replace(now=now))
        except ClusterError as error:
            self._rests_until = now + _REST_S
            if str(error) != self._told:
                log.warning("the probe does not go on: %s", chain(error))
            self._told = str(error)
            return None

    def _work(self, node: NodeView, moment: plan.Moment) -> float | None:
        name = probes.name_of(node.name, moment.boot_id)
        for _ in range(_STEPS):
            moment = moment._replace(pod=self._pods.get(name) if self._may_be_there else None)
            self._may_be_there = moment.pod is not None
            step = plan.next_step(moment, self._terms.gate)
            match step:
                case None:
                    is_running = moment.last is not None and moment.last.began is not None
                    return POLL_S if is_running or moment.pod else None
                case plan.Start(note):
                    # Noted first: who dies between the two makes the pod when it comes back.
                    node = self._note(node, note, moment.last)
                    self._may_be_there = True
                    self._pods.create(self._body(name, node.name))
                    self._told = ""
                    log.info("probe: pod %s is made", name)
                case plan.End(note):
                    if moment.pod is None and self._told:
                        note = note._replace(why=self._told)
                    node = self._note(node, note, moment.last)
                    self._told = ""
                    self._tell(note)
                case plan.Remove(uid):
                    self._pods.delete(name, uid)
                    log.info("probe: pod %s is taken away", name)
                case _:
                    assert_never(step)
            if isinstance(step, plan.End):
                if moment.pod:
                    self._pods.delete(name, moment.pod.uid)
                return 0.0  # labels follow from a look
            if isinstance(step, plan.Start):
                moment = moment._replace(last=step.note)
        return POLL_S

    def _body(self, name: str, node: str) -> Object:
        terms = self._terms
        label = {probe_key(terms.prefix): "true"}
        return probes.body(terms.manifest, name, node, label, deadline_s=terms.gate.deadline_s)

    def _note(self, node: NodeView, note: Probe, before: Probe | None) -> NodeView:
        if note == before:
            return node
        told = {probe_key(self._terms.prefix): written(note)}
        return self._cluster.source.wrote(self._cluster.client.annotate(node, told))

    def _tell(self, note: Probe) -> None:
        is_bad = note.result != PASSED
        said = f"the probe pod {note.result}" + (f": {note.why}" if note.why else "")
        (log.warning if is_bad else log.info)("%s", said)
        reason = "ProbeFailed" if is_bad else "ProbePassed"
        self._cluster.say(Said(reason, said, is_warning=is_bad))


def written(note: Probe) -> str:
    told: dict[str, object] = {"version": _VERSION, "boot_id": note.boot_id, "mode": note.mode}
    if note.began is not None:
        told["began"] = _at(note.began)
    if note.result:
        told |= {"result": note.result, "at": _at(note.at)}
    if note.why:
        told["why"] = note.why[:_WHY_CHARS]
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"))


def read(text: str) -> Probe | None:
    """What we wrote; None of anything else."""
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(told, dict) or told.get("version") != _VERSION:
        return None
    words = {key: str(told.get(key) or "") for key in ("boot_id", "mode", "result", "why")}
    at, began = _seconds(told.get("at")), _seconds(told.get("began"))
    if words["result"] and at is None:
        return None
    return Probe(**words, began=began, at=at or 0.0)


def _at(seconds: float) -> str:
    return rfc3339(datetime.fromtimestamp(seconds, UTC))


def _seconds(text: object) -> float | None:
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return None
