"""What the cluster says of a node: classes, their handlers and labels, and what others paused."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from nodeagent.agent.surroundings import CLASSES_S, OLD_S, Surroundings
from nodeagent.capture.archive import open_capture
from nodeagent.checks.judge import judge
from nodeagent.errors import ClusterError
from nodeagent.facts.look import look
from nodeagent.kube.node import NodeView, view
from nodeagent.model.cluster import Pod, Pods
from nodeagent.model.codes import Code
from nodeagent.model.findings import Finding
from nodeagent.model.pause import Wedge
from nodeagent.model.policy import Policy
from nodeagent.model.runtime import Around, NodeSays, RuntimeClass
from nodeagent.model.seen import Unreadable
from nodeagent.model.words import Profile, Ready, Verdict
from nodeagent.plan.wedges import mends, wedges

GPU_SNP = "kata-qemu-nvidia-gpu-snp"
KATA = "katacontainers.io/kata-runtime"
SNP = "amd.feature.node.kubernetes.io/snp"
READY = "nvidia.com/cc.ready.state"
ESIDS = "sev-snp.amd.com/esids"
DEPLOY = "nvidia.com/gpu.deploy."
VFIO = f"{DEPLOY}vfio-manager"
PLUGIN = f"{DEPLOY}sandbox-device-plugin"
CC = f"{DEPLOY}cc-manager"
CC_WORD = "paused-for-cc-mode-change"
DRIVER_WORD = "paused-for-driver-upgrade"
LABELS = {KATA: "true", SNP: "true", READY: "true"}
SELECTS = {KATA: "true", SNP: "true", READY: "true"}
CLASS = RuntimeClass(GPU_SNP, GPU_SNP, SELECTS, {"cpu": "1", ESIDS: "1"})
PLAIN = RuntimeClass("kata-qemu", "kata-qemu", {KATA: "true"}, {"cpu": "250m"})
GAP = Unreadable("RuntimeClasses", "this account has no right to list runtimeclasses")
SHOWN = ("", "runc", GPU_SNP, "kata-qemu")


def _around(
    *classes: RuntimeClass,
    labels: Mapping[str, str] = LABELS,
    offered: Mapping[str, str] | None = None,
    wedged: tuple[Wedge, ...] = (),
    is_authority: bool = True,
) -> Around:
    esids = {ESIDS: "509"} if offered is None else offered
    return Around(labels, esids, classes, "nodeagent.io/", is_authority, wedged)


def _found(
    hosts: Path,
    around: Around,
    *,
    handlers: tuple[str, ...] | None = SHOWN,
    profile: Profile = Profile.SNP_GPU,
) -> tuple[Ready, list[Finding]]:
    node = NodeSays("v1.35.2", "containerd://2.3.0", handlers, around)
    with open_capture(str(hosts / "genoa-kubelet-ready")) as machine:
        facts = look(machine, node=node)
    judged = judge(facts, profile=profile, want=None, policy=Policy())
    return judged.ready, [each for each in judged.findings if each.check.startswith("cluster.")]


def _codes(found: list[Finding]) -> list[tuple[Verdict, Code | None]]:
    return [(each.verdict, each.code) for each in found]


# Handlers.


def test_a_node_with_all_that_its_classes_name_is_ready(hosts: Path) -> None:
    ready, found = _found(hosts, _around(CLASS, PLAIN))

    assert ready is Ready.YES
    assert _codes(found) == [(Verdict.PASS, None)]


def test_nothing_is_said_without_a_running_agent(hosts: Path) -> None:
    with open_capture(str(hosts / "genoa-kubelet-ready")) as machine:
        facts = look(machine)
    judged = judge(facts, profile=Profile.SNP_GPU, want=None, policy=Policy())

    assert not [each for each in judged.findings if each.check.startswith("cluster.")]


TWIN = CLASS._replace(name=f"{GPU_SNP}-runtime-rs", handler=f"{GPU_SNP}-runtime-rs")


def test_a_missing_handler_for_confidential_gpu_pods_gates(hosts: Path) -> None:
    ready, found = _found(hosts, _around(CLASS, TWIN))

    assert ready is Ready.NO
    assert _codes(found) == [(Verdict.FAIL, Code.HANDLER_MISSING)]
    assert TWIN.name in found[0].outcome.seen


def test_a_missing_handler_that_such_pods_do_not_use_is_a_warning(hosts: Path) -> None:
    ready, found = _found(hosts, _around(CLASS, PLAIN), handlers=("", "runc", GPU_SNP))

    assert ready is Ready.YES
    assert _codes(found) == [(Verdict.WARN, Code.HANDLER_MISSING)]


@pytest.mark.parametrize(
    ("profile", "verdict"), [(Profile.SNP, Verdict.FAIL), (Profile.SNP_GPU, Verdict.WARN)]
)
def test_which_classes_are_confidential_ones_depends_on_the_profile(
    hosts: Path, profile: Profile, verdict: Verdict
) -> None:
    no_gpu = RuntimeClass("kata-qemu-snp", "kata-qemu-snp", {KATA: "true"}, {})
    _, found = _found(hosts, _around(no_gpu), profile=profile)

    assert _codes(found) == [(verdict, Code.HANDLER_MISSING)]


@pytest.mark.parametrize(
    "selector",
    [None, {KATA: "true", "pool": "other"}, {KATA: "false"}, {READY: "false"}],
    ids=str,
)
def test_a_class_that_does_not_select_this_node_says_nothing_of_it(
    hosts: Path, selector: Mapping[str, str] | None
) -> None:
    other = RuntimeClass("other", f"{GPU_SNP}-other", selector, {"example.com/thing": "1"})
    _, found = _found(hosts, _around(other))

    assert Code.HANDLER_MISSING not in {each.code for each in found}
    assert Code.OVERHEAD_NOT_OFFERED not in {each.code for each in found}


@pytest.mark.parametrize("key", ["nodeagent.io/ready", READY])
def test_a_label_that_follows_from_the_finding_does_not_take_it_away(hosts: Path, key: str) -> None:
    """Else the class would no longer select the node, the check pass, and the label return."""
    ours = TWIN._replace(selector={KATA: "true", key: "true"})

    for labels in ({KATA: "true"}, {KATA: "true", key: "true"}):
        _, found = _found(hosts, _around(ours, labels=labels))
        assert (Verdict.FAIL, Code.HANDLER_MISSING) in _codes(found)


@pytest.mark.parametrize(
    ("around", "handlers"),
    [(_around(CLASS)._replace(classes=GAP), SHOWN), (_around(CLASS), None)],
    ids=["no right to list classes", "a kubelet that lists no handlers"],
)
def test_what_cannot_be_looked_at_gates_nothing(
    hosts: Path, around: Around, handlers: tuple[str, ...] | None
) -> None:
    ready, found = _found(hosts, around, handlers=handlers)

    assert ready is Ready.YES
    assert _codes(found) == [(Verdict.SKIP, None)]


# Overhead and labels.


@pytest.mark.parametrize("offered", [{}, {ESIDS: "0"}])
def test_esids_that_are_not_offered_are_warned_of(hosts: Path, offered: Mapping[str, str]) -> None:
    ready, found = _found(hosts, _around(CLASS, offered=offered))

    assert ready is Ready.YES
    assert (Verdict.WARN, Code.OVERHEAD_NOT_OFFERED) in _codes(found)
    assert "node-feature-discovery" in found[-1].outcome.seen


def test_a_selected_label_that_is_missing_is_said_with_its_writer(hosts: Path) -> None:
    labels = {key: value for key, value in LABELS.items() if key != SNP}
    ready, found = _found(hosts, _around(CLASS, TWIN, labels=labels))

    assert ready is Ready.YES
    assert _codes(found) == [(Verdict.WARN, Code.LABEL_UNWRITTEN)]
    assert f"{SNP}=true" in found[0].outcome.seen
    assert "node-feature-discovery" in found[0].outcome.seen


@pytest.mark.parametrize(
    ("is_authority", "cc_manager", "is_said"),
    [(True, "", False), (False, "true", False), (False, "", True), (False, "false", True)],
)
def test_the_state_of_the_mode_has_a_writer_where_we_or_cc_manager_are(
    hosts: Path, is_authority: bool, cc_manager: str, is_said: bool
) -> None:
    labels = {KATA: "true", SNP: "true", CC: cc_manager}
    _, found = _found(hosts, _around(CLASS, labels=labels, is_authority=is_authority))

    assert ((Verdict.WARN, Code.LABEL_UNWRITTEN) in _codes(found)) == is_said


def test_a_label_with_another_value_has_its_writer(hosts: Path) -> None:
    _, found = _found(hosts, _around(CLASS, labels={**LABELS, READY: "false"}))

    assert found == []


# What others left paused.


def _pod(*, is_ready: bool = True) -> Pod:
    return Pod("its-pod", "u", is_ready)


@pytest.mark.parametrize(
    ("labels", "pods", "restored", "owner"),
    [
        ({VFIO: CC_WORD, CC: "false"}, {}, "true", None),
        ({VFIO: CC_WORD}, GAP, "true", None),
        ({VFIO: CC_WORD, CC: "true"}, {CC: ()}, "true", None),
        ({VFIO: CC_WORD, CC: "true"}, {VFIO: ()}, "true", None),
        ({VFIO: CC_WORD, CC: "true"}, {CC: (_pod(),)}, "true", "its-pod"),
        ({VFIO: CC_WORD, CC: "false"}, {CC: (_pod(),)}, "true", "its-pod"),
        ({VFIO: f"pre-installed_{CC_WORD}"}, {}, "pre-installed", None),
        ({VFIO: f"{CC_WORD}_paused-by-nodeagent"}, {}, "paused-by-nodeagent", None),
        ({VFIO: "paused-for-mig-change"}, {}, "true", None),
    ],
)
def test_a_pause_is_found_with_its_owner_and_what_was_before(
    labels: Mapping[str, str], pods: Pods | Unreadable, restored: str, owner: str | None
) -> None:
    [found] = wedges(labels, pods)

    assert (found.key, found.value) == (VFIO, labels[VFIO])
    assert (found.restored, found.owner) == (restored, owner)


@pytest.mark.parametrize("pods", [GAP, {}])
def test_an_owner_that_may_be_there_is_not_called_gone(pods: Pods | Unreadable) -> None:
    """An empty namespace is more likely another one than the operator's."""
    [found] = wedges({VFIO: CC_WORD, CC: "true"}, pods)

    assert isinstance(found.owner, Unreadable)


