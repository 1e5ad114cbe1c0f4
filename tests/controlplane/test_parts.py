"""What the tests here rely on: no part of a control plane outlives them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.controlplane.agents import ROOT
from tests.real.wait import eventually

KILLED_WITH_A_PART = """
import os, signal, sys
from pathlib import Path
from tests.real.process import Process
part = Process(["sleep", "600"], Path(sys.argv[1]))
print(part.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_part_dies_with_whoever_started_it(tmp_path: Path) -> None:
    """However that one died: a test run that is killed cannot clean up."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED_WITH_A_PART, str(tmp_path / "log")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    part = int(done.stdout)
    eventually(lambda: not Path(f"/proc/{part}").exists(), within_s=10)
