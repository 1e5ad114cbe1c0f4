"""What decides where a pod lands as well, and is not judged here: it is named instead."""

from collections.abc import Iterator, Mapping

from nodeagent.explain.pod import requests
from nodeagent.explain.pod.affinity import holds
from nodeagent.explain.pod.nouns import Pod, Repulsion, Requirement, Running
from nodeagent.explain.pod.trees import Tree
from nodeagent.model.text import printable

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
# Kinds of volume that are on every node, or found by the kubelet alone.
_ANYWHERE = frozenset(
    {
        "configMap",
        "downwardAPI",
        "emptyDir",
        "gitRepo",
        "hostPath",
        "image",
        "nfs",
        "projected",
        "secret",
    }
)


def of(kind: str, owner: Tree, spec: Tree) -> Iterator[str]:
    """Of a pod as it is written."""
    affinity = spec.at("affinity")
    if affinity.at("podAffinity", _REQUIRED).items():
        yield "podAffinity"
    if affinity.at("podAntiAffinity", _REQUIRED).items():
        yield "podAntiAffinity"
    for each in spec.at("topologySpreadConstraints").items():
        if each.at("whenUnsatisfiable").text() != "ScheduleAnyway":
            yield f"topologySpreadConstraints over {_short(each.at('topologyKey').text())}"
    yield from _volumes(kind, owner, spec)
    yield from _ports(spec)
    for each in spec.at("resourceClaims").items():
        yield f"resourceClaim {_short(each.at('name').text())}"


def _volumes(kind: str, owner: Tree, spec: Tree) -> Iterator[str]:
    for each in spec.at("volumes").items():
        name = _short(each.at("name").text())
        kinds = sorted(key for key, value in each.fields() if key != "name" and value.value)
        for bound in kinds:
            if bound not in _ANYWHERE:
                yield f"volume {name} ({_short(bound)})"
    if kind == "StatefulSet":
        for claim in owner.at("spec", "volumeClaimTemplates").items():
            yield f"volume {_short(claim.at('metadata', 'name').text())} (volumeClaimTemplate)"


def _ports(spec: Tree) -> Iterator[str]:
    on_host = spec.at("hostNetwork").flag()
    sidecars = [each for each in spec.at("initContainers").items() if requests.is_sidecar(each)]
    for container in (*spec.at("containers").items(), *sidecars):
        for port in container.at("ports").items():
            number = port.at("hostPort").number() or (
                port.at("containerPort").number() if on_host else None
            )
            if number:
                yield f"hostPort {number}"


def repulsions(spec: Tree, namespace: str) -> Iterator[Repulsion]:
    """Whom a running pod keeps away from its place."""
    for each in spec.at("affinity", "podAntiAffinity", _REQUIRED).items():
        named = frozenset(one.text() for one in each.at("namespaces").items())
        anywhere = each.at("namespaceSelector").value is not None
        selector = each.at("labelSelector")
        if selector.value is None:  # it matches no pod
            continue
        yield Repulsion(
            None if anywhere else named or frozenset({namespace}), tuple(_selector(selector))
        )


def _selector(tree: Tree) -> Iterator[Requirement]:
    for key, value in tree.at("matchLabels").texts().items():
        yield Requirement(key, "In", (value,))
    for each in tree.at("matchExpressions").items():
        values = tuple(one.text() for one in each.at("values").items())
        yield Requirement(each.at("key").text(), each.at("operator").text(), values)


def repelled_by(pod: Pod, running: tuple[Running, ...]) -> Running | None:
    """A running pod that may keep this one away from the nodes near it."""
    return next(
        (one for one in running for each in one.repels if _repels(each, pod.namespace, pod.labels)),
        None,
    )


def _repels(repulsion: Repulsion, namespace: str, labels: Mapping[str, str]) -> bool:
    here = repulsion.namespaces is None or namespace in repulsion.namespaces
    return here and all(holds(each, labels) for each in repulsion.selector)


def _short(text: str) -> str:
    return printable(text, 60)