@pytest.mark.parametrize(
    ("more", "is_ready", "lives"),
    [
        ({}, True, False),
        ({}, False, True),
        ({"nvidia.com/gpu-driver-upgrade-state": "upgrade-done"}, True, False),
        ({"nvidia.com/gpu-driver-upgrade-state": "drain-required"}, True, True),
    ],
)
def test_the_driver_manager_lives_only_while_a_pod_of_its_owners_starts(
    more: Mapping[str, str], is_ready: bool, lives: bool
) -> None:
    labels = {PLUGIN: DRIVER_WORD, VFIO: "true", **more}
    [found] = wedges(labels, {VFIO: (_pod(is_ready=is_ready),)})

    assert (found.owner is not None) == lives


def test_an_upgrade_of_the_driver_says_nothing_of_other_programs() -> None:
    [found] = wedges({VFIO: CC_WORD, "nvidia.com/gpu-driver-upgrade-state": "drain-required"}, {})

    assert found.owner is None


@pytest.mark.parametrize("value", ["true", "false", "", "paused-by-nodeagent", f"{CC_WORD}s"])
def test_no_word_of_another_is_no_pause(value: str) -> None:
    assert wedges({VFIO: value}, {}) == ()


@pytest.mark.parametrize(
    ("labels", "pods", "given_back"),
    [
        ({VFIO: CC_WORD}, {}, {VFIO: "true"}),
        ({VFIO: f"{CC_WORD}_{DRIVER_WORD}"}, {}, {VFIO: DRIVER_WORD}),
        ({VFIO: f"{CC_WORD}_{DRIVER_WORD}"}, {f"{DEPLOY}driver": (Pod("p", "u", False),)}, {}),
        ({VFIO: CC_WORD, CC: "true"}, {CC: (Pod("p", "u", True),)}, {}),
        ({VFIO: CC_WORD, CC: "true"}, {}, {}),
        ({VFIO: CC_WORD, PLUGIN: CC_WORD}, {}, {VFIO: "true", PLUGIN: "true"}),
        ({CC: DRIVER_WORD}, {}, {}),
    ],
)
def test_one_word_of_a_label_goes_back_where_all_who_paused_it_are_gone(
    labels: Mapping[str, str], pods: Pods, given_back: Mapping[str, str]
) -> None:
    """Two at once would be more than the policy lets go; and cc-manager is nobody's to start."""
    found = mends(wedges(labels, pods), lambda _wedge: True)

    assert {each.key: each.value for each in found} == given_back
    assert all(each.was == labels[each.key] for each in found)


