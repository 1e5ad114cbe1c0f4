"""Our commands for people, as an administrator types them."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.controlplane.agents import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.real.plane import ControlPlane


def words(plane: ControlPlane, command: str, *options: str) -> list[str]:
    kubeconfig = f"--kubeconfig={plane.admin_kubeconfig}"
    return [sys.executable, "-m", "nodeagent", command, kubeconfig, *options]


def typed(
    plane: ControlPlane, command: str, *options: str, kubeconfig: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Without a terminal; `kubeconfig` in place of the administrator's."""
    told = words(plane, command, *options)
    if kubeconfig is not None:
        told.append(f"--kubeconfig={kubeconfig}")
    return subprocess.run(
        told,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def environment() -> dict[str, str]:
    """This checkout's program, and nothing of the caller's cluster."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("KUBE")}
    return kept | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
