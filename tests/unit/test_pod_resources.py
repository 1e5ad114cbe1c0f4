"""Which pods hold a device, out of what a kubelet answers, and when that is believed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.agent.witness import AT_ONCE_S, EVERY_S, YOUNG_S, Witness
from nodeagent.host import kubelet_child as child
from nodeagent.host.podresources import Answer
from nodeagent.model.cluster import Guest
from nodeagent.model.seen import Seen, Unreadable
from tests.real.podresources import Held, encoded, field, varint

GUEST = Guest("default", "vm", ("nvidia.com/pgpu",))


@pytest.mark.parametrize(
    "resource",
    [
        "nvidia.com/gpu",
        "nvidia.com/mig-1g.10gb",
        "nvidia.com/pgpu",
        "nvidia.com/nvswitch",
        "nvidia.com/GH100_H100_SXM5_80GB",
    ],
)
def test_a_pod_with_any_resource_of_nvidias_is_named(resource: str) -> None:
    held = Held("vm", "team-a", ("cpu.example.com/pinned", resource))

    assert child.pods(encoded([held])) == [
        {"namespace": "team-a", "name": "vm", "resources": [resource]}
    ]


def test_a_pod_with_a_claim_of_an_nvidia_driver_is_named() -> None:
    found = child.pods(encoded([Held("vm", drivers=("net.example.com", "gpu.nvidia.com"))]))

    assert [each["resources"] for each in found] == [["gpu.nvidia.com"]]


@pytest.mark.parametrize(
    "held",
    [
        Held("plain"),
        Held("other", resources=("amd.com/gpu", "example.nvidia.com", "notnvidia.com/gpu")),
        Held("dra", drivers=("nvidia.com", "gpu.nvidia.com.example.com")),
    ],
)
def test_a_pod_with_nothing_of_nvidias_is_not_named(held: Held) -> None:
    assert child.pods(encoded([held])) == []


def test_the_holder_is_found_among_many_and_named_once() -> None:
    plain = [Held(f"web-{number}") for number in range(200)]
    vm = Held("vm", resources=("nvidia.com/pgpu",) * 8 + ("nvidia.com/nvswitch",) * 4)

    [found] = child.pods(encoded([*plain, vm, vm]))

    assert found["resources"] == ["nvidia.com/nvswitch", "nvidia.com/pgpu"]


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"\x0a", "breaks off"),
        (b"\x0a\x05ab", "breaks off"),
        (b"\x09\0\0", "breaks off"),
        (b"\x80" * 11, "no protobuf"),
        (b"\x0b", "no protobuf"),  # a group, which nobody sends any more
        (b"\x00\x00", "no protobuf"),  # a field without a number
        (b"\x08\x00" * 500_000, "more fields"),
        (encoded(Held(f"vm-{n}", resources=("nvidia.com/gpu",)) for n in range(501)), "more pods"),
    ],
)
def test_what_no_kubelet_would_say_is_no_answer(raw: bytes, says: str) -> None:
    with pytest.raises(child.BadAnswerError, match=says):
        child.pods(raw)


@given(st.binary(max_size=400))
def test_any_bytes_are_an_answer_or_are_said_to_be_none(raw: bytes) -> None:
    try:
        found = child.pods(raw)
    except child.BadAnswerError:
        return
    assert isinstance(found, list)


@given(
    st.lists(st.builds(Held, st.text(max_size=30), st.just("n"), st.just(("nvidia.com/gpu",)))),
    st.data(),
)
def test_a_changed_byte_never_breaks_the_decoder(pods: list[Held], data: st.DataObject) -> None:
    raw = bytearray(encoded(pods))
    if raw:
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at] = data.draw(st.integers(0, 255))
        raw = raw[: data.draw(st.integers(0, len(raw)))]
    try:
        child.pods(bytes(raw))
    except child.BadAnswerError:
        return


@given(
    st.lists(st.tuples(st.integers(6, 1 << 28), st.binary(max_size=8) | st.integers(0, 1 << 63)))
)
def test_fields_of_a_later_kubelet_change_nothing(more: list[tuple[int, bytes | int]]) -> None:
    later = b"".join(field(number, value) for number, value in more)
    pod = field(1, "vm") + later + field(2, "default") + field(3, later + _pgpu()) + later

    assert [each["name"] for each in child.pods(later + field(1, pod))] == ["vm"]


@given(st.integers(0, (1 << 64) - 1))
def test_every_number_of_64_bits_is_passed_over(value: int) -> None:
    raw = varint(7 << 3) + varint(value)

    assert child.pods(raw + encoded([Held("vm", resources=("nvidia.com/gpu",))]))


def _pgpu() -> bytes:
    return field(2, field(1, "nvidia.com/pgpu"))


class Scene:
    """A kubelet that answers what it is told to, and the time of day."""

    def __init__(self) -> None:
        self.now = 10_000.0
        self.asked = 0
        self.answer: Seen[Answer] = Answer((GUEST,), (1, 1, 1), made_s=0.0)
        self.witness = Witness("kubelet.sock", self._ask, clock=lambda: self.now, now=self._wall)
        self.behind_s = 0.0

    def _ask(self) -> Seen[Answer]:
        self.asked += 1
        return self.answer

    def _wall(self) -> float:
        return self.now - self.behind_s

    def guests(
        self, *, installed: bool | Unreadable = True, within_s: float = EVERY_S
    ) -> tuple[Guest, ...] | Unreadable:
        return self.witness.guests(installed=installed, within_s=within_s)


def test_the_kubelet_is_asked_every_ten_seconds_at_most() -> None:
    scene = Scene()

    for _ in range(100):
        assert scene.guests() == (GUEST,)
        scene.now += 1.0

    assert scene.asked == 10


def test_an_answer_is_asked_for_anew_where_it_must_be_fresh() -> None:
    scene = Scene()
    scene.guests()

    scene.guests(within_s=AT_ONCE_S)

    assert scene.asked == 2


@pytest.mark.parametrize(
    ("installed", "found"),
    [
        (False, ()),
        (True, Unreadable("kubelet.sock", "is missing, though there is a kubelet")),
        (Unreadable("/usr", "not mounted"), Unreadable("/usr", "not mounted")),
    ],
)
def test_a_missing_socket_is_nobody_only_where_there_is_no_kubelet(
    installed: bool | Unreadable, found: object
) -> None:
    scene = Scene()
    scene.answer = None

    assert scene.guests(installed=installed) == found


def test_a_kubelet_that_has_just_started_is_not_believed_to_have_no_pods() -> None:
    scene = Scene()
    scene.answer = Answer((), (1, 1, 1), made_s=scene.now - YOUNG_S + 0.1)

    assert isinstance(scene.guests(), Unreadable)


def test_a_kubelet_that_has_just_started_is_believed_about_the_pods_it_names() -> None:
    scene = Scene()
    scene.answer = Answer((GUEST,), (1, 1, 1), made_s=scene.now)

    assert scene.guests() == (GUEST,)


def test_a_clock_that_was_set_back_delays_the_answer_by_seconds_and_not_by_hours() -> None:
    scene = Scene()
    scene.answer = Answer((), (1, 1, 1), made_s=scene.now)
    scene.behind_s = 3600.0
    assert isinstance(scene.guests(), Unreadable)

    scene.now += EVERY_S

    assert scene.guests() == ()


def test_a_kubelet_that_started_anew_is_doubted_anew() -> None:
    scene = Scene()
    scene.answer = Answer((), (1, 1, 1), made_s=0.0)
    assert scene.guests() == ()

    scene.now += EVERY_S
    scene.answer = Answer((), (1, 2, 2), made_s=scene.now)

    assert isinstance(scene.guests(), Unreadable)
