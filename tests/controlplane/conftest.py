"""One real control plane for all tests here, with the manifests that we ship applied to it."""

from __future__ import annotations

import contextlib
import itertools
import re
from typing import TYPE_CHECKING

import pytest

from tests.controlplane import operator, words
from tests.controlplane.agents import ROOT, Agents
from tests.real.api import ApiError
from tests.real.plane import ControlPlane
from tests.real.wait import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


BASE = ROOT / "daemonset" / "base"

POLICY_S = 60.0  # a policy is obeyed some seconds after it was created

_serial = itertools.count(1)


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with installed(tmp_path_factory.mktemp("plane") / "control") as plane:
        yield plane


@contextlib.contextmanager
def installed(folder: Path) -> Iterator[ControlPlane]:
    """The DaemonSet comes along and makes no pods: no controller runs that would make them."""
    with ControlPlane(folder) as plane:
        plane.kubectl("apply", "-k", str(BASE))
        operator.install(plane)
        plane.kubectl("apply", "-k", str(BASE.parent / "manage"))
        for account in (words.ACCOUNT, words.MANAGE):
            _await_policy(plane, account)
        yield plane


def _await_policy(plane: ControlPlane, account: str) -> None:
    for name in ("policy-own", "policy-other"):
        plane.add_node(name)
    agent = plane.api_as(plane.node_token(account, words.NAMESPACE, "policy-own"))
    change = {"metadata": {"labels": {f"{words.PREFIX}probe": "true"}}}

    def the_policy_bites() -> bool:
        try:
            agent.patch(words.node_path("policy-other"), change)
        except ApiError as error:
            return "ValidatingAdmissionPolicy" in error.message
        return False

    eventually(the_policy_bites, within_s=POLICY_S)
    for name in ("policy-own", "policy-other"):
        plane.remove_node(name)


@pytest.fixture
def node(plane: ControlPlane, request: pytest.FixtureRequest) -> Iterator[str]:
    """A Node of the test's own, named after it."""
    told = re.sub(r"[^a-z0-9]+", "-", request.node.originalname.removeprefix("test_"))
    name = f"{told[:50].strip('-')}-{next(_serial)}"
    plane.add_node(name)
    yield name
    with contextlib.suppress(ApiError):  # a test may have deleted it
        plane.remove_node(name)


@pytest.fixture
def agents(plane: ControlPlane, tmp_path: Path) -> Iterator[Agents]:
    agents = Agents(plane, tmp_path)
    yield agents
    agents.end()
