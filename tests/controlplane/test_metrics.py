"""What an agent in a cluster counts: requests, and switches by their end."""

from __future__ import annotations

import socket
import urllib.request
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.controlplane.switching import Site

if TYPE_CHECKING:
    from pathlib import Path

    from tests.real.plane import ControlPlane

pytestmark = pytest.mark.timeout(600)


def counted(port: int) -> dict[tuple[str, ...], float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        families = text_string_to_metric_families(answer.read().decode())
        return {
            (sample.name, *(each for _, each in sorted(sample.labels.items()))): sample.value
            for family in families
            for sample in family.samples
        }


def test_a_switch_and_its_requests_are_counted(
    plane: ControlPlane, node: str, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with Site(plane, node, tmp_path) as site:
        site.ask("on")
        site.start("--health", f"127.0.0.1:{port}")
        site.until_ready()
        before = counted(port)
        site.ask("ppcie")
        site.until(lambda: counted(port)["nodeagent_switch_total", "ok"] == 2)
        site.until_ready()
        found = counted(port)

    assert before["nodeagent_ready",] == found["nodeagent_ready",] == 1
    assert found["nodeagent_switch_duration_seconds_count",] == 2
    modes = {key[2] for key in found if key[0] == "nodeagent_gpu_cc_mode_info"}
    assert modes == {"ppcie"}
    matches = [
        each for key, each in found.items() if key[0] == "nodeagent_gpu_mode_matches_request"
    ]
    assert matches == [1.0] * len(matches) != []
    assert found["nodeagent_api_requests_total", "200", "WATCH"] >= 1
    assert (
        found["nodeagent_api_requests_total", "200", "PATCH"]
        > (before["nodeagent_api_requests_total", "200", "PATCH"])
    )
