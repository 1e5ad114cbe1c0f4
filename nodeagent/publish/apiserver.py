"""The API server as a sink: only what differs is written, in an order that never lies."""

import json
import logging
import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from nodeagent import labels as words
from nodeagent.kube.failures import ConflictError, RefusedError
from nodeagent.kube.node import NodeCondition, Nodes, NodeView
from nodeagent.labels import Condition, Status
from nodeagent.model.pci import Sighting
from nodeagent.model.words import CcMode
from nodeagent.publish.rights import Rights
from nodeagent.publish.sink import Show

HEARTBEAT_S = 300.0
SPREAD = 1.2  # how much longer than that one agent's may be
_FORMAT = "%Y-%m-%dT%H:%M:%SZ"  # whole seconds, as the server keeps them

log = logging.getLogger(__name__)


def utc_now() -> datetime:
    return datetime.now(UTC)


def rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime(_FORMAT)


class ApiServer:
    """Writes one Node. All methods raise ClusterError, and may then have done a part.

    Without the right to write the condition, labels are written all the same.
    """

    asks = True

    def __init__(  # noqa: PLR0913 - each is a thing of its own
        self,
        nodes: Nodes,
        *,
        prefix: str = words.PREFIX,
        heartbeat_s: float = HEARTBEAT_S,
        now: Callable[[], datetime] = utc_now,
        by_nfd: bool = False,
        taint: Callable[[NodeView, bool], NodeView] | None = None,
        rights: Rights | None = None,
    ) -> None:
        """`by_nfd`: labels under our prefix are NFD's to write, and left as they are.

        `taint` puts our taint on a Node, or takes it off, where that is asked for.
        """
        self._nodes = nodes
        self._prefix = prefix
        self._now = now
        self._by_nfd = by_nfd
        self._taint = taint
        self._rights = rights or Rights()
        # Ten thousand agents that one server outage aligned must drift apart again.
        spread = random.SystemRandom().uniform(1.0, SPREAD)
        self._heartbeat = timedelta(seconds=heartbeat_s * spread)

    def node(self, name: str) -> NodeView | None:
        return self._nodes.get(name)

    def standing(self, node: NodeView) -> dict[str, str]:
        ours = (words.names(self._prefix) | words.COMPAT) & node.own_labels & node.labels.keys()
        return {key: node.labels[key] for key in sorted(ours)}

    def shown(self, node: NodeView | None) -> Mapping[str, str] | None:
        return node.labels if node else None

    def alone(self, _show: Show) -> bool:
        return False

    def publish(self, node: NodeView, show: Show) -> None:
        """Show it, writing nothing where the Node shows it already.

        `ready` comes after its condition and goes before it. So the label is never on a
        Node whose condition says False: the state between two writes only ever shows less.
        """
        is_ready = f"{self._prefix}ready" in show.labels
        node = self._remove_foreign(node, show)
        if is_ready or show.condition.status is Status.TRUE:
            node = self._show_condition(node, show.condition)
            node = self._show_metadata(node, show)
        else:
            try:
                node = self._show_metadata(node, show)
            except RefusedError:
                self._show_condition(node, show.condition)
                raise
            node = self._show_condition(node, show.condition)
        if not self._by_nfd:
            self.show_taint(node, is_ready=is_ready)

    def show_taint(self, node: NodeView, *, is_ready: bool) -> None:
        """After the label, which says the same to whoever selects it, and says it sooner."""
        write, ours = self._taint, words.taint(self._prefix)
        is_there = any(ours.items() <= each.items() for each in node.taints)
        if write is None or is_there is not is_ready:
            return
        said = f"{ours['key']}:{ours['effect']}"
        try:
            after = self._rights.tried(f"the taint {said}", node, lambda: write(node, not is_ready))
        except ConflictError as error:  # somebody else's came or went; that wakes us
            log.debug("%s", error)
            return
        if after is not node:
            log.info("taint %s %s", said, "taken away" if is_ready else "set")

    def unlist(self, node: NodeView, keys: frozenset[str]) -> NodeView:
        """Take labels of ours away at once; what is true otherwise is found out after that."""
        node = self._nodes.remove_labels(node, keys)
        for key in sorted(keys):
            log.info("label %s taken away: another mode is asked for", key)
        return node

    def clear_earlier_boot(self, node: NodeView, boot_id: str) -> NodeView:
        """Take back what was said of another boot, or of one that nobody noted.

        The report stays for whoever wants to read it, and marks the work as still to do
        should we die here: the next run comes by again.
        """
        if reported(node, self._prefix).get("boot_id") == boot_id:
            return self._leave_to_nfd(node)
        report = node.annotations.get(words.report_key(self._prefix), "")
        show = Show({}, report, words.earlier_boot())
        node = self._show_metadata(self._remove_foreign(node, show), show)
        if node.condition is None or node.condition.status == Status.UNKNOWN:
            return node
        return self._show_condition(node, show.condition)

    def _leave_to_nfd(self, node: NodeView) -> NodeView:
        """What we wrote ourselves before NFD did goes first: it would not be NFD's to remove."""
        if not self._by_nfd:
            return node
        kept = {key: node.labels[key] for key in words.COMPAT & node.own_labels}
        report = node.annotations.get(words.report_key(self._prefix), "")
        return self._show_metadata(node, Show(kept, report, words.earlier_boot()))

    def _remove_foreign(self, node: NodeView, show: Show) -> NodeView:
        """Labels of ours that another hand has put there, too: leaving them out would not do."""
        foreign = self._unwanted(node, show) - node.own_labels
        if not foreign:
            return node
        node = self._nodes.remove_labels(node, foreign)
        for key in sorted(foreign):
            log.info("label %s taken away: somebody else had set it", key)
        return node

    def _show_metadata(self, node: NodeView, show: Show) -> NodeView:
        key = words.report_key(self._prefix)
        unwanted = self._unwanted(node, show)
        fresh = {name for name, value in show.labels.items() if node.labels.get(name) != value}
        if not (unwanted or fresh or node.annotations.get(key, "") != show.report):
            return node
        annotations = {key: show.report} if show.report else {}

        def write() -> NodeView:
            return self._nodes.apply_metadata(node, labels=show.labels, annotations=annotations)

        # Where NFD writes the labels, the report alone is left, and is no more than a help.
        is_a_help = self._by_nfd and not (show.claims or unwanted)
        after = self._rights.tried("the report", node, write) if is_a_help else write()
        if after is node:
            return node
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
        kind = words.condition_type(self._prefix)
        after = self._rights.tried(
            f"the condition {kind}", node, lambda: self._nodes.apply_condition(node, said)
        )
        if after is not node and not same:
            log.info("condition %s is %s, %s", kind, condition.status, condition.reason)
        return after

    def _unwanted(self, node: NodeView, show: Show) -> frozenset[str]:
        """Labels on the Node that say something we do not: our words, and all we ever wrote."""
        ours = node.own_labels | show.claims
        if not self._by_nfd:
            ours |= words.names(self._prefix)
        return frozenset((ours & node.labels.keys()) - show.labels.keys())

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
