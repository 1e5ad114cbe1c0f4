"""The answer for one pod: how many nodes it fits on, and the one thing to fix first."""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from nodeagent.data import writers
from nodeagent.errors import nearest
from nodeagent.explain.pod import notes
from nodeagent.explain.pod.admission import Admitted, admit
from nodeagent.explain.pod.judge import Standing, holders, standings
from nodeagent.explain.pod.notes import Note
from nodeagent.explain.pod.nouns import Cluster, Pod
from nodeagent.explain.pod.words import Kind, Reason, Verdict

_ORDER = tuple(Kind)
_NAMED = 3


class Advice(NamedTuple):
    """The one thing to fix first. `who` should have written what is missing."""

    what: str
    who: str
    why: tuple[str, ...]
    do: str


class Answer(NamedTuple):
    pod: Pod
    blockers: tuple[Reason, ...]
    """What keeps it away from every node: the API server or a gate."""
    standings: tuple[Standing, ...]
    fix: Advice | None
    notes: tuple[Note, ...]
    unsure: tuple[str, ...]

    @property
    def verdict(self) -> Verdict:
        found = {each.verdict for each in self.standings}
        if not self.blockers:
            for verdict in (Verdict.FITS, Verdict.UNKNOWN):
                if verdict in found:
                    return verdict
        return Verdict.REFUSED

    def nodes(self, verdict: Verdict) -> list[str]:
        return [each.node.name for each in self.standings if each.verdict is verdict]


def worst(answers: Iterable[Answer]) -> int:
    """Of several pods: 1 where one fits nowhere, else 4 where one cannot be told, else 0."""
    codes = {each.verdict.exit_code for each in answers}
    return next((code for code in (1, 4) if code in codes), 0)


def answer(pod: Pod, cluster: Cluster, only: Collection[str] = ()) -> Answer:
    """`only`: the nodes to look at; all of them where it is empty."""
    admitted = admit(pod, cluster)
    everywhere = standings(admitted, cluster)
    seen = tuple(each for each in everywhere if not only or each.node.name in only)
    blockers = tuple(_blockers(admitted))
    plain = notes.never_confidential(admitted)
    about = (*((plain,) if plain else ()), *notes.about_gpus(admitted, seen))
    found = Answer(pod, blockers, seen, None, about, _unsure(seen))
    if found.verdict is not Verdict.REFUSED:
        return found
    if plain and not blockers and not notes.is_for_gpus(admitted):
        fix = Advice(plain.what, "", plain.why, plain.do)
        return found._replace(fix=fix, notes=about[1:])
    return found._replace(fix=_fix(found, cluster))


def _blockers(admitted: Admitted) -> Iterable[Reason]:
    if admitted.refused:
        yield admitted.refused
    if not admitted.pod.node_name:
        for gate in admitted.pod.gates:
            yield Reason(Kind.GATE, gate, "the scheduler does not look at it until that is gone")


def _unsure(seen: Iterable[Standing]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one for each in seen for one in each.unsure))


def _fix(found: Answer, cluster: Cluster) -> Advice:
    if found.blockers:
        return _unblock(found.blockers[0], cluster)
    if not found.standings:
        return Advice("the cluster has no node", "", (), "add one")
    seen = found.standings
    if found.pod.node_name:
        if found.pod.node_name not in {each.name for each in cluster.nodes}:
            what = f"nodeName {found.pod.node_name}: there is no such node"
            return Advice(what, "", (), "leave nodeName out, and let the scheduler choose")
        seen = tuple(each for each in seen if each.node.name == found.pod.node_name) or seen
    return _advice(first(seen), seen, cluster)


def first(seen: Sequence[Standing]) -> Reason:
    """What stands in the way on every node, else on those where least does."""
    counts: dict[tuple[Kind, str], int] = {}
    for standing in seen:
        for key in {(each.kind, each.subject) for each in standing.reasons}:
            counts[key] = counts.get(key, 0) + 1
    fewest = min(len(each.reasons) for each in seen)
    nearest_ones = [one for each in seen if len(each.reasons) == fewest for one in each.reasons]

    def rank(each: Reason) -> tuple[bool, int, int, int]:
        count = counts[each.kind, each.subject]
        return count < len(seen), _ORDER.index(each.kind), _written(each), -count

    return min(nearest_ones, key=rank)


