"""Operands that another program left paused come back, and never under a program that lives."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.controlplane import words
from tests.controlplane.operator import CC_MANAGER, DEPLOY
from tests.controlplane.switching import Site
from tests.controlplane.test_around import HANDLER, SIMULATED, show
from tests.real.wait import eventually, throughout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.controlplane.agents import Agents
    from tests.real.plane import ControlPlane

pytestmark = pytest.mark.timeout(600)

VFIO = f"{DEPLOY}vfio-manager"
VALIDATOR = f"{DEPLOY}sandbox-validator"
CC = f"{DEPLOY}{CC_MANAGER}"
WORD = "paused-for-cc-mode-change"
DRIVER = "paused-for-driver-upgrade"
AFTER_S = 2.0
STAYS_S = 6.0


@pytest.fixture
def site(plane: ControlPlane, node: str, tmp_path: Path) -> Iterator[Site]:
    """The handler of its machine is shown, and it is in the mode that is asked for."""
    with Site(plane, node, tmp_path, repair_after_s=AFTER_S) as site:
        show(plane, node, HANDLER)
        yield site


def _report(site: Site) -> str:
    return site.annotations.get(words.REPORT, "")


def test_what_a_dead_manager_left_paused_comes_back_and_is_told(site: Site) -> None:
    site.label({CC: "false", VFIO: WORD, VALIDATOR: f"{DRIVER}_{WORD}"})
    site.start(repair=True)

    site.until(lambda: site.labels[VFIO] == "true" and site.labels[VALIDATOR] == "true")

    said = [each for each in site.events() if each["reason"] == "OperandRestored"]
    assert {VFIO, VALIDATOR} <= {word for each in said for word in each["message"].split()}
    assert not site.started_switches()
    site.until(lambda: "vfio-manager" in site.operator.running)


def test_the_option_does_what_the_setting_does(site: Site) -> None:
    site.label({CC: "false", VFIO: WORD})
    site.start("--repair")

    site.until(lambda: site.labels[VFIO] == "true")


def test_without_being_told_to_it_only_names_the_label(site: Site) -> None:
    site.label({CC: "false", VFIO: WORD})
    site.start()

    site.until(lambda: "OPERAND_LEFT_PAUSED" in _report(site))
    assert f"{VFIO}={WORD}" in _report(site)
    throughout(lambda: site.labels[VFIO] == WORD, for_s=STAYS_S)


def test_nothing_is_repaired_against_a_living_cc_manager(site: Site) -> None:
    site.label({CC: "true", VFIO: WORD})
    site.until(lambda: CC_MANAGER in site.operator.running)
    site.start(repair=True)
    site.until(lambda: "profile" in str(words.ours(site.shown)))

    throughout(lambda: site.labels[VFIO] == WORD, for_s=STAYS_S)

    site.label({CC: "false"})
    site.until(lambda: site.labels[VFIO] == "true")


def test_nothing_is_repaired_before_its_time(site: Site) -> None:
    site.label({CC: "false", VFIO: WORD})
    site.start(repair=True, repair_after_s=3600)
    site.until(lambda: "OPERAND_LEFT_PAUSED" in _report(site))

    throughout(lambda: site.labels[VFIO] == WORD, for_s=STAYS_S)


def test_an_account_that_may_only_look_is_refused_and_says_so_once(
    plane: ControlPlane, agents: Agents, node: str, hosts: Path, tmp_path: Path
) -> None:
    show(plane, node, HANDLER)
    plane.api.patch(words.node_path(node), {"metadata": {"labels": {VFIO: WORD}}})
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps({"repair": True, "repair_after_s": 1}))
    options = ("--config", str(config), SIMULATED)
    agent = agents.start(node, hosts / "genoa-kubelet-ready", *options)

    eventually(lambda: "cannot give back" in agent.tail(), within_s=60)
    assert "ValidatingAdmissionPolicy" in agent.tail()
    throughout(lambda: plane.node(node)["metadata"]["labels"][VFIO] == WORD, for_s=STAYS_S)
    assert agent.tail().count("cannot give back") == 1
    assert words.is_ready(plane.node(node))
