"""`explain pod` at its edges: what it reads, what it refuses in one line, and how it says it."""

from __future__ import annotations

import io
import json
import os
import random
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from click.shell_completion import BashComplete

from nodeagent.cli.main import cli
from nodeagent.explain.pod import documents, manifest, objects
from nodeagent.explain.pod.answer import answer
from nodeagent.explain.pod.document import document
from nodeagent.explain.pod.text import show
from tests.unit.command import run
from tests.unit.pods import (
    CC,
    KATA,
    SNP,
    Object,
    expression,
    node,
    pod,
    running,
    runtime_class,
    terms,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KINDS = ("Deployment", "StatefulSet", "DaemonSet", "Job", "ReplicaSet", "ReplicationController")


def _owner(kind: str) -> Object:
    return {"kind": kind, "metadata": {"name": "o"}, "spec": {"template": pod({"cpu": "2"})}}


def _cron() -> Object:
    inner = {"spec": {"template": pod()}}
    return {"kind": "CronJob", "metadata": {"name": "o"}, "spec": {"jobTemplate": inner}}


def _titles(*documents_: Object) -> list[str]:
    return [each.title for each in manifest.read(yaml.safe_dump_all(documents_).encode())]


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_has_a_pod_template_is_read(kind: str) -> None:
    assert _titles(_owner(kind)) == [f"{kind} o"]


def test_every_pod_of_a_manifest_is_read_and_nothing_else() -> None:
    service = {"kind": "Service", "metadata": {"name": "s"}, "spec": {"selector": {"a": "b"}}}
    listed = {"kind": "List", "items": [pod(), service]}

    assert _titles(_cron(), service, listed, _owner("Rollout")) == [
        "CronJob o",
        "model",
        "Rollout o",
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: on", True),
        ("a: 'on'", "on"),
        ("a: off", False),
        ("a: 1", 1),
        ("a: 1.5", 1.5),
        ("a: 1e3", 1000.0),
        ("a: 1Gi", "1Gi"),
        ("a: 2026-11-25", "2026-11-25"),
        ("a: ~", None),
        ("a: .inf", ".inf"),
        ("a: 1_000", "1_000"),
        ("a: |\n  x", "x"),
        ('{"a": "1"}', "1"),
    ],
)
def test_a_value_is_of_the_type_that_kubectl_gives_it(text: str, value: object) -> None:
    assert documents.read(text.encode()) == [{"a": value}]


POD = "kind: Pod\nmetadata: {name: m}\nspec:\n  containers: [{name: a, image: b}]\n"

