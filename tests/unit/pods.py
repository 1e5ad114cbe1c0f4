"""Pods and clusters in few words, for what explains the one by the other."""

from __future__ import annotations

import json
from typing import Any

from nodeagent.explain.pod import manifest, objects
from nodeagent.explain.pod.answer import Answer, answer
from nodeagent.explain.pod.nouns import Cluster, Pod

Object = dict[str, Any]

KATA = {
    "katacontainers.io/kata-runtime": "true",
    "kata-deploy.katacontainers.io/default": "true",
}
SNP, CC = "amd.feature.node.kubernetes.io/snp", "nvidia.com/cc.ready.state"
GPU_CLASS = "kata-qemu-nvidia-gpu-snp"
EVERY_TAINT = [{"operator": "Exists"}]


def node(name: str = "a", *, room: Object | None = None, **about: Any) -> Object:  # noqa: ANN401
    """`labels`, `taints`, `unschedulable`, `handlers` as they are; room beside the usual one."""
    usual = {"cpu": "8", "memory": "32Gi", "pods": "110"}
    found: Object = {
        "kind": "Node",
        "metadata": {"name": name, "labels": about.get("labels", {})},
        "spec": {"taints": about.get("taints", [])},
        "status": {"allocatable": {**usual, **(room or {})}},
    }
    if about.get("unschedulable"):
        found["spec"]["unschedulable"] = True
    if "handlers" in about:
        found["status"]["runtimeHandlers"] = [{"name": each} for each in about["handlers"]]
    return found


def runtime_class(name: str, *, handler: str = "", **scheduling: Any) -> Object:  # noqa: ANN401
    overhead = scheduling.pop("overhead", None)
    found = {"kind": "RuntimeClass", "metadata": {"name": name}, "handler": handler or name}
    if overhead:
        found["overhead"] = {"podFixed": overhead}
    return {**found, "scheduling": scheduling}


def container(**resources: Object) -> Object:
    return {"name": "main", "image": "none", "resources": resources}


def pod(limits: Object | None = None, **spec: Any) -> Object:  # noqa: ANN401
    containers = [container(limits=limits or {})]
    return {
        "kind": "Pod",
        "metadata": {"name": "model", "namespace": spec.pop("namespace", "default")},
        "spec": {"containers": containers, **spec},
    }


def running(name: str, on: str, limits: Object | None = None, **spec: Any) -> Object:  # noqa: ANN401
    found = pod(limits, nodeName=on, **spec)
    found["metadata"]["name"] = name
    return {**found, "status": {"phase": "Running"}}


def read(manifest_object: Object) -> Pod:
    [found] = manifest.read(json.dumps(manifest_object).encode())
    return found


def cluster(*items: Object) -> Cluster:
    """With one pod at least, so that what runs is known."""
    system = running("system", "nowhere")
    return objects.saved(json.dumps({"items": [*items, system]}).encode())


def told(asked: Object, *items: Object) -> Answer:
    return answer(read(asked), cluster(*items))


def reasons(asked: Object, *items: Object) -> list[str]:
    """What keeps the pod off the only node, as kind and subject."""
    [standing] = told(asked, *items).standings
    return [f"{each.kind} {each.subject}" for each in standing.reasons]


def terms(*those: Object) -> Object:
    required = {"nodeSelectorTerms": list(those)}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}


def expression(key: str, operator: str, *values: str) -> Object:
    return {"key": key, "operator": operator, "values": list(values)}
