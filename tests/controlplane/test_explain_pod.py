"""`explain pod` and the real scheduler answer alike, pair by pair; and what a person is told.

Each pod is pinned to a node of its own, so that no pair takes anything from another, and the
scheduler's answer is about that node: it binds the pod, or says what stood in the way.
"""

from __future__ import annotations

import collections
import json
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

import pytest
import yaml

from nodeagent.cli.main import main
from nodeagent.explain.pod import manifest, objects
from nodeagent.explain.pod.admission import admit
from nodeagent.explain.pod.judge import standings
from nodeagent.explain.pod.words import SCHEDULER, Kind
from nodeagent.kube import cluster as lists
from nodeagent.kube.client import Api
from tests.controlplane import words
from tests.controlplane.pairs import CLASSES, Pair, pairs
from tests.real.api import ApiError
from tests.real.wait import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nodeagent.explain.pod.nouns import Cluster
    from tests.real.api import Object
    from tests.real.plane import ControlPlane

pytestmark = pytest.mark.timeout(300)

SPACE = "pairs"
PODS = f"/api/v1/namespaces/{SPACE}/pods"
CLASS_PATH = "/apis/node.k8s.io/v1/runtimeclasses"
NODES = "/api/v1/nodes"
DECIDED_S = 120.0
PAGE = 40  # so that the lists come in several
AT_LEAST = 200
REFUSED_SHARE = 0.3

# How the scheduler says each reason of ours, once it is the only one.
ITS_WORDS = {
    Kind.CLASS: ("pod rejected", "conflict"),
    Kind.GATE: ("SchedulingGated",),
    Kind.SELECTOR: ("didn't match Pod's node affinity/selector",),
    Kind.AFFINITY: ("didn't match Pod's node affinity/selector", "[NodeAffinity]"),
    Kind.TAINT: ("had untolerated taint",),
    Kind.CORDON: ("were unschedulable",),
    Kind.RESOURCE: ("Insufficient", "Too many pods"),
    Kind.OVERHEAD: ("Insufficient",),
}


class Answer(NamedTuple):
    """The scheduler's, or the API server's where it took no such pod."""

    fits: bool
    words: str


class Judged(NamedTuple):
    pair: Pair
    kinds: frozenset[Kind]
    theirs: Answer

    @property
    def fits(self) -> bool:
        return not self.kinds & SCHEDULER


@pytest.fixture(scope="module")
def judged(plane: ControlPlane) -> Iterator[list[Judged]]:
    made = pairs()
    plane.add_namespace(SPACE)
    for each in CLASSES:
        plane.api.create(CLASS_PATH, each)
    for pair in made:
        _make(plane, pair)
    _await_heard(plane)
    with closing(Api(str(plane.admin_kubeconfig))) as api:
        before = objects.cluster(
            lists.nodes(api, page=PAGE),
            lists.runtime_classes(api, page=PAGE),
            lists.bound_pods(api, page=PAGE),
        )
    assert len(before.nodes) > len(made) > PAGE
    yield _asked(plane, made, before)
    _clear(plane, made)


def _make(plane: ControlPlane, pair: Pair) -> None:
    plane.add_node(pair.node, labels=pair.labels, resources=pair.room)
    if pair.node_spec:
        plane.api.patch(f"{NODES}/{pair.node}", {"spec": pair.node_spec})
    for index, spec in enumerate(pair.running):
        name = f"running-{pair.node}-{index}"
        body = {"metadata": {"name": name}, "spec": {**spec, "nodeName": pair.node}}
        plane.api.create(PODS, body)


def _await_heard(plane: ControlPlane) -> None:
    """It hears of nodes and of pods in their order: once the newest is bound, it knows all."""
    plane.add_node("heard", labels={"example.com/heard": "yes"})
    spec = {
        "nodeSelector": {"example.com/heard": "yes"},
        "containers": [{"name": "main", "image": "none"}],
    }
    plane.api.create(PODS, {"metadata": {"name": "heard"}, "spec": spec})

    def the_newest_is_bound() -> bool:
        return "nodeName" in plane.api.get(f"{PODS}/heard")["spec"]

    eventually(the_newest_is_bound, within_s=DECIDED_S)


