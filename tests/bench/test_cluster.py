"""What a switch through a real API server costs: from the label to the first step, and to ready."""

import statistics
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nodeagent.sim.device import BOOT_S, RESET_S
from tests.controlplane import words
from tests.controlplane.conftest import installed
from tests.controlplane.switching import Site
from tests.real.plane import ControlPlane

pytestmark = pytest.mark.timeout(900)

Figure = Callable[[str], None]
OWN_S = RESET_S + BOOT_S
GOAL, LIMIT = 1.25, 3.0
BEGINS_S, BEGINS_LATE_S = 0.05, 0.2
SWITCHES = 12


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with installed(tmp_path_factory.mktemp("plane") / "control") as plane:
        yield plane


@pytest.fixture
def site(plane: ControlPlane, tmp_path: Path) -> Iterator[Site]:
    plane.add_node("bench")
    with Site(plane, "bench", tmp_path, rate=1.0, has_operands=False, period_s=60.0) as site:
        yield site
    plane.remove_node("bench")


class _Watched:
    """When the Node first showed what, by a watch of its own."""

    def __init__(self, site: Site) -> None:
        since = site.shown["metadata"]["resourceVersion"]
        query = f"watch=1&fieldSelector=metadata.name={site.node}&resourceVersion={since}"
        self._path, self._api = f"/api/v1/nodes?{query}&timeoutSeconds=600", site.plane.api
        self._seen: list[tuple[float, dict[str, dict[str, dict[str, str]]]]] = []
        threading.Thread(target=self._see, daemon=True).start()

    def _see(self) -> None:
        for event in self._api.stream(self._path):
            self._seen.append((time.monotonic(), event["object"]))

    def first(self, so: Callable[[dict[str, str], dict[str, str]], bool], after: float) -> float:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            for at, node in list(self._seen):
                metadata = node["metadata"]
                if at > after and so(metadata["labels"], metadata.get("annotations", {})):
                    return at
            time.sleep(0.01)
        raise AssertionError("it never came")


def test_from_the_label_to_ready(site: Site, figure: Figure) -> None:
    site.start()
    site.ask("ppcie")
    site.until_ready()
    watched = _Watched(site)
    begins, whole = [], []
    for number in range(SWITCHES):
        mode = ("on", "ppcie")[number % 2]
        asked = time.monotonic()
        site.ask(mode)
        first = watched.first(lambda labels, _notes: words.CC_READY not in labels, asked)
        ready = watched.first(
            lambda labels, _notes, mode=mode: (  # type: ignore[misc]
                labels.get(words.CC_READY) == "true" and labels.get(words.CC_STATE) == mode
            ),
            first,
        )
        begins.append(first - asked)
        whole.append(ready - asked)
        site.until_settled()
    begins.sort()
    middle, late = statistics.median(begins), begins[-1]
    best = min(whole)

    figure(
        f"label written to first step: middle {middle * 1000:.0f} ms, latest of {SWITCHES} "
        f"{late * 1000:.0f} ms (goal {BEGINS_S * 1000:.0f} and {BEGINS_LATE_S * 1000:.0f} ms)"
    )
    figure(
        f"label to ready, 8 GPUs, without operands: {best / OWN_S:.2f} × reset and boot of one "
        f"(goal {GOAL:g}; {best:.2f} s of {OWN_S:.2f} s, own overhead {best - OWN_S:.2f} s)"
    )
    assert best / OWN_S <= LIMIT
