"""Who was given a GPU is asked of a kubelet's pod-resources, and nobody loses one unasked.

The kubelet here is a gRPC server of the tests; the pods are objects of the real API server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.controlplane import words
from tests.controlplane.operator import PGPU
from tests.controlplane.switching import Site
from tests.real.podresources import Held, Kubelet
from tests.real.wait import throughout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.real.plane import ControlPlane

pytestmark = pytest.mark.timeout(600)

VM = Held("vm", "team-a", (PGPU,))


@pytest.fixture
def kubelet(tmp_path: Path) -> Iterator[Kubelet]:
    with Kubelet(tmp_path / "kubelet.sock") as kubelet:
        yield kubelet


@pytest.fixture
def site(plane: ControlPlane, node: str, tmp_path: Path, kubelet: Kubelet) -> Iterator[Site]:
    with Site(plane, node, tmp_path, pod_resources=str(kubelet.socket)) as site:
        yield site


def begin(site: Site, mode: str = "on", **config: object) -> None:
    """An agent on a node that is off, asked for another mode."""
    site.start(**config)
    site.until(lambda: site.labels.get(words.CC_STATE) == "off")
    site.ask(mode)


def blocked(site: Site) -> str:
    """What the condition says of who stands against the switch."""
    shown = site.condition()
    return str(shown.get("message", "")) if shown.get("reason") == "Blocked" else ""


def test_a_pod_that_holds_a_gpu_is_named_and_nothing_is_taken_from_the_node(
    site: Site, kubelet: Kubelet
) -> None:
    kubelet.pods = (Held("web"), VM)

    begin(site)

    site.until(lambda: f"in use by pod team-a/vm ({PGPU})" in blocked(site))
    throughout(lambda: words.CORDONED not in site.annotations, for_s=3.0)
    site.demand_whole()
    assert set(site.modes().values()) == {"off"}


def test_the_switch_goes_on_when_the_pod_is_gone(site: Site, kubelet: Kubelet) -> None:
    kubelet.pods = (VM,)
    begin(site)
    site.until(lambda: blocked(site))

    kubelet.pods = ()

    site.until_ready()
    assert set(site.modes().values()) == {"on"}


def test_a_kubelet_that_hangs_stops_the_switch(site: Site, kubelet: Kubelet) -> None:
    kubelet.hangs = True

    begin(site)

    site.until(lambda: "cannot be told" in blocked(site))
    site.demand_whole()
    assert set(site.modes().values()) == {"off"}


def test_a_pod_that_comes_while_the_node_is_prepared_stops_the_switch(
    site: Site, kubelet: Kubelet
) -> None:
    """Bound before the cordon, and listed by the kubelet only after it."""
    site.operator.stuck.add("vfio-manager")  # until then the switch waits for its pod to go
    begin(site)
    site.until(lambda: words.CORDONED in site.annotations)

    kubelet.pods = (VM,)
    site.operator.stuck.clear()

    site.until(lambda: "in use by pod team-a/vm" in blocked(site))
    assert set(site.modes().values()) == {"off"}