def _asked(plane: ControlPlane, made: list[Pair], cluster: Cluster) -> list[Judged]:
    refused: dict[str, str] = {}
    for pair in made:
        try:
            plane.api.create(PODS, pair.pod)
        except ApiError as error:
            refused[pair.name] = error.message

    def every_pod_is_decided() -> dict[str, Answer]:
        found = {each["metadata"]["name"]: _answer(each) for each in plane.api.items(PODS)}
        waiting = [pair.name for pair in made if pair.name not in refused and not found[pair.name]]
        assert not waiting, waiting[:5]
        return {name: each for name, each in found.items() if each}

    decided = eventually(every_pod_is_decided, within_s=DECIDED_S, every_s=0.5)
    decided |= {name: Answer(False, words) for name, words in refused.items()}
    return [Judged(pair, _kinds(pair, cluster), decided[pair.name]) for pair in made]


def _answer(pod: Object) -> Answer | None:
    """None while it is undecided."""
    if "nodeName" in pod["spec"]:
        return Answer(True, "")
    for each in pod["status"].get("conditions", []):
        if each["type"] == "PodScheduled" and each["status"] == "False":
            return Answer(False, f"{each['reason']}: {each.get('message', '')}")
    return None


def _kinds(pair: Pair, cluster: Cluster) -> frozenset[Kind]:
    """What keeps this pod off this node, by our account."""
    [pod] = manifest.read(json.dumps(pair.pod).encode())
    admitted = admit(pod, cluster)
    if admitted.refused:
        return frozenset({admitted.refused.kind})
    [standing] = [each for each in standings(admitted, cluster) if each.node.name == pair.node]
    gates = {Kind.GATE} if pod.gates else set()
    return frozenset({*gates, *(each.kind for each in standing.reasons)})


def _clear(plane: ControlPlane, made: list[Pair]) -> None:
    plane.api.delete(f"{PODS}?gracePeriodSeconds=0")  # no kubelet is there to wait for
    assert not plane.api.items(PODS)
    for each in CLASSES:
        plane.api.delete(f"{CLASS_PATH}/{each['metadata']['name']}")
    for name in (*(pair.node for pair in made), "heard"):
        plane.remove_node(name)


def test_every_pair_is_judged_as_the_scheduler_judges_it(judged: list[Judged]) -> None:
    refused = [each for each in judged if not each.theirs.fits]
    wrong = [
        (each.pair, sorted(each.kinds), each.theirs)
        for each in judged
        if each.fits != each.theirs.fits
    ]
    print(f"pairs: {len(judged)}, refused: {len(refused)}, judged otherwise: {len(wrong)}")

    assert not wrong, wrong[:3]
    assert len(judged) >= AT_LEAST
    assert len(refused) >= REFUSED_SHARE * len(judged)


def test_each_rule_alone_refuses_and_lets_pass(judged: list[Judged]) -> None:
    answers: dict[str, list[bool]] = {}
    for each in judged:
        if len(each.pair.rules) == 1:
            answers.setdefault(each.pair.rules[0], []).append(each.theirs.fits)

    for rule, fits in answers.items():
        assert REFUSED_SHARE <= fits.count(False) / len(fits) <= 1 - REFUSED_SHARE, rule


def test_each_reason_alone_is_among_the_refusals(judged: list[Judged]) -> None:
    alone = [next(iter(each.kinds)) for each in judged if len(each.kinds) == 1]
    counts = collections.Counter(alone)
    print("alone:", ", ".join(f"{kind} {count}" for kind, count in sorted(counts.items())))

    assert set(counts) == SCHEDULER - {Kind.NAME}
    assert min(counts.values()) >= 3


def test_a_reason_that_stands_alone_is_the_schedulers_own(judged: list[Judged]) -> None:
    other = [
        (each.pair, kind, each.theirs.words)
        for each in judged
        for kind in each.kinds
        if len(each.kinds) == 1 and not any(word in each.theirs.words for word in ITS_WORDS[kind])
    ]

    assert not other, other[:3]


def test_every_operator_and_both_answers_of_it_are_among_the_pairs(judged: list[Judged]) -> None:
    seen = {
        (one["operator"], each.theirs.fits) for each in judged for one in each.pair.requirements()
    }

    for operator in ("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"):
        assert (operator, True) in seen
        assert (operator, False) in seen


