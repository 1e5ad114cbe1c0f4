"""The pods that a manifest makes: Pods themselves, and whatever has a template of one."""

from collections.abc import Iterator

from nodeagent.explain.pod import documents, requests, unmodelled
from nodeagent.explain.pod.nouns import Pod, Requirement, Term, Toleration
from nodeagent.explain.pod.trees import Named, ShapeError, Tree, named
from nodeagent.model.text import printable

_PODS = 500
_TEMPLATE = ("spec", "template")
_CRON = ("spec", "jobTemplate", "spec", "template")
_LISTED = ("In", "NotIn")
_BARE = ("Exists", "DoesNotExist")
_COMPARED = ("Gt", "Lt")
# What the DaemonSet controller lets its pods tolerate (k8s `AddOrUpdateDaemonPodTolerations`).
_DAEMON = (
    *(("node.kubernetes.io/" + name, "NoExecute") for name in ("not-ready", "unreachable")),
    *(
        ("node.kubernetes.io/" + name, "NoSchedule")
        for name in ("disk-pressure", "memory-pressure", "pid-pressure", "unschedulable")
    ),
)
_DAEMON_ON_THE_HOSTS_NETWORK = ("node.kubernetes.io/network-unavailable", "NoSchedule")


def read(raw: bytes) -> list[Pod]:
    """ValueError, in words that follow the file's name, where there is none or one is off."""
    found: list[Pod] = []
    try:
        for document in documents.read(raw):
            found.extend(_pods(Tree(document), 0))
    except ShapeError as error:
        raise ValueError(f"is off: {error}") from None
    if len(found) > _PODS:
        raise ValueError(f"has more than {_PODS} pods")
    if not found:
        raise ValueError("has no pod, and nothing with a pod template")
    return found


def _pods(tree: Tree, depth: int) -> Iterator[Pod]:
    kind = tree.at("kind").text()
    if kind.endswith("List") and depth == 0:
        for each in tree.at("items").items():
            yield from _pods(Tree(each.value), depth + 1)
        return
    path: tuple[str, ...] | None = () if kind == "Pod" else _template(tree, kind)
    if path is None:
        return
    owner = named(tree)
    try:
        yield _pod(kind, owner, tree, tree.at(*path))
    except ShapeError as error:
        title = printable(f"{kind} {owner.name}".strip(), 80)
        raise ValueError(f"is off in {title}: {error}") from None


def _template(tree: Tree, kind: str) -> tuple[str, ...] | None:
    """Where this kind keeps its pod template, if it has one."""
    path = _CRON if kind == "CronJob" else _TEMPLATE
    value = tree.value
    for key in (*path, "spec", "containers"):
        value = value.get(key) if isinstance(value, dict) else None
    return None if value is None else path


def _pod(kind: str, owner: Named, tree: Tree, pod: Tree) -> Pod:
    spec = pod.at("spec")
    if not spec.at("containers").items():
        raise spec.at("containers").wrong("has none")
    class_name = spec.at("runtimeClassName").text()
    return Pod(
        kind=kind,
        namespace=owner.namespace or "default",
        name=owner.name or tree.at("metadata", "generateName").text() or "(no name)",
        labels=pod.at("metadata", "labels").texts(),
        selector=spec.at("nodeSelector").texts(),
        terms=_terms(spec.at("affinity", "nodeAffinity")),
        tolerations=(*tolerations(spec.at("tolerations")), *_given(kind, spec)),
        node_name=spec.at("nodeName").text(),
        gates=tuple(each.at("name").text() for each in spec.at("schedulingGates").items()),
        runtime_class=class_name or None,
        overhead=spec.at("overhead").amounts(),
        requests=requests.asked(Tree({"spec": spec.value}, pod.path)),
        unmodelled=tuple(unmodelled.of(kind, tree, spec)),
        scheduler=spec.at("schedulerName").text() or "default-scheduler",
        priority_class=spec.at("priorityClassName").text(),
        priority=spec.at("priority").number(),
        preempts=spec.at("preemptionPolicy").text() != "Never",
    )


def tolerations(tree: Tree) -> Iterator[Toleration]:
    for each in tree.items():
        operator = each.at("operator").text() or "Equal"
        if operator not in {"Equal", "Exists", "Gt", "Lt"}:
            raise each.at("operator").wrong("is neither Equal nor Exists")
        found = Toleration(
            each.at("key").text(), operator, each.at("value").text(), each.at("effect").text()
        )
        if not found.key and operator != "Exists":
            raise each.wrong("has no key, which only Exists may leave out")
        yield found


def _given(kind: str, spec: Tree) -> Iterator[Toleration]:
    """What admission, or the controller of its kind, adds to every pod."""
    # k8s admission `DefaultTolerationSeconds`: every pod stays for five minutes.
    given = _DAEMON[:2]
    if kind == "DaemonSet":
        network = spec.at("hostNetwork").flag()
        given = (*_DAEMON, _DAEMON_ON_THE_HOSTS_NETWORK) if network else _DAEMON
    for key, effect in given:
        yield Toleration(key, "Exists", "", effect)


def _terms(affinity: Tree) -> tuple[Term, ...] | None:
    required = affinity.at("requiredDuringSchedulingIgnoredDuringExecution")
    if required.value is None:
        return None
    found = required.at("nodeSelectorTerms").items()
    if not found:
        raise required.at("nodeSelectorTerms").wrong("has none")
    return tuple(
        Term(
            tuple(_requirement(one) for one in each.at("matchExpressions").items()),
            tuple(_field(one) for one in each.at("matchFields").items()),
        )
        for each in found
    )


def _requirement(tree: Tree) -> Requirement:
    """Refused here is what the API server refuses; `ValidateNodeSelectorRequirement`."""
    found = Requirement(
        tree.at("key").text(),
        tree.at("operator").text(),
        tuple(each.text() for each in tree.at("values").items()),
    )
    if not found.key:
        raise tree.wrong("has no key")
    if found.operator not in {*_LISTED, *_BARE, *_COMPARED}:
        raise tree.at("operator").wrong("is none of In, NotIn, Exists, DoesNotExist, Gt, Lt")
    if found.operator in _LISTED and not found.values:
        raise tree.at("values").wrong("is empty")
    if found.operator in _BARE and found.values:
        raise tree.at("values").wrong(f"does not go with {found.operator}")
    if found.operator in _COMPARED and len(found.values) != 1:
        raise tree.at("values").wrong(f"must be one value for {found.operator}")
    return found


def _field(tree: Tree) -> Requirement:
    found = _requirement(tree)
    if found.key != "metadata.name" or found.operator not in _LISTED or len(found.values) != 1:
        raise tree.wrong("must be metadata.name, In or NotIn, with one value")
    return found
