"""What a switch needs of the cluster: the next step follows from the node alone."""

from dataclasses import replace

import pytest

from nodeagent.model.cluster import (
    Begin,
    Cordon,
    Finish,
    Note,
    Pod,
    Queue,
    Relabel,
    Standing,
    Step,
    Switch,
    Uncordon,
    Wait,
)
from nodeagent.model.pause import TOKEN
from nodeagent.model.seen import Unreadable
from nodeagent.model.words import CcMode
from nodeagent.plan.cluster import (
    BLOCKED,
    DEPLOY,
    DONE,
    FAILED,
    WITHDRAWN,
    minds_pods,
    next_step,
    operands,
    withholds,
)

ON, OFF = CcMode.ON, CcMode.OFF
GPU = "0000:41:00.0"
PLUGIN, VFIO = f"{DEPLOY}kata-sandbox-device-plugin", f"{DEPLOY}vfio-manager"
NOTE = Note(
    ON, "off", "2026-11-25T12:00:00Z", allocatable={"nvidia.com/pgpu": 8}, paused=(PLUGIN, VFIO)
)
RUNNING = {PLUGIN: (Pod("plugin", "1", True),), VFIO: (Pod("vfio", "2", True),)}
GONE: dict[str, tuple[Pod, ...]] = {PLUGIN: (), VFIO: ()}
PAUSED = {PLUGIN: TOKEN, VFIO: TOKEN}

AT_REST = Standing(
    want=ON,
    unsettled=(),
    refused="",
    holders=(),
    deploy={PLUGIN: "true", VFIO: "true"},
    pods=RUNNING,
    allocatable={"nvidia.com/pgpu": 8},
    is_unschedulable=False,
    is_cordoned_by_us=False,
    note=None,
)
ASKED = AT_REST._replace(unsettled=(GPU,))
BEGUN = ASKED._replace(note=NOTE)
CORDONED = BEGUN._replace(is_unschedulable=True, is_cordoned_by_us=True)
READY_TO_GO = CORDONED._replace(deploy=PAUSED, pods=GONE, allocatable={"nvidia.com/pgpu": 0})
SWITCHED = READY_TO_GO._replace(unsettled=())
BACK = SWITCHED._replace(deploy=AT_REST.deploy, pods=RUNNING, allocatable=AT_REST.allocatable)


def step(now: Standing) -> Step | Wait | None:
    return next_step(now, NOTE if now.note is None else None)


@pytest.mark.parametrize(
    ("now", "then"),
    [
        (AT_REST, None),
        (ASKED, Begin(NOTE)),
        (BEGUN, Cordon()),
        (BEGUN._replace(is_unschedulable=True), Relabel(PLUGIN, "true", TOKEN)),
        (CORDONED._replace(deploy={PLUGIN: TOKEN, VFIO: "true"}), Relabel(VFIO, "true", TOKEN)),
        (CORDONED._replace(deploy=PAUSED), Wait("until plugin is gone")),
        (READY_TO_GO, Switch(ON)),
        (SWITCHED, Relabel(VFIO, TOKEN, "true")),
        (SWITCHED._replace(deploy={PLUGIN: TOKEN, VFIO: "true"}), Relabel(PLUGIN, TOKEN, "true")),
        (BACK._replace(pods=GONE), Wait(f"until there is a pod for {PLUGIN} again")),
        (
            BACK._replace(pods={**RUNNING, VFIO: (Pod("vfio", "3", False),)}),
            Wait("until vfio is ready again"),
        ),
        (
            BACK._replace(allocatable={"nvidia.com/pgpu": 7}),
            Wait("until nvidia.com/pgpu is back: 7 of 8"),
        ),
        (BACK, Uncordon()),
        (BACK._replace(is_cordoned_by_us=False), Finish(NOTE, DONE)),
    ],
)
def test_one_step_after_the_other(now: Standing, then: Step | Wait | None) -> None:
    assert step(now) == then


def test_ready_comes_back_before_the_cordon_goes_and_after_all_else() -> None:
    under_way = (ASKED, BEGUN, CORDONED, READY_TO_GO, SWITCHED, BACK._replace(pods=GONE))

    assert all(withholds(step(now)) for now in under_way)
    assert not withholds(step(BACK))
    assert not withholds(step(AT_REST))


@pytest.mark.parametrize("now", [ASKED, ASKED._replace(deploy={}), ASKED._replace(pods={})])
def test_where_a_gpu_is_held_nothing_is_taken_from_the_node(now: Standing) -> None:
    found = step(now._replace(holders=("qemu (pid 1) (0000:41:00.0)", "another")))

    assert found == Wait("in use by qemu (pid 1) (0000:41:00.0) and 1 more", is_blocked=True)


