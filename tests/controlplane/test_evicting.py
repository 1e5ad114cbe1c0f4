"""Pods that hold a GPU are asked to go, by the real Eviction API, and never made to."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from nodeagent.kube.client import Api
from nodeagent.kube.evict import Evictions
from nodeagent.model.cluster import Guest
from nodeagent.model.seen import Unreadable
from tests.controlplane import words
from tests.controlplane.conftest import BASE
from tests.controlplane.guests import Guests
from tests.controlplane.operator import PGPU
from tests.controlplane.switching import Site
from tests.real.podresources import Kubelet
from tests.real.wait import eventually, throughout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.controlplane.agents import Agents
    from tests.real.plane import ControlPlane
    from tests.real.process import Process

pytestmark = pytest.mark.timeout(600)

GRANT = str(BASE.parent / "manage-evict")


@pytest.fixture
def kubelet(tmp_path: Path) -> Iterator[Kubelet]:
    with Kubelet(tmp_path / "kubelet.sock") as kubelet:
        yield kubelet


@pytest.fixture
def guests(plane: ControlPlane, node: str, kubelet: Kubelet) -> Iterator[Guests]:
    with Guests(plane, node, kubelet) as guests:
        yield guests


@pytest.fixture
def site(plane: ControlPlane, node: str, tmp_path: Path, kubelet: Kubelet) -> Iterator[Site]:
    socket = str(kubelet.socket)
    with Site(plane, node, tmp_path, pod_resources=socket, holders="evict") as site:
        yield site


@pytest.fixture
def granted(plane: ControlPlane) -> Iterator[None]:
    plane.kubectl("apply", "-k", GRANT)
    yield
    plane.kubectl("delete", "-k", GRANT)


def begin(site: Site, **config: object) -> Process:
    """An agent on a node that is off, asked for another mode."""
    agent = site.start(**config)
    site.until(lambda: site.labels.get(words.CC_STATE) == "off")
    site.ask("on")
    return agent


def blocked(site: Site) -> str:
    """What the condition says of who stands against the switch."""
    shown = site.condition()
    return str(shown.get("message", "")) if shown.get("reason") == "Blocked" else ""


@pytest.mark.usefixtures("granted")
def test_a_pod_whose_budget_lets_it_go_is_evicted_and_the_node_switched(
    site: Site, guests: Guests
) -> None:
    guests.add("vm")
    guests.budget("vm-budget", "vm", allowed=1)

    begin(site)

    site.until_ready()
    assert guests.names() == []
    assert set(site.modes().values()) == {"on"}
    site.demand_whole()
    [said] = [each["message"] for each in site.events() if each["reason"] == "Evicting"]
    assert said == f"ask pod {guests.namespace}/vm ({PGPU}) to go"


@pytest.mark.usefixtures("granted")
def test_12_a_budget_that_lets_nobody_go_gets_everything_back_and_is_named(
    site: Site, guests: Guests
) -> None:
    guests.add("vm")
    guests.budget("vm-budget", "vm", allowed=0)
    says = f"pod {guests.namespace}/vm ({PGPU}) cannot be evicted: The disruption budget vm-budget"

    begin(site, switch_deadline_s=8.0)

    site.until(lambda: says in blocked(site))
    assert words.CORDONED in site.annotations, "the node is kept free until the deadline"
    site.until(lambda: "was given up" in blocked(site))
    site.demand_whole()
    assert says in blocked(site)
    assert says in site.last_switch()["why"]
    assert site.last_switch()["result"] == "blocked"
    assert guests.names() == ["vm"], "it is never deleted instead"
    assert set(site.modes().values()) == {"off"}


@pytest.mark.usefixtures("granted")
def test_the_switch_goes_on_as_soon_as_the_budget_allows(site: Site, guests: Guests) -> None:
    guests.add("vm")
    guests.budget("vm-budget", "vm", allowed=0)
    begin(site)
    site.until(lambda: "vm-budget" in blocked(site))

    guests.allow("vm-budget")

    site.until_ready()
    assert guests.names() == []


@pytest.mark.usefixtures("granted")
def test_an_agent_that_dies_while_a_pod_goes_is_followed_by_one_that_goes_on(
    site: Site, guests: Guests
) -> None:
    guests.lingers = True
    guests.add("vm")
    agent = begin(site)
    site.until(lambda: "vm" in guests.leaving())
    agent.kill()

    site.start()
    throughout(lambda: set(site.modes().values()) == {"off"}, for_s=3.0)
    guests.lingers = False

    site.until_ready()
    site.demand_whole()


@pytest.mark.usefixtures("granted")
def test_two_budgets_of_one_pod_are_named_and_the_pod_stays(site: Site, guests: Guests) -> None:
    guests.add("vm")
    guests.budget("one", "vm", allowed=1)
    guests.budget("two", "vm", allowed=1)

    begin(site)

    site.until(lambda: "more than one PodDisruptionBudget" in blocked(site))
    assert guests.names() == ["vm"]


@pytest.mark.usefixtures("granted")
@pytest.mark.parametrize(
    ("owner", "spec", "says"),
    [
        ("DaemonSet", {}, "its DaemonSet would make it anew"),
        (None, {}, "nothing would make it anew, and evict_unmanaged is not set"),
        (
            "ReplicaSet",
            {"volumes": [{"name": "scratch", "emptyDir": {}}]},
            "its emptyDir scratch would be lost, and evict_unmanaged is not set",
        ),
    ],
    ids=["daemonset", "bare", "emptydir"],
)
def test_a_pod_that_would_lose_something_or_come_back_is_not_evicted(
    site: Site, guests: Guests, owner: str | None, spec: dict[str, object], says: str
) -> None:
    guests.add("vm", owner=owner, **spec)
    guests.add("other")

    begin(site)

    site.until(lambda: says in blocked(site))
    throughout(lambda: len(guests.names()) == 2, for_s=2.0)
    site.demand_whole()


@pytest.mark.usefixtures("granted")
def test_a_bare_pod_is_evicted_where_that_is_configured(site: Site, guests: Guests) -> None:
    guests.add("vm", owner=None, volumes=[{"name": "scratch", "emptyDir": {}}])

    begin(site, evict_unmanaged=True)

    site.until_ready()
    assert guests.names() == []


@pytest.mark.usefixtures("granted")
def test_a_pod_that_came_after_it_under_its_name_keeps_its_place(
    agents: Agents, node: str, guests: Guests
) -> None:
    guests.add("vm")
    api = Api(str(agents.kubeconfig(node, account=words.MANAGE)))
    with contextlib.closing(api):
        evictions = Evictions(api, node, unmanaged=False)
        [seen] = _told(evictions.seen([Guest(guests.namespace, "vm", (PGPU,))]))
        evictions.evict(seen._replace(uid="that-of-the-one-before"))
        evictions.evict(seen._replace(name="gone"))
        throughout(lambda: guests.names() == ["vm"], for_s=1.0)

        elsewhere = Evictions(api, "another-node", unmanaged=False)
        assert elsewhere.seen([seen]) == (), "its name is that of a pod of another node by now"

        evictions.evict(seen)
        eventually(lambda: guests.names() == [], within_s=10.0)
        assert evictions.seen([seen]) == ()


def _told(seen: tuple[Guest, ...] | Unreadable) -> tuple[Guest, ...]:
    assert isinstance(seen, tuple), seen
    return seen


@pytest.fixture
def may_read(plane: ControlPlane) -> Iterator[None]:
    """Somebody granted half of it."""
    account = f"--serviceaccount={words.NAMESPACE}:{words.MANAGE}"
    plane.kubectl("create", "clusterrole", "half", "--verb=get", "--resource=pods")
    plane.kubectl("create", "clusterrolebinding", "half", "--clusterrole=half", account)
    yield
    plane.kubectl("delete", "clusterrole,clusterrolebinding", "half")


@pytest.mark.parametrize(
    ("grant", "missing"), [(None, "read"), ("may_read", "evict")], ids=["nothing", "half"]
)
def test_without_the_right_to_evict_the_pod_is_waited_for_and_the_right_is_named(
    site: Site,
    guests: Guests,
    request: pytest.FixtureRequest,
    grant: str | None,
    missing: str,
) -> None:
    if grant:
        request.getfixturevalue(grant)
    guests.add("vm")

    begin(site)

    says = f"the right to {missing} it is missing: daemonset/manage-evict grants it"
    site.until(lambda: says in blocked(site))
    assert f"in use by pod {guests.namespace}/vm ({PGPU})" in blocked(site)
    site.demand_whole()
    assert guests.names() == ["vm"]
