"""Pods and nodes in pairs, some that fit and some that do not, made of a few rules at random.

A pair starts as one that fits. Then rules are put on it, each of which either lets the pod pass
or keeps it away; drawn with a fixed seed, so that a failure comes back.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from tests.real.api import Object

SEED = 20261125
SINGLE = 5
"""How often each rule stands alone, on each side."""
MIXED = 80

_HOST = "kubernetes.io/hostname"

CLASSES: list[Object] = [
    {
        "metadata": {"name": "pairs-heavy"},
        "handler": "heavy",
        "overhead": {"podFixed": {"cpu": "1500m", "memory": "10Gi"}},
    },
    {
        "metadata": {"name": "pairs-picky"},
        "handler": "picky",
        "scheduling": {
            "nodeSelector": {"example.com/tee": "true"},
            "tolerations": [{"key": "example.com/tee-only", "operator": "Exists"}],
        },
    },
    {
        "metadata": {"name": "pairs-counted"},
        "handler": "counted",
        "overhead": {"podFixed": {"example.com/esids": "1"}},
    },
]


@dataclass
class Pair:
    name: str
    labels: dict[str, str] = field(default_factory=dict)
    room: dict[str, str] = field(default_factory=lambda: {"cpu": "8", "memory": "32Gi"})
    node_spec: Object = field(default_factory=dict)
    running: list[Object] = field(default_factory=list)
    spec: Object = field(default_factory=dict)
    rules: list[str] = field(default_factory=list)

    @property
    def node(self) -> str:
        return f"node-{self.name}"

    @property
    def pod(self) -> Object:
        """Pinned to its node; a container unless a rule has put some."""
        pin = {_HOST: self.node}
        spec = {"containers": [container()], **self.spec}
        spec["nodeSelector"] = {**pin, **spec.get("nodeSelector", {})}
        return {"kind": "Pod", "metadata": {"name": self.name, "namespace": "pairs"}, "spec": spec}

    def requirements(self) -> list[dict[str, Any]]:
        affinity = self.spec.get("affinity", {}).get("nodeAffinity", {})
        required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution", {})
        terms = required.get("nodeSelectorTerms", [])
        return [one for each in terms for one in each.get("matchExpressions", [])]

    def select(self, key: str, value: str) -> None:
        self.spec.setdefault("nodeSelector", {})[key] = value

    def taint(self, key: str, value: str, effect: str) -> None:
        self.node_spec.setdefault("taints", []).append(
            {"key": key, "value": value, "effect": effect}
        )

    def tolerate(self, **toleration: str) -> None:
        self.spec.setdefault("tolerations", []).append(toleration)

    def demand(self, *terms: Object) -> None:
        required = {"nodeSelectorTerms": list(terms)}
        self.spec["affinity"] = {
            "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}
        }


def container(name: str = "main", *, limits: Object | None = None, **requests: str) -> Object:
    resources: Object = {"requests": requests} if requests else {}
    if limits:
        resources["limits"] = limits
    return {"name": name, "image": "none", "resources": resources}


def _asking(requests: Object) -> Object:
    return {**container(), "resources": {"requests": requests}}


def expression(key: str, operator: str, *values: str) -> Object:
    found: Object = {"key": key, "operator": operator}
    return {**found, "values": list(values)} if values else found


def selector(pair: Pair, dice: random.Random, passes: bool) -> None:
    key, value = "example.com/pool", dice.choice(["gold", "", "a.b-c_d"])
    pair.select(key, value)
    if passes:
        pair.labels[key] = value
    elif dice.random() < 0.5:
        pair.labels[key] = dice.choice(["true", "Gold", "gold2"])


def class_selector(pair: Pair, dice: random.Random, passes: bool) -> None:
    pair.spec["runtimeClassName"] = "pairs-picky"
    if passes:
        pair.labels["example.com/tee"] = "true"
        if dice.random() < 0.5:
            pair.taint("example.com/tee-only", "", "NoSchedule")
    elif dice.random() < 0.5:
        pair.labels["example.com/tee"] = "false"


def admission(pair: Pair, dice: random.Random, passes: bool) -> None:
    if passes:
        pair.spec["runtimeClassName"] = "pairs-picky"
        pair.select("example.com/tee", "true")
        pair.labels["example.com/tee"] = "true"
        return
    match dice.randrange(3):
        case 0:
            pair.spec["runtimeClassName"] = "pairs-absent"
        case 1:
            pair.spec["runtimeClassName"] = "pairs-picky"
            pair.select("example.com/tee", "false")
            pair.labels["example.com/tee"] = "false"
        case _:
            pair.spec["runtimeClassName"] = "pairs-heavy"
            pair.spec["overhead"] = {"cpu": "1"}


# What each operator meets, and what it does not: labels of the node, None for no such label.
_OPERATORS: list[tuple[str, list[str], list[str | None], list[str | None]]] = [
    ("In", ["a", "b"], ["a", "b"], [None, "c", "", "A"]),
    ("NotIn", ["a", "b"], [None, "c", ""], ["a", "b"]),
    ("Exists", [], ["", "a", "-".join("xy")], [None]),
    ("DoesNotExist", [], [None], ["", "a"]),
    (
        "Gt",
        ["10"],
        ["11", "200", "0011"],
        [None, "10", "9", "x", "", "11.5", "99999999999999999999"],
    ),
    ("Lt", ["10"], ["9", "0", "009"], [None, "10", "11", "x", "1e0"]),
    ("Gt", ["ten"], [], [None, "11"]),
]


def affinity(pair: Pair, dice: random.Random, passes: bool) -> None:
    operator, values, good, bad = dice.choice(
        [each for each in _OPERATORS if each[2] or not passes]
    )
    key = "example.com/rank"
    label = dice.choice(good if passes else bad)
    if label is not None:
        pair.labels[key] = label
    asked = expression(key, operator, *values)
    others: list[Object] = []
    match dice.randrange(5):
        case 0:  # a term that fails beside it changes nothing
            others = [{"matchExpressions": [expression("example.com/no", "Exists")]}]
        case 1:  # an empty term matches nothing
            others = [{}]
        case 2:
            field = "In" if dice.random() < 0.5 else "NotIn"
            name = "elsewhere" if field == "NotIn" else pair.node
            by_name = {"key": "metadata.name", "operator": field, "values": [name]}
            pair.demand({"matchExpressions": [asked], "matchFields": [by_name]})
            return
    pair.demand(*others, {"matchExpressions": [asked]})


def affinity_by_name(pair: Pair, dice: random.Random, passes: bool) -> None:
    operator = "In" if dice.random() < 0.5 else "NotIn"
    name = pair.node if passes == (operator == "In") else "elsewhere"
    pair.demand({"matchFields": [{"key": "metadata.name", "operator": operator, "values": [name]}]})


def affinity_all_of_a_term(pair: Pair, dice: random.Random, passes: bool) -> None:
    """All expressions of a term, any of the terms."""
    pair.labels |= {"example.com/a": "1", "example.com/b": "2"}
    first = [expression("example.com/a", "In", "1"), expression("example.com/b", "Gt", "5")]
    second = [expression("example.com/b", "Lt", "5" if passes else "2")]
    terms: list[Object] = [{"matchExpressions": first}, {"matchExpressions": second}]
    dice.shuffle(terms)
    pair.demand(*terms)


def taint(pair: Pair, dice: random.Random, passes: bool) -> None:
    effect = dice.choice(["NoSchedule", "NoExecute"])
    key = "example.com/kept"
    pair.taint(key, "yes", effect)
    if passes:
        pair.tolerate(
            **dice.choice(
                [
                    {"key": key, "operator": "Exists"},
                    {"key": key, "value": "yes"},
                    {"operator": "Exists"},
                    {"key": key, "operator": "Equal", "value": "yes", "effect": effect},
                    {"operator": "Exists", "effect": effect},
                ]
            )
        )
        return
    other = "NoExecute" if effect == "NoSchedule" else "NoSchedule"
    told = dice.choice(
        [
            None,
            {"key": key, "value": "no"},
            {"key": key, "operator": "Exists", "effect": other},
            {"key": "example.com/other", "operator": "Exists"},
            {"operator": "Exists", "effect": "PreferNoSchedule"},
        ]
    )
    if told:
        pair.tolerate(**told)


def taint_of_the_system(pair: Pair, dice: random.Random, passes: bool) -> None:
    """Every pod tolerates two of them, of one effect, by admission."""
    if passes:
        key = dice.choice(["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"])
        effect = dice.choice(["NoExecute", "PreferNoSchedule"])
    else:
        key = dice.choice(["node.kubernetes.io/not-ready", "node.kubernetes.io/disk-pressure"])
        effect = "NoSchedule"
    pair.taint(key, "", effect)


def cordon(pair: Pair, dice: random.Random, passes: bool) -> None:
    pair.node_spec["unschedulable"] = True
    if passes:
        key = dice.choice(["node.kubernetes.io/unschedulable", None])
        pair.tolerate(operator="Exists", **({"key": key} if key else {}))
    elif dice.random() < 0.3:
        pair.tolerate(key="node.kubernetes.io/unschedulable", operator="Exists", effect="NoExecute")


def gate(pair: Pair, dice: random.Random, passes: bool) -> None:
    if not passes:
        pair.spec["schedulingGates"] = [{"name": f"example.com/{dice.choice('abc')}"}]


def request(pair: Pair, dice: random.Random, passes: bool) -> None:
    """At the edge: exactly all that there is, or a little more."""
    name, fits, over = dice.choice(
        [
            ("cpu", ["8", "8000m", "7.9995"], ["8001m", "8.0001", "9"]),
            ("memory", ["32Gi", "34359738368", "34G"], ["34359738369", "33Gi", "1Ti"]),
            ("example.com/gpu", ["4", "1"], ["5", "100"]),
            ("ephemeral-storage", ["10G", "1e9"], ["10Gi"]),
            ("hugepages-2Mi", ["64Mi"], ["66Mi"]),
        ]
    )
    pair.room |= {"example.com/gpu": "4", "ephemeral-storage": "10G", "hugepages-2Mi": "64Mi"}
    amount = dice.choice(fits if passes else over)
    only_limits = "/" in name or name.startswith("hugepages")
    if only_limits or dice.random() < 0.5:
        pair.spec["containers"] = [container(limits={"cpu": "1m", name: amount})]
    else:
        pair.spec["containers"] = [_asking({name: amount})]


def request_of_nobody(pair: Pair, dice: random.Random, passes: bool) -> None:
    """A resource that the node does not offer; none of it may be asked for."""
    amount = "0" if passes else dice.choice(["1", "3"])
    pair.spec["containers"] = [container(limits={"example.com/absent": amount})]


def request_of_inits(pair: Pair, dice: random.Random, passes: bool) -> None:
    """Init containers one after the other, sidecars beside all that follow."""
    first = "8" if passes else "8001m"
    pair.spec["containers"] = [container("a", cpu="1"), container("b", cpu="1")]
    side = {**container("side", cpu="2"), "restartPolicy": "Always"}
    match dice.randrange(4):
        case 0:
            pair.spec["initContainers"] = [container("init", cpu=first)]
        case 1:
            left = "6" if passes else "6001m"
            pair.spec["initContainers"] = [side, container("init", cpu=left)]
        case 2:
            pair.spec["initContainers"] = [container("init", cpu=first), side]
        case _:
            left = "4" if passes else "4001m"
            late = {**container("late", cpu=left), "restartPolicy": "Always"}
            pair.spec["initContainers"] = [side, late]


def request_of_the_pod(pair: Pair, dice: random.Random, passes: bool) -> None:
    """Asked for as a whole, it stands above what the containers ask for."""
    amount = "8" if passes else "8001m"
    pair.spec["containers"] = [container(cpu="1"), container("b", cpu="1")]
    match dice.randrange(3):
        case 0:
            pair.spec["resources"] = {"requests": {"cpu": amount}}
        case 1:
            pair.spec["containers"] = [container()]
            pair.spec["resources"] = {"limits": {"cpu": amount}}
        case _:  # a limit alone leaves the containers' requests as they are
            own = "4" if passes else "4001m"
            pair.spec["containers"] = [container(cpu=own), container("b", cpu="4")]
            pair.spec["resources"] = {"limits": {"cpu": "9"}}


def left_by_running(pair: Pair, dice: random.Random, passes: bool) -> None:
    """6 of 8 CPUs are taken, by one pod or by three; or all but one of the devices."""
    if dice.random() < 0.4:
        pair.room["example.com/gpu"] = "4"
        pair.running = [_running(container(limits={"example.com/gpu": "3"}))]
        amount = "1" if passes else "2"
        pair.spec["containers"] = [container(limits={"example.com/gpu": amount})]
        return
    taken = dice.choice([["6"], ["2", "2", "2"], ["5500m", "499m", "0.0005"]])
    pair.running = [_running(container(cpu=each)) for each in taken]
    if dice.random() < 0.3:
        pair.running[0]["initContainers"] = [container("init", cpu="1")]
    pair.spec["containers"] = [container(cpu="2" if passes else "2001m")]


def left_by_overhead(pair: Pair, dice: random.Random, passes: bool) -> None:
    """What the class of a running pod adds counts too."""
    pair.running = [{**_running(container(cpu="500m")), "runtimeClassName": "pairs-heavy"}]
    pair.spec["containers"] = [container(cpu="6" if passes else dice.choice(["6001m", "7"]))]


def room_for_pods(pair: Pair, dice: random.Random, passes: bool) -> None:
    count = dice.randrange(1, 3)
    pair.room["pods"] = str(count + 1 if passes else count)
    pair.running = [_running(container()) for _ in range(count)]


def overhead(pair: Pair, dice: random.Random, passes: bool) -> None:
    """It fits without what its VM takes beside it."""
    if dice.random() < 0.3:
        pair.spec["runtimeClassName"] = "pairs-counted"
        if passes:
            pair.room["example.com/esids"] = "1"
        return
    pair.spec["runtimeClassName"] = "pairs-heavy"
    by_cpu = {"cpu": "6500m" if passes else dice.choice(["6501m", "8"])}
    by_memory = {"memory": "22Gi" if passes else dice.choice(["23Gi", "32Gi"])}
    pair.spec["containers"] = [_asking(dice.choice([by_cpu, by_memory]))]


def _running(*containers: Object) -> Object:
    return {"containers": list(containers), "tolerations": [{"operator": "Exists"}]}


Rule: TypeAlias = Callable[[Pair, random.Random, bool], None]

PLACING: list[Rule] = [selector, class_selector, affinity, affinity_by_name, affinity_all_of_a_term]
TAINTING: list[Rule] = [taint, taint_of_the_system, cordon]
SIZING: list[Rule] = [
    request,
    request_of_nobody,
    request_of_inits,
    request_of_the_pod,
    left_by_running,
    left_by_overhead,
    room_for_pods,
    overhead,
]
ASKING: list[Rule] = [admission, gate]
ALONE = [*PLACING, *TAINTING, *SIZING, *ASKING, affinity, affinity, request]


def pairs() -> list[Pair]:
    dice = random.Random(SEED)
    return list(_made(dice))


def _made(dice: random.Random) -> Iterator[Pair]:
    count = 0
    for rule in ALONE:
        for turn in range(2 * SINGLE):
            count += 1
            yield _pair(count, dice, [(rule, turn >= SINGLE)])
    for _ in range(MIXED):
        count += 1
        rules = [dice.choice(PLACING), dice.choice(TAINTING), dice.choice(SIZING)]
        yield _pair(count, dice, [(each, dice.random() < 0.75) for each in rules])


def _pair(number: int, dice: random.Random, rules: list[tuple[Rule, bool]]) -> Pair:
    pair = Pair(f"p{number}")
    for rule, passes in rules:
        rule(pair, dice, passes)
        pair.rules.append(rule.__name__)
    return pair