def test_who_may_use_a_gpu_and_cannot_be_seen_stops_it_like_one_who_does() -> None:
    found = step(ASKED._replace(holders=Unreadable("/proc", "EACCES")))

    assert isinstance(found, Wait)
    assert found.is_blocked


def test_who_comes_after_the_pause_is_waited_for() -> None:
    found = step(READY_TO_GO._replace(holders=("qemu",)))

    assert found == Wait("in use by qemu", is_blocked=True)


def test_what_is_refused_is_not_begun_and_what_was_begun_is_given_back() -> None:
    assert step(ASKED._replace(refused="the host is not ready")) is None
    assert step(READY_TO_GO._replace(refused="cc-manager")) == Relabel(VFIO, TOKEN, "true")


def test_what_took_too_long_is_given_back() -> None:
    late = READY_TO_GO._replace(holders=("qemu",), is_late=True)

    assert step(late) == Relabel(VFIO, TOKEN, "true")
    done = late._replace(deploy=AT_REST.deploy, pods=RUNNING, is_cordoned_by_us=False)
    back = done._replace(allocatable=AT_REST.allocatable)
    assert step(back) == Finish(NOTE, BLOCKED, "in use by qemu")


def test_operands_that_do_not_come_back_keep_the_node_from_ready_but_not_from_other_work() -> None:
    """What is not back in time is not waited for with a cordon."""
    late = BACK._replace(allocatable={"nvidia.com/pgpu": 0}, is_late=True)

    assert step(late) == Uncordon()
    assert withholds(step(late._replace(is_cordoned_by_us=False)))


def test_a_switch_that_failed_is_given_back_and_told() -> None:
    failed = replace(NOTE, failed="it did not boot")

    assert step(READY_TO_GO._replace(note=failed)) == Relabel(VFIO, TOKEN, "true")
    back = BACK._replace(unsettled=(GPU,), note=failed, is_cordoned_by_us=False)
    assert step(back) == Finish(failed, FAILED)


def test_a_wish_that_changed_in_the_middle_ends_this_switch_first() -> None:
    changed = READY_TO_GO._replace(want=OFF)

    assert step(changed) == Relabel(VFIO, TOKEN, "true")
    back = BACK._replace(want=OFF, unsettled=(GPU,), is_cordoned_by_us=False)
    assert step(back) == Finish(NOTE, WITHDRAWN)


def test_our_token_without_a_note_is_given_back() -> None:
    """Somebody took the note; the token says enough."""
    assert step(AT_REST._replace(deploy=PAUSED)) == Relabel(VFIO, TOKEN, "true")
    assert step(AT_REST._replace(is_cordoned_by_us=True)) == Uncordon()


@pytest.mark.parametrize("value", ["false", ""])
def test_what_is_not_deployed_is_not_paused(value: str) -> None:
    assert step(CORDONED._replace(deploy={PLUGIN: value}, pods=GONE)) == Switch(ON)


def test_no_room_for_our_token_is_said() -> None:
    full = "paused-for-cc-mode-change_paused-for-driver-upgrade"

    found = step(CORDONED._replace(deploy={PLUGIN: full}))

    assert isinstance(found, Wait)
    assert found.is_blocked
    assert full in found.says


def test_operands_that_cannot_be_seen_are_not_taken_to_be_gone() -> None:
    gap = Unreadable("pods", "forbidden")

    found = step(READY_TO_GO._replace(pods=gap))

    assert isinstance(found, Wait)
    assert found.is_blocked


def test_a_fleet_is_asked_for_a_turn_before_anything_is_noted() -> None:
    assert step(ASKED._replace(waits_for_turn=None)) == Queue(ON)
    assert step(ASKED._replace(waits_for_turn="a has it")) == Queue(ON, "a has it")
    assert step(BEGUN._replace(waits_for_turn="a has it")) == Cordon()


def test_what_advertises_devices_goes_first_and_comes_back_last() -> None:
    order = [key.removeprefix(DEPLOY) for key in operands()]

    assert order.index("kata-sandbox-device-plugin") < order.index("sandbox-validator")
    assert order.index("sandbox-validator") < order.index("vfio-manager")
    assert not {"cc-manager", "driver", "operands"} & set(order)


@pytest.mark.parametrize(
    ("now", "minds"),
    [
        (ASKED, False),
        (BEGUN, False),
        (CORDONED._replace(deploy={PLUGIN: TOKEN, VFIO: "true"}), False),
        (READY_TO_GO, True),
        (SWITCHED, False),
        (BACK, True),
        (AT_REST, False),
        (READY_TO_GO._replace(deploy={}, note=replace(NOTE, paused=())), False),
    ],
)
def test_operands_pods_are_looked_at_where_they_decide(now: Standing, minds: bool) -> None:
    """A label of theirs may be gone by then: the note still says who was paused."""
    assert minds_pods(step(now), now) is minds
