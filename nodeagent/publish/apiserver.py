"""The API server as a sink: only what differs is written, in an order that never lies."""

import json
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from nodeagent import labels as words
from nodeagent.kube.node import NodeCondition, Nodes, NodeView
from nodeagent.labels import Condition, Status
from nodeagent.model.pci import Sighting
from nodeagent.model.words import CcMode

HEARTBEAT_S = 300.0
SPREAD = 1.2  # how much longer than that one agent's may be
_FORMAT = "%Y-%m-%dT%H:%M:%SZ"  # whole seconds, as the server keeps them

log = logging.getLogger(__name__)


def utc_now() -> datetime:
    return datetime.now(UTC)


def rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime(_FORMAT)


@dataclass(frozen=True, slots=True)
class Show:
    """All that the Node shall show of ours."""

    labels: Mapping[str, str]
    report: str
    condition: Condition
    claims: frozenset[str] = frozenset()
    """Labels outside our prefix of which nobody else may say anything."""


class ApiServer:
    """Writes one Node. All methods raise ClusterError, and may then have done a part."""

    def __init__(
        self,
        nodes: Nodes,
        *,
        prefix: str = words.PREFIX,
        heartbeat_s: float = HEARTBEAT_S,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._nodes = nodes
        self._prefix = prefix
        self._now = now
        # Ten thousand agents that one server outage aligned must drift apart again.
        spread = random.SystemRandom().uniform(1.0, SPREAD)
        self._heartbeat = timedelta(seconds=heartbeat_s * spread)

    def node(self, name: str) -> NodeView | None:
        return self._nodes.get(name)

    def publish(self, node: NodeView, show: Show) -> None:
        """Show it, writing nothing where the Node shows it already.

        `ready` comes after its condition and goes before it. So the label is never on a
        Node whose condition says False: the state between two writes only ever shows less.
        """
        if f"{self._prefix}ready" in show.labels:
            node = self._remove_foreign(node, show)
            node = self._show_condition(node, show.condition)
            self._show_metadata(node, show)
        else:
            node = self._remove_foreign(node, show)
            node = self._show_metadata(node, show)
            self._show_condition(node, show.condition)

    def clear_earlier_boot(self, node: NodeView, boot_id: str) -> NodeView:
        """Take back what was said of another boot, or of one that nobody noted.

        The report stays for whoever wants to read it, and marks the work as still to do
        should we die here: the next run comes by again.
        """
        if reported(node, self._prefix).get("boot_id") == boot_id:
            return node
        report = node.annotations.get(words.report_key(self._prefix), "")
        show = Show({}, report, words.earlier_boot())
        node = self._show_metadata(self._remove_foreign(node, show), show)
        if node.condition is None or node.condition.status == Status.UNKNOWN:
            return node
        return self._show_condition(node, show.condition)

    def _remove_foreign(self, node: NodeView, show: Show) -> NodeView:
        """Labels of ours that another hand has put there, too: leaving them out would not do."""
        foreign = _unwanted(node, show, self._prefix) - node.own_labels
        if not foreign:
            return node
        node = self._nodes.remove_labels(node, foreign)
        for key in sorted(foreign):
            log.info("label %s taken away: somebody else had set it", key)
        return node

    def _show_metadata(self, node: NodeView, show: Show) -> NodeView:
        key = words.report_key(self._prefix)
        unwanted = _unwanted(node, show, self._prefix)
        fresh = {name for name, value in show.labels.items() if node.labels.get(name) != value}
        if not (unwanted or fresh or node.annotations.get(key, "") != show.report):
            return node
        annotations = {key: show.report} if show.report else {}
        after = self._nodes.apply_metadata(node, labels=show.labels, annotations=annotations)
        for name in sorted(fresh):
            log.info("label %s=%s", name, show.labels[name])
        for name in sorted(unwanted):
            log.info("label %s taken away", name)
        return after

    def _show_condition(self, node: NodeView, condition: Condition) -> NodeView:
        shown = node.condition
        same = shown is not None and _of(shown) == condition
        if shown is not None and same and not self._is_due(shown.heartbeat):
            return node
        now = rfc3339(self._now())
        keeps = shown is not None and shown.status == condition.status
        since = shown.transition if shown is not None and keeps else ""
        said = NodeCondition(
            condition.status, condition.reason, condition.message, now, since or now
        )
        node = self._nodes.apply_condition(node, said)
        if not same:
            kind = words.condition_type(self._prefix)
            log.info("condition %s is %s, %s", kind, condition.status, condition.reason)
        return node

    def _is_due(self, heartbeat: str) -> bool:
        """Also when the last one lies ahead: a clock was set back, and would hold us up."""
        last = _moment(heartbeat)
        return last is None or abs(self._now() - last) >= self._heartbeat


def reported(node: NodeView, prefix: str) -> dict[str, object]:
    """The report on the Node; empty if there is none that we could have written."""
    try:
        report = json.loads(node.annotations.get(words.report_key(prefix), ""))
    except (ValueError, RecursionError):
        return {}
    known = isinstance(report, dict) and report.get("version") == words.REPORT_VERSION
    return report if known else {}


def proven(node: NodeView, boot_id: str, prefix: str = words.PREFIX) -> dict[str, Sighting]:
    """The modes that this boot's report had proven, as of its condition's last heartbeat.

    Of a report that is ours alone, and that tells of this machine.
    """
    report = reported(node, prefix)
    at = node.condition.heartbeat if node.condition else ""
    ours = words.report_key(prefix) in node.own_annotations
    modes = report.get("proven")
    if not (ours and at and isinstance(modes, dict)):
        return {}
    if report.get("boot_id") != boot_id or report.get("simulated"):
        return {}
    known = tuple(CcMode)  # no set: what was read back need not be hashable
    return {str(bdf): Sighting(CcMode(mode), at) for bdf, mode in modes.items() if mode in known}


def _unwanted(node: NodeView, show: Show, prefix: str) -> frozenset[str]:
    """Labels on the Node that say something we do not: our words, and all that we ever wrote."""
    ours = words.names(prefix) | node.own_labels | show.claims
    return frozenset((ours & node.labels.keys()) - show.labels.keys())


def _of(shown: NodeCondition) -> Condition | None:
    try:
        status = Status(shown.status)
    except ValueError:
        return None
    return Condition(status, shown.reason, shown.message)


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else None