BAD = {
    "no pod": ("kind: Service\n", "has no pod, and nothing with a pod template"),
    "empty": ("", "has no pod"),
    "text": ("hello", "is off: it is no table"),
    "list": ("[1, 2]", "is off: it is no table"),
    "no yaml": ("a: [", "is no YAML"),
    "bytes": ("\x00\x01", "is no YAML"),
    "alias": ("a: &x [1]\nb: *x\n", "uses an alias on line 2"),
    "tag": ("a: !!python/object:os.system x\n", "uses the tag"),
    "deep": ("[" * 100 + "]" * 100, "is nested deeper than 32"),
    "deep maps": ("{a: " * 100 + "}" * 100, "is nested deeper than 32"),
    "twice": ("a: 1\na: 2\n", "line 2 has a key twice"),
    "key": ("? [1]\n: 2\n", "has a key that is no text"),
    "documents": ("---\na: 1\n" * 501, "has more than 500 documents"),
    "large": ("#" * (documents.LIMIT + 1), "is larger than 1024 KiB"),
    "truth": (POD + "  nodeSelector: {x: on}\n", "spec.nodeSelector.x is true, which is no text"),
    "number": (POD + "  nodeSelector: {x: 1}\n", "spec.nodeSelector.x is 1, which is no text"),
    "selector": (POD + "  nodeSelector: [x]\n", "spec.nodeSelector is no table"),
    "quantity": (
        "kind: Pod\nspec: {containers: [{resources: {limits: {cpu: lots}}}]}\n",
        "spec.containers[0].resources.limits.cpu is no quantity: lots",
    ),
    "containers": ("kind: Pod\nspec: {containers: 3}\n", "spec.containers is no list"),
    "none": ("kind: Pod\nspec: {containers: []}\n", "spec.containers has none"),
    "operator": (
        POD + "  tolerations: [{key: a, operator: Like}]\n",
        "spec.tolerations[0].operator is neither Equal nor Exists",
    ),
    "keyless": (
        POD + "  tolerations: [{value: a}]\n",
        "has no key, which only Exists may leave out",
    ),
    "priority": (POD + "  priority: high\n", "spec.priority is no whole number"),
    "network": (POD + "  hostNetwork: perhaps\n", "spec.hostNetwork is neither true nor false"),
}
AFFINITY = {
    "no term": ("[]", "nodeSelectorTerms has none"),
    "operator": ("[{matchExpressions: [{key: a, operator: Is}]}]", "is none of In, NotIn"),
    "values": ("[{matchExpressions: [{key: a, operator: In}]}]", "values is empty"),
    "more": (
        "[{matchExpressions: [{key: a, operator: Exists, values: [b]}]}]",
        "does not go with Exists",
    ),
    "two": (
        "[{matchExpressions: [{key: a, operator: Gt, values: ['1', '2']}]}]",
        "must be one value for Gt",
    ),
    "bare": (
        "[{matchExpressions: [{key: a, operator: Gt, values: [1]}]}]",
        "values[0] is 1, which is no text: put it in quotes",
    ),
    "field": (
        "[{matchFields: [{key: spec.x, operator: In, values: [b]}]}]",
        "must be metadata.name",
    ),
}
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_OFF = [
    *BAD.values(),
    *(
        (
            f"{POD}  affinity: {{nodeAffinity: {{{_REQUIRED}: {{nodeSelectorTerms: {text}}}}}}}\n",
            why,
        )
        for text, why in AFFINITY.values()
    ),
]


