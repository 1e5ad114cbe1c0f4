"""What keeps a pod off a node: each of the scheduler's rules, and what of them it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nodeagent import data
from nodeagent.explain.pod import quantity, writers
from nodeagent.explain.pod.answer import answer, worst
from nodeagent.explain.pod.words import Kind, Verdict
from tests.controlplane.pairs import CLASSES, pairs
from tests.unit.pods import (
    CC,
    GPU_CLASS,
    KATA,
    SNP,
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


def test_a_running_pod_may_keep_others_away() -> None:
    shy = {"podAntiAffinity": {REQUIRED: [{"labelSelector": {"matchLabels": {"app": "m"}}}]}}
    rival = running("shy", "a", affinity=shy)
    labelled = pod()
    labelled["metadata"]["labels"] = {"app": "m"}

    assert told(labelled, node(), rival).verdict is UNKNOWN
    assert told(pod(), node(), rival).verdict is FITS


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


def test_every_writer_has_a_source_and_says_what_to_do() -> None:
    tables = data.load("writers.json")
    for each in (*tables["labels"], *tables["resources"]):
        assert each["source"]
        assert writers.of_label(each["key"]) or writers.of_resource(each["key"])
        assert each["who"]
        assert each["do"]


@pytest.mark.parametrize(
    ("key", "who"),
    [
        (SNP, "node-feature-discovery, by the rule kata-tee-keys"),
        (CC, "nodeagent where it is the authority"),
        ("katacontainers.io/kata-runtime", "kata-deploy"),
        ("kata-deploy.katacontainers.io/blue", "kata-deploy"),
        ("nodeagent.io/ready", "nodeagent on the node"),
        ("nvidia.com/cc.mode", "a person"),
        ("nvidia.com/cc.mode.state", "nodeagent where it is the authority"),
        ("feature.node.kubernetes.io/pci-10de.present", "node-feature-discovery"),
    ],
)
def test_a_label_that_is_nowhere_has_a_missing_writer(key: str, who: str) -> None:
    fix = told(pod(nodeSelector={key: "true"}), node(), node("b")).fix

    assert fix is not None
    assert fix.what == f"{key}=true: no node has this label"
    assert fix.who.startswith(who)


def test_a_label_of_nobody_we_know_has_no_writer() -> None:
    fix = told(pod(nodeSelector={"example.com/pool": "a"}), node()).fix

    assert fix is not None
    assert fix.who == ""


@pytest.mark.parametrize(
    ("name", "who"),
    [
        ("nvidia.com/pgpu", "NVIDIA's sandbox device plugin"),
        ("nvidia.com/gpu", "NVIDIA's device plugin for containers"),
        ("sev-snp.amd.com/esids", "node-feature-discovery"),
        ("nvidia.com/GH100_H100_PCIE", "NVIDIA's sandbox device plugin with P_GPU_ALIAS"),
    ],
)
def test_a_resource_that_is_nowhere_has_a_missing_writer(name: str, who: str) -> None:
    fix = told(pod({name: "1"}), node()).fix

    assert fix is not None
    assert fix.what == f"{name} 1: no node offers any"
    assert fix.who.startswith(who)


def test_a_label_with_another_value_says_what_that_means() -> None:
    fix = told(pod(nodeSelector={CC: "true"}), node(labels={CC: "false"})).fix

    assert fix is not None
    assert fix.what == f"{CC}=true: a has another value"
    assert "nvidia.com/cc.mode=on" in fix.do


GPU_NODE = {**KATA, CC: "true"}
CLASS = runtime_class(GPU_CLASS, nodeSelector={**KATA, CC: "true", SNP: "true"})
GPU_POD = pod({"nvidia.com/pgpu": "1"}, runtimeClassName=GPU_CLASS)


def test_what_stands_in_the_way_on_every_node_is_fixed_first() -> None:
    gpu = node("gpu", labels=GPU_NODE, room={"nvidia.com/pgpu": "8"})
    fix = told(GPU_POD, node("cpu", labels=KATA), gpu, CLASS).fix

    assert fix is not None
    assert fix.what.startswith(f"{SNP}=true (RuntimeClass {GPU_CLASS}): no node")


def test_where_nothing_is_common_the_nearest_node_is_fixed_first() -> None:
    gpu = node("gpu", labels={**GPU_NODE, SNP: "true"}, room={"nvidia.com/pgpu": "8"})
    gpu["spec"]["taints"] = [_taint()]
    fix = told(GPU_POD, node("cpu"), gpu, CLASS).fix

    assert fix is not None
    assert fix.what == "the taint k=v:NoSchedule on gpu"
    assert fix.do == "tolerate it in the pod, or `kubectl taint node gpu k:NoSchedule-`"


def test_whoever_holds_all_of_a_resource_is_named() -> None:
    gpu = node("gpu", labels={**GPU_NODE, SNP: "true"}, room={"nvidia.com/pgpu": "8"})
    fix = told(GPU_POD, gpu, CLASS, running("hog", "gpu", {"nvidia.com/pgpu": "8"})).fix

    assert fix is not None
    assert fix.what == "nvidia.com/pgpu 1: 0 free of 8"
    assert fix.why == ("held by default/hog",)


PLAIN = runtime_class("kata-qemu", nodeSelector=KATA)


def test_a_plain_kata_vm_with_a_gpu_is_never_confidential() -> None:
    asked = pod({"nvidia.com/gpu": "1"}, runtimeClassName="kata-qemu")
    passthrough = told(asked, node(labels=KATA, room={"nvidia.com/pgpu": "8"}), PLAIN)
    in_containers = told(asked, node(labels=KATA, room={"nvidia.com/gpu": "8"}), PLAIN)

    assert passthrough.fix is not None
    assert passthrough.fix.what == "this pod can never be confidential"
    assert "kata-qemu-nvidia-gpu-snp" in passthrough.fix.do
    assert "nvidia.com/pgpu: 1" in passthrough.fix.do
    assert in_containers.verdict is FITS
    assert [each.name for each in in_containers.notes] == ["never-confidential"]


@pytest.mark.parametrize(
    ("limits", "runtime"),
    [
        ({"nvidia.com/pgpu": "1"}, GPU_CLASS),
        ({"nvidia.com/pgpu": "1"}, "kata-qemu-nvidia-gpu-tdx-runtime-rs"),
        ({"cpu": "1"}, "kata-qemu"),
        ({"nvidia.com/gpu": "1"}, "nvidia"),
    ],
)
def test_nothing_is_said_against_other_pods(limits: Object, runtime: str) -> None:
    asked = pod(limits, runtimeClassName=runtime)

    assert told(asked, node(), runtime_class(runtime)).notes == ()


PPCIE = {"nvidia.com/cc.mode.state": "ppcie"}
ALL = {"nvidia.com/pgpu": "8", "nvidia.com/nvswitch": "4"}


@pytest.mark.parametrize(
    ("labels", "limits", "named"),
    [
        (PPCIE, ALL, []),
        (PPCIE, {**ALL, "nvidia.com/pgpu": "7"}, ["ppcie-in-part"]),
        (PPCIE, {"nvidia.com/pgpu": "8"}, ["ppcie-in-part"]),
        ({"nodeagent.io/gpu.cc-mode": "ppcie"}, {"nvidia.com/pgpu": "1"}, ["ppcie-in-part"]),
        (PPCIE, {"cpu": "1"}, []),
        ({"nvidia.com/cc.mode.state": "on"}, {"nvidia.com/pgpu": "2"}, ["several-on-hopper"]),
        ({"nvidia.com/cc.mode.state": "on"}, {"nvidia.com/pgpu": "1"}, []),
        (
            {"nvidia.com/cc.mode.state": "on", "nodeagent.io/gpu.chip": "GB100"},
            {"nvidia.com/pgpu": "2"},
            [],
        ),
        (
            {"nodeagent.io/gpu.cc-mode": "on", "nvidia.com/gpu.product": "NVIDIA-H200"},
            {"nvidia.com/GH100_H200_SXM5_141GB": "2"},
            ["several-on-hopper"],
        ),
        ({"nvidia.com/cc.mode.state": "off"}, {"nvidia.com/pgpu": "2"}, []),
    ],
)
def test_gpus_that_go_together_are_asked_for_together(
    labels: Object, limits: Object, named: list[str]
) -> None:
    found = told(pod(limits), node(labels=labels, room=ALL))

    assert [each.name for each in found.notes] == named


def test_a_node_that_is_out_of_the_question_is_not_warned_of() -> None:
    found = told(pod({"nvidia.com/pgpu": "1"}, nodeSelector={"a": "b"}), node(labels=PPCIE))

    assert found.notes == ()
