"""What is written to a Node, in which order, on a store that keeps owners as the server does."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from nodeagent.kube.failures import ConflictError, UnreachableError
from nodeagent.kube.node import MANAGER, NodeCondition, NodeView, view
from nodeagent.labels import PREFIX, Condition, Status
from nodeagent.model.pci import Sighting
from nodeagent.model.runtime import NodeSays
from nodeagent.model.words import CcMode
from nodeagent.publish.apiserver import ApiServer, proven
from nodeagent.publish.sink import Show

READY = f"{PREFIX}ready"
REPORT = f"{PREFIX}report"
GOOD = Condition(Status.TRUE, "AllChecksPassed", "all pass")
BAD = Condition(Status.FALSE, "NoGpu", "there is none")
START = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@dataclass
class Store:
    """One Node with server-side apply: who applied a key last owns it, equal values are shared.

    `states` is what a watcher sees: (labels, condition status) after each write.
    """

    uid: str = "u1"
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    owners: dict[str, set[str]] = field(default_factory=dict)
    condition: NodeCondition | None = None
    boot_id: str = ""
    says: NodeSays | None = None
    states: list[tuple[frozenset[str], str]] = field(default_factory=list)
    writes_left: int = 1000

    def by_hand(self, **values: str) -> None:
        """`kubectl label --overwrite`: the hand is the only owner now."""
        for name, value in values.items():
            self.labels[PREFIX + name] = value
            self.owners[PREFIX + name] = {"kubectl-label"}

    def get(self, name: str) -> NodeView:
        ours = {key for key, who in self.owners.items() if who == {MANAGER}}
        return NodeView(
            name=name,
            uid=self.uid,
            resource_version=str(len(self.states)),
            boot_id=self.boot_id,
            labels=dict(self.labels),
            annotations=dict(self.annotations),
            own_labels=frozenset(ours & self.labels.keys()),
            own_annotations=frozenset(ours & self.annotations.keys()),
            condition=self.condition,
            says=self.says,
        )

    def apply_metadata(
        self, node: NodeView, *, labels: Mapping[str, str], annotations: Mapping[str, str]
    ) -> NodeView:
        self._admit(node)
        self._apply(self.labels, labels)
        self._apply(self.annotations, annotations)
        return self._wrote(node)

    def _apply(self, shown: dict[str, str], applied: Mapping[str, str]) -> None:
        for key in list(shown):
            who = self.owners.setdefault(key, set())
            if key not in applied and MANAGER in who:
                who.discard(MANAGER)
                if not who:
                    del shown[key]
        for key, value in applied.items():
            same = shown.get(key) == value
            self.owners[key] = (self.owners.get(key, set()) if same else set()) | {MANAGER}
            shown[key] = value

    def remove_labels(self, node: NodeView, keys: Collection[str]) -> NodeView:
        self._admit(node)
        for key in keys:
            self.labels.pop(key, None)
            self.owners.pop(key, None)
        return self._wrote(node)

    def apply_condition(self, node: NodeView, condition: NodeCondition) -> NodeView:
        self._admit(node)
        self.condition = condition
        return self._wrote(node)

    def _admit(self, node: NodeView) -> None:
        if node.uid != self.uid:
            raise ConflictError("another Node")
        if self.writes_left == 0:
            raise UnreachableError("the server died")
        self.writes_left -= 1

    def _wrote(self, node: NodeView) -> NodeView:
        status = self.condition.status if self.condition else ""
        self.states.append((frozenset(self.labels), status))
        return self.get(node.name)


@dataclass
class Clock:
    at: datetime = START

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server(store: Store, clock: Clock) -> ApiServer:
    return ApiServer(store, now=clock)


def show(*names: str, condition: Condition = GOOD, report: str = "{}") -> Show:
    return Show({PREFIX + name: "true" for name in names}, report, condition)


def publish(server: ApiServer, store: Store, what: Show) -> None:
    server.publish(store.get("n"), what)


def test_equal_values_are_not_written(server: ApiServer, store: Store) -> None:
    publish(server, store, show("ready", "snp"))
    before = len(store.states)

    publish(server, store, show("ready", "snp"))

    assert len(store.states) == before == 2


@pytest.mark.parametrize("cut", [0, 1, 2, 3])
def test_ready_is_never_seen_under_a_condition_that_says_false(
    server: ApiServer, store: Store, cut: int
) -> None:
    """Whatever write is the last one."""
    store.condition = NodeCondition("False", "NoGpu", "", "", "")
    for what in (show("ready", "snp"), show(condition=BAD), show("ready")):
        store.writes_left = cut
        try:
            publish(server, store, what)
        except UnreachableError:
            store.writes_left = 1000
            publish(server, store, what)

    assert all(not (READY in labels and status == "False") for labels, status in store.states)
    assert READY in store.labels


def test_what_is_no_longer_wanted_goes_with_the_same_write(server: ApiServer, store: Store) -> None:
    publish(server, store, show("ready", "snp", "gpu"))
    before = len(store.states)

    publish(server, store, show("snp", condition=BAD))

    assert store.labels == {f"{PREFIX}snp": "true"}
    assert len(store.states) == before + 2


def test_a_label_that_somebody_set_by_hand_goes(server: ApiServer, store: Store) -> None:
    store.by_hand(ready="true", pool="a")

    publish(server, store, show("snp", condition=BAD))

    assert store.labels == {f"{PREFIX}snp": "true", f"{PREFIX}pool": "a"}


def test_a_label_that_somebody_else_owns_as_well_goes(server: ApiServer, store: Store) -> None:
    publish(server, store, show("ready"))
    store.owners[READY].add("argocd")

    publish(server, store, show(condition=BAD))

    assert READY not in store.labels


def test_labels_under_an_earlier_prefix_go(store: Store) -> None:
    ApiServer(store, prefix="old.example/").publish(
        store.get("n"), Show({"old.example/ready": "true"}, "{}", GOOD)
    )

    publish(ApiServer(store), store, show("snp"))

    assert store.labels == {f"{PREFIX}snp": "true"}


def test_a_value_that_somebody_changed_is_put_right(server: ApiServer, store: Store) -> None:
    publish(server, store, show("snp"))
    store.by_hand(snp="false")

    publish(server, store, show("snp"))

    assert store.labels == {f"{PREFIX}snp": "true"}


def test_the_heart_beats_only_when_it_is_due(server: ApiServer, store: Store, clock: Clock) -> None:
    publish(server, store, show("snp"))
    since = store.condition
    before = len(store.states)
    clock.at += timedelta(seconds=290)
    publish(server, store, show("snp"))
    assert len(store.states) == before

    clock.at += timedelta(seconds=100)
    publish(server, store, show("snp"))

    assert len(store.states) == before + 1
    assert since
    assert store.condition
    assert store.condition.heartbeat == "2026-11-24T12:06:30Z"
    assert store.condition.transition == since.transition == "2026-11-24T12:00:00Z"


def test_the_transition_time_changes_with_the_status_only(
    server: ApiServer, store: Store, clock: Clock
) -> None:
    publish(server, store, show(condition=BAD))
    clock.at += timedelta(seconds=10)
    publish(server, store, show(condition=Condition(Status.FALSE, "GpuGone", "it was there")))
    assert store.condition
    assert store.condition.transition == "2026-11-24T12:00:00Z"

    publish(server, store, show(condition=GOOD))

    assert store.condition.transition == "2026-11-24T12:00:10Z"


def test_another_node_of_the_same_name_is_not_written(server: ApiServer, store: Store) -> None:
    node = store.get("n")
    store.uid = "u2"

    with pytest.raises(ConflictError):
        server.publish(node, show("snp"))


@pytest.mark.parametrize("report", ["", "no json", '{"version":1,"boot_id":"b0"}', "[]", "1"])
def test_what_was_said_of_another_boot_is_taken_back(
    server: ApiServer, store: Store, report: str
) -> None:
    publish(server, store, show("ready", "snp", report=report))
    store.by_hand(gpu="true")

    server.clear_earlier_boot(store.get("n"), "b1")

    assert store.labels == {}
    assert store.annotations.get(REPORT, "") == report
    assert store.condition
    assert (store.condition.status, store.condition.reason) == ("Unknown", "CannotTell")
    assert all(not (READY in labels and status != "True") for labels, status in store.states[2:])


def test_what_was_said_of_this_boot_stands(server: ApiServer, store: Store) -> None:
    publish(server, store, show("ready", report='{"version":1,"boot_id":"b1"}'))
    before = len(store.states)

    server.clear_earlier_boot(store.get("n"), "b1")

    assert len(store.states) == before


def report(**more: object) -> str:
    return json.dumps({"version": 1, "boot_id": "b1", "proven": {"0000:41:00.0": "on"}} | more)


def test_proven_modes_are_read_back_with_the_last_heartbeat(
    server: ApiServer, store: Store
) -> None:
    publish(server, store, show(report=report()))

    found = proven(store.get("n"), "b1")

    assert found == {"0000:41:00.0": Sighting(CcMode.ON, "2026-11-24T12:00:00Z")}


@pytest.mark.parametrize(
    "text",
    [
        report(boot_id="b0"),
        report(simulated=True),
        report(version=2),
        report(proven={"0000:41:00.0": "onn"}),
        report(proven={"0000:41:00.0": ["on"]}),
        report(proven=[]),
    ],
)
def test_modes_of_another_boot_or_machine_or_shape_are_not(
    server: ApiServer, store: Store, text: str
) -> None:
    publish(server, store, show(report=text))
    assert proven(store.get("n"), "b1") == {}


def test_modes_in_a_report_that_another_hand_wrote_are_not_believed(
    server: ApiServer, store: Store
) -> None:
    publish(server, store, show(report=report()))
    store.owners[REPORT] = {"kubectl-annotate"}

    assert proven(store.get("n"), "b1") == {}


def entry(manager: str, operation: str, *keys: str, subresource: str = "") -> dict[str, object]:
    owned: dict[str, object] = {name: {} for name in (".", *(f"f:{key}" for key in keys))}
    fields = {"f:metadata": {"f:labels": owned}}
    found: dict[str, object] = {"manager": manager, "operation": operation, "fieldsV1": fields}
    return found | ({"subresource": subresource} if subresource else {})


def test_a_key_is_ours_if_nobody_else_owns_it() -> None:
    managed = [
        entry(MANAGER, "Apply", "a/1", "a/2", "a/3"),
        entry(MANAGER, "Update", "a/2"),
        entry("kubectl", "Update", "a/3", "a/4"),
        entry(MANAGER, "Apply", "a/5", subresource="status"),
    ]
    raw = {"metadata": {"name": "n", "uid": "u", "managedFields": managed}}

    assert view(raw, "x").own_labels == {"a/1"}


@pytest.mark.parametrize(
    ("handlers", "names"),
    [
        (None, None),
        ([], ()),
        ([{"name": ""}, {"name": "runc"}, {"name": "kata-qemu"}], ("", "runc", "kata-qemu")),
        (["odd", {"name": 7}], ("",)),
    ],
)
def test_what_a_node_says_of_its_host(handlers: object, names: tuple[str, ...] | None) -> None:
    info = {"kubeletVersion": "v1.35.2", "containerRuntimeVersion": "containerd://2.3.0"}
    status = {"nodeInfo": info} | ({} if handlers is None else {"runtimeHandlers": handlers})
    raw = {"metadata": {"name": "n", "uid": "u"}, "status": status}

    assert view(raw, "x").says == NodeSays("v1.35.2", "containerd://2.3.0", names)
