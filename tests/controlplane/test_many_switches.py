"""Switch after switch, and every version of the Node looked at: the labels never lie."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING

import pytest

from tests.controlplane import words
from tests.controlplane.switching import Site
from tests.controlplane.witness import Version, Witness
from tests.unit.looks import EXAMPLES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.real.plane import ControlPlane

IN_FULL = EXAMPLES > 1000
SWITCHES = 500 if IN_FULL else 40
pytestmark = pytest.mark.timeout(3600)
MODES = ("on", "off", "ppcie", "devtools", "on", "ppcie", "off")
STATES = {"on": "true", "ppcie": "true", "off": "false", "devtools": None}


@pytest.fixture
def site(plane: ControlPlane, node: str, tmp_path: Path) -> Iterator[Site]:
    with Site(plane, node, tmp_path, rate=1000.0, period_s=5.0) as site:
        yield site


def test_no_version_of_the_node_says_ready_of_another_mode(site: Site) -> None:
    site.start()
    site.until(lambda: site.labels.get(words.CC_STATE) == "off")
    began = time.monotonic()
    with Witness(site.plane, site.node, site.machine.machine.modes) as seen:
        for number in range(SWITCHES):
            mode = MODES[number % len(MODES)]
            site.ask(mode)
            site.until(functools.partial(_is_so, site, mode))
    pace = SWITCHES / (time.monotonic() - began)

    print(f"switches: {SWITCHES}, {pace:.2f} a second; versions seen: {len(seen.versions)}")
    assert seen.lies == []
    assert {each.label for each in seen.during_switches() if _is_paused(each)} == {None}
    site.demand_whole()


def _is_paused(version: Version) -> bool:
    """From the pause on, and until the operands come back: no class may select the node."""
    return words.TOKEN in "".join(version.node["metadata"]["labels"].values())


def _is_so(site: Site, mode: str) -> bool:
    node = site.shown
    labels, notes = node["metadata"]["labels"], node["metadata"].get("annotations", {})
    settled = not {words.SWITCH, words.CORDONED} & notes.keys()
    return settled and (labels.get(words.CC_STATE), labels.get(words.CC_READY)) == (
        mode,
        STATES[mode],
    )
