"""Our own program as a process on its node, as the tests start it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.controlplane import words
from tests.real.process import Process

if TYPE_CHECKING:
    from tests.real.plane import ControlPlane

ROOT = Path(__file__).parents[2]


class Agents:
    """Starts `nodeagent run` as it is started on a node, and ends what is left of it."""

    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        self._plane = plane
        self._folder = folder
        self._all: list[Process] = []

    def start(
        self,
        node: str,
        capture: Path,
        *options: str,
        kubeconfig: Path | None = None,
    ) -> Process:
        return self.start_on(node, "--capture", str(capture), *options, kubeconfig=kubeconfig)

    def start_on(self, node: str, *options: str, kubeconfig: Path | None = None) -> Process:
        """On a host that is named among the options."""
        if kubeconfig is None:
            kubeconfig = self.kubeconfig(node)
        memory = self._folder / f"{node}.run"  # kept from one agent of the node to the next
        memory.mkdir(exist_ok=True)
        command = [
            *(sys.executable, "-m", "nodeagent", "run"),
            *("--node-name", node, "--kubeconfig", str(kubeconfig)),
            *("--period", "1", "--health", "", *options),
            *("--run-dir", str(memory)),
        ]
        log = self._folder / f"{node}-{len(self._all)}.log"
        agent = Process(command, log, environment=_environment())
        self._all.append(agent)
        return agent

    def kubeconfig(self, node: str, *, account: str = words.ACCOUNT) -> Path:
        """The agent's account, bound to that Node."""
        token = self._plane.node_token(account, words.NAMESPACE, node)
        return self._plane.kubeconfig(self._folder / f"{node}-{account}.kubeconfig", token=token)

    def end(self) -> None:
        """What they said goes to the report of a test that failed."""
        for agent in self._all:
            code = agent.code()
            agent.kill()
            print(f"--- {agent.log.name} (exit code before the end: {code})\n{agent.tail()}")


def _environment() -> dict[str, str]:
    """This checkout's program, and nothing of the caller's that it would listen to."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("KUBE", "NODE", "NODEAGENT"))
    }
    return kept | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
