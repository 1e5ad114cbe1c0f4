"""Twenty nodes, twenty agents, one scheduler: a confidential pod lands where it can run.

The pods and their RuntimeClass are the examples that we ship. The scheduler, the API server and
the agents are real; behind each node is a captured machine, and no kubelet.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest
import yaml

from tests.controlplane import words
from tests.controlplane.agents import ROOT, Agents
from tests.controlplane.machine import Machine
from tests.controlplane.switching import Site
from tests.hosts.expected import TABLE
from tests.real.wait import eventually, throughout

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.real.api import Object
    from tests.real.plane import ControlPlane
    from tests.real.process import Process

pytestmark = pytest.mark.timeout(600)

EXAMPLES = ROOT / "daemonset" / "examples"
HOSTS = (
    "genoa-ready",
    "genoa-ready-6.11",
    "genoa-ready-6.18",
    "genoa-ready-7.1",
    "genoa-ready-7.2",
    "genoa-two-gpus",
    "turin-ready",
    "genoa-gpu-d3cold",
    "genoa-gpu-devtools",
    "genoa-gpu-off",
    "genoa-gpu-on-nvidia",
    "genoa-in-vm",
    "genoa-iommu-off",
    "genoa-iommu-pt",
    "genoa-kvm-snp-disabled",
    "genoa-no-gpu",
    "genoa-no-privileges-6.11",
    "genoa-rmp-too-small",
    "genoa-two-gpus-mixed",
    "rome",
)
READY_HOST = "genoa-ready"
BROKEN_HOST = "genoa-iommu-pt"
SIMULATED = "--publish-simulated"

EXPECTED = {each.name: each for each in TABLE}
STATUS = {0: "True", 1: "False", 4: "Unknown"}  # of the condition, by exit code

TRUTH_S = 180.0  # twenty Python programs start on two cores
BOUND_S = 180.0  # after an outage the scheduler comes back by its own back-off
STAYS_S = 3.0
PODS = "/api/v1/namespaces/default/pods"

_serial = itertools.count(1)


@dataclass(slots=True)
class Member:
    """A node, the machine behind it, and who looks after it."""

    node: str
    host: str
    machine: Machine
    kubeconfig: Path
    agent: Process

    @property
    def should_be_ready(self) -> bool:
        return EXPECTED[self.host].exit == 0

    def become(self, host: str) -> None:
        self.host = host
        self.machine.become(host)

    def is_told_truly(self, node: Object) -> bool:
        """By the label and by the condition, down to the cause."""
        expect = EXPECTED[self.host]
        told = words.condition(node) or {}
        if words.is_ready(node) != self.should_be_ready:
            return False
        if told.get("status") != STATUS[expect.exit]:
            return False
        return expect.exit != 1 or told["reason"] == _camel(expect.root or "")


def _camel(code: str) -> str:
    return "".join(word.capitalize() for word in code.split("_"))


class Fleet:
    def __init__(self, plane: ControlPlane, agents: Agents, folder: Path) -> None:
        self.plane = plane
        self._agents = agents
        self.members = [self._join(host, folder / host) for host in HOSTS]

    def _join(self, host: str, folder: Path) -> Member:
        node = f"fleet-{host}"
        self.plane.add_node(node, resources={"nvidia.com/pgpu": "8"})
        folder.mkdir()
        machine = Machine(folder, host)
        kubeconfig = self._agents.kubeconfig(node)
        agent = self._agents.start(node, machine.path, SIMULATED, kubeconfig=kubeconfig)
        return Member(node, host, machine, kubeconfig, agent)

    def restart_agent(self, member: Member) -> None:
        """With the credentials it had: nobody may be there to give it others."""
        path, kubeconfig = member.machine.path, member.kubeconfig
        member.agent = self._agents.start(member.node, path, SIMULATED, kubeconfig=kubeconfig)

    def ready(self) -> list[Member]:
        return [each for each in self.members if each.should_be_ready]

    def broken(self) -> list[Member]:
        return [each for each in self.members if not each.should_be_ready]

    def await_truth(self) -> None:
        """Every node says of its machine what is so, and the scheduler has heard it."""

        def every_node_tells_the_truth() -> bool:
            told = {each.node: self.plane.node(each.node) for each in self.members}
            lies = [each.node for each in self.members if not each.is_told_truly(told[each.node])]
            assert not lies, lies
            return True

        eventually(every_node_tells_the_truth, within_s=TRUTH_S, every_s=0.5)
        self._await_scheduler()

    def _await_scheduler(self) -> None:
        """It hears of nodes in their order: when it knows the newest, it knows the others."""
        key, value = "example.com/heard", str(next(_serial))
        name = f"heard-{value}"
        self.plane.add_node(name, labels={key: value})
        with Pods(self.plane, 1, {"nodeSelector": {key: value}}) as pods:
            pods.await_bound()
        self.plane.remove_node(name)

    def leave(self) -> None:
        for member in self.members:
            member.agent.kill()
            self.plane.remove_node(member.node)


class Pods:
    """A number of pods for as long as a `with` block lasts."""

    def __init__(self, plane: ControlPlane, count: int, spec: Object | None = None) -> None:
        self._plane = plane
        self._names = [f"pod-{next(_serial)}" for _ in range(count)]
        self._spec = spec or {}

    def __enter__(self) -> Self:
        for name in self._names:
            body = {"metadata": {"name": name, "labels": {"app": "model"}}, "spec": self._full()}
            self._plane.api.create(PODS, body)
        return self

    def _full(self) -> Object:
        container = {"name": "main", "image": "none", "imagePullPolicy": "Never"}
        return {"containers": [container], **self._spec}

    def __exit__(self, *_: object) -> None:
        for name in self._names:  # there is no kubelet to wait for
            self._plane.api.delete(f"{PODS}/{name}?gracePeriodSeconds=0")

    def nodes(self) -> list[str | None]:
        """Where each pod is bound to, if it is."""
        found = [self._plane.api.get(f"{PODS}/{name}") for name in self._names]
        return [each["spec"].get("nodeName") for each in found]

    def are_refused(self) -> bool:
        """The scheduler has tried each, and told why it could not."""
        found = [self._plane.api.get(f"{PODS}/{name}") for name in self._names]
        return all(_reason(each) == "Unschedulable" for each in found)

    def await_bound(self) -> set[str]:
        def every_pod_is_bound() -> set[str]:
            nodes = {node for node in self.nodes() if node is not None}
            assert None not in self.nodes()
            return nodes

        return eventually(every_pod_is_bound, within_s=BOUND_S)


def _reason(pod: Object) -> str | None:
    found: list[Mapping[str, str]] = pod["status"].get("conditions", [])
    return next((each.get("reason") for each in found if each["type"] == "PodScheduled"), None)


def workload(plane: ControlPlane, count: int) -> Pods:
    """The example, that many times; evenly spread, so that a node left out would show."""
    spec: Object = yaml.safe_load((EXAMPLES / "workload.yaml").read_text())["spec"]
    spread = {
        "topologyKey": "kubernetes.io/hostname",
        "maxSkew": 1,
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "model"}},
    }
    return Pods(plane, count, spec | {"topologySpreadConstraints": [spread]})


@pytest.fixture(scope="module")
def running(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    plane.kubectl("apply", "-f", str(EXAMPLES / "runtimeclass.yaml"))
    folder = tmp_path_factory.mktemp("fleet")
    agents = Agents(plane, folder)
    fleet = Fleet(plane, agents, folder)
    yield fleet
    fleet.leave()
    agents.end()


@pytest.fixture
def fleet(running: Fleet) -> Fleet:
    """As it was made, whatever the test before did to it."""
    for member, host in zip(running.members, HOSTS, strict=True):
        if member.host != host:
            member.become(host)
    running.await_truth()
    assert len(running.ready()) >= 5
    assert len(running.broken()) >= 5
    return running


def test_pods_land_on_every_ready_node_and_on_no_other(plane: ControlPlane, fleet: Fleet) -> None:
    ready = {each.node for each in fleet.ready()}
    with workload(plane, 2 * len(ready) + 1) as pods:
        assert pods.await_bound() == ready
        most = max(pods.nodes().count(node) for node in ready)
        assert most == math.ceil((2 * len(ready) + 1) / len(ready))


def test_a_node_that_stops_being_ready_gets_no_new_pod(plane: ControlPlane, fleet: Fleet) -> None:
    for member in fleet.ready()[:2]:
        member.become(BROKEN_HOST)
    fleet.await_truth()

    with workload(plane, len(fleet.members)) as pods:
        assert pods.await_bound() == {each.node for each in fleet.ready()}


def test_a_pod_that_runs_stays_when_its_node_stops_being_ready(
    plane: ControlPlane, fleet: Fleet
) -> None:
    """Labels place pods; they evict none."""
    with workload(plane, len(fleet.ready())) as pods:
        before = pods.await_bound()
        fleet.ready()[0].become(BROKEN_HOST)
        fleet.await_truth()
        assert pods.await_bound() == before


def test_pods_wait_until_some_node_is_ready(plane: ControlPlane, fleet: Fleet) -> None:
    for member in fleet.ready():
        member.become(BROKEN_HOST)
    fleet.await_truth()

    with workload(plane, 3) as pods:
        eventually(pods.are_refused, within_s=BOUND_S)
        throughout(lambda: not any(pods.nodes()), for_s=STAYS_S)

        [chosen, *_] = fleet.members
        chosen.become(READY_HOST)
        assert pods.await_bound() == {chosen.node}


def test_the_truth_survives_restarts_of_everything(plane: ControlPlane, fleet: Fleet) -> None:
    """Machines change while their agents are dead, and others while the API server is away."""
    dead = fleet.members[::3]
    for member in dead:
        member.agent.kill()
    _swap(fleet.ready()[0], fleet.broken()[0])
    plane.stop_apiserver()
    _swap(fleet.ready()[-1], fleet.broken()[-1])
    for member in dead[::2]:
        fleet.restart_agent(member)  # it finds nobody to talk to
    plane.start_apiserver()
    for member in dead[1::2]:
        fleet.restart_agent(member)

    fleet.await_truth()

    assert all(each.agent.code() is None for each in fleet.members)
    ready = {each.node for each in fleet.ready()}
    with workload(plane, 2 * len(ready)) as pods:
        assert pods.await_bound() == ready


def _swap(one: Member, other: Member) -> None:
    host = one.host
    one.become(other.host)
    other.become(host)


SWITCHING = 3
PLACED = 25


def test_no_pod_is_placed_on_a_node_whose_mode_is_being_switched(
    plane: ControlPlane, fleet: Fleet, tmp_path: Path
) -> None:
    """Among unlike nodes that stand still, three that go back and forth between modes."""
    for member in fleet.ready():
        member.become(BROKEN_HOST)  # so that only those three are left, when they are ready
    fleet.await_truth()
    spec: Object = yaml.safe_load((EXAMPLES / "workload.yaml").read_text())["spec"]
    with contextlib.ExitStack() as stack:
        sites = {}
        for number in range(SWITCHING):
            node, folder = f"switching-{number}", tmp_path / str(number)
            folder.mkdir()
            plane.add_node(node, resources={"nvidia.com/pgpu": "8"})
            stack.callback(plane.remove_node, node)
            site = stack.enter_context(Site(plane, node, folder, rate=20.0, has_operands=False))
            site.start()
            site.ask("on")
            sites[node] = site
        for site in sites.values():
            site.until_ready()
        end = threading.Event()
        flips = [threading.Thread(target=_flip, args=(each, end)) for each in sites.values()]
        for flip in flips:
            flip.start()
        try:
            placed = [_place_one(plane, spec, sites) for _ in range(PLACED)]
        finally:
            end.set()
            for flip in flips:
                flip.join()
        switches = sum(site.started_switches() for site in sites.values())

    print(f"pods placed: {len(placed)}, while {switches} switches went on")
    assert set(placed) == {"on"}, placed
    assert switches > SWITCHING


def _flip(site: Site, end: threading.Event) -> None:
    for mode in itertools.cycle(("off", "on")):
        if end.is_set():
            return
        site.ask(mode)
        site.until_settled_in(mode)
        end.wait(0.5)


def _place_one(plane: ControlPlane, spec: Object, sites: Mapping[str, Site]) -> str:
    """The mode that its node's GPUs share as soon as it is seen to be bound."""
    with Pods(plane, 1, spec) as pods:
        [node] = pods.await_bound()
        modes = set(sites[node].modes().values())
    return modes.pop() if len(modes) == 1 else "unlike"
