"""What a person on the node is told, beside an agent that switches, with and without the API."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.controlplane import words
from tests.controlplane.commands import environment
from tests.controlplane.switching import Site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.real.plane import ControlPlane

pytestmark = pytest.mark.timeout(600)

GPU = "0000:23:00.0"


@pytest.fixture
def site(plane: ControlPlane, node: str, tmp_path: Path) -> Iterator[Site]:
    with Site(plane, node, tmp_path) as site:
        yield site


def asked(site: Site, *words: str) -> tuple[int, dict[str, Any]]:
    """The command's code and answer, on the same machine and without any credentials."""
    command = [sys.executable, "-m", "nodeagent", *words, "--sim", str(site.machine.socket)]
    done = subprocess.run(
        [*command, "-o", "json"],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    told: dict[str, Any] = json.loads(done.stdout) if done.stdout else {}
    return done.returncode, told


def status(site: Site) -> dict[str, Any]:
    return asked(site, "status")[1]


def entries(site: Site, what: str) -> list[dict[str, Any]]:
    return [each for each in asked(site, "history")[1]["entries"] if each["what"] == what]


def test_status_counts_devices_while_they_are_switched(
    plane: ControlPlane, node: str, tmp_path: Path
) -> None:
    with Site(plane, node, tmp_path, rate=2.0) as site:
        site.start()
        site.until(lambda: status(site).get("authority") == {"is_ours": True, "who": "this agent"})
        site.ask("on")
        site.until(lambda: "booting" in ((status(site)["switch"] or {}).get("step") or ""))
        switch = status(site)["switch"]
        assert (switch["from"], switch["to"]) == ("off", "on")
        assert switch["of"] >= 8

        site.until_ready()
        site.until(lambda: status(site)["switch"] is None)
        assert status(site)["verdict"]["status"] == "True"
        results = [(each["result"], each["from"], each["to"]) for each in entries(site, "switch")]
        assert results == [("started", "off", "on"), ("done", "off", "on")]
        assert entries(site, "switch")[-1]["seconds"] > 0
        reasons = [each["to"] for each in entries(site, "condition")]
        assert reasons[-2:] == ["False Switching", "True AllChecksPassed"]


def test_who_blocks_and_since_when_is_told(site: Site) -> None:
    site.start()
    site.until(lambda: site.labels.get(words.CC_STATE) == "off")
    site.machine.machine.hold(GPU, 4242, "qemu-system-x86")
    site.ask("on")
    site.until(lambda: status(site).get("blocked"))

    blocked = status(site)["blocked"]
    assert "qemu-system-x86 (pid 4242" in blocked["by"]
    assert blocked["since"].endswith("Z")
    [waiting] = entries(site, "switch")
    assert (waiting["result"], waiting["from"], waiting["to"]) == ("waiting", "off", "on")

    site.machine.machine.release(GPU)
    site.until_ready()
    site.until(lambda: status(site)["blocked"] is None)


def test_check_goes_by_the_mode_of_the_label(site: Site) -> None:
    site.start(authority=False)
    assert asked(site, "check")[1]["wanted_mode"] is None

    site.ask("on")
    site.until(lambda: status(site).get("wanted", {}).get("mode") == "on")

    code, told = asked(site, "check")
    assert (code, told["wanted_mode"], told["root"]["code"]) == (1, "on", "GPU_MODE_UNWANTED")
    assert words.CC_MODE in told["wanted_by"]
    assert asked(site, "check", "--mode", "ppcie")[1]["wanted_mode"] == "ppcie"


def test_it_stays_true_while_the_api_server_is_away(site: Site) -> None:
    site.start()
    site.ask("on")
    site.until_ready()
    site.plane.stop_apiserver()
    try:
        site.until(lambda: status(site)["api"]["reachable"] is False)
        site.machine.machine.hold(GPU, 4242, "qemu-system-x86")
        told = status(site)
        assert told["running"]
        assert told["api"]["error"]
        assert told["wanted"]["mode"] == "on"
    finally:
        site.plane.start_apiserver()
    site.until(lambda: status(site)["api"]["reachable"] is True)
    assert [each["to"] for each in entries(site, "api")][-2:] == ["away", "reachable"]


def test_an_agent_that_was_killed_is_said_to_be_gone(site: Site) -> None:
    agent = site.start()
    site.until(lambda: asked(site, "status")[0] == 0)
    agent.kill()

    code, told = asked(site, "status")
    assert (code, told["running"]) == (3, False)
