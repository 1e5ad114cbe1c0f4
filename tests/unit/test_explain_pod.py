"""What keeps a pod off a node: each of the scheduler's rules, and what of them it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nodeagent.explain.pod import quantity
from nodeagent.explain.pod.answer import answer, worst
from nodeagent.explain.pod.words import Kind, Verdict
from tests.controlplane.pairs import CLASSES, pairs
from tests.unit.pods import (
    Object,
    cluster,
    container,
    expression,
    node,
    pod,
    read,
    reasons,
    running,
    runtime_class,
    terms,
    told,
)

if TYPE_CHECKING:
    from nodeagent.explain.pod.nouns import Cluster

FITS, REFUSED, UNKNOWN = Verdict.FITS, Verdict.REFUSED, Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("text", "billionths"),
    [
        ("1", 10**9),
        ("250m", 250 * 10**6),
        ("0.5", 5 * 10**8),
        (".5", 5 * 10**8),
        ("1.", 10**9),
        ("+2", 2 * 10**9),
        ("1k", 1000 * 10**9),
        ("1Ki", 1024 * 10**9),
        ("1.5Gi", 3 * 2**29 * 10**9),
        ("1e3", 1000 * 10**9),
        ("1E3", 1000 * 10**9),
        ("1E", 10**18 * 10**9),
        ("12e-1", 12 * 10**8),
        ("0.1n", 1),
        (4, 4 * 10**9),
        (0.25, 25 * 10**7),
    ],
)
def test_a_quantity_is_exact(text: object, billionths: int) -> None:
    assert quantity.parse(text) == billionths


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-1",
        "1.2.3",
        "1 Gi",
        "Gi",
        "1gi",
        "1K",
        "1e",
        "1e99",
        "1e1e1",
        "1" * 41,
        "٣",
        True,
        None,
        ".",
    ],
)
def test_what_is_no_quantity_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="no quantity"):
        quantity.parse(text)


@pytest.mark.parametrize(
    ("resource", "counted", "shown"),
    [
        ("cpu", 1500, "1500m"),
        ("cpu", 2000, "2"),
        ("memory", 10 << 30, "10Gi"),
        ("memory", 1536 << 20, "1.5Gi"),
        ("memory", 5, "5"),
        ("nvidia.com/pgpu", 8, "8"),
    ],
)
def test_an_amount_is_shown_as_people_write_it(resource: str, counted: int, shown: str) -> None:
    assert quantity.shown(resource, counted) == shown


@pytest.mark.parametrize(
    ("asked", "labels", "said"),
    [
        ({"a": "1"}, {"a": "1"}, []),
        ({"a": "1"}, {"a": "2"}, ["selector a=1"]),
        ({"a": "1"}, {}, ["selector a=1"]),
        ({"a": ""}, {"a": ""}, []),
        ({"a": ""}, {}, ["selector a="]),
        ({"a": "1", "b": "2"}, {"b": "3"}, ["selector a=1", "selector b=2"]),
    ],
)
def test_a_selector_wants_each_label_as_it_is(
    asked: Object, labels: Object, said: list[str]
) -> None:
    assert reasons(pod(nodeSelector=asked), node(labels=labels)) == said


@pytest.mark.parametrize(
    ("operator", "values", "label", "holds"),
    [
        ("In", ("x", "y"), "y", True),
        ("In", ("x", "y"), "z", False),
        ("In", ("x",), None, False),
        ("NotIn", ("x",), "y", True),
        ("NotIn", ("x",), None, True),
        ("NotIn", ("x",), "x", False),
        ("Exists", (), "", True),
        ("Exists", (), None, False),
        ("DoesNotExist", (), None, True),
        ("DoesNotExist", (), "", False),
        ("Gt", ("10",), "11", True),
        ("Gt", ("10",), "10", False),
        ("Gt", ("10",), "0011", True),
        ("Gt", ("10",), None, False),
        ("Gt", ("10",), "11.5", False),
        ("Gt", ("10",), "1_1", False),
        ("Gt", ("10",), "9223372036854775808", False),
        ("Gt", ("-1",), "5", False),
        ("Gt", ("ten",), "11", False),
        ("Lt", ("10",), "9", True),
        ("Lt", ("10",), "10", False),
        ("Lt", ("10",), "x", False),
        ("NotIn", ("-no-value",), "y", False),
    ],
)
def test_every_operator_of_node_affinity(
    operator: str, values: tuple[str, ...], label: str | None, holds: bool
) -> None:
    asked = pod(affinity=terms({"matchExpressions": [expression("k", operator, *values)]}))
    labels = {} if label is None else {"k": label}

    assert (told(asked, node(labels=labels)).verdict is FITS) == holds


A, B = expression("a", "Exists"), expression("b", "Exists")


@pytest.mark.parametrize(
    ("those", "labels", "said"),
    [
        ([{"matchExpressions": [A, B]}], {"a": ""}, ["affinity b exists"]),
        ([{"matchExpressions": [A]}, {"matchExpressions": [B]}], {"b": ""}, []),
        ([{}], {}, ["affinity node affinity"]),
        ([{}, {"matchExpressions": [A]}], {"a": ""}, []),
        ([{"matchExpressions": []}], {}, ["affinity node affinity"]),
        (
            [{"matchExpressions": [A, B]}, {"matchExpressions": [B]}],
            {},
            ["affinity b exists"],
        ),
        ([{"matchFields": [expression("metadata.name", "In", "a")]}], {}, []),
        (
            [{"matchFields": [expression("metadata.name", "NotIn", "a")]}],
            {},
            ["affinity metadata.name not in a"],
        ),
    ],
)
def test_all_of_a_term_or_another_term(
    those: list[Object], labels: Object, said: list[str]
) -> None:
    assert reasons(pod(affinity=terms(*those)), node(labels=labels)) == said


def _taint(effect: str = "NoSchedule") -> Object:
    return {"key": "k", "value": "v", "effect": effect}


@pytest.mark.parametrize(
    ("taint", "toleration", "tolerated"),
    [
        (_taint(), None, False),
        (_taint("NoExecute"), None, False),
        (_taint("PreferNoSchedule"), None, True),
        (_taint(), {"key": "k", "value": "v"}, True),
        (_taint(), {"key": "k", "value": "w"}, False),
        (_taint(), {"key": "k", "operator": "Exists"}, True),
        (_taint(), {"operator": "Exists"}, True),
        (_taint(), {"operator": "Exists", "effect": "NoExecute"}, False),
        (_taint("NoExecute"), {"operator": "Exists", "effect": "NoExecute"}, True),
        (_taint(), {"key": "other", "operator": "Exists"}, False),
        (_taint(), {"key": "k", "operator": "Gt", "value": "0"}, False),
        ({"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"}, None, True),
        ({"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}, None, False),
    ],
)
def test_a_taint_is_tolerated_by_key_value_and_effect(
    taint: Object, toleration: Object | None, tolerated: bool
) -> None:
    asked = pod(tolerations=[toleration] if toleration else [])

    assert (told(asked, node(taints=[taint])).verdict is FITS) == tolerated


CORDONED = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}


def test_a_cordon_is_said_once() -> None:
    assert reasons(pod(), node(unschedulable=True, taints=[CORDONED])) == ["cordon cordoned"]


def test_a_daemonsets_pod_does_not_mind_what_its_controller_lets_it_tolerate() -> None:
    daemon = {"kind": "DaemonSet", "metadata": {"name": "d"}, "spec": {"template": pod()}}
    pressed = {"key": "node.kubernetes.io/disk-pressure", "effect": "NoSchedule"}
    host = node(unschedulable=True, taints=[CORDONED, pressed])

    assert told(daemon, host).verdict is FITS
    assert told({**daemon, "kind": "Deployment"}, host).verdict is REFUSED


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"cpu": "8"}, []),
        ({"cpu": "8001m"}, ["resource cpu 8001m"]),
        ({"cpu": "8.0001"}, ["resource cpu 8001m"]),
        ({"memory": "33Gi"}, ["resource memory 33Gi"]),
        ({"nvidia.com/pgpu": "1"}, ["resource nvidia.com/pgpu 1"]),
        ({"nvidia.com/pgpu": "0"}, []),
        ({"hugepages-2Mi": "2Mi"}, ["resource hugepages-2Mi 2Mi"]),
    ],
)
def test_a_request_is_held_against_what_is_allocatable(limits: Object, said: list[str]) -> None:
    assert reasons(pod(limits), node()) == said


def _inits(*those: Object) -> Object:
    return pod({"cpu": "2"}, initContainers=list(those))


SIDECAR = {**container(limits={"cpu": "3"}), "restartPolicy": "Always"}


@pytest.mark.parametrize(
    ("asked", "cpus"),
    [
        (pod({"cpu": "2"}), 2),
        (pod(containers=[container(requests={"cpu": "1"}), container(limits={"cpu": "2"})]), 3),
        (pod(containers=[container(requests={"cpu": "1"}, limits={"cpu": "2"})]), 1),
        (_inits(container(limits={"cpu": "1"})), 2),
        (_inits(container(limits={"cpu": "7"}), container(limits={"cpu": "6"})), 7),
        (_inits(SIDECAR), 5),
        (_inits(SIDECAR, container(limits={"cpu": "4"})), 7),
        (_inits(container(limits={"cpu": "4"}), SIDECAR), 5),
        (pod({"cpu": "2"}, resources={"requests": {"cpu": "7"}}), 7),
        (pod({"cpu": "2"}, resources={"limits": {"cpu": "7"}}), 2),
        (pod(resources={"limits": {"cpu": "7"}}), 7),
    ],
)
def test_what_a_pod_asks_for_is_added_up_as_the_scheduler_does(asked: Object, cpus: int) -> None:
    assert told(asked, node(room={"cpu": str(cpus)})).verdict is FITS
    assert told(asked, node(room={"cpu": f"{cpus * 1000 - 1}m"})).verdict is REFUSED


@pytest.mark.parametrize(
    ("neighbours", "cpu", "fits"),
    [
        ([running("x", "a", {"cpu": "6"})], "2", True),
        ([running("x", "a", {"cpu": "6"})], "2001m", False),
        ([running("x", "b", {"cpu": "6"})], "8", True),
        ([{**running("x", "a", {"cpu": "6"}), "status": {"phase": "Succeeded"}}], "8", True),
        ([running("x", "", {"cpu": "6"})], "8", True),
        ([running("x", "a", {"cpu": "3"}), running("y", "a", {"cpu": "3"})], "2001m", False),
        ([running("x", "a", {"cpu": "5"}, overhead={"cpu": "1"})], "2001m", False),
        ([running("model", "a", {"cpu": "6"})], "8", True),
        ([running("model", "a", {"cpu": "6"}, namespace="other")], "8", False),
    ],
)
def test_what_running_pods_leave_is_what_there_is(
    neighbours: list[Object], cpu: str, fits: bool
) -> None:
    assert (told(pod({"cpu": cpu}), node(), *neighbours).verdict is FITS) == fits


@pytest.mark.parametrize(
    ("pending", "left"), [([], "1"), ([{"type": "PodResizePending", "reason": "Infeasible"}], "4")]
)
def test_a_pod_that_is_being_resized_counts_with_the_most(pending: list[Object], left: str) -> None:
    """It was granted 4, wants 7, and may get it, unless the kubelet said never."""
    resized = running("x", "a", {"cpu": "7"})
    granted = {"name": "main", "resources": {"requests": {"cpu": "4"}}}
    resized["status"] |= {"containerStatuses": [granted], "conditions": pending}

    assert told(pod({"cpu": left}), node(), resized).verdict is FITS
    assert told(pod({"cpu": f"{left}001m"}), node(), resized).verdict is REFUSED


def test_an_init_container_is_never_resized() -> None:
    started = running("x", "a", initContainers=[{**container(limits={"cpu": "1"}), "name": "i"}])
    told_of = {"name": "i", "resources": {"requests": {"cpu": "5"}}}
    started["status"]["initContainerStatuses"] = [told_of]

    assert told(pod({"cpu": "7"}), node(), started).verdict is FITS
    started["spec"]["initContainers"][0]["restartPolicy"] = "Always"
    assert told(pod({"cpu": "7"}), node(), started).verdict is REFUSED


def test_a_full_node_has_no_room_for_one_more() -> None:
    full = node(room={"pods": "1"})

    assert reasons(pod(), full, running("x", "a")) == ["resource room for one more pod"]
    assert reasons(pod(), full) == []


HEAVY = runtime_class("heavy", overhead={"cpu": "2", "memory": "1Gi"})


def test_overhead_counts_and_is_named_where_it_tips_the_scale() -> None:
    asked = pod({"cpu": "6"}, runtimeClassName="heavy")

    assert reasons(asked, node(), HEAVY) == []
    assert reasons(asked, node(room={"cpu": "7"}), HEAVY) == ["overhead cpu 8, 2 of it overhead"]
    assert reasons(asked, node(room={"cpu": "5"}), HEAVY) == ["resource cpu 8, 2 of it overhead"]


TAINTED = {"key": "tee", "effect": "NoSchedule"}
PICKY = runtime_class(
    "picky", nodeSelector={"tee": "true"}, tolerations=[{"key": "tee", "operator": "Exists"}]
)


def test_a_class_adds_its_selector_and_its_tolerations() -> None:
    asked = pod(runtimeClassName="picky")

    assert reasons(asked, node(labels={"tee": "true"}, taints=[TAINTED]), PICKY) == []
    [standing] = told(asked, node(), PICKY).standings
    assert [each.origin for each in standing.reasons] == ["RuntimeClass picky"]


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"runtimeClassName": "absent"}, "absent"),
        ({"runtimeClassName": "picky", "nodeSelector": {"tee": "false"}}, "tee=false"),
        ({"runtimeClassName": "heavy", "overhead": {"cpu": "1"}}, "overhead"),
        ({"runtimeClassName": "picky", "overhead": {"cpu": "1"}}, "overhead"),
        ({"overhead": {"cpu": "1"}}, "overhead"),
    ],
)
def test_what_the_api_server_refuses_fits_nowhere(spec: Object, said: str) -> None:
    found = told(pod(**spec), node(labels={"tee": "true"}), PICKY, HEAVY)

    assert [(each.kind, each.subject) for each in found.blockers] == [(Kind.CLASS, said)]
    assert found.verdict is REFUSED


def test_a_pod_that_was_admitted_once_is_taken_as_it_is() -> None:
    merged = {"cpu": "2000m", "memory": "1024Mi"}

    assert told(pod(runtimeClassName="heavy", overhead=merged), node(), HEAVY).blockers == ()


@pytest.mark.parametrize(
    ("handlers", "verdict"),
    [(["", "picky"], FITS), (["", "runc"], REFUSED), ([], FITS)],
)
def test_a_node_without_the_handler_cannot_start_it(handlers: list[str], verdict: Verdict) -> None:
    """The scheduler does not know; an older runtime tells no handlers, which proves nothing."""
    found = told(
        pod(runtimeClassName="picky"), node(labels={"tee": "true"}, handlers=handlers), PICKY
    )

    assert found.verdict is verdict
    assert found.standings[0].schedulable


def test_a_gate_holds_a_pod_back_from_everywhere() -> None:
    found = told(pod(schedulingGates=[{"name": "example.com/wait"}]), node())

    assert [str(each.kind) for each in found.blockers] == ["gate"]
    assert found.verdict is REFUSED


def test_a_pod_that_names_its_node_is_looked_at_by_its_kubelet_alone() -> None:
    """Which asks for room and labels, and heeds only taints that would throw the pod out."""
    kept = node("a", unschedulable=True, taints=[_taint("NoSchedule")])
    thrown_out = node("a", taints=[_taint("NoExecute")])

    assert told(pod(nodeName="a"), kept, node("b")).nodes(FITS) == ["a"]
    assert reasons(pod(nodeName="a"), thrown_out) == ["taint k=v:NoExecute"]
    assert reasons(pod({"cpu": "9"}, nodeName="a"), node()) == ["resource cpu 9"]
    assert reasons(pod(nodeName="b"), node()) == ["name nodeName b"]


SPREAD = {"topologyKey": "zone", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"affinity": {"podAffinity": {REQUIRED: [{}]}}}, "podAffinity"),
        ({"affinity": {"podAntiAffinity": {REQUIRED: [{}]}}}, "podAntiAffinity"),
        ({"topologySpreadConstraints": [SPREAD]}, "topologySpreadConstraints over zone"),
        ({"topologySpreadConstraints": [{"topologyKey": "r"}]}, "topologySpreadConstraints over r"),
        (
            {"volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "c"}}]},
            "volume d (persistentVolumeClaim)",
        ),
        ({"volumes": [{"name": "d", "csi": {"driver": "x"}}]}, "volume d (csi)"),
        ({"containers": [{"name": "m", "ports": [{"hostPort": 80}]}]}, "hostPort 80"),
        (
            {"hostNetwork": True, "containers": [{"name": "m", "ports": [{"containerPort": 8}]}]},
            "hostPort 8",
        ),
        ({"resourceClaims": [{"name": "gpu"}]}, "resourceClaim gpu"),
        ({"schedulerName": "mine"}, "schedulerName mine, which may have rules of its own"),
    ],
)
def test_what_is_not_judged_is_named_and_makes_it_unknown(spec: Object, said: str) -> None:
    found = told(pod(**spec), node())

    assert (found.verdict, found.unsure) == (UNKNOWN, (said,))


def test_what_is_not_judged_brings_no_node_back_that_is_out_of_the_question() -> None:
    found = told(pod({"cpu": "9"}, topologySpreadConstraints=[SPREAD]), node())

    assert found.verdict is REFUSED


@pytest.mark.parametrize(
    "spec",
    [
        {"affinity": {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{}]}}},
        {"topologySpreadConstraints": [{**SPREAD, "whenUnsatisfiable": "ScheduleAnyway"}]},
        {"volumes": [{"name": "d", "emptyDir": {}}, {"name": "c", "configMap": {"name": "c"}}]},
        {"containers": [{"name": "m", "ports": [{"containerPort": 80}]}]},
    ],
)
def test_what_decides_nothing_is_not_named(spec: Object) -> None:
    assert told(pod(**spec), node()).verdict is FITS


@pytest.mark.parametrize(
    ("term", "labels", "namespace", "verdict"),
    [
        ({}, {"app": "m"}, "default", UNKNOWN),
        ({}, {"app": "n"}, "default", FITS),
        ({}, {"app": "m"}, "other", FITS),
        ({"namespaces": ["other"]}, {"app": "m"}, "other", UNKNOWN),
        ({"namespaces": ["other"]}, {"app": "m"}, "default", FITS),
        ({"namespaceSelector": {}}, {"app": "m"}, "other", UNKNOWN),
        ({"labelSelector": None}, {"app": "m"}, "default", FITS),
        ({"labelSelector": {}}, {}, "default", UNKNOWN),
    ],
)
def test_a_running_pod_may_keep_others_away(
    term: Object, labels: Object, namespace: str, verdict: Verdict
) -> None:
    whole = {"labelSelector": {"matchLabels": {"app": "m"}}, **term}
    rival = running("shy", "a", affinity={"podAntiAffinity": {REQUIRED: [whole]}})
    asked = pod(namespace=namespace)
    asked["metadata"]["labels"] = labels

    assert told(asked, node(), rival).verdict is verdict


@pytest.mark.parametrize(
    ("spec", "priority", "verdict"),
    [
        ({}, 0, REFUSED),
        ({}, -1, UNKNOWN),
        ({"priority": 10}, 9, UNKNOWN),
        ({"priority": 10}, 10, REFUSED),
        ({"priorityClassName": "mine"}, 10**9, UNKNOWN),
        ({"priorityClassName": "mine", "preemptionPolicy": "Never"}, 0, REFUSED),
        ({"priorityClassName": "system-node-critical"}, 2_000_001_000, REFUSED),
    ],
)
def test_pods_of_lower_priority_may_have_to_go(
    spec: Object, priority: int, verdict: Verdict
) -> None:
    neighbour = running("x", "a", {"cpu": "6"}, priority=priority)

    assert told(pod({"cpu": "4"}, **spec), node(), neighbour).verdict is verdict
    assert told(pod({"cpu": "9"}, **spec), node(), neighbour).verdict is REFUSED


def _hidden(full: Cluster) -> list[Cluster]:
    return [full._replace(classes=None), full._replace(running=None)]


def test_hiding_a_list_never_makes_a_pod_refused() -> None:
    """Over every generated pair: what could not be looked at only makes the answer unknown."""
    looked_at = 0
    for pair in pairs():
        labels = {"kubernetes.io/hostname": pair.node, **pair.labels}
        host = node(pair.node, room=pair.room, labels=labels)
        host["spec"] |= pair.node_spec
        those = [
            {**running(f"r{index}", pair.node), "spec": {**spec, "nodeName": pair.node}}
            for index, spec in enumerate(pair.running)
        ]
        classes = [{"kind": "RuntimeClass", **each} for each in CLASSES]
        full = cluster(host, *those, *classes)
        asked = read(pair.pod)
        whole = answer(asked, full).verdict
        for less in _hidden(full):
            seen = answer(asked, less).verdict
            looked_at += 1
            assert whole is REFUSED or seen is not REFUSED, pair
            assert seen is not FITS or whole is FITS, pair
    assert looked_at >= 400


def test_a_class_that_could_not_be_read_might_tolerate_anything() -> None:
    hidden = cluster(node(taints=[TAINTED]))
    found = answer(read(pod(runtimeClassName="picky")), hidden)

    assert found.verdict is UNKNOWN
    assert found.unsure == ("RuntimeClass picky, which could not be read",)


@pytest.mark.parametrize(
    ("verdicts", "code"), [((FITS,), 0), ((FITS, UNKNOWN), 4), ((UNKNOWN, REFUSED, FITS), 1)]
)
def test_several_pods_exit_with_the_worst(verdicts: tuple[Verdict, ...], code: int) -> None:
    asked = {
        FITS: pod(),
        UNKNOWN: pod(schedulerName="mine"),
        REFUSED: pod({"cpu": "9"}),
    }

    assert worst(told(asked[each], node()) for each in verdicts) == code
