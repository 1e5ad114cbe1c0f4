"""The cluster's objects, as its API server lists them, cut down to what is judged."""

import json
from collections.abc import Iterable, Iterator

from nodeagent.explain.pod.manifest import tolerations
from nodeagent.explain.pod.nouns import Cluster, Node, Running, RuntimeClass, Taint
from nodeagent.explain.pod.requests import asked, counted, total
from nodeagent.explain.pod.trees import ShapeError, Tree, named
from nodeagent.explain.pod.unmodelled import repulsions
from nodeagent.model.text import printable

LIMIT = 256 << 20
_ENDED = frozenset({"Succeeded", "Failed"})


def cluster(
    nodes: Iterable[object], classes: Iterable[object] | None, pods: Iterable[object] | None
) -> Cluster:
    """ShapeError where one is not what it should be. Pages may be iterators: each is let go."""
    return Cluster(
        tuple(sorted((_node(Tree(each)) for each in nodes), key=lambda node: node.name)),
        None if classes is None else {each.name: each for each in map(_class, _trees(classes))},
        None if pods is None else tuple(_running(_trees(pods))),
    )


def saved(raw: bytes) -> Cluster:
    """Of `kubectl get nodes,runtimeclasses,pods -A -o json`. ValueError for anything else.

    A kind that the file has none of was not asked for: every cluster runs some pod.
    """
    if len(raw) > LIMIT:
        raise ValueError(f"is larger than {LIMIT >> 20} MiB")
    try:
        items = Tree(json.loads(raw)).at("items").items()
        kinds: dict[str, list[object]] = {"Node": [], "RuntimeClass": [], "Pod": []}
        for each in items:
            kinds.get(each.at("kind").text(), []).append(each.value)
        found = cluster(kinds["Node"], kinds["RuntimeClass"] or None, kinds["Pod"] or None)
    except RecursionError:
        raise ValueError("is nested too deep") from None
    except ShapeError as error:
        raise ValueError(f"is off: {error}") from None
    except ValueError as error:
        raise ValueError(f"is no JSON: {' '.join(str(error).split())[:80]}") from None
    if not found.nodes:
        raise ValueError("has no Node in its items")
    return found


def _trees(values: Iterable[object]) -> Iterator[Tree]:
    return (Tree(each) for each in values)


def _node(tree: Tree) -> Node:
    spec, status = tree.at("spec"), tree.at("status")
    name = named(tree).name
    try:
        return Node(
            name=name,
            labels=tree.at("metadata", "labels").texts(),
            taints=tuple(
                Taint(each.at("key").text(), each.at("value").text(), each.at("effect").text())
                for each in spec.at("taints").items()
            ),
            unschedulable=spec.at("unschedulable").flag(),
            allocatable=counted(status.at("allocatable").amounts()),
            handlers=frozenset(
                each.at("name").text() for each in status.at("runtimeHandlers").items()
            )
            or None,
        )
    except ShapeError as error:
        raise _off("Node", name, error) from None


def _class(tree: Tree) -> RuntimeClass:
    scheduling = tree.at("scheduling")
    name = named(tree).name
    try:
        return RuntimeClass(
            name=name,
            handler=tree.at("handler").text(),
            selector=scheduling.at("nodeSelector").texts(),
            tolerations=tuple(tolerations(scheduling.at("tolerations"))),
            overhead=tree.at("overhead", "podFixed").amounts(),
        )
    except ShapeError as error:
        raise _off("RuntimeClass", name, error) from None


def _running(trees: Iterable[Tree]) -> Iterator[Running]:
    """Those that the scheduler counts: bound, and not ended."""
    for tree in trees:
        spec, (namespace, name) = tree.at("spec"), named(tree)
        try:
            node = spec.at("nodeName").text()
            if not node or tree.at("status", "phase").text() in _ENDED:
                continue
            yield Running(
                namespace=namespace,
                name=name,
                node=node,
                requests=counted(total(asked(tree), spec.at("overhead").amounts())),
                priority=spec.at("priority").number() or 0,
                repels=tuple(repulsions(spec, namespace)),
            )
        except ShapeError as error:
            raise _off("Pod", f"{namespace}/{name}", error) from None


def _off(kind: str, name: str, error: ShapeError) -> ShapeError:
    return ShapeError(f"{kind} {printable(name, 80)}: {error}")
