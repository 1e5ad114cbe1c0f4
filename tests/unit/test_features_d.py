"""Labels by way of NFD's feature file: what stands there, for how long, and in which order."""

import logging
import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from nodeagent.errors import HostError
from nodeagent.kube.failures import RefusedError, UnreachableError
from nodeagent.kube.node import NodeCondition, NodeView
from nodeagent.labels import COMPAT_READY, PREFIX
from nodeagent.publish import features_d
from nodeagent.publish.apiserver import ApiServer
from nodeagent.publish.features_d import FeaturesD, Written, parse, text
from nodeagent.publish.nfd import ThroughNfd
from nodeagent.publish.rights import AGAIN_S, Rights
from nodeagent.publish.sink import Show
from tests.real import nfd
from tests.unit.test_agent_cycle import Time
from tests.unit.test_publish import BAD, GOOD, START, Clock, Store, show

READY = f"{PREFIX}ready"
PERIOD_S = 60.0
LATER = b"# written by nodeagent in boot b1\n# +expiry-time=2030-01-01T00:00:00Z\n"
EVERYTHING = {READY: "true", f"{PREFIX}gpu": "true", f"{PREFIX}gpu.count": "8"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "root" / "features.d"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def clock() -> Clock:
    return Clock(START)


@pytest.fixture
def file(folder: Path, clock: Clock) -> FeaturesD:
    return of_boot("b1", folder, clock)


def of_boot(boot_id: str, folder: Path, clock: Clock) -> FeaturesD:
    root = str(folder.parent)
    return FeaturesD("/features.d", root=root, boot_id=boot_id, period_s=PERIOD_S, now=clock)


def raw(folder: Path) -> bytes:
    return (folder / features_d.NAME).read_bytes()


def test_what_is_shown_is_what_nfd_reads(file: FeaturesD, folder: Path, clock: Clock) -> None:
    file.show(EVERYTHING, None)

    assert nfd.labels_in(folder, clock.at) == EVERYTHING == file.stands()
    labels, features = nfd.read(raw(folder).decode(), clock.at)
    assert labels == EVERYTHING
    assert features == {f"{PREFIX}gpu.count": "8"}, "no rule may copy a verdict"


def test_nfd_forgets_it_when_nobody_renews_it(file: FeaturesD, folder: Path, clock: Clock) -> None:
    file.show(EVERYTHING, None)

    clock.at += timedelta(seconds=3 * PERIOD_S)
    assert nfd.labels_in(folder, clock.at) == EVERYTHING
    clock.at += timedelta(seconds=3 * PERIOD_S)
    assert nfd.labels_in(folder, clock.at) == {}
    assert file.stands() == {}


@pytest.mark.parametrize("jitter", [0.8, 1.0, 1.2])
def test_cycles_keep_it_alive_and_do_not_write_it_each_time(
    file: FeaturesD, folder: Path, clock: Clock, jitter: float
) -> None:
    written = set()
    for _ in range(20):
        file.show(EVERYTHING, None)
        written.add(raw(folder))
        clock.at += timedelta(seconds=jitter * PERIOD_S)
        assert nfd.labels_in(folder, clock.at + timedelta(seconds=PERIOD_S)) == EVERYTHING

    assert len(written) <= 11


def test_ready_goes_out_of_the_file_at_once(file: FeaturesD, folder: Path, clock: Clock) -> None:
    file.show(EVERYTHING, None)

    file.show({f"{PREFIX}gpu.count": "8"}, None)

    assert nfd.labels_in(folder, clock.at) == {f"{PREFIX}gpu.count": "8"}


def test_without_labels_there_is_no_file(file: FeaturesD, folder: Path) -> None:
    file.show(EVERYTHING, None)
    file.show({}, None)
    file.show({}, None)

    assert list(folder.iterdir()) == []


def test_what_another_boot_left_goes_before_the_first_look(folder: Path, clock: Clock) -> None:
    of_boot("b0", folder, clock).show(EVERYTHING, None)
    file = of_boot("b1", folder, clock)
    assert file.stands() == {}

    file.begin()

    assert list(folder.iterdir()) == []


def test_what_this_boot_left_stands(file: FeaturesD, folder: Path, clock: Clock) -> None:
    file.show(EVERYTHING, None)

    again = of_boot("b1", folder, clock)
    again.begin()

    assert again.stands() == EVERYTHING


@pytest.mark.parametrize(
    "found",
    [
        b"",
        b"\xff\xfe",
        b"nodeagent.io/ready=true\n",
        b"# written by nodeagent in boot b1\nnodeagent.io/ready=true\n",
        b"# written by nodeagent in boot b1\n# +expiry-time=soon\nnodeagent.io/ready=true\n",
        LATER + b"# +no-label\nnodeagent.io/ready=true\n",
        LATER + b"nodeagent.io/ready\n",
    ],
)
def test_what_is_not_as_we_write_it_is_no_word_of_ours(
    file: FeaturesD, folder: Path, clock: Clock, found: bytes
) -> None:
    (folder / features_d.NAME).write_bytes(found)
    assert file.stands() == {}

    file.begin()
    assert nfd.labels_in(folder, clock.at) == {}
    file.show(EVERYTHING, None)
    assert file.stands() == EVERYTHING


def test_a_time_far_ahead_is_brought_back(file: FeaturesD, folder: Path, clock: Clock) -> None:
    """The clock was an hour fast: else nothing would expire for an hour after our death."""
    clock.at += timedelta(hours=1)
    file.show(EVERYTHING, None)
    clock.at -= timedelta(hours=1)

    file.show(EVERYTHING, None)

    assert nfd.labels_in(folder, clock.at + timedelta(seconds=6 * PERIOD_S)) == {}


def test_everybody_may_read_it_whatever_our_umask(file: FeaturesD, folder: Path) -> None:
    before = os.umask(0o077)
    try:
        file.show(EVERYTHING, None)
    finally:
        os.umask(before)

    assert stat.S_IMODE((folder / features_d.NAME).stat().st_mode) == 0o644


def test_a_link_in_its_place_leads_nowhere(file: FeaturesD, folder: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.write_text("kept")
    for name in (features_d.NAME, f".{features_d.NAME}.part"):
        (folder / name).symlink_to(theirs)

    with pytest.raises(HostError):
        file.show(EVERYTHING, None)

    assert theirs.read_text() == "kept"


def test_no_folder_leads_out_of_the_root(file: FeaturesD, folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    folder.rmdir()
    folder.symlink_to(outside)

    with pytest.raises(HostError, match="cannot keep the labels"):
        file.show(EVERYTHING, None)

    assert list(outside.iterdir()) == []


@pytest.fixture
def full(folder: Path) -> Iterator[None]:
    """A folder in which nothing new can be made, while what is there can be removed."""
    part = folder / f".{features_d.NAME}.part"
    yield
    part.rmdir()


@pytest.mark.usefixtures("full")
def test_what_is_no_longer_true_goes_even_where_nothing_can_be_written(
    file: FeaturesD, folder: Path, clock: Clock
) -> None:
    file.show(EVERYTHING, None)
    (folder / f".{features_d.NAME}.part").mkdir()

    with pytest.raises(HostError):
        file.show({f"{PREFIX}gpu.count": "8"}, None)

    assert nfd.labels_in(folder, clock.at) == {}


@pytest.mark.parametrize("value", ["a\nb", "x" * features_d.LIMIT])
def test_what_nfd_would_read_otherwise_is_never_put_in_place(
    file: FeaturesD, folder: Path, clock: Clock, value: str
) -> None:
    with pytest.raises(HostError):
        file.show({f"{PREFIX}gpu.chip": value}, None)

    assert nfd.labels_in(folder, clock.at) == {}


def test_a_file_is_read_back_as_it_was_written() -> None:
    written = Written("b1", datetime(2026, 11, 24, tzinfo=UTC), EVERYTHING)
    assert parse(text(written).encode()) == written


# The whole sink: the file, and what the Node shows beside it.


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def sink(store: Store, file: FeaturesD, clock: Clock) -> ThroughNfd:
    return ThroughNfd(file, ApiServer(store, now=clock, by_nfd=True), prefix=PREFIX)


def meet(sink: ThroughNfd, store: Store) -> NodeView:
    return sink.clear_earlier_boot(store.get("n"), "b1")


def test_no_label_of_ours_goes_through_the_api_but_those_of_cc_manager(
    sink: ThroughNfd, store: Store, file: FeaturesD
) -> None:
    labels = {**EVERYTHING, COMPAT_READY: "true"}
    sink.publish(meet(sink, store), Show(labels, "{}", GOOD, frozenset({COMPAT_READY})))

    assert store.labels == {COMPAT_READY: "true"}
    assert file.stands() == EVERYTHING
    assert store.condition
    assert store.condition.status == "True"


def test_what_nfd_wrote_is_left_to_nfd(sink: ThroughNfd, store: Store) -> None:
    node = meet(sink, store)
    store.by_hand(ready="true", gpu="true")

    sink.publish(store.get(node.name), show(condition=BAD))

    assert store.labels.keys() == {READY, f"{PREFIX}gpu"}


def test_labels_that_we_wrote_before_nfd_did_go_first(
    sink: ThroughNfd, store: Store, clock: Clock
) -> None:
    said = '{"version":1,"boot_id":"b1"}'
    ApiServer(store, now=clock).publish(store.get("n"), show("ready", "snp", report=said))

    meet(sink, store)

    assert store.labels == {}
    assert store.condition
    assert store.condition.status == "True", "the agent is well, and only the writer changes"


@pytest.mark.parametrize("cut", range(5))
def test_ready_is_never_in_the_file_under_a_condition_that_says_false(
    sink: ThroughNfd, store: Store, file: FeaturesD, cut: int
) -> None:
    """Whatever write is the last one."""
    store.condition = NodeCondition("False", "NoGpu", "", "", "")
    for what in (show("ready"), show(condition=BAD), show("ready")):
        store.writes_left = cut
        try:
            sink.publish(meet(sink, store), what)
        except UnreachableError:
            if READY in file.stands():
                assert store.condition.status == "True"
            store.writes_left = 1000
            sink.publish(meet(sink, store), what)
        assert (READY in file.stands()) is (READY in what.labels)


def test_with_the_server_away_only_what_stands_is_kept(
    sink: ThroughNfd, store: Store, file: FeaturesD
) -> None:
    sink.publish(meet(sink, store), show("ready", "snp"))

    assert not sink.alone(show("ready", "snp", "gpu"))
    assert file.stands().keys() == {READY, f"{PREFIX}snp"}
    sink.alone(show("snp", condition=BAD))
    assert file.stands().keys() == {f"{PREFIX}snp"}


def test_ready_does_not_stand_while_nobody_knows_what_was_asked_for(
    sink: ThroughNfd, file: FeaturesD
) -> None:
    file.show(EVERYTHING, None)

    sink.alone(Show(EVERYTHING, "{}", GOOD))

    assert file.stands() == {f"{PREFIX}gpu.count": "8"}


def test_the_condition_tells_the_truth_even_where_the_file_cannot(
    sink: ThroughNfd, store: Store, folder: Path
) -> None:
    sink.publish(meet(sink, store), show("ready"))
    for path in (folder / features_d.NAME, folder):
        path.rename(path.with_suffix(".gone"))

    with pytest.raises(HostError):
        sink.publish(store.get("n"), show(condition=BAD))

    assert store.condition
    assert store.condition.status == "False"


def test_ready_leaves_the_file_when_another_mode_is_asked_for(
    sink: ThroughNfd, store: Store, file: FeaturesD
) -> None:
    compat = frozenset({COMPAT_READY})
    labels = {READY: "true", f"{PREFIX}snp": "true", COMPAT_READY: "true"}
    sink.publish(meet(sink, store), Show(labels, "{}", GOOD, compat))

    sink.unlist(store.get("n"), compat)

    assert file.stands() == {f"{PREFIX}snp": "true"}
    assert store.labels == {}


def test_without_an_api_server_the_file_is_all(file: FeaturesD) -> None:
    sink = ThroughNfd(file, None, prefix=PREFIX)

    assert not sink.asks
    assert sink.alone(Show(EVERYTHING, "{}", GOOD))
    assert file.stands() == EVERYTHING


class Refusing(Store):
    """A Node of which the condition and the report may be read, and not written."""

    def apply_condition(self, node: NodeView, condition: NodeCondition) -> NodeView:
        del node, condition
        raise RefusedError("cannot change Node n: the API server answered 403")

    def apply_metadata(self, node: NodeView, **_: object) -> NodeView:
        del node
        raise RefusedError("cannot change Node n: the API server answered 403")


def test_without_the_right_to_patch_a_node_the_file_is_kept_and_the_lack_named_once(
    file: FeaturesD, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    store = Refusing()
    sink = ThroughNfd(file, ApiServer(store, now=clock, by_nfd=True), prefix=PREFIX)

    for _ in range(3):
        sink.publish(meet(sink, store), show("ready"))

    assert file.stands() == {READY: "true"}
    told = [line for line in caplog.messages if "403" in line]
    assert len(told) == 2
    assert [line.rpartition(" without that right ")[2] for line in told] == [
        f"the condition {PREFIX}ConfidentialReady is off",
        "the report is off",
    ]


def test_a_right_that_is_missing_is_asked_for_again_after_a_while_and_named_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "nodeagent")
    time, asked = Time(), []
    rights = Rights(time)

    def refused() -> str:
        asked.append(time.now)
        raise RefusedError("no")

    for time.now in (0.0, 1.0, AGAIN_S, AGAIN_S + 1):
        assert rights.tried("the taint", "as it was", refused) == "as it was"
    assert asked == [0.0, AGAIN_S]
    time.now = 3 * AGAIN_S
    assert rights.tried("the taint", "as it was", lambda: "done") == "done"

    assert caplog.messages == [
        "no; without that right the taint is off",
        "the taint is allowed by now",
    ]
