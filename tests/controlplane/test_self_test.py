"""`self-test` with the accounts that we ship, and where somebody granted them too much."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.controlplane import words
from tests.controlplane.agents import Agents
from tests.controlplane.commands import environment
from tests.real.api import ApiError
from tests.real.wait import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.real.plane import ControlPlane

pytestmark = pytest.mark.timeout(600)

BINDINGS = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
TOO_MUCH = {
    "read the secrets of all namespaces",
    "list all Nodes",
    "delete a pod",
    "list the pods of all namespaces",
    "make a token of nodeagent/nodeagent",
    "bind the role of an admin",
    "delete the agent's policies",
}
KEPT_BY_POLICY = {"set a label of others of the own Node", "delete the own Node", "make a Node"}


@pytest.fixture
def other(plane: ControlPlane) -> Iterator[str]:
    plane.add_node("another")
    yield "another"
    plane.remove_node("another")


def told_to(
    plane: ControlPlane, node: str, folder: Path, account: str
) -> tuple[int, dict[str, Any]]:
    config = folder / "config.yaml"
    config.write_text(json.dumps({"authority": account == words.MANAGE}))
    kubeconfig = Agents(plane, folder).kubeconfig(node, account=account)
    return typed(node, str(kubeconfig), str(config))


def typed(node: str, kubeconfig: str, config: str) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "nodeagent", "self-test", "-o", "json"),
            *("--node-name", node, "--kubeconfig", kubeconfig, "--config", config),
        ],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    print(done.stderr)
    told: dict[str, Any] = json.loads(done.stdout) if done.stdout else {}
    return done.returncode, told


def answers(told: dict[str, Any]) -> dict[str, str]:
    return {each["what"]: each["answer"] for each in told["attempts"]}


@pytest.mark.parametrize("account", [words.ACCOUNT, words.MANAGE])
def test_the_accounts_that_we_ship_are_refused_everything(
    plane: ControlPlane, node: str, other: str, tmp_path: Path, account: str
) -> None:
    code, told = told_to(plane, node, tmp_path, account)

    assert set(answers(told).values()) == {"refused"}
    assert code == 0
    assert f"set a label of another Node ({other})" in answers(told)
    assert told["user"] == f"system:serviceaccount:nodeagent:{account}"
    assert len(told["attempts"]) >= 25


@pytest.fixture
def generous(plane: ControlPlane, node: str) -> Iterator[None]:
    """Somebody gave the account everything, as people do when something does not work."""
    account = {"kind": "ServiceAccount", "name": words.ACCOUNT, "namespace": words.NAMESPACE}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    metadata = {"name": "generous-to-test"}
    plane.api.create(BINDINGS, {"metadata": metadata, "roleRef": role, "subjects": [account]})
    agent = plane.api_as(plane.node_token(words.ACCOUNT, words.NAMESPACE, node))
    eventually(lambda: bool(agent.items("/api/v1/nodes")), within_s=60, despite=ApiError)
    yield
    plane.api.delete(f"{BINDINGS}/generous-to-test")


@pytest.mark.usefixtures("generous", "other")
def test_what_was_granted_too_much_is_named_and_changes_nothing(
    plane: ControlPlane, node: str, tmp_path: Path
) -> None:
    def everything() -> list[object]:
        paths = ("/api/v1/nodes", "/api/v1/pods", BINDINGS)
        found = [each["metadata"]["name"] for path in paths for each in plane.api.items(path)]
        return [*sorted(found), plane.node(node)["metadata"]["labels"], plane.node(node)["spec"]]

    before = everything()

    code, told = told_to(plane, node, tmp_path, words.ACCOUNT)

    found = answers(told)
    assert code == 1
    assert {what for what in TOO_MUCH if found[what] != "allowed"} == set()
    assert {what for what in KEPT_BY_POLICY if found[what] != "refused"} == set()
    assert everything() == before


def test_without_a_server_it_is_no_success(tmp_path: Path, plane: ControlPlane, node: str) -> None:
    kubeconfig = Agents(plane, tmp_path).kubeconfig(node)
    text = kubeconfig.read_text().replace(str(plane.server.port), "1")
    kubeconfig.write_text(text)
    config = tmp_path / "config.yaml"
    config.write_text("{}")

    assert typed(node, str(kubeconfig), str(config)) == (3, {})


def test_a_token_that_is_not_accepted_is_no_success(
    plane: ControlPlane, node: str, tmp_path: Path
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("{}")
    kubeconfig = plane.kubeconfig(tmp_path / "stale.kubeconfig", token="stale")  # noqa: S106

    assert typed(node, str(kubeconfig), str(config)) == (3, {})
