"""What is judged: the pod that is asked for, and the cluster that it is to run in."""

from collections.abc import Mapping
from typing import NamedTuple

Counted = Mapping[str, int]
"""Amounts as the scheduler counts them: thousandths of a CPU, units of anything else."""


class Taint(NamedTuple):
    key: str
    value: str
    effect: str

    def __str__(self) -> str:
        value = f"={self.value}" if self.value else ""
        return f"{self.key}{value}:{self.effect}"


class Toleration(NamedTuple):
    key: str
    operator: str
    value: str
    effect: str


class Requirement(NamedTuple):
    """One line of matchExpressions or matchFields."""

    key: str
    operator: str
    values: tuple[str, ...]

    def __str__(self) -> str:
        those = ", ".join(self.values)
        match self.operator:
            case "In":
                return f"{self.key}={those}" if len(self.values) == 1 else f"{self.key} in {those}"
            case "NotIn":
                return f"{self.key} not in {those}"
            case "Exists":
                return f"{self.key} exists"
            case "DoesNotExist":
                return f"{self.key} does not exist"
            case "Gt":
                return f"{self.key} above {those}"
            case "Lt":
                return f"{self.key} below {those}"
            case _:
                return f"{self.key} {self.operator} {those}"


class Term(NamedTuple):
    """A nodeSelectorTerm: all of it must hold."""

    expressions: tuple[Requirement, ...]
    fields: tuple[Requirement, ...]


class Repulsion(NamedTuple):
    """A required podAntiAffinity of a running pod: which pods it keeps away from its place."""

    namespaces: frozenset[str] | None
    """None: those that a selector picks, which nobody here can say."""
    selector: tuple[Requirement, ...]


class RuntimeClass(NamedTuple):
    name: str
    handler: str
    selector: Mapping[str, str]
    tolerations: tuple[Toleration, ...]
    overhead: Mapping[str, int]
    """In billionths; empty where the class sets none."""


class Pod(NamedTuple):
    """A pod, or what a template would make."""

    kind: str
    namespace: str
    name: str
    labels: Mapping[str, str]
    selector: Mapping[str, str]
    terms: tuple[Term, ...] | None
    """The required node affinity; None where there is none."""
    tolerations: tuple[Toleration, ...]
    node_name: str
    gates: tuple[str, ...]
    runtime_class: str | None
    overhead: Mapping[str, int]
    requests: Mapping[str, int]
    """In billionths, without overhead."""
    unmodelled: tuple[str, ...]
    """What decides as well, and is not judged here."""
    scheduler: str
    priority_class: str
    priority: int | None
    preempts: bool

    @property
    def title(self) -> str:
        return self.name if self.kind == "Pod" else f"{self.kind} {self.name}"


class Node(NamedTuple):
    name: str
    labels: Mapping[str, str]
    taints: tuple[Taint, ...]
    unschedulable: bool
    allocatable: Counted
    handlers: frozenset[str] | None
    """None where the kubelet tells none: an older container runtime."""


class Running(NamedTuple):
    """A pod that has a node, and has not ended."""

    namespace: str
    name: str
    node: str
    requests: Counted
    priority: int
    repels: tuple[Repulsion, ...]


class Cluster(NamedTuple):
    """`classes` and `running` are None where they cannot be listed."""

    nodes: tuple[Node, ...]
    classes: Mapping[str, RuntimeClass] | None
    running: tuple[Running, ...] | None
