"""The budgets, as ratios within one run; absolute figures are printed and not asserted."""

import socket
import subprocess
import sys
import tarfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nodeagent.capture.archive import open_capture
from nodeagent.cli.looking import look
from nodeagent.model.words import Level, Profile, Verdict
from tests.bench.measure import alternately, bare_import_mib, cpu_s, resident_mib
from tests.controlplane.agents import ROOT, Agents
from tests.hosts import kubernetes, pci, tree
from tests.hosts.base import genoa_ready
from tests.real.plane import ControlPlane
from tests.real.wait import eventually

pytestmark = pytest.mark.timeout(600)

Figure = Callable[[str], None]
CHECK_LIMIT = 2.0
CYCLE_LIMIT = 0.5
CAPTURE_BYTES = 2 << 20
CAPTURE_S = 2.0
RUN_EXTRA_MIB = 12.0
LIBRARIES = "click, yaml, kubernetes, prometheus_client"
# What a plain check has no use for; each would cost every start some milliseconds.
NOT_IMPORTED = {
    *("kubernetes", "yaml", "urllib3", "requests", "ssl", "http", "socketserver", "asyncio"),
    *("psutil", "pyudev", "prometheus_client", "tarfile", "tempfile", "subprocess", "logging"),
    *("nodeagent.kube", "nodeagent.agent", "nodeagent.publish", "nodeagent.report.document"),
    "nodeagent.boards",
}


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """192 CPUs, 8 GPUs, and a kubelet with all that starts such pods: the most there is to read."""
    draft = genoa_ready()
    for slot in range(7):
        bus = 0x81 + 8 * slot
        parent = pci.plug_port(draft, f"0000:{bus - 1:02x}:01.1", bus=bus, group=70 + 2 * slot)
        pci.plug_h100(
            draft,
            f"0000:{bus:02x}:00.0",
            parent,
            group=71 + 2 * slot,
            vfio=1 + slot,
            offset=0x4000000000 * (1 + slot),
        )
    kubernetes.node(draft)
    kubernetes.name_every_node(draft)
    folder = tmp_path_factory.mktemp("large") / "host"
    tree.write(draft.tree(), folder)
    with open_capture(str(folder)) as machine:
        _, judgement = look(machine, profile=Profile.SNP_GPU, want=None)
    assert (judgement.values.gpu_count, judgement.ready.exit_code) == (8, 0)
    assert judgement.levels[Level.RUNTIME].verdict is Verdict.PASS
    return folder


def test_check_costs_at_most_twice_its_libraries(large: Path, figure: Figure) -> None:
    libraries = [sys.executable, "-c", "import click, yaml"]
    check = [sys.executable, "-m", "nodeagent", "check", "--capture", str(large)]

    base_s, check_s = alternately(libraries, check, rounds=25)

    figure(
        f"check, 192 CPUs, 8 GPUs and a kubelet: {check_s / base_s:.2f} × `import click, yaml` "
        f"(limit {CHECK_LIMIT:g}; {check_s * 1000:.0f} ms of {base_s * 1000:.0f} ms CPU)"
    )
    assert check_s / base_s <= CHECK_LIMIT


def test_one_cycle_in_process_is_cheap(large: Path, figure: Figure) -> None:
    with open_capture(str(large)) as machine:
        look(machine, profile=Profile.SNP_GPU, want=None)
        began = time.process_time()
        rounds = 20
        for _ in range(rounds):
            look(machine, profile=Profile.SNP_GPU, want=None)
        cycle_s = (time.process_time() - began) / rounds
    base_s = cpu_s([sys.executable, "-c", "import click, yaml"])

    figure(
        f"one cycle, same host: {cycle_s / base_s:.2f} × `import click, yaml` "
        f"(limit {CYCLE_LIMIT:g}; {cycle_s * 1000:.1f} ms CPU)"
    )
    assert cycle_s / base_s <= CYCLE_LIMIT


def test_a_capture_is_small_and_soon_taken(large: Path, tmp_path: Path, figure: Figure) -> None:
    out = tmp_path / "capture.tar.gz"
    command = [sys.executable, "-m", "nodeagent", "capture", "--capture", str(large), str(out)]

    taken_s = cpu_s(command)

    packed = out.stat().st_size
    with tarfile.open(out) as archive:
        whole = sum(member.size for member in archive)
    figure(
        f"capture, same host: {whole / 1024:.0f} KiB, {packed / 1024:.0f} KiB packed "
        f"(limit {CAPTURE_BYTES >> 10} KiB), {taken_s:.2f} s CPU (limit {CAPTURE_S:g})"
    )
    assert whole < CAPTURE_BYTES
    assert taken_s < CAPTURE_S


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[ControlPlane]:
    with ControlPlane(tmp_path / "control") as plane:
        plane.kubectl("apply", "-k", str(ROOT / "daemonset" / "base"))
        yield plane


def test_run_keeps_little_more_than_its_libraries(
    plane: ControlPlane, large: Path, tmp_path: Path, figure: Figure
) -> None:
    plane.add_node("bench")
    agents = Agents(plane, tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    health = ("--health", f"127.0.0.1:{port}")  # as the DaemonSet has it, and with it the metrics
    agent = agents.start("bench", large, "--publish-simulated", *health)
    try:
        eventually(
            lambda: plane.node("bench")["metadata"]["labels"].get("nodeagent.io/ready") == "true",
            within_s=120,
        )
        for _ in range(15):  # some cycles and scrapes more: what grows would show
            time.sleep(1)
            urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).close()
        run_mib = resident_mib(agent.pid)
    finally:
        agents.end()
    bare_mib = bare_import_mib(sys.executable, LIBRARIES)

    figure(
        f"run, steady: {run_mib - bare_mib:.1f} MiB over `import {LIBRARIES}` "
        f"(limit {RUN_EXTRA_MIB:g}; {run_mib:.1f} MiB resident)"
    )
    assert run_mib - bare_mib <= RUN_EXTRA_MIB


def test_check_imports_only_what_it_uses(large: Path) -> None:
    program = (
        "import sys\nfrom nodeagent.cli.main import main\n"
        f"try:\n    main(['check', '--capture', {str(large)!r}])\n"
        "except SystemExit:\n    print('MODULES', *sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.rsplit("MODULES", 1)[1].split())

    assert "nodeagent.checks.judge" in loaded
    assert loaded & NOT_IMPORTED == set()
