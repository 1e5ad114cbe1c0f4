"""Many Nodes of the size that real ones have, made quickly."""

from __future__ import annotations

import datetime as dt
import http.client
import json
import ssl
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.real.plane import ControlPlane

_CALLERS = 4
PREFIX = "nodeagent.io/"
KINDS = ("ready", "broken", "stale", "bare")


def add(plane: ControlPlane, count: int) -> None:
    """Some of each kind, over few connections that stay open."""
    with ThreadPoolExecutor(_CALLERS) as pool:
        for done in [pool.submit(_add, plane, range(n, count, _CALLERS)) for n in range(_CALLERS)]:
            done.result()


def _add(plane: ControlPlane, numbers: range) -> None:
    pair, server = plane.admin_pair, plane.server
    context = ssl.create_default_context(cafile=server.ca)
    context.load_cert_chain(pair.cert, pair.key)
    connection = http.client.HTTPSConnection("127.0.0.1", server.port, context=context, timeout=60)
    headers = {"Content-Type": "application/json"}
    for number in numbers:
        connection.request(
            "POST", "/api/v1/nodes?fieldManager=kubelet", json.dumps(node(number)), headers
        )
        answer = connection.getresponse()
        told = answer.read()
        assert answer.status == http.HTTPStatus.CREATED, told
    connection.close()


def node(number: int) -> dict[str, Any]:
    """With what the kubelet, NFD, the GPU operator and our agent put on one."""
    name, kind = f"bench-{number:05}", KINDS[number % len(KINDS)]
    labels, notes, conditions = _others(name)
    if kind != "bare":
        ours, report, said = _of_ours(kind)
        labels |= ours
        notes[f"{PREFIX}report"] = report
        conditions.append(said)
    images = [
        {"names": [f"registry.example.com/team-{n}/part@sha256:{n:064x}"], "sizeBytes": n << 20}
        for n in range(20)
    ]
    room = {"cpu": "192", "memory": "1584Gi", "pods": "110", "nvidia.com/pgpu": "8"}
    status = {"capacity": room, "allocatable": room, "conditions": conditions, "images": images}
    metadata = {"name": name, "labels": labels, "annotations": notes}
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "status": status}


def _others(name: str) -> tuple[dict[str, str], dict[str, str], list[dict[str, str]]]:
    labels = {f"feature.node.kubernetes.io/cpu-cpuid.FEATURE{n}": "true" for n in range(40)}
    labels |= {"kubernetes.io/hostname": name, "nvidia.com/cc.mode": "on"}
    notes = {
        "nfd.node.kubernetes.io/feature-labels": ",".join(f"cpu-cpuid.F{n}" for n in range(40))
    }
    kinds = ("MemoryPressure", "DiskPressure", "PIDPressure", "Ready")
    return labels, notes, [_condition(kind, "False", f"Kubelet{kind}") for kind in kinds]


def _of_ours(kind: str) -> tuple[dict[str, str], str, dict[str, str]]:
    names = ("snp", "iommu", "kernel", "firmware", "gpu", "runtime")
    labels = {f"{PREFIX}{name}": "true" for name in names}
    values = {"gpu.chip": "H100", "gpu.count": "8", "gpu.cc-mode": "on", "tcb.snp": "23"}
    labels |= {f"{PREFIX}{name}": value for name, value in values.items()}
    report: dict[str, Any] = {"version": 1, "verdict": "ready", "boot_id": "0" * 36}
    report["proven"] = {f"0000:{n:02x}:00.0": "on" for n in range(8)}
    if kind == "broken":
        report["root"] = {"code": "IOMMU_PASSTHROUGH_OR_OFF", "seen": "iommu=pt", "do": "remove it"}
        said = _condition(f"{PREFIX}ConfidentialReady", "False", "IommuPassthroughOrOff")
        return labels, json.dumps(report), said
    labels |= {f"{PREFIX}ready": "true", f"{PREFIX}profile": "snp-gpu"}
    age_s = 7200 if kind == "stale" else 60
    said = _condition(f"{PREFIX}ConfidentialReady", "True", "AllChecksPassed", age_s)
    return labels, json.dumps(report), said


def _condition(kind: str, status: str, reason: str, age_s: int = 60) -> dict[str, str]:
    at = (dt.datetime.now(dt.UTC) - dt.timedelta(seconds=age_s)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": f"{reason}, as somebody has it to say in some words more than this",
        "lastHeartbeatTime": at,
        "lastTransitionTime": at,
    }
