"""The table of a large cluster costs no more than twice what kubectl's list of it costs."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from tests.bench import nodes
from tests.bench.measure import alternately
from tests.controlplane import commands
from tests.real.build import binaries
from tests.real.plane import ControlPlane

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.timeout(600)

NODES = 5000
LIMIT = 2.0


def test_the_fleet_costs_at_most_twice_what_kubectl_costs(
    tmp_path: Path, figure: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", commands.environment()["PYTHONPATH"])
    with ControlPlane(tmp_path / "control") as plane:
        began = time.monotonic()
        nodes.add(plane, NODES)
        made_s = time.monotonic() - began
        size = len(json.dumps(plane.node("bench-00000")))
        kubectl = [
            *(str(binaries() / "kubectl"), f"--kubeconfig={plane.admin_kubeconfig}"),
            *(f"--cache-dir={tmp_path / 'cache'}", "get", "nodes", "-o", "json"),
        ]

        list_s, fleet_s = alternately(kubectl, commands.words(plane, "fleet"), rounds=1)
        told = json.loads(commands.typed(plane, "fleet", "-o", "json").stdout)

    figure(
        f"fleet, {NODES} nodes of {size / 1024:.1f} KiB: {fleet_s / list_s:.2f} × `kubectl get "
        f"nodes -o json` (limit {LIMIT:g}; {fleet_s:.2f} s of {list_s:.2f} s CPU; "
        f"made in {made_s:.0f} s)"
    )
    assert fleet_s / list_s <= LIMIT
    counted = {each["state"]: len(each["nodes"]) for each in told["groups"]["fix"]}
    quarter = NODES // len(nodes.KINDS)
    assert counted == dict.fromkeys(("not ready", "stale", "no agent", "ready"), quarter)
