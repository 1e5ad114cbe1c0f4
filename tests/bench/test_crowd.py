"""What five hundred agents ask of one API server, and what one asks that has nothing to do."""

import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from nodeagent import labels
from nodeagent.agent.following import Followed, minded
from nodeagent.kube.client import Api
from nodeagent.kube.node import NodeView
from nodeagent.kube.nodes import NodeClient
from nodeagent.labels import Condition, Status
from nodeagent.publish.apiserver import ApiServer
from nodeagent.publish.sink import Show
from tests.controlplane import words
from tests.controlplane.conftest import installed
from tests.controlplane.switching import Site
from tests.real.plane import ControlPlane

pytestmark = pytest.mark.timeout(900)

Figure = Callable[[str], None]
AGENTS = 500
IDLE_S = 20.0
KIND = labels.condition_type(labels.PREFIX)


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with installed(tmp_path_factory.mktemp("plane") / "control") as plane:
        yield plane


class _Agent:
    """The API side of one: a watch of its own Node, and a first report."""

    def __init__(self, name: str, kubeconfig: Path, stack: ExitStack) -> None:
        self.name = name
        self.woken = threading.Event()
        api, other = (stack.enter_context(closing(Api(str(kubeconfig)))) for _ in range(2))
        self.followed = Followed(
            NodeClient(api, condition_type=KIND),
            NodeClient(other, condition_type=KIND),
            woken=self.woken.set,
            minds=lambda node: minded(node, labels.PREFIX),
        )
        self._server = ApiServer(self.followed)
        stack.callback(self.followed.end)

    def report(self) -> None:
        self.followed.start()
        node = self._server.node(self.name)
        assert isinstance(node, NodeView)
        shown = {f"{labels.PREFIX}snp": "true", f"{labels.PREFIX}ready": "true"}
        ready = Condition(Status.TRUE, "AllChecksPassed", "all is well")
        self._server.publish(node, Show(shown, "{}", ready))


def test_five_hundred_agents_begin_at_once(plane: ControlPlane, figure: Figure) -> None:
    names = [f"crowd-{number}" for number in range(AGENTS)]
    with ExitStack() as stack, ThreadPoolExecutor(16) as pool:
        list(pool.map(plane.add_node, names))
        agents = [_Agent(name, plane.admin_kubeconfig, stack) for name in names]
        began = time.monotonic()
        list(pool.map(_Agent.report, agents))
        took = time.monotonic() - began
        end = time.monotonic() + 60
        while not all(each.followed.is_live for each in agents) and time.monotonic() < end:
            time.sleep(0.1)
        assert all(each.followed.is_live for each in agents)

        for each in agents:
            each.woken.clear()
        asked = time.monotonic()
        change = {"metadata": {"labels": {words.CC_MODE: "on"}}}
        list(pool.map(lambda name: plane.api.patch(words.node_path(name), change), names))
        heard = sum(each.woken.wait(60) for each in agents)
        woke = time.monotonic() - asked
        list(pool.map(plane.remove_node, names))

    # A GET, a watch, and two writes: what one process can drive here, not what a server can take.
    figure(
        f"{AGENTS} agents that begin at once: {AGENTS / took:.0f} first reports a second, "
        f"{4 * AGENTS / took:.0f} requests a second; all woken within {woke:.1f} s of their labels"
    )
    assert heard == AGENTS


def test_who_has_nothing_to_do_asks_nothing(
    plane: ControlPlane, tmp_path: Path, figure: Figure
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    plane.add_node("idle")
    with Site(plane, "idle", tmp_path, has_operands=False, period_s=0.5) as site:
        site.start("--health", f"127.0.0.1:{port}")
        site.until(lambda: site.labels.get(words.CC_STATE) == "off")
        time.sleep(2)
        before = _requests(port)
        time.sleep(IDLE_S)
        after = _requests(port)
    plane.remove_node("idle")

    hourly = (sum(after.values()) - sum(before.values())) * 3600 / IDLE_S
    figure(f"an idle authority: {hourly:.0f} API requests an hour beside heartbeat and watch")
    assert after == before


def _requests(port: int) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    told = [line.rsplit(" ", 1) for line in lines if line.startswith("nodeagent_api_requests")]
    return {name: float(value) for name, value in told}
