"""Cycles of the agent against a Node store with owners, and a host that says what it is told."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from nodeagent.agent.backoff import Backoff
from nodeagent.agent.cycle import CC_MODE, Cycle, Look, Settings
from nodeagent.agent.journal import Journal
from nodeagent.agent.memory import Memory
from nodeagent.errors import HostError
from nodeagent.kube.failures import BusyError, UnreachableError
from nodeagent.kube.node import NodeView
from nodeagent.labels import PREFIX
from nodeagent.model.findings import Judgement, LevelVerdict
from nodeagent.model.pci import Sighting
from nodeagent.model.runtime import NodeSays
from nodeagent.model.words import CcMode, Confidence, Level, Profile, Ready, Verdict
from nodeagent.publish.apiserver import ApiServer, proven
from nodeagent.publish.sink import Show
from nodeagent.report.drift import Watched
from tests.unit.test_publish import GOOD, START, Clock, Store, report

GPU = "0000:41:00.0"
READY = f"{PREFIX}ready"
SNP = f"{PREFIX}snp"


@dataclass
class Host:
    """One GPU. `verdict` is the gpu level's; `broken` makes looking itself fail."""

    verdict: Verdict = Verdict.PASS
    held: bool = False
    broken: bool = False
    asked: list[CcMode | None] = field(default_factory=list)
    remembered: Mapping[str, Sighting] = field(default_factory=dict)
    told: NodeSays | None = None
    watched: Watched = field(default_factory=dict)

    def look(
        self, want: CcMode | None, remembered: Mapping[str, Sighting], says: NodeSays | None
    ) -> Look:
        self.asked.append(want)
        self.told = says
        self.remembered = dict(remembered)
        if self.broken:
            raise HostError("cannot open /host")
        held = frozenset({GPU} if self.held else ())
        return Look(self._judge(want), False, "b1", held=held, watched=self.watched)

    def _judge(self, want: CcMode | None) -> Judgement:
        ready = {Verdict.PASS: Ready.YES, Verdict.FAIL: Ready.NO}.get(
            self.verdict, Ready.CANNOT_TELL
        )
        verdicts = dict.fromkeys(Level, Verdict.PASS) | {Level.GPU: self.verdict}
        return Judgement(
            ready=ready,
            profile=Profile.SNP_GPU,
            wanted=want,
            root=None,
            todo=(),
            levels={
                level: LevelVerdict(verdict, Confidence.HIGH, "", required=True)
                for level, verdict in verdicts.items()
            },
            findings=(),
            kernel=Verdict.PASS,
            proven={GPU: CcMode.ON} if self.verdict is Verdict.PASS and not self.held else {},
        )


@dataclass
class Away(Store):
    """A store that can be unplugged, or ask to be left alone."""

    error: Exception | None = None
    asked: int = 0

    def get(self, name: str) -> NodeView:
        self.asked += 1
        if self.error:
            raise self.error
        return super().get(name)


@dataclass
class Time:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store() -> Away:
    return Away()


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def cycle(store: Away, host: Host, time: Time) -> Cycle:
    return agent(store, host, time)


def agent(
    store: Away,
    host: Host,
    time: Time,
    journal: Journal | None = None,
    **more: Any,  # noqa: ANN401
) -> Cycle:
    clock = Clock(START)
    settings: dict[str, Any] = {"profile": Profile.SNP_GPU, "mode": None, "boot_id": "b1"} | more
    return Cycle(
        Settings(node="n", **settings),
        look=host.look,
        server=ApiServer(store, now=clock),
        memory=Memory(None, "b1", clock),
        backoff=Backoff(time, draw=lambda _low, high: high),
        journal=journal,
    )


def shown(store: Store) -> str:
    assert store.condition
    return store.condition.status


def test_the_first_cycle_says_what_was_found(cycle: Cycle, store: Away) -> None:
    done = cycle()

    assert done.published
    assert done.ready is Ready.YES
    assert done.retry_s is None
    assert store.labels[READY] == "true"
    assert shown(store) == "True"


def test_an_unchanged_host_is_written_once(cycle: Cycle, store: Away) -> None:
    cycle()
    before = len(store.states)

    for _ in range(5):
        cycle()

    assert len(store.states) == before


@pytest.mark.parametrize(
    ("label", "default", "want"),
    [
        ("on", None, CcMode.ON),
        ("ppcie", CcMode.ON, CcMode.PPCIE),
        ("", CcMode.ON, CcMode.ON),
        ("", None, None),
        ("onn", None, None),
        ("onn", CcMode.OFF, CcMode.OFF),
    ],
)
def test_the_label_says_what_is_wanted(  # noqa: PLR0917
    store: Away, host: Host, time: Time, label: str, default: CcMode | None, want: CcMode | None
) -> None:
    store.labels[CC_MODE] = label
    agent(store, host, time, mode=default)()
    assert host.asked == [want]


