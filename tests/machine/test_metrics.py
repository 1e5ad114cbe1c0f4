"""The agent's metrics as they are served and written, in the eyes of Prometheus' own checker."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import urllib.request
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.controlplane.agents import ROOT
from tests.real.process import Process
from tests.real.wait import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(120)

READY_S = 30.0


class Told(NamedTuple):
    """Where a running agent tells of itself."""

    port: int
    file: Path
    features: Path

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; ")
            text: str = answer.read().decode()
            return text


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Told]:
    """Without an API server, so that nothing else is needed."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    file, folder = tmp_path / "nodeagent.prom", tmp_path / "features.d"
    folder.mkdir()
    config = tmp_path / "config.yaml"
    keys = {"sink": "features.d", "features_d": str(folder), "announce": False}
    config.write_text(json.dumps({**keys, "textfile": str(file)}))
    command = [
        *(sys.executable, "-m", "nodeagent", "run", "--publish-simulated"),
        *("--capture", str(ROOT / "tests" / "hosts" / "genoa-ready"), "--config", str(config)),
        *("--period", "0.5", "--health", f"127.0.0.1:{port}", "--run-dir", str(tmp_path)),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    agent = Process(command, tmp_path / "log", environment=environment)
    try:
        eventually(file.exists, within_s=READY_S)
        yield Told(port, file, folder / "nodeagent.features")
    finally:
        agent.kill()
        print(agent.tail())


def promtool(text: str) -> subprocess.CompletedProcess[str]:
    command = ["promtool", "check", "metrics"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)


def test_promtool_has_nothing_to_say_against_what_is_served(told: Told) -> None:
    text = told.get("/metrics")

    found = promtool(text)

    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")
    assert "nodeagent_ready 1.0" in text


def test_promtool_would_tell() -> None:
    assert promtool("nodeagent_requests_total 1\nnodeagent_requests_total 1\n").returncode != 0


def test_the_text_file_says_the_same_and_goes_on(told: Told) -> None:
    before = told.file.read_text()

    assert promtool(before).returncode == 0
    assert "nodeagent_ready 1.0" in before
    eventually(lambda: told.file.read_text() != before, within_s=READY_S)


def test_what_the_probes_ask_is_there_without_an_api_server(told: Told) -> None:
    eventually(lambda: "nodeagent.io/ready=true" in told.features.read_text(), within_s=READY_S)
    assert told.get("/healthz") == "ok\n"
    eventually(lambda: told.get("/readyz") == "ok\n", within_s=READY_S, despite=OSError)


def test_without_an_api_server_its_library_is_not_loaded(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    keys = {"sink": "features.d", "features_d": str(tmp_path), "announce": False}
    config.write_text(json.dumps(keys))
    host = str(ROOT / "tests" / "hosts" / "genoa-ready")
    words = ["run", "--once", "--capture", host, "--config", str(config)]
    program = (
        f"import sys\nfrom nodeagent.cli.main import main\ntry:\n    main({words!r})\n"
        "except SystemExit:\n    print('MODULES', *sys.modules)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )

    loaded = set(done.stdout.rsplit("MODULES", 1)[1].split())
    assert "nodeagent.publish.features_d" in loaded
    assert loaded & {"kubernetes", "urllib3", "requests", "prometheus_client"} == set()