@pytest.mark.parametrize(("text", "why"), _OFF, ids=[*BAD, *(f"affinity {k}" for k in AFFINITY)])
def test_a_manifest_that_is_off_is_refused_in_one_line(
    text: str, why: str, saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "pod.yaml"
    file.write_text(text)

    assert run("explain", "pod", file, "--cluster", saved) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert said.err.startswith(f"nodeagent: {file} ")
    assert why in said.err


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is no JSON"),
        ("[]", "is off: it is no table"),
        ('{"items": 1}', "is off: items is no list"),
        ('{"items": []}', "has no Node in its items"),
        ('{"items": [{"kind": "Pod"}]}', "has no Node in its items"),
        ('{"items": [1]}', "is off: items[0] is no table"),
        (
            '{"items": [{"kind": "Node", "metadata": {"name": "a\\u001b"}, "spec": 1}]}',
            "Node a?: spec",
        ),
        (
            '{"items": [{"kind": "Node", "status": {"allocatable": {"cpu": []}}}]}',
            "status.allocatable.cpu is no quantity",
        ),
        ("[" * 100_000, "is nested too deep"),
    ],
)
def test_a_cluster_that_is_off_is_refused_in_one_line(
    text: str, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, saved = tmp_path / "pod.yaml", tmp_path / "cluster.json"
    file.write_text(POD)
    saved.write_text(text)

    assert run("explain", "pod", file, "--cluster", saved) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert why in said


GPU_CLASS = "kata-qemu-nvidia-gpu-snp"
LONG = "very-long-name-of-a-node-such-as-clouds-like-to-give.eu-central-1.compute.internal"


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """One node of each sort, as `kubectl get` writes them."""
    items = [
        node("gpu-1", labels={**KATA, CC: "true"}, room={"nvidia.com/pgpu": "8"}),
        node("gpu-2", labels={**KATA, CC: "true"}, room={"nvidia.com/pgpu": "8"}),
        node("cpu-1", labels=KATA),
        node(
            LONG, taints=[{"key": "node-role.kubernetes.io/control-plane", "effect": "NoExecute"}]
        ),
        runtime_class(GPU_CLASS, nodeSelector={**KATA, CC: "true", SNP: "true"}),
        running("system", "cpu-1"),
    ]
    file = tmp_path / "cluster.json"
    file.write_text(json.dumps({"kind": "List", "items": items}))
    return file


@pytest.fixture
def gpu_pod(tmp_path: Path) -> Path:
    file = tmp_path / "gpu.yaml"
    file.write_text(
        yaml.safe_dump(pod({"nvidia.com/pgpu": "1"}, runtimeClassName=GPU_CLASS), sort_keys=False)
    )
    return file


def test_the_first_sentence_counts_and_the_second_says_what_to_fix(
    saved: Path, gpu_pod: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("explain", "pod", gpu_pod, "--cluster", saved) == 1
    first, _, second, *rest = capsys.readouterr().out.split("\n")

    assert first == "model: fits nowhere, on none of 4 nodes"
    assert second.startswith(f"Fix first: {SNP}=true")
    assert "  Written by: node-feature-discovery" in "\n".join(rest)
    assert "gpu-1, gpu-2 (2 nodes)" in rest
    assert f"* asked for by RuntimeClass {GPU_CLASS}" in rest


@pytest.mark.parametrize("more", [(), ("-v",), ("--node", "gpu-1", "--node", LONG)])
def test_it_fits_80_columns(
    saved: Path, gpu_pod: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...]
) -> None:
    run("explain", "pod", gpu_pod, "--cluster", saved, *more)
    lines = capsys.readouterr().out.split("\n")

    assert [line for line in lines if len(line) > 80] == []


def test_only_the_named_nodes_are_looked_at(
    saved: Path, gpu_pod: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("explain", "pod", gpu_pod, "--cluster", saved, "-o", "json")
    assert run(*words, "--node", "cpu-1") == 1
    [found] = json.loads(capsys.readouterr().out)["pods"]
    assert [each["name"] for each in found["nodes"]] == ["cpu-1"]

    assert run(*words, "--node", "gpu-3") == 2
    assert "there is no node 'gpu-3'\n  try: did you mean gpu-" in capsys.readouterr().err


def test_data_says_the_same(saved: Path, gpu_pod: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("explain", "pod", gpu_pod, "--cluster", saved)
    assert run(*words, "-o", "json") == 1
    as_json = json.loads(capsys.readouterr().out)
    assert run(*words, "-o", "yaml") == 1
    assert yaml.safe_load(capsys.readouterr().out) == as_json
    [found] = as_json["pods"]

    assert as_json["version"] == 1
    assert found["verdict"] == "refused"
    assert found["fix"]["written_by"].startswith("node-feature-discovery")
    assert found["nodes"][1] == {
        "name": "gpu-1",
        "verdict": "refused",
        "schedulable": False,
        "reasons": [
            {
                "kind": "selector",
                "subject": f"{SNP}=true",
                "said": "no such label",
                "asked_by": f"RuntimeClass {GPU_CLASS}",
            }
        ],
    }


def test_a_pod_that_fits_is_said_to(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "pod.yaml"
    file.write_text(POD)

    assert run("explain", "pod", file, "--cluster", saved) == 0
    assert capsys.readouterr().out.startswith("m: fits on 3 of 4 nodes: cpu-1, gpu-1, gpu-2\n")


def test_what_is_not_judged_is_said_and_exits_4(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "pod.yaml"
    file.write_text(POD + "  resourceClaims: [{name: gpu}]\n")

    assert run("explain", "pod", file, "--cluster", saved) == 4
    out = capsys.readouterr().out
    assert out.startswith("m: cannot tell; 3 of 4 nodes may do")
    assert "  - resourceClaim gpu\n" in out


def test_a_manifest_may_come_through_a_pipe(
    saved: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(POD.encode())))
    assert run("explain", "pod", "-", "--cluster", saved) == 0

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"x: [")))
    assert run("explain", "pod", "-", "--cluster", saved) == 2
    assert "nodeagent: standard input is no YAML" in capsys.readouterr().err


def test_a_strangers_name_obeys_no_terminal(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = pod(nodeSelector={"a\x1b[31m": "b\n"})
    hostile["metadata"]["name"] = "\x1b[2Jm"
    file = tmp_path / "pod.json"
    file.write_text(json.dumps(hostile))

    run("explain", "pod", file, "--cluster", saved)
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "?[2Jm: fits nowhere" in out


JUNK: list[object] = [None, "", "x", "-1", "\x1b", -1, 1 << 70, 0.5, True, [], {}, [[]], {"": {}}]
EVERYTHING = pod(
    {"nvidia.com/pgpu": "1"},
    runtimeClassName=GPU_CLASS,
    nodeSelector={"a": "b"},
    tolerations=[{"key": "k", "operator": "Exists"}],
    affinity=terms({"matchExpressions": [expression("k", "Gt", "1")]}),
    initContainers=[{"name": "i", "restartPolicy": "Always"}],
    topologySpreadConstraints=[{"topologyKey": "zone"}],
    volumes=[{"name": "v", "emptyDir": {}}],
    overhead={"cpu": "1"},
    resources={"limits": {"cpu": "1"}},
)


def _places(value: object) -> Iterator[tuple[Any, Any]]:
    """Every container within, with each of its keys."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value)  # type: ignore[arg-type]
    for key, inner in list(pairs):
        yield value, key
        if isinstance(inner, dict | list):
            yield from _places(inner)


def _damaged(sound: Object, dice: random.Random) -> Object:
    found: Object = json.loads(json.dumps(sound))
    for _ in range(dice.randrange(1, 3)):
        holder, key = dice.choice(list(_places(found)))
        holder[key] = dice.choice(JUNK)
    return found


def test_no_damage_to_a_manifest_or_a_cluster_ends_in_a_traceback(saved: Path) -> None:
    dice = random.Random(6)
    whole = json.loads(saved.read_text())
    refused: list[str] = []
    for _ in range(500):
        asked, there = dice.choice(
            [(_damaged(EVERYTHING, dice), whole), (EVERYTHING, _damaged(whole, dice))]
        )
        try:
            [found] = manifest.read(json.dumps(asked).encode())
            told = answer(found, objects.saved(json.dumps(there).encode()))
        except ValueError as error:
            refused.append(str(error))
            continue
        assert show([told], paint=lambda text, _: text)
        assert document([told])
    assert 100 < len(refused) < 480
    assert [each for each in refused if "\n" in each] == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("explain", "pod"), "Missing argument 'FILE'"),
        (("explain", "pod", "/no/such/file"), "cannot read /no/such/file: No such file"),
        (("explain", "pod", "/"), "cannot read /: Is a directory"),
        (("explain", "pod", "x", "--nodes"), "No such option"),
    ],
)
def test_wrong_words_are_refused(
    words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*words) == 2
    assert said in capsys.readouterr().err


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With a kubeconfig that is none."""
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube" / "config").write_text("hello")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "in_a_pod", "said"),
    [
        (("--kubeconfig", "/no/such"), "", "cannot use the kubeconfig /no/such\n"),
        ((), "", "cannot use the kubeconfig {home}/.kube/config"),
        ((), "10.0.0.1", "no way to the cluster: this is no pod"),
    ],
)
def test_a_cluster_that_cannot_be_reached_is_no_answer(
    words: tuple[str, ...],
    in_a_pod: str,
    said: str,
    home: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The kubeconfig in the home folder is kubectl's own, and off limits within a pod."""
    if in_a_pod:
        os.environ["KUBERNETES_SERVICE_HOST"] = in_a_pod
    file = home / "pod.yaml"
    file.write_text(POD)

    assert run("explain", "pod", file, *words) == 3
    assert said.format(home=home) in capsys.readouterr().err


def test_it_has_help_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("explain", "pod", "--help") == 0
    out = capsys.readouterr().out
    assert out.startswith("Usage: nodeagent explain pod [OPTIONS] FILE\n")
    assert "Examples:" in out
    assert "4  cannot tell" in out


@pytest.mark.parametrize(
    ("before", "typed", "offered"),
    [
        (("explain",), "po", ["pod"]),
        (("explain", "pod"), "--clu", ["--cluster"]),
        (("explain", "pod", "x", "-o"), "j", ["json"]),
    ],
)
def test_its_words_are_completed(before: tuple[str, ...], typed: str, offered: list[str]) -> None:
    completer = BashComplete(cli, {}, "nodeagent", "_NODEAGENT_COMPLETE")

    assert [each.value for each in completer.get_completions(list(before), typed)] == offered