def test_a_word_that_is_no_mode_is_said_once_and_in_the_condition(
    cycle: Cycle, store: Away, caplog: pytest.LogCaptureFixture
) -> None:
    store.labels[CC_MODE] = "onn"

    cycle()
    cycle()

    warnings = [each for each in caplog.messages if "onn" in each and "did you mean on" in each]
    assert len(warnings) == 1
    assert store.condition
    assert "did you mean on?" in store.condition.message


def test_the_last_wish_holds_while_the_server_is_away(
    cycle: Cycle, store: Away, host: Host, time: Time
) -> None:
    store.labels[CC_MODE] = "on"
    cycle()
    store.error = UnreachableError("gone")

    time.now += 60
    cycle()

    assert host.asked == [CcMode.ON, CcMode.ON]


def test_looking_goes_on_while_the_server_is_away_and_both_ends_are_said_once(
    cycle: Cycle, store: Away, host: Host, time: Time, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    store.error = UnreachableError("cannot reach it")
    for _ in range(20):
        time.now += 60
        assert not cycle().published
    store.error = None
    time.now += 60
    assert cycle().published
    time.now += 60
    cycle()

    assert len(host.asked) == 22
    assert len([each for each in caplog.messages if "cannot reach it" in each]) == 1
    assert len([each for each in caplog.messages if "is back" in each]) == 1


def test_the_server_is_left_alone_for_longer_and_longer(
    cycle: Cycle, store: Away, time: Time
) -> None:
    store.error = UnreachableError("gone")
    waits = []
    for _ in range(9):
        retry = cycle().retry_s
        assert retry is not None
        waits.append(retry)
        time.now += retry

    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_a_server_that_asks_for_time_gets_it(cycle: Cycle, store: Away, time: Time) -> None:
    store.error = BusyError("busy", retry_after_s=45)
    assert cycle().retry_s == 45
    store.error = None
    time.now += 44

    assert not cycle().published
    assert store.asked == 1

    time.now += 1
    assert cycle().published


def test_a_label_survives_two_cycles_that_cannot_tell(
    cycle: Cycle, store: Away, host: Host
) -> None:
    cycle()
    host.verdict = Verdict.UNKNOWN
    seen = []
    for _ in range(3):
        cycle()
        seen.append((READY in store.labels, shown(store)))

    assert seen == [(True, "Unknown"), (True, "Unknown"), (False, "Unknown")]
    assert SNP in store.labels


def test_a_proven_failure_takes_it_at_once(cycle: Cycle, store: Away, host: Host) -> None:
    cycle()
    host.verdict = Verdict.FAIL
    cycle()
    assert READY not in store.labels
    assert shown(store) == "False"


def test_no_grace_for_what_was_asked_differently(cycle: Cycle, store: Away, host: Host) -> None:
    """The GPU was proven to be in another mode than the one that is asked for by now."""
    cycle()
    store.labels[CC_MODE] = "ppcie"
    host.verdict = Verdict.UNKNOWN

    cycle()

    assert READY not in store.labels
    assert f"{PREFIX}gpu" not in store.labels
    assert SNP in store.labels


def test_no_grace_is_used_up_while_the_server_is_away(
    cycle: Cycle, store: Away, host: Host, time: Time
) -> None:
    """Nor is any given to what a look has denied in the meantime."""
    cycle()
    host.verdict = Verdict.UNKNOWN
    store.error = UnreachableError("gone")
    for _ in range(5):
        time.now += 60
        cycle()
    store.error = None
    time.now += 60
    cycle()
    assert READY in store.labels

    store.error = UnreachableError("gone")
    for verdict in (Verdict.FAIL, Verdict.UNKNOWN):
        host.verdict = verdict
        time.now += 60
        cycle()
    store.error = None
    time.now += 60
    cycle()
    assert READY not in store.labels


def test_grace_does_not_bring_back_what_somebody_removed(
    cycle: Cycle, store: Away, host: Host
) -> None:
    cycle()
    host.verdict = Verdict.UNKNOWN
    del store.labels[READY]

    cycle()

    assert READY not in store.labels


def test_a_restart_does_not_renew_the_grace(
    cycle: Cycle, store: Away, host: Host, time: Time
) -> None:
    cycle()
    host.verdict = Verdict.UNKNOWN
    cycle()
    assert READY in store.labels

    agent(store, host, time)()

    assert READY not in store.labels


def test_a_restart_takes_nothing_from_a_node_that_is_well(
    cycle: Cycle, store: Away, host: Host, time: Time
) -> None:
    cycle()
    host.verdict = Verdict.UNKNOWN
    agent(store, host, time)()
    assert READY in store.labels


def test_a_look_that_fails_is_an_unknown(
    cycle: Cycle, store: Away, host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    cycle()
    host.broken = True
    seen = []
    for _ in range(3):
        done = cycle()
        assert done.ready is None
        assert done.published
        seen.append((READY in store.labels, SNP in store.labels, shown(store)))

    assert seen == [(True, True, "Unknown")] * 2 + [(False, False, "Unknown")]
    assert len([each for each in caplog.messages if "cannot open /host" in each]) == 1


def test_labels_of_an_earlier_boot_go_before_the_look(store: Away, host: Host, time: Time) -> None:
    ApiServer(store, now=Clock()).publish(
        store.get("n"), Show({READY: "true"}, report(boot_id="b0"), GOOD)
    )
    host.verdict = Verdict.UNKNOWN
    before = len(store.states)

    agent(store, host, time)()

    assert all(READY not in labels for labels, _ in store.states[before:])


def test_what_could_not_be_taken_back_is_tried_again(store: Away, host: Host, time: Time) -> None:
    ApiServer(store, now=Clock()).publish(
        store.get("n"), Show({READY: "true"}, report(boot_id="b0"), GOOD)
    )
    store.writes_left = 0
    cycle = agent(store, host, time)
    assert not cycle().published
    assert READY in store.labels
    store.writes_left = 1000
    host.verdict = Verdict.UNKNOWN
    time.now += 60

    assert cycle().published

    assert READY not in store.labels


def test_a_node_made_anew_is_met_anew(cycle: Cycle, store: Away, host: Host) -> None:
    cycle()
    store.uid = "u2"
    store.by_hand(ready="true")
    store.annotations.clear()
    store.condition = None
    host.verdict = Verdict.UNKNOWN

    cycle()

    assert READY not in store.labels


# What is remembered of a GPU that somebody holds.


def test_a_held_gpu_keeps_its_mode_over_a_restart(
    cycle: Cycle, store: Away, host: Host, time: Time
) -> None:
    cycle()
    host.held = True
    agent(store, host, time)()
    agent(store, host, time)()

    assert host.remembered == {GPU: Sighting(CcMode.ON, "2026-11-24T12:00:00Z")}
    assert proven(store.get("n"), "b1").keys() == {GPU}


def test_a_free_gpu_that_was_not_proven_is_forgotten(cycle: Cycle, store: Away, host: Host) -> None:
    """It may have been reset into another mode by whoever takes it next."""
    cycle()
    host.verdict = Verdict.UNKNOWN
    cycle()
    host.held = True
    cycle()

    assert host.remembered == {}
    assert "proven" not in json.loads(store.annotations[f"{PREFIX}report"])


def test_the_reports_memory_comes_too_late_after_a_look_of_our_own(
    cycle: Cycle, store: Away, host: Host, time: Time
) -> None:
    cycle()
    later = agent(store, host, time)
    store.error = UnreachableError("gone")
    host.verdict = Verdict.UNKNOWN
    later()
    store.error = None
    time.now += 60

    later()

    assert host.remembered == {}


SAYS = NodeSays("v1.35.2", "containerd://2.3.0", ("runc",))


def test_what_the_node_says_of_this_boot_is_heard_and_kept_while_the_server_is_away(
    cycle: Cycle, store: Away, host: Host
) -> None:
    store.boot_id, store.says = "b1", SAYS
    cycle()
    assert host.told == SAYS

    store.error = UnreachableError("gone")
    cycle()

    assert host.told == SAYS


def test_a_node_of_another_boot_says_nothing_of_this_one(
    cycle: Cycle, store: Away, host: Host
) -> None:
    """Or of another host, where --node-name names the wrong one."""
    store.boot_id, store.says = "b0", SAYS
    cycle()

    assert host.told is None


def test_drift_is_logged_once_in_the_words_of_what_changed(
    cycle: Cycle, host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    host.watched = {GPU: {"mode": "on", "driver": "vfio-pci"}, "this host": {"CPUs online": "192"}}
    cycle()
    host.watched = {GPU: {"mode": "on", "driver": "nvidia"}, "this host": {"CPUs online": "190"}}
    cycle()
    cycle()

    assert [each for each in caplog.messages if each.startswith("drift")] == [
        f"drift: {GPU}: driver nvidia (was vfio-pci)",
        "drift: this host: CPUs online 190 (was 192)",
    ]
