"""A control plane with all its controllers, and one real node, for all tests of this folder."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.node.agent import Agent
from tests.real import image
from tests.real.node import MOUNTED, Node, is_mounted
from tests.real.plane import ControlPlane

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.real.api import Object


@pytest.fixture(scope="session")
def node() -> Iterator[Node]:
    """Not below pytest's own folder: paths of sockets end at 107 bytes."""
    archive = image.agent()
    folder = Path(tempfile.mkdtemp(prefix="na-"))
    absent = [place for place in MOUNTED.values() if not place.exists()]
    try:
        with (
            ControlPlane(folder / "plane", controllers="*") as plane,
            Node(plane, "metal", folder / "node", images=[archive]) as started,
        ):
            yield started
    finally:
        shutil.rmtree(folder)
    assert [place for place in absent if place.exists() and not is_mounted(place)] == []


@pytest.fixture(scope="session")
def agent(node: Node, hosts: Path) -> Agent:
    shutil.copytree(hosts / "genoa-ready", node.captured, symlinks=True)
    return Agent(node)


@pytest.fixture
def workload(agent: Agent) -> Iterator[Object]:
    """A pod of the example's RuntimeClass, there before any node is ready for it."""
    agent.add_runtime_class()
    yield agent.add_workload()
    agent.remove_workload()
