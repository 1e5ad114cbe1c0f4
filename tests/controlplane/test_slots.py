"""Turns in a fleet: leases of a real API server, and clocks that the tests turn."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from nodeagent.agent.slots import Rollout, Slots
from nodeagent.config import window
from nodeagent.kube.client import Api
from nodeagent.kube.leases import DURATION_S, Leases
from nodeagent.model.words import CcMode
from tests.controlplane import words
from tests.controlplane.agents import Agents
from tests.real.api import ApiError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.real.api import Object
    from tests.real.plane import ControlPlane

ON, OFF = CcMode.ON, CcMode.OFF
LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{words.NAMESPACE}/leases"
NOON = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)  # a Wednesday


class _Fleet:
    """Some nodes that share slots, each with a clock of its own."""

    def __init__(self, plane: ControlPlane, api: Api) -> None:
        self.plane, self._leases = plane, Leases(api, words.NAMESPACE)
        self.passed_s = 0.0

    def node(self, name: str, *, skew_s: float = 0.0, **rollout: object) -> Slots:
        return Slots(
            self._leases,
            Rollout(**{"slots": 1, **rollout}),  # type: ignore[arg-type]
            holder=name,
            prefix=words.PREFIX,
            now=lambda: NOON + timedelta(seconds=self.passed_s + skew_s),
            clock=lambda: self.passed_s,
        )

    def annotate(self, **annotations: str | None) -> None:
        named = {f"{words.PREFIX}{key}": each for key, each in annotations.items()}
        change: Object = {"metadata": {"annotations": named}}
        self.plane.api.patch(f"{LEASES}/nodeagent-slot-0", change)


@pytest.fixture
def fleet(plane: ControlPlane, node: str, tmp_path: Path) -> Iterator[_Fleet]:
    api = Api(str(Agents(plane, tmp_path).kubeconfig(node, account=words.MANAGE)))
    _clear(plane)
    yield _Fleet(plane, api)
    api.close()
    _clear(plane)


def _clear(plane: ControlPlane) -> None:
    for each in plane.api.items(LEASES):
        plane.api.delete(f"{LEASES}/{each['metadata']['name']}")


def test_without_slots_it_is_always_our_turn(fleet: _Fleet) -> None:
    assert fleet.node("a", slots=0).seek(ON) == ""
    assert fleet.plane.api.items(LEASES) == []


def test_of_two_who_race_for_one_slot_one_has_it(fleet: _Fleet) -> None:
    for _ in range(10):
        nodes = [fleet.node(name) for name in "abcd"]
        both = threading.Barrier(len(nodes))

        def seek(node: Slots, both: threading.Barrier = both) -> str:
            both.wait()
            return node.seek(ON)

        with ThreadPoolExecutor(len(nodes)) as pool:
            said = list(pool.map(seek, nodes))
        assert sum(node.is_held for node in nodes) == said.count("") == 1, said
        for node in nodes:
            node.rest(is_well=True)


def test_as_many_as_there_are_slots(fleet: _Fleet) -> None:
    nodes = [fleet.node(name, slots=2) for name in "abc"]

    assert [node.seek(ON) == "" for node in nodes] == [True, True, False]
    assert "a has nodeagent-slot-0" in nodes[2].seek(ON)

    nodes[1].rest(is_well=True)
    assert nodes[2].seek(ON) == ""


def test_who_no_longer_renews_loses_it_by_the_clock_of_who_waits(fleet: _Fleet) -> None:
    """Skews of hours say nothing: a change that we saw counts from when we saw it."""
    gone, other = fleet.node("gone", skew_s=-7200), fleet.node("other", skew_s=7200)
    assert gone.seek(ON) == ""
    assert other.seek(ON) != ""

    fleet.passed_s += DURATION_S - 1
    assert other.seek(ON) != ""
    fleet.passed_s += 2
    assert other.seek(ON) == ""


def test_who_renews_keeps_it(fleet: _Fleet) -> None:
    busy, other = fleet.node("busy"), fleet.node("other", skew_s=3600)
    assert busy.seek(ON) == ""
    for _ in range(6):
        assert other.seek(ON) != ""
        fleet.passed_s += 50
        busy.keep()

    assert other.seek(ON) != ""


def test_the_same_node_started_again_has_its_slot_still(fleet: _Fleet) -> None:
    assert fleet.node("a").seek(ON) == ""

    assert fleet.node("a").seek(ON) == ""


def test_the_first_in_a_mode_goes_alone_until_it_was_well_for_the_soak(fleet: _Fleet) -> None:
    first, second = (fleet.node(name, slots=3, soak_s=60) for name in ("first", "second"))
    assert first.seek(ON) == ""
    assert "the first to try this mode" in second.seek(ON)

    first.ended(ON, failed=False)
    first.rest(is_well=True)
    assert second.seek(ON) != ""
    fleet.passed_s += 61
    first.rest(is_well=True)

    assert second.seek(ON) == ""
    assert fleet.node("third", slots=3, soak_s=60).seek(ON) == ""
    assert fleet.node("fourth", slots=3, soak_s=60).seek(OFF) != ""  # nobody has proven that


def test_a_canary_that_does_not_stay_well_proves_nothing_and_counts_as_failed(
    fleet: _Fleet,
) -> None:
    first = fleet.node("first", soak_s=60)
    second = fleet.node("second", soak_s=60, failures=1)
    assert first.seek(ON) == ""
    first.ended(ON, failed=False)
    fleet.passed_s += 10
    first.rest(is_well=False)

    assert "1 nodes failed within the last hour" in second.seek(ON)


def test_failures_of_the_last_hour_stop_the_fleet(fleet: _Fleet) -> None:
    for name in ("a", "b"):
        node = fleet.node(name, failures=2)
        assert node.seek(ON) == ""
        node.ended(ON, failed=True)
        node.rest(is_well=False)

    assert "2 nodes failed" in fleet.node("c", failures=2).seek(ON)
    fleet.passed_s += 3601
    assert fleet.node("c", failures=2).seek(ON) == ""


def test_a_freeze_stops_everybody_and_says_why(fleet: _Fleet) -> None:
    node = fleet.node("a")
    assert node.seek(ON) == ""
    node.rest(is_well=True)
    fleet.annotate(freeze="Black Friday")

    assert node.seek(ON) == "the fleet is frozen: Black Friday"
    fleet.annotate(freeze=None)
    assert node.seek(ON) == ""


@pytest.mark.parametrize(
    ("text", "is_open"),
    [
        ("11:00-13:00", True),
        ("13:00-14:00", False),
        ("22:00-12:30", True),
        ("Sat,Sun 00:00-24:00", False),
    ],
)
def test_nothing_begins_outside_of_the_windows(fleet: _Fleet, text: str, is_open: bool) -> None:
    said = fleet.node("a", windows=(window(text),)).seek(ON)

    assert (said == "") is is_open
    assert is_open or text in said


def test_the_account_can_do_nothing_else_to_leases(fleet: _Fleet, node: str) -> None:
    api = fleet.plane.api_as(fleet.plane.node_token(words.MANAGE, words.NAMESPACE, node))
    assert fleet.node("a").seek(ON) == ""

    for call in (
        lambda: api.delete(f"{LEASES}/nodeagent-slot-0"),
        lambda: api.items(LEASES),
        lambda: api.get("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/x"),
    ):
        with pytest.raises(ApiError, match="forbidden"):
            call()