ARTICLE = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "model"},
    "spec": {
        "runtimeClassName": "kata-qemu",
        "containers": [
            {"name": "main", "image": "model:1", "resources": {"limits": {"nvidia.com/gpu": 1}}}
        ],
    },
}
KATA_QEMU = {"metadata": {"name": "kata-qemu"}, "handler": "kata-qemu"}


def test_the_articles_pod_is_told_why_it_can_never_be_confidential(
    plane: ControlPlane, node: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a node that passes its GPUs through, as the stock plugin offers them."""
    plane.api.patch(
        f"{NODES}/{node}/status",
        {"status": {"capacity": {"nvidia.com/pgpu": "8"}, "allocatable": {"nvidia.com/pgpu": "8"}}},
    )
    plane.api.create(CLASS_PATH, KATA_QEMU)
    file = tmp_path / "article.yaml"
    file.write_text(yaml.safe_dump(ARTICLE))
    command = ["explain", "pod", str(file), "--kubeconfig", str(plane.admin_kubeconfig)]
    try:
        with pytest.raises(SystemExit) as stop:
            main([*command, "--node", node])
    finally:
        plane.api.delete(f"{CLASS_PATH}/kata-qemu")
    said = " ".join(capsys.readouterr().out.split())

    assert stop.value.code == 1
    assert "fits nowhere, on none of 1 node" in said
    assert "Fix first: this pod can never be confidential" in said
    assert "neither SEV-SNP nor TDX encrypts it" in said
    assert "write runtimeClassName: kata-qemu-nvidia-gpu-snp" in said
    assert "resources.limits nvidia.com/pgpu: 1" in said


def test_whoever_may_list_only_nodes_is_told_what_could_not_be_counted(
    plane: ControlPlane, node: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = _who_lists_nodes(plane, tmp_path / "reader.kubeconfig")
    file = tmp_path / "pod.yaml"
    file.write_text(
        yaml.safe_dump({**ARTICLE, "spec": {"containers": ARTICLE["spec"]["containers"][:1]}})  # type: ignore[index]
    )

    with pytest.raises(SystemExit) as stop:
        main(
            ["explain", "pod", str(file), "--kubeconfig", str(config), "--node", node, "-o", "json"]
        )
    [told] = json.loads(capsys.readouterr().out)["pods"]

    assert stop.value.code == 1
    assert told["not_judged"] == [
        "what running pods leave: they could not be listed, and none is counted"
    ]


def test_whoever_may_list_no_nodes_is_told_what_it_takes(
    plane: ControlPlane, node: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The agent's own account may read its Node, and list none."""
    token = plane.node_token(words.ACCOUNT, words.NAMESPACE, node)
    config = plane.kubeconfig(tmp_path / "agent.kubeconfig", token=token)
    file = tmp_path / "article.yaml"
    file.write_text(yaml.safe_dump(ARTICLE))

    with pytest.raises(SystemExit) as stop:
        main(["explain", "pod", str(file), "--kubeconfig", str(config)])
    said = capsys.readouterr().err

    assert stop.value.code == 3
    assert said.startswith("nodeagent: cannot list Nodes: the API server answered 403, ")
    assert "try: it takes the right to list nodes, runtimeclasses.node.k8s.io and pods" in said


def _who_lists_nodes(plane: ControlPlane, path: Path) -> Path:
    group = "/apis/rbac.authorization.k8s.io/v1"
    rule = {"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]}
    account = {"kind": "ServiceAccount", "name": "node-reader", "namespace": "default"}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "node-reader"}
    about = {"metadata": {"name": "node-reader"}}
    plane.api.create("/api/v1/namespaces/default/serviceaccounts", about)
    plane.api.create(f"{group}/clusterroles", {**about, "rules": [rule]})
    plane.api.create(
        f"{group}/clusterrolebindings", {**about, "subjects": [account], "roleRef": role}
    )
    token = plane.unbound_token("node-reader", "default")
    reader = plane.api_as(token)

    def the_role_is_heard_of() -> bool:
        return bool(reader.items(NODES))

    eventually(the_role_is_heard_of, within_s=30.0, despite=ApiError)
    return plane.kubeconfig(path, token=token)
