"""An API server that is away, cut off, or slow while modes are switched through it."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING

import pytest

from tests.controlplane import words
from tests.controlplane.operator import DEPLOY
from tests.controlplane.switching import Site
from tests.controlplane.witness import Witness
from tests.real import kubeconfig
from tests.real.api import Server
from tests.real.wait import throughout
from tests.real.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.real.plane import ControlPlane

pytestmark = pytest.mark.timeout(600)

VFIO = f"{DEPLOY}vfio-manager"
AWAY_S = 6.0


@pytest.fixture
def site(plane: ControlPlane, node: str, tmp_path: Path) -> Iterator[Site]:
    with Site(plane, node, tmp_path) as site:
        yield site


@pytest.fixture
def wire(plane: ControlPlane) -> Iterator[Wire]:
    with Wire(plane.server.port) as wire:
        yield wire


def _begin(site: Site, wire: Wire, tmp_path: Path) -> None:
    """An agent behind the wire, with the node at rest in off."""
    token = site.plane.node_token(words.MANAGE, words.NAMESPACE, site.node)
    server = Server(wire.port, site.plane.server.ca)
    site.through = kubeconfig.for_token(tmp_path / "wired", server, token)
    site.start()
    site.until(lambda: site.labels.get(words.CC_STATE) == "off")


def test_cut_off_it_switches_nothing_and_goes_on_when_it_is_back(
    site: Site, wire: Wire, tmp_path: Path
) -> None:
    """Nobody is told of a partition: connections stay, and nothing comes through them."""
    _begin(site, wire, tmp_path)
    wire.is_held = True
    site.ask("on")

    throughout(lambda: set(site.modes().values()) == {"off"}, for_s=AWAY_S)
    wire.is_held = False

    site.until_ready()
    site.demand_whole()


def test_cut_off_with_operands_paused_it_touches_no_device(
    site: Site, wire: Wire, tmp_path: Path
) -> None:
    """What it read before may not be so any more."""
    site.operator.stuck.add("vfio-manager")
    _begin(site, wire, tmp_path)
    site.ask("on")
    site.until(lambda: words.TOKEN in site.labels[VFIO])
    wire.is_held = True
    site.operator.stuck.clear()

    throughout(lambda: set(site.modes().values()) == {"off"}, for_s=AWAY_S)
    wire.is_held = False

    site.until_ready()
    site.demand_whole()


def test_a_slow_server_makes_it_slow_and_nothing_else(
    site: Site, wire: Wire, tmp_path: Path
) -> None:
    _begin(site, wire, tmp_path)
    wire.delay_s = 0.15
    with Witness(site.plane, site.node, site.machine.machine.modes) as seen:
        site.ask("on")
        site.until_ready()
    assert seen.lies == []
    site.demand_whole()


def test_connections_that_break_at_any_moment_wedge_nothing(
    site: Site, wire: Wire, tmp_path: Path
) -> None:
    _begin(site, wire, tmp_path)
    chance, end = random.Random(1), threading.Event()

    def cut() -> None:
        while not end.wait(chance.uniform(0.1, 1.5)):
            wire.cut()

    cutter = threading.Thread(target=cut)
    cutter.start()
    try:
        with Witness(site.plane, site.node, site.machine.machine.modes) as seen:
            for mode in ("on", "off", "on"):
                site.ask(mode)
                site.until_settled_in(mode)
    finally:
        end.set()
        cutter.join()
    assert seen.lies == []
    site.until_ready()
    site.demand_whole()


def test_the_server_restarted_in_the_middle(site: Site) -> None:
    site.operator.stuck.add("vfio-manager")
    site.start()
    site.until(lambda: site.labels.get(words.CC_STATE) == "off")
    site.ask("on")
    site.until(lambda: words.TOKEN in site.labels[VFIO])

    site.plane.restart_apiserver()
    site.operator.stuck.clear()

    site.until_ready()
    site.demand_whole()
