"""What a monitoring system asks, in Prometheus' words (kubernetes.md §6.3).

The last look is told whole at each scrape: a check or a device that is gone leaves nothing behind.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from nodeagent import __version__
from nodeagent.errors import HostError
from nodeagent.model.words import CcMode, Restart, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from nodeagent.model.findings import Finding, Judgement

CONTENT_TYPE = CONTENT_TYPE_LATEST
GIT_SHA = "NODEAGENT_GIT_SHA"
"""Set where an image is built; the sources alone do not know it."""

_STATES = {Verdict.PASS: 1, Verdict.WARN: 1, Verdict.FAIL: 0, Verdict.UNKNOWN: -1}
_GRAVEST_FIRST = (0, -1, 1)
_BOOTS = {Restart.REBOOT, Restart.POWER_CYCLE}
_CYCLE_S = (0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30, 120)
_SWITCH_S = (5, 15, 30, 60, 120, 300, 600, 1800, 3600)
SWITCHED = ("ok", "failed", "blocked", "withdrawn", "rolled_back")
"""How a switch ends; `done` is called ok here."""
UNREACHED = "error"


class Seen(NamedTuple):
    """What the last cycle found. `gpus`: every one that there is, its mode known or not."""

    judgement: Judgement | None = None
    is_ready: bool = False
    gpus: Collection[str] = ()
    modes: Mapping[str, CcMode] = {}
    asids_used: int | None = None


class Metrics:
    """Counts for as long as the process lives; any thread may ask for the text."""

    def __init__(self) -> None:
        # A time of creation for each counter would double what is scraped.
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
        self._all = CollectorRegistry(auto_describe=False)
        self._seen = Seen()
        self._all.register(_Last(lambda: self._seen))
        self._asked = Counter(
            "nodeagent_api_requests",
            "Requests to the API server, and what it answered.",
            ("verb", "code"),
            registry=self._all,
        )
        self._ended = Counter(
            "nodeagent_switch",
            "Switches of the mode by their end.",
            ("result",),
            registry=self._all,
        )
        for result in SWITCHED:
            self._ended.labels(result)
        self._switched = Histogram(
            "nodeagent_switch_duration_seconds",
            "From the note of a switch on the Node to its end.",
            buckets=_SWITCH_S,
            registry=self._all,
        )
        self._cycles = Histogram(
            "nodeagent_cycle_duration_seconds",
            "One cycle: look, judge, publish, and the part of a switch that fell into it.",
            buckets=_CYCLE_S,
            registry=self._all,
        )
        self._last = Gauge(
            "nodeagent_last_cycle_timestamp_seconds",
            "When the last cycle ended; alert on its age.",
            registry=self._all,
        )
        build = Gauge(
            "nodeagent_build_info", "This program.", ("version", "git_sha"), registry=self._all
        )
        build.labels(__version__, os.environ.get(GIT_SHA) or "unknown").set(1)

    def saw(self, seen: Seen) -> None:
        self._seen = seen

    def answered(self, verb: str, status: int | None) -> None:
        """A request and its answer; None where there was none."""
        self._asked.labels(verb, UNREACHED if status is None else str(status)).inc()

    def switched(self, result: str, seconds: float) -> None:
        self._ended.labels("ok" if result == "done" else result).inc()
        self._switched.observe(seconds)

    def cycled(self, seconds: float) -> None:
        self._cycles.observe(seconds)
        self._last.set(time.time())

    def text(self) -> bytes:
        return generate_latest(self._all)


class _Last:
    """The series of one look."""

    def __init__(self, seen: Callable[[], Seen]) -> None:
        self._seen = seen

    def collect(self) -> Iterator[GaugeMetricFamily]:
        seen = self._seen()
        yield _gauge("ready", "Whether this node is said to be ready.", int(seen.is_ready))
        judgement = seen.judgement
        if judgement is None:  # nothing was looked at, or nothing could be
            return
        told = "1 where nothing is against it, 0 fail, -1 unknown."
        checks = _gauge("check_state", told, None, "check")
        for check, state in sorted(states(judgement.findings).items()):
            checks.add_metric([check], state)
        yield checks
        yield from _modes(seen, judgement)
        asids = _gauge("snp_asids", "Encrypted VMs that this host can hold.", None, "kind")
        for kind, number in (("total", judgement.values.asids), ("used", seen.asids_used)):
            if number is not None:
                asids.add_metric([kind], number)
        yield asids
        boots = any(each.remedy and each.remedy.restart in _BOOTS for each in judgement.todo)
        yield _gauge("reboot_required", "Whether something to do needs a reboot.", int(boots))


def states(findings: Iterable[Finding]) -> dict[str, int]:
    """Of each check that was made the gravest state that it found."""
    found: dict[str, int] = {}
    for finding in findings:
        if finding.verdict in _STATES:
            both = (_STATES[finding.verdict], found.get(finding.check, 1))
            found[finding.check] = min(both, key=_GRAVEST_FIRST.index)
    return found


def _modes(seen: Seen, judgement: Judgement) -> Iterator[GaugeMetricFamily]:
    modes = _gauge("gpu_cc_mode_info", "The mode that each GPU runs in.", None, "bdf", "mode")
    matches = _gauge("gpu_mode_matches_request", "Whether that is the mode asked for.", None, "bdf")
    for bdf in sorted(seen.gpus):
        mode = seen.modes.get(bdf)
        modes.add_metric([bdf, mode or "unknown"], 1)
        if judgement.wanted is not None:
            matches.add_metric([bdf], int(mode is judgement.wanted))
    yield modes
    yield matches


def _gauge(name: str, told: str, value: int | None, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"nodeagent_{name}", told, value=value, labels=labels or None)


def write(path: str, text: bytes) -> None:
    """For node_exporter's textfile collector, which reads whatever ends in .prom. HostError."""
    part = f"{path}.part"
    try:
        with suppress(FileNotFoundError):
            os.unlink(part)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with open(os.open(part, flags, 0o600), "wb") as file:
            file.write(text)
            os.fchmod(file.fileno(), 0o644)  # its reader is another user
        os.replace(part, path)
    except OSError as error:
        raise HostError(f"cannot write metrics to {path}") from error
