"""Labels by way of NFD's files: what a scheduler sees of them, also when the agent dies."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.controlplane import words
from tests.controlplane.machine import Machine
from tests.controlplane.switching import Site
from tests.controlplane.test_publishing import (
    BROKEN_HOST,
    CYCLES_S,
    PUBLISHED_S,
    READY_HOST,
    SIMULATED,
    until_not_ready,
    until_ready,
    writes,
)
from tests.real.nfd import Nfd
from tests.real.wait import eventually, throughout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.controlplane.agents import Agents
    from tests.real.plane import ControlPlane
    from tests.real.process import Process

pytestmark = pytest.mark.timeout(600)

EXPIRED_S = 30.0  # five cycles of a second, NFD's next look, and a busy machine


class Files(NamedTuple):
    """The folder that the agent writes and NFD reads, and a configuration that names it."""

    folder: Path
    config: Path

    @property
    def options(self) -> tuple[str, ...]:
        return ("--config", str(self.config), SIMULATED)

    def configure(self, **more: object) -> None:
        told = {"sink": "features.d", "features_d": str(self.folder), **more}
        self.config.write_text(json.dumps(told))


@pytest.fixture
def files(tmp_path: Path) -> Files:
    files = Files(tmp_path / "features.d", tmp_path / "config.yaml")
    files.folder.mkdir()
    files.configure()
    return files


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path, READY_HOST)


@pytest.fixture
def nfd(plane: ControlPlane, node: str, files: Files) -> Iterator[Nfd]:
    with Nfd.of_files(plane.api, node, files.folder) as nfd:
        yield nfd


@pytest.fixture
def agent(agents: Agents, node: str, machine: Machine, files: Files) -> Process:
    return agents.start(node, machine.path, *files.options)


@pytest.mark.usefixtures("nfd", "agent")
def test_nfd_labels_the_node_and_the_agent_the_rest(plane: ControlPlane, node: str) -> None:
    found = until_ready(plane, node)

    assert words.ours(found)[words.PROFILE] == "snp-gpu"
    assert words.REPORT in found["metadata"]["annotations"]
    entries = found["metadata"]["managedFields"]
    ours = [each["fieldsV1"] for each in entries if each["manager"] == words.MANAGER]
    assert [each["f:metadata"]["f:labels"] for each in ours if "f:metadata" in each] == [{}]


@pytest.mark.usefixtures("nfd")
def test_ready_vanishes_when_the_agent_dies(plane: ControlPlane, node: str, agent: Process) -> None:
    until_ready(plane, node)

    agent.kill()

    eventually(lambda: not words.ours(plane.node(node)), within_s=EXPIRED_S)


@pytest.mark.usefixtures("nfd", "agent")
def test_what_is_no_longer_true_goes_from_file_and_node(
    plane: ControlPlane, node: str, machine: Machine, files: Files
) -> None:
    until_ready(plane, node)

    machine.become(BROKEN_HOST)

    until_not_ready(plane, node)
    [file] = files.folder.iterdir()
    assert words.READY not in file.read_text()
    machine.become(READY_HOST)
    until_ready(plane, node)


@pytest.mark.usefixtures("nfd", "agent")
def test_an_unchanged_machine_writes_only_its_file(
    plane: ControlPlane, node: str, files: Files
) -> None:
    until_ready(plane, node)
    time.sleep(CYCLES_S)
    before, [file] = writes(plane), files.folder.iterdir()
    was = file.stat().st_ino

    throughout(lambda: writes(plane) == before, for_s=CYCLES_S, every_s=0.5)

    assert file.stat().st_ino != was


@pytest.mark.usefixtures("nfd")
def test_labels_move_to_nfd_and_back(
    plane: ControlPlane, node: str, machine: Machine, agents: Agents, files: Files
) -> None:
    first = agents.start(node, machine.path, SIMULATED)
    labels = words.ours(until_ready(plane, node))
    first.kill()

    second = agents.start(node, machine.path, *files.options)
    eventually(lambda: list(files.folder.iterdir()), within_s=PUBLISHED_S)
    eventually(lambda: words.ours(plane.node(node)) == labels, within_s=PUBLISHED_S)
    second.kill()

    agents.start(node, machine.path, SIMULATED)
    eventually(lambda: words.ours(plane.node(node)) == labels, within_s=PUBLISHED_S)
    time.sleep(EXPIRED_S / 3)  # until NFD has dropped what it held for its own
    eventually(lambda: words.ours(plane.node(node)) == labels, within_s=PUBLISHED_S)


@pytest.mark.usefixtures("nfd")
def test_without_the_right_to_write_a_node_the_labels_are_there(
    plane: ControlPlane, node: str, machine: Machine, agents: Agents, files: Files
) -> None:
    """Not even through the agent's own account: one that may only read."""
    name = f"reader-{node}"
    path = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
    rules = [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "watch"]}]
    plane.api.create(path, {"metadata": {"name": name}, "rules": rules})
    account = {"kind": "ServiceAccount", "name": name, "namespace": words.NAMESPACE}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
    binding = {"metadata": {"name": name}, "roleRef": role, "subjects": [account]}
    plane.api.create("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding)
    accounts = f"/api/v1/namespaces/{words.NAMESPACE}/serviceaccounts"
    plane.api.create(accounts, {"metadata": {"name": name}})

    agent = agents.start(
        node, machine.path, *files.options, kubeconfig=agents.kubeconfig(node, account=name)
    )

    eventually(lambda: words.is_ready(plane.node(node)), within_s=PUBLISHED_S)
    time.sleep(CYCLES_S)
    assert words.condition(plane.node(node)) is None
    said = agent.log.read_text()
    assert said.count(f"without that right the condition {words.CONDITION} is off") == 1
    assert said.count("without that right the report is off") == 1


@pytest.mark.usefixtures("nfd")
def test_without_any_api_server_the_labels_are_there(
    plane: ControlPlane, node: str, machine: Machine, agents: Agents, files: Files
) -> None:
    files.configure(announce=False)

    nowhere = files.folder.parent / "none"
    agent = agents.start(node, machine.path, *files.options, kubeconfig=nowhere)

    eventually(lambda: words.is_ready(plane.node(node)), within_s=PUBLISHED_S)
    agent.kill()
    eventually(lambda: not words.ours(plane.node(node)), within_s=EXPIRED_S)


@pytest.mark.usefixtures("nfd")
def test_a_file_of_an_earlier_boot_goes_before_the_first_look(
    plane: ControlPlane, node: str, machine: Machine, agents: Agents, files: Files
) -> None:
    machine.become(BROKEN_HOST)
    later = "# written by nodeagent in boot 0\n# +expiry-time=2099-01-01T00:00:00Z\n"
    (files.folder / "nodeagent.features").write_text(f"{later}{words.READY}=true\n")
    eventually(lambda: words.is_ready(plane.node(node)), within_s=PUBLISHED_S)

    agents.start(node, machine.path, *files.options)

    until_not_ready(plane, node)


def test_a_switch_waits_until_nfd_has_taken_ready_from_the_node(
    plane: ControlPlane, node: str, files: Files, tmp_path: Path
) -> None:
    """NFD comes by every few seconds here; the GPUs stay as they are until it has."""
    told = json.loads(files.config.read_text())
    slow = Nfd.of_files(plane.api, node, files.folder, every_s=6.0)
    with Site(plane, node, tmp_path, **told) as site, slow:
        site.ask("on")
        agent = site.start()
        site.until_ready()
        since = site.shown["metadata"]["resourceVersion"]

        site.ask("ppcie")
        site.until(lambda: set(site.modes().values()) == {"ppcie"})
        site.until_settled()
        site.until_ready()

        steps = [
            (words.is_ready(each), words.SWITCH in each["metadata"].get("annotations", {}))
            for each in plane.api.history(words.node_path(node), since)
        ]
        assert (False, True) in steps
        assert (True, True) not in steps
        assert "until NFD has taken ready from the Node" in agent.log.read_text()
