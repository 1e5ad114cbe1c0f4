"""What RuntimeClasses of a real API server say of a node, and who may ask for them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.controlplane import words
from tests.real.api import MERGE
from tests.real.wait import eventually, throughout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.controlplane.agents import Agents
    from tests.real.api import Object
    from tests.real.plane import ControlPlane

pytestmark = pytest.mark.timeout(600)

CLASSES = "/apis/node.k8s.io/v1/runtimeclasses"
ROLES = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
HANDLER = "kata-qemu-nvidia-gpu-snp"
POOL = "example.com/pool"
SIMULATED = "--publish-simulated"
TRUTH_S = 60.0
STAYS_S = 3.0


def show(plane: ControlPlane, node: str, *handlers: str) -> None:
    """As the kubelet of this boot would."""
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    listed = [{"name": name} for name in ("", "runc", *handlers)]
    info = dict.fromkeys(("architecture", "operatingSystem", "osImage", "machineID"), "")
    info |= dict.fromkeys(("systemUUID", "kernelVersion", "kubeProxyVersion"), "")
    info |= {"bootID": boot_id, "kubeletVersion": "v1.35.2"}
    info |= {"containerRuntimeVersion": "containerd://2.3.0"}
    status = {"nodeInfo": info, "runtimeHandlers": listed}
    plane.api.patch(f"{words.node_path(node)}/status", {"status": status}, MERGE)


@pytest.fixture
def made(plane: ControlPlane, node: str) -> Iterator[str]:
    """A class for confidential GPU pods that selects this node and one label that is not there."""
    plane.api.patch(words.node_path(node), {"metadata": {"labels": {POOL: node}}})
    body: Object = {
        "metadata": {"name": node},
        "handler": f"{HANDLER}-second",
        "scheduling": {"nodeSelector": {POOL: node}},
        "overhead": {"podFixed": {"cpu": "1", "sev-snp.amd.com/esids": "1"}},
    }
    plane.api.create(CLASSES, body)
    yield node
    plane.api.delete(f"{CLASSES}/{node}")


def reason(plane: ControlPlane, node: str) -> str:
    said = (words.condition(plane.node(node)) or {}).get("reason", "")
    return str(said)


def report(plane: ControlPlane, node: str) -> str:
    said = plane.node(node)["metadata"].get("annotations", {}).get(words.REPORT, "")
    return str(said)


def test_a_class_without_its_handler_keeps_the_node_from_being_ready(
    plane: ControlPlane, agents: Agents, made: str, hosts: Path
) -> None:
    show(plane, made, HANDLER)
    agents.start(made, hosts / "genoa-kubelet-ready", SIMULATED)
    eventually(lambda: reason(plane, made) == "HandlerMissing", within_s=TRUTH_S)
    assert not words.is_ready(plane.node(made))
    assert "OVERHEAD_NOT_OFFERED" in report(plane, made)

    show(plane, made, HANDLER, f"{HANDLER}-second")
    eventually(lambda: words.is_ready(plane.node(made)), within_s=TRUTH_S)


def test_without_the_right_to_list_classes_all_else_goes_on(
    plane: ControlPlane, agents: Agents, made: str, hosts: Path
) -> None:
    role = plane.api.get(f"{ROLES}/nodeagent")
    rules = [each for each in role["rules"] if "runtimeclasses" not in each["resources"]]
    assert rules != role["rules"]
    plane.api.patch(f"{ROLES}/nodeagent", {"rules": rules})
    try:
        show(plane, made, HANDLER)
        agent = agents.start(made, hosts / "genoa-kubelet-ready", SIMULATED)
        eventually(lambda: words.is_ready(plane.node(made)), within_s=TRUTH_S)
        throughout(lambda: words.is_ready(plane.node(made)), for_s=STAYS_S)
    finally:
        plane.api.patch(f"{ROLES}/nodeagent", {"rules": role["rules"]})
    assert agent.tail().count("no right to list runtimeclasses") == 1