def _written(reason: Reason) -> int:
    writer = writers.of_label(reason.key) or writers.of_resource(reason.key)
    return writer.rank if writer else writers.NOBODY


def _unblock(reason: Reason, cluster: Cluster) -> Advice:
    if reason.kind is Kind.GATE:
        what = f"scheduling gate {reason.subject}: {reason.said}"
        return Advice(what, "", (), "whoever set it takes it away: a controller, or you")
    if reason.key:  # the class is not there
        guess = nearest(reason.subject, cluster.classes or ())
        there = f"there is {guess}" if guess else "`kubectl get runtimeclasses` lists them"
        what = f"RuntimeClass {reason.subject}: {reason.said}"
        who = "Kata's chart makes the classes kata-*" if reason.subject.startswith("kata") else ""
        return Advice(what, who, (), there)
    return Advice(f"{reason.subject} {reason.said}", "", (), "take it out of the pod")


def _advice(reason: Reason, seen: Sequence[Standing], cluster: Cluster) -> Advice:
    key = (reason.kind, reason.subject)
    those = [each for each in seen if key in {(one.kind, one.subject) for one in each.reasons}]
    names = [each.node.name for each in those]
    node = names[0] if len(names) == 1 else "NODE"
    match reason.kind:
        case Kind.SELECTOR | Kind.AFFINITY:
            return _about_label(reason, names, cluster)
        case Kind.RESOURCE | Kind.OVERHEAD:
            return _about_resource(reason, names, cluster)
        case Kind.TAINT:
            what = f"the taint {reason.subject} on {_some(names)}"
            rest = reason.subject.rpartition(":")[2]
            do = f"tolerate it in the pod, or `kubectl taint node {node} {reason.key}:{rest}-`"
            return Advice(what, "", (), do)
        case Kind.CORDON:
            do = f"`kubectl uncordon {node}`, once whoever cordoned it is done"
            return Advice(f"{_some(names)} cordoned", "", (), do)
        case Kind.HANDLER:
            what = f"{reason.subject}: {_some(names)} cannot start it"
            do = "look at kata-deploy's pod there; a label can outlive the runtime"
            return Advice(what, "kata-deploy configures its runtimes in containerd", (), do)
        case _:
            return Advice(f"{reason.subject} {reason.said}", "", (), "change the pod")


def _about_label(reason: Reason, names: list[str], cluster: Cluster) -> Advice:
    asked = f"{reason.subject} ({reason.origin})" if reason.origin else reason.subject
    if not reason.key or reason.key == "metadata.name":
        return Advice(f"{asked}: {reason.said}", "", (), "change the pod's affinity")
    have = [node.name for node in cluster.nodes if reason.key in node.labels]
    writer = writers.of_label(reason.key)
    if not have:
        what = f"{asked}: no node has this label"
    elif set(have).isdisjoint(names):
        what = f"{asked}: not on {_some(names)}"
    else:
        what = f"{asked}: {_some([name for name in names if name in have])} has another value"
        if writer and writer.other:
            return Advice(what, writer.who, (), writer.other)
    if writer:
        return Advice(what, writer.who, (), writer.do)
    return Advice(what, "", (), "put it on the nodes that are meant, or correct the pod")


def _about_resource(reason: Reason, names: list[str], cluster: Cluster) -> Advice:
    has = {node.name: node.allocatable.get(reason.key, 0) for node in cluster.nodes}
    asked = f"{reason.subject} ({reason.origin})" if reason.origin else reason.subject
    writer = writers.of_resource(reason.key)
    if writer and not any(has[name] for name in names):
        nowhere = not any(has.values())
        what = f"{asked}: {'no node offers any' if nowhere else f'none on {_some(names)}'}"
        return Advice(what, writer.who, (), writer.do)
    holding = holders(cluster, names, reason.key)
    what = f"{asked}: {reason.said}" if len(names) == 1 else f"{asked}: too little is free"
    why = (f"held by {_some(list(holding))}",) if holding and "/" in reason.key else ()
    return Advice(what, "", why, "ask for less, or make room")


def _some(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
