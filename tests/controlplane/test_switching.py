"""Modes switched through a real API server: an agent that is the authority, on a served machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.controlplane import words
from tests.controlplane.switching import Site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.real.plane import ControlPlane

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def site(plane: ControlPlane, node: str, tmp_path: Path) -> Iterator[Site]:
    with Site(plane, node, tmp_path) as site:
        yield site


def test_a_label_switches_the_node_and_gives_everything_back(site: Site) -> None:
    site.start()
    site.until(lambda: site.labels.get(words.CC_STATE) == "off")

    site.ask("on")

    site.until_ready()
    assert set(site.modes().values()) == {"on"}
    site.demand_whole()
    last = site.last_switch()
    assert (last["from"], last["to"], last["result"]) == ("off", "on", "done")