def test_nothing_goes_back_before_its_time() -> None:
    assert mends(wedges({VFIO: CC_WORD}, {}), lambda _wedge: False) == ()


@pytest.mark.parametrize(
    ("owner", "is_old", "verdict"),
    [
        (None, False, Verdict.WARN),
        ("its-pod", False, None),
        ("its-pod", True, Verdict.WARN),
        (GAP, True, Verdict.SKIP),
    ],
    ids=str,
)
def test_a_pause_is_said_where_nobody_will_end_it(
    hosts: Path, owner: str | Unreadable | None, is_old: bool, verdict: Verdict | None
) -> None:
    left = Wedge(VFIO, CC_WORD, CC_WORD, "cc-manager", "true", owner, is_old)
    ready, found = _found(hosts, _around(wedged=(left,)))

    assert ready is Ready.YES
    assert [each.verdict for each in found] == ([verdict] if verdict else [])
    if verdict is Verdict.WARN:
        assert found[0].code is Code.OPERAND_LEFT_PAUSED
        assert f"{VFIO}={CC_WORD}" in found[0].outcome.seen
        assert found[0].outcome.seen.endswith(": true")


# What an agent asks for, and how often.


class World:
    """A cluster whose answers are counted, and which can be away; and a clock."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.classes: tuple[RuntimeClass, ...] | Unreadable = (CLASS,)
        self.pods: Pods = {CC: ()}
        self.is_away = False
        self.asked = {"classes": 0, "pods": 0}

    def _count(self, what: str) -> None:
        self.asked[what] += 1
        if self.is_away:
            raise ClusterError("away")

    def read(self) -> tuple[RuntimeClass, ...] | Unreadable:
        self._count("classes")
        return self.classes

    def see(self) -> Pods:
        self._count("pods")
        return self.pods

    def surroundings(self) -> Surroundings:
        return Surroundings(
            "nodeagent.io/", classes=self.read, pods=self.see, clock=lambda: self.now
        )


@pytest.fixture
def world() -> World:
    return World()


def _node(**labels: str) -> NodeView:
    return view({"metadata": {"name": "n", "uid": "u", "labels": labels}}, "x")


def _told(around: Surroundings, node: NodeView) -> Around:
    says = around.says(node)
    assert says
    assert says.around
    return says.around


def test_classes_are_read_every_five_minutes_and_kept_while_the_server_is_away(
    world: World,
) -> None:
    around = world.surroundings()
    for _ in range(100):
        assert _told(around, _node()).classes == (CLASS,)
    assert world.asked == {"classes": 1, "pods": 0}

    world.now += CLASSES_S
    world.is_away = True
    assert _told(around, _node()).classes == (CLASS,)
    assert world.asked["classes"] == 2


def test_a_missing_right_is_named_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.classes = GAP
    around = world.surroundings()
    for _ in range(3):
        assert _told(around, _node()).classes == GAP
        world.now += CLASSES_S

    assert [each for each in caplog.messages if "no right to list" in each] == [
        f"{GAP}; what they select is not looked at"
    ]


def test_an_owner_is_alone_only_from_when_it_was_last_seen(world: World) -> None:
    around, node = world.surroundings(), _node(**{VFIO: CC_WORD, CC: "true"})
    [left] = _told(around, node).wedges
    world.now += 500
    assert around.alone_s(left) == 500

    world.pods = {CC: (_pod(),)}
    [left] = _told(around, node).wedges
    assert around.alone_s(left) == 0

    world.now += 500
    world.pods = {CC: ()}
    [left] = _told(around, node).wedges
    assert around.alone_s(left) == 0


def test_a_pause_that_was_ended_and_made_again_is_alone_anew(world: World) -> None:
    around, paused = world.surroundings(), _node(**{VFIO: CC_WORD})
    _told(around, paused)
    _told(around, _node(**{VFIO: "true"}))
    world.now += 500

    [left] = _told(around, paused).wedges
    assert around.alone_s(left) == 0
    assert not around.is_any_alone(1)


def test_a_pause_grows_old_and_one_that_was_ended_begins_anew(world: World) -> None:
    around, node = world.surroundings(), _node(**{VFIO: CC_WORD})
    assert not _told(around, node).wedges[0].is_old
    world.now += OLD_S
    assert _told(around, node).wedges[0].is_old

    _told(around, _node(**{VFIO: "true"}))
    assert not _told(around, node).wedges[0].is_old
