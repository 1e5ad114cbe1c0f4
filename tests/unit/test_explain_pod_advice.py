"""The one thing to fix first, who should have written what is missing, and warnings."""

from __future__ import annotations

import pytest

from nodeagent import data
from nodeagent.data import writers
from nodeagent.explain.pod.words import Verdict
from tests.unit.pods import (
    CC,
    GPU_CLASS,
    KATA,
    SNP,
    Object,
    node,
    pod,
    running,
    runtime_class,
    told,
)

TAINT = {"key": "k", "value": "v", "effect": "NoSchedule"}


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


def test_what_is_common_comes_before_what_is_not() -> None:
    """Whatever its kind: no other fix would help both."""
    bare, small = node("bare", taints=[TAINT]), node("small", taints=[TAINT])
    small["metadata"]["labels"] = {"pool": "a"}
    small["status"]["allocatable"]["cpu"] = "1"
    fix = told(pod({"cpu": "2"}, nodeSelector={"pool": "a"}), bare, small).fix

    assert fix is not None
    assert fix.what == "the taint k=v:NoSchedule on bare, small"


def test_where_nothing_is_common_the_nearest_node_is_fixed_first() -> None:
    gpu = node("gpu", labels={**GPU_NODE, SNP: "true"}, room={"nvidia.com/pgpu": "8"})
    gpu["spec"]["taints"] = [TAINT]
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


def test_a_resource_that_only_the_class_asks_for_has_a_writer_too() -> None:
    counted = runtime_class("kata-qemu-snp", overhead={"sev-snp.amd.com/esids": "1"})
    fix = told(pod(runtimeClassName="kata-qemu-snp"), node(), counted).fix

    assert fix is not None
    assert fix.what.startswith("sev-snp.amd.com/esids 1, 1 of it overhead (RuntimeClass")
    assert fix.who.startswith("node-feature-discovery")


@pytest.mark.parametrize(
    ("name", "what"),
    [("a", "cpu 9: 8 allocatable"), ("c", "nodeName c: there is no such node")],
)
def test_a_pod_that_names_its_node_is_told_of_that_node(name: str, what: str) -> None:
    fix = told(pod({"cpu": "9"}, nodeName=name), node("a"), node("b")).fix

    assert fix is not None
    assert fix.what == what


PLAIN = runtime_class("kata-qemu", nodeSelector=KATA)


def test_a_plain_kata_vm_with_a_gpu_is_never_confidential() -> None:
    asked = pod({"nvidia.com/gpu": "1"}, runtimeClassName="kata-qemu")
    passthrough = told(asked, node(labels=KATA, room={"nvidia.com/pgpu": "8"}), PLAIN)
    in_containers = told(asked, node(labels=KATA, room={"nvidia.com/gpu": "8"}), PLAIN)

    assert passthrough.fix is not None
    assert passthrough.fix.what == "this pod can never be confidential"
    assert "kata-qemu-nvidia-gpu-snp" in passthrough.fix.do
    assert "nvidia.com/pgpu: 1" in passthrough.fix.do
    assert in_containers.verdict is Verdict.FITS
    assert [each.name for each in in_containers.notes] == ["never-confidential"]


def test_who_asks_for_a_plain_vm_with_a_gpu_is_warned_and_still_helped() -> None:
    """Kata has a class for it, which selects the nodes whose GPUs are not confidential."""
    plain = runtime_class("kata-qemu-nvidia-gpu", nodeSelector={CC: "false"})
    asked = pod({"nvidia.com/pgpu": "1"}, runtimeClassName="kata-qemu-nvidia-gpu")
    found = told(asked, node(labels={CC: "true"}, room={"nvidia.com/pgpu": "8"}), plain)

    assert found.fix is not None
    assert found.fix.what.startswith(f"{CC}=false")
    assert [each.name for each in found.notes] == ["never-confidential"]


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
