"""When the NodeFeature object is read and written, on a store that counts."""

from dataclasses import dataclass, field

import pytest

from nodeagent.errors import ClusterError
from nodeagent.kube.features import Feature, FeatureClient
from nodeagent.kube.node import NodeView
from nodeagent.labels import PREFIX
from nodeagent.publish.node_feature import READ_AGAIN_S, NodeFeatures
from tests.unit.test_agent_cycle import Time
from tests.unit.test_publish import Store

READY = {f"{PREFIX}ready": "true"}


@dataclass
class Objects(FeatureClient):
    """The server's side of one object."""

    there: Feature | None = None
    reads: int = 0
    written: list[Feature] = field(default_factory=list)
    is_broken: bool = False

    def get(self) -> Feature | None:
        self.reads += 1
        return self.there

    def apply(self, feature: Feature) -> None:
        self.there = feature
        self.written.append(feature)
        if self.is_broken:
            raise ClusterError("the answer broke off")


@pytest.fixture
def objects() -> Objects:
    return Objects()


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def shelf(objects: Objects, time: Time) -> NodeFeatures:
    return NodeFeatures(objects, boot_id="b1", clock=time)


@pytest.fixture
def node() -> NodeView:
    return Store().get("n")


def test_equal_labels_are_written_once_and_read_once(
    shelf: NodeFeatures, objects: Objects, node: NodeView
) -> None:
    for _ in range(5):
        shelf.show(READY, node)

    assert objects.written == [Feature(node.uid, "b1", READY)]
    assert objects.reads == 1


def test_what_somebody_else_wrote_is_put_right_in_time(
    shelf: NodeFeatures, objects: Objects, node: NodeView, time: Time
) -> None:
    shelf.show({}, node)
    shelf.show(READY, node)
    objects.there = None
    time.now += READ_AGAIN_S

    shelf.show(READY, node)

    assert objects.there == Feature(node.uid, "b1", READY)


def test_a_write_of_which_nobody_knows_is_looked_up(
    shelf: NodeFeatures, objects: Objects, node: NodeView
) -> None:
    objects.is_broken = True
    with pytest.raises(ClusterError):
        shelf.show(READY, node)
    objects.is_broken = False

    shelf.show({}, node)

    assert objects.there == Feature(node.uid, "b1", {})


@pytest.mark.parametrize("found", [Feature("u1", "b0", READY), Feature("u0", "b1", READY)])
def test_labels_of_another_boot_or_node_go_first(
    shelf: NodeFeatures, objects: Objects, node: NodeView, found: Feature
) -> None:
    objects.there = found

    shelf.clear_earlier_boot(node)

    assert objects.there == Feature(node.uid, "b1", {})
    assert shelf.stands() == {}


def test_labels_of_this_boot_stand(shelf: NodeFeatures, objects: Objects, node: NodeView) -> None:
    objects.there = Feature(node.uid, "b1", READY)

    shelf.clear_earlier_boot(node)

    assert objects.written == []
    assert shelf.stands() == READY


def test_without_a_node_nothing_is_written(shelf: NodeFeatures, objects: Objects) -> None:
    shelf.show(READY, None)

    assert objects.written == []
