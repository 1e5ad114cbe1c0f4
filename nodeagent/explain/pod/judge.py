"""What keeps a pod away from a node, by the rules of the scheduler's default plugins."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from nodeagent.explain.pod import affinity, requests, unmodelled
from nodeagent.explain.pod.admission import Admitted
from nodeagent.explain.pod.nouns import (
    Cluster,
    Counted,
    Node,
    Pod,
    Requirement,
    Running,
    RuntimeClass,
    Taint,
    Toleration,
)
from nodeagent.explain.pod.quantity import shown
from nodeagent.explain.pod.words import SCHEDULER, Kind, Reason, Verdict

_BLOCKING = frozenset({"NoSchedule", "NoExecute"})
_CORDON = Taint("node.kubernetes.io/unschedulable", "", "NoSchedule")
_ROOM = frozenset({Kind.RESOURCE, Kind.OVERHEAD})
_TAINTED = frozenset({Kind.TAINT, Kind.CORDON})
_PREEMPTION = "preemption: pods of lower priority may have to go"
_DEFAULT_SCHEDULER = "default-scheduler"
# k8s `scheduling.SystemCriticalPriority` and above it; others only the cluster knows.
_SYSTEM = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}


class Standing(NamedTuple):
    """How a pod stands on a node. `unsure`: what decides as well, and is not judged."""

    node: Node
    reasons: tuple[Reason, ...]
    unsure: tuple[str, ...] = ()
    open: bool = False
    """What is not judged could also take all the reasons away."""

    @property
    def verdict(self) -> Verdict:
        if self.unsure and (self.open or not self.reasons):
            return Verdict.UNKNOWN
        return Verdict.REFUSED if self.reasons else Verdict.FITS

    @property
    def schedulable(self) -> bool:
        """What the scheduler itself would answer."""
        return not any(each.kind in SCHEDULER for each in self.reasons)


def standings(admitted: Admitted, cluster: Cluster) -> tuple[Standing, ...]:
    """On every node, whether or not the API server would take the pod."""
    pod = admitted.pod
    others = _others(pod, cluster.running or ())
    unsure = tuple(_unsure(admitted, cluster))
    by_node: dict[str, list[Running]] = {}
    for each in others:
        by_node.setdefault(each.node, []).append(each)
    return tuple(
        _standing(admitted, node, by_node.get(node.name, []), unsure) for node in cluster.nodes
    )


def _others(pod: Pod, running: Iterable[Running]) -> tuple[Running, ...]:
    """Without the pod itself, where the manifest is of one that runs already."""
    own = (pod.namespace, pod.name) if pod.kind == "Pod" else None
    return tuple(each for each in running if (each.namespace, each.name) != own)


def _unsure(admitted: Admitted, cluster: Cluster) -> Iterator[str]:
    pod = admitted.pod
    if admitted.unknown:
        yield admitted.unknown
    if cluster.running is None:
        yield "what running pods leave: they could not be listed, and none is counted"
    if pod.node_name:
        return  # bound by hand: nothing but the kubelet looks at it
    yield from pod.unmodelled
    if pod.scheduler != _DEFAULT_SCHEDULER:
        yield f"schedulerName {pod.scheduler}, which may have rules of its own"
    rival = unmodelled.repelled_by(pod, _others(pod, cluster.running or ()))
    if rival:
        yield f"the podAntiAffinity of {rival.namespace}/{rival.name}, which keeps such pods away"


def _standing(
    admitted: Admitted, node: Node, running: list[Running], unsure: tuple[str, ...]
) -> Standing:
    pod, runtime_class = admitted.pod, admitted.runtime_class
    reasons = (
        *_by_name(pod, node),
        *_by_selector(pod, node, runtime_class),
        *_by_affinity(pod, node),
        *_by_handler(node, runtime_class),
        *_by_taints(pod, node),
        *_by_room(pod, node, running),
    )
    kinds = {each.kind for each in reasons}
    if kinds and kinds <= _ROOM and _may_displace(pod, node, running):
        return Standing(node, reasons, (*unsure, _PREEMPTION), open=True)
    # An unread class may tolerate them, another scheduler may not look at them.
    lenient = bool(admitted.unknown) or pod.scheduler != _DEFAULT_SCHEDULER
    return Standing(node, reasons, unsure, open=lenient and kinds <= _TAINTED)


def _may_displace(pod: Pod, node: Node, running: list[Running]) -> bool:
    """It would fit without the pods of lower priority, and the scheduler may take those away."""
    if not pod.preempts or pod.node_name:
        return False
    mine = pod.priority
    if mine is None:  # a class of unknown rank may beat all
        mine = _SYSTEM.get(pod.priority_class, 1 << 40 if pod.priority_class else 0)
    rest = [each for each in running if each.priority >= mine]
    return len(rest) < len(running) and not any(_by_room(pod, node, rest))


def _by_name(pod: Pod, node: Node) -> Iterator[Reason]:
    if pod.node_name and pod.node_name != node.name:
        yield Reason(Kind.NAME, f"nodeName {pod.node_name}", "is another node")


def _by_selector(pod: Pod, node: Node, runtime_class: RuntimeClass | None) -> Iterator[Reason]:
    origin = f"RuntimeClass {runtime_class.name}" if runtime_class else ""
    for key, value in pod.selector.items():
        if node.labels.get(key) != value:
            asks = runtime_class is not None and key in runtime_class.selector
            seen = _seen(node, key)
            yield Reason(Kind.SELECTOR, f"{key}={value}", seen, key, origin if asks else "")


def _by_affinity(pod: Pod, node: Node) -> Iterator[Reason]:
    """Of the term that comes nearest: one that holds is enough."""
    if pod.terms is None:
        return
    nearest: tuple[Requirement, ...] | None = None
    for term in pod.terms:
        if affinity.is_empty(term):
            continue
        missing = affinity.unmet(term, node.name, node.labels)
        if not missing:
            return
        if nearest is None or len(missing) < len(nearest):
            nearest = missing
    if nearest is None:
        yield Reason(Kind.AFFINITY, "node affinity", "has only empty terms, which match no node")
    more = f" (the nearest of {len(pod.terms)} terms)" if len(pod.terms) > 1 else ""
    for each in nearest or ():
        yield Reason(Kind.AFFINITY, str(each), _answer(node, each) + more, each.key)


def _answer(node: Node, requirement: Requirement) -> str:
    if requirement.key == "metadata.name":
        return f"the name is {node.name}"
    if not affinity.is_sound(requirement):
        return "never holds: no label can have such a value"
    return _seen(node, requirement.key)


def _seen(node: Node, key: str) -> str:
    value = node.labels.get(key)
    if value is None:
        return "no such label"
    return f"is {value}" if value else "is empty"


def _by_handler(node: Node, runtime_class: RuntimeClass | None) -> Iterator[Reason]:
    """The scheduler does not look at it: the pod would be bound, and never start."""
    if runtime_class is None or node.handlers is None or runtime_class.handler in node.handlers:
        return
    yield Reason(
        Kind.HANDLER,
        f"handler {runtime_class.handler}",
        "its container runtime has none of that name: the pod would not start",
        runtime_class.handler,
        f"RuntimeClass {runtime_class.name}",
    )


def _by_taints(pod: Pod, node: Node) -> Iterator[Reason]:
    # Bound by hand, only the kubelet looks at the pod, and only at NoExecute (k8s `predicate.go`).
    blocking = frozenset({"NoExecute"}) if pod.node_name else _BLOCKING
    if node.unschedulable and not pod.node_name and not tolerates(pod.tolerations, _CORDON):
        yield Reason(Kind.CORDON, "cordoned", "takes no new pods until it is uncordoned")
    for taint in node.taints:
        if taint.effect not in blocking or tolerates(pod.tolerations, taint):
            continue
        if taint.key == _CORDON.key and node.unschedulable:
            continue  # said already
        yield Reason(Kind.TAINT, str(taint), "not tolerated", taint.key)


def tolerates(tolerations: Iterable[Toleration], taint: Taint) -> bool:
    """An empty key is every key, an empty effect every effect (k8s `ToleratesTaint`)."""
    return any(
        each.effect in {"", taint.effect}
        and each.key in {"", taint.key}
        and (each.operator == "Exists" or (each.operator == "Equal" and each.value == taint.value))
        for each in tolerations
    )


def _by_room(pod: Pod, node: Node, running: list[Running]) -> Iterator[Reason]:
    used = _used(running)
    room = node.allocatable.get("pods", 0)
    if len(running) + 1 > room:
        said = f"{room} allocatable, {len(running)} running"
        yield Reason(Kind.RESOURCE, "room for one more pod", said, "pods")
    bare = requests.counted(pod.requests)
    for name, amount in requests.counted(requests.total(pod.requests, pod.overhead)).items():
        has = node.allocatable.get(name, 0)
        free = has - used.get(name, 0)
        if amount <= 0 or amount <= free:
            continue
        by_vm = bare.get(name, 0) <= free
        yield Reason(
            Kind.OVERHEAD if by_vm else Kind.RESOURCE,
            _asks(name, amount, amount - bare.get(name, 0)),
            _left(name, has, used.get(name, 0)),
            name,
            f"RuntimeClass {pod.runtime_class}" if by_vm else "",
        )


def _used(running: Iterable[Running]) -> Mapping[str, int]:
    used: dict[str, int] = {}
    for each in running:
        for name, amount in each.requests.items():
            used[name] = used.get(name, 0) + amount
    return used


def _asks(name: str, amount: int, overhead: int) -> str:
    of_it = f", {shown(name, overhead)} of it overhead" if overhead else ""
    return f"{name} {shown(name, amount)}{of_it}"


def _left(name: str, has: int, used: int) -> str:
    if not has and not used:
        return "the node offers none"
    if not used:
        return f"{shown(name, has)} allocatable"
    return f"{shown(name, max(has - used, 0))} free of {shown(name, has)}"


def holders(cluster: Cluster, nodes: Iterable[str], resource: str) -> Counted:
    """Which running pods have how much of it on these nodes, most first."""
    wanted = set(nodes)
    found = {
        f"{each.namespace}/{each.name}": each.requests[resource]
        for each in cluster.running or ()
        if each.node in wanted and each.requests.get(resource)
    }
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))
