"""What the API server makes of a pod that names a RuntimeClass (k8s admission `runtimeclass`)."""

from typing import NamedTuple

from nodeagent.explain.pod.nouns import Cluster, Pod, RuntimeClass
from nodeagent.explain.pod.words import Kind, Reason


class Admitted(NamedTuple):
    """The pod with its class merged in, or why there would be no pod at all."""

    pod: Pod
    runtime_class: RuntimeClass | None
    refused: Reason | None
    unknown: str
    """What the answer needs and nobody can say; empty as a rule."""


def admit(pod: Pod, cluster: Cluster) -> Admitted:
    name = pod.runtime_class
    if name is None:
        return Admitted(pod, None, _unasked(pod), "")
    if cluster.classes is None:
        return Admitted(pod, None, None, f"RuntimeClass {name}, which could not be read")
    found = cluster.classes.get(name)
    if found is None:
        said = "there is none of that name, and the API server refuses the pod"
        return Admitted(pod, None, Reason(Kind.CLASS, name, said, name), "")
    refused = _conflict(pod, found) or _other_overhead(pod, found)
    return Admitted(pod if refused else _merged(pod, found), found, refused, "")


def _unasked(pod: Pod) -> Reason | None:
    if not pod.overhead:
        return None
    return Reason(Kind.CLASS, "overhead", "is set, and no RuntimeClass sets it")


def _conflict(pod: Pod, runtime_class: RuntimeClass) -> Reason | None:
    for key, value in runtime_class.selector.items():
        mine = pod.selector.get(key, value)
        if mine != value:
            return Reason(
                Kind.CLASS,
                f"{key}={mine}",
                f"in nodeSelector, where RuntimeClass {runtime_class.name} has {value}:"
                " the API server refuses the pod",
            )
    return None


def _other_overhead(pod: Pod, runtime_class: RuntimeClass) -> Reason | None:
    if not pod.overhead or pod.overhead == runtime_class.overhead:
        return None
    said = f"is not that of RuntimeClass {runtime_class.name}: the API server refuses the pod"
    return Reason(Kind.CLASS, "overhead", said)


def _merged(pod: Pod, runtime_class: RuntimeClass) -> Pod:
    return pod._replace(
        selector={**pod.selector, **runtime_class.selector},
        tolerations=(*pod.tolerations, *runtime_class.tolerations),
        overhead=runtime_class.overhead,
    )
