"""Who holds a GPU, as the real kubelet tells it; the device plugin behind it is a stand-in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nodeagent.host import podresources
from nodeagent.host.podresources import Answer
from nodeagent.model.cluster import Guest
from tests.node.plugin import Plugin
from tests.real.api import ApiError
from tests.real.image import TOOLS
from tests.real.wait import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.real.api import Object
    from tests.real.node import Node

pytestmark = pytest.mark.timeout(300)

PGPU = "nvidia.com/pgpu"
PODS = "/api/v1/namespaces/default/pods"


@pytest.fixture(scope="module")
def offered(node: Node) -> Iterator[Node]:
    """The node, with eight devices."""
    with Plugin(node.folder / "kubelet" / "device-plugins", PGPU):
        eventually(
            lambda: node.object["status"]["allocatable"].get(PGPU) == "8",
            within_s=30.0,
            despite=KeyError,
        )
        yield node


@pytest.fixture
def names(offered: Node) -> Iterator[list[str]]:
    """Pods put here are gone afterwards."""
    names: list[str] = []
    yield names
    for name in names:
        offered.plane.api.delete(f"{PODS}/{name}?gracePeriodSeconds=0")


def guests(node: Node) -> tuple[Guest, ...]:
    """Through the node's own root, as the agent in its pod asks."""
    found = podresources.ask(str(node.folder), "/kubelet/pod-resources/kubelet.sock")
    assert isinstance(found, Answer), found
    return found.guests


def add(node: Node, name: str, *, init: bool = False, **limits: str) -> None:
    idle: Object = {"image": TOOLS, "imagePullPolicy": "Never"}
    holding = {**idle, "name": "holds", "resources": {"limits": limits}}
    spec: Object = {
        "nodeName": node.name,
        "hostNetwork": True,
        "terminationGracePeriodSeconds": 0,
        "containers": [{**idle, "name": "idles"} if init else holding],
    }
    if init:
        spec["initContainers"] = [{**holding, "restartPolicy": "Always"}]
    body = {"metadata": {"name": name}, "spec": spec}
    eventually(lambda: node.plane.api.create(PODS, body), within_s=10.0, despite=ApiError)


def test_a_pod_without_a_gpu_is_not_named(offered: Node, names: list[str]) -> None:
    names.append("plain")
    add(offered, "plain")

    eventually(lambda: _phase(offered, "plain") == "Running", within_s=30.0)
    assert guests(offered) == ()


@pytest.mark.parametrize("init", [False, True], ids=["container", "sidecar"])
def test_a_pod_with_a_gpu_is_named_until_it_is_gone(
    offered: Node, names: list[str], init: bool
) -> None:
    name = f"holder-{init:d}"
    names.append(name)
    add(offered, name, init=init, **{PGPU: "2"})

    eventually(lambda: guests(offered) == (Guest("default", name, (PGPU,)),), within_s=30.0)
    eventually(lambda: _phase(offered, name) == "Running", within_s=30.0)
    assert guests(offered) == (Guest("default", name, (PGPU,)),)

    offered.plane.api.delete(f"{PODS}/{names.pop()}")
    eventually(lambda: guests(offered) == (), within_s=30.0)


def _phase(node: Node, name: str) -> str:
    return str(node.plane.api.get(f"{PODS}/{name}")["status"].get("phase"))
