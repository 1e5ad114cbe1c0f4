"""What a plan makes of pods that were given a GPU: who is waited for, and who is asked to go."""

from __future__ import annotations

import pytest

from nodeagent.model.cluster import (
    Begin,
    Cordon,
    Evict,
    Finish,
    Guest,
    Note,
    Relabel,
    Standing,
    Step,
    Switch,
    Uncordon,
    Wait,
)
from nodeagent.model.seen import Unreadable
from nodeagent.model.words import CcMode
from nodeagent.plan import cluster as plan

NOTE = Note(CcMode.ON, was="off", started="2026-11-01T00:00:00Z")
PLUGIN = "nvidia.com/gpu.deploy.kata-sandbox-device-plugin"
PLAIN = Guest("team-a", "vm", ("nvidia.com/pgpu",))
VM = PLAIN._replace(uid="1", may_go=True)
OTHER = Guest("team-b", "vm", ("nvidia.com/pgpu", "nvidia.com/nvswitch"), uid="2", may_go=True)
DAEMON = PLAIN._replace(name="monitor", uid="3", why="its DaemonSet would make it anew")
BUDGET = "The disruption budget vm needs 1 healthy pods and has 1 currently"
REFUSED = VM._replace(refused=BUDGET, is_due=False)
GAP = Unreadable("kubelet.sock", "no answer within 5 s")
QEMU = ("qemu-system-x86 (pid 4711) (0000:41:00.0)",)

FREE = Standing(
    want=CcMode.ON,
    unsettled=("0000:41:00.0",),
    refused="",
    holders=(),
    deploy={PLUGIN: "true"},
    pods={},
    allocatable={},
    is_unschedulable=False,
    is_cordoned_by_us=False,
    note=None,
)
BEGUN = FREE._replace(is_unschedulable=True, is_cordoned_by_us=True, note=NOTE)
PAUSED = BEGUN._replace(deploy={PLUGIN: "paused-by-nodeagent"})


@pytest.mark.parametrize(
    ("now", "says"),
    [
        (FREE._replace(guests=(PLAIN,)), "in use by pod team-a/vm (nvidia.com/pgpu)"),
        (
            FREE._replace(guests=(PLAIN, OTHER._replace(may_go=False)), holders=QEMU),
            "in use by pod team-a/vm (nvidia.com/pgpu) and 2 more",
        ),
        (
            FREE._replace(guests=(DAEMON,)),
            "in use by pod team-a/monitor (nvidia.com/pgpu): its DaemonSet would make it anew",
        ),
        (
            FREE._replace(guests=(VM, DAEMON), holders=QEMU),
            "in use by pod team-a/monitor (nvidia.com/pgpu): its DaemonSet would make it anew",
        ),
        (FREE._replace(holders=QEMU), f"in use by {QEMU[0]}"),
        (
            FREE._replace(guests=GAP),
            "who uses the GPUs cannot be told: kubelet.sock: no answer within 5 s",
        ),
        (
            FREE._replace(guests=(VM,), holders=Unreadable("/proc", "Permission denied")),
            "who uses the GPUs cannot be told: /proc: Permission denied",
        ),
    ],
)
def test_nothing_is_taken_from_a_node_for_a_switch_that_cannot_be(now: Standing, says: str) -> None:
    assert plan.next_step(now, NOTE) == Wait(says, is_blocked=True)


@pytest.mark.parametrize(
    ("now", "step"),
    [
        (FREE._replace(guests=(VM,), holders=QEMU), Begin(NOTE)),
        (FREE._replace(guests=(VM,), note=NOTE), Cordon()),
        (BEGUN._replace(guests=(VM,), holders=QEMU), Evict(VM)),
        (BEGUN._replace(guests=(REFUSED, OTHER)), Evict(OTHER)),
        (
            BEGUN._replace(guests=(REFUSED._replace(is_due=True),)),
            Evict(VM._replace(refused=BUDGET)),
        ),
        (
            BEGUN._replace(guests=(VM._replace(is_leaving=True),)),
            Wait("until pod team-a/vm (nvidia.com/pgpu) is gone"),
        ),
        (
            BEGUN._replace(guests=(VM._replace(is_due=False),)),
            Wait("until pod team-a/vm (nvidia.com/pgpu) is gone"),
        ),
        (
            BEGUN._replace(guests=(REFUSED, OTHER._replace(is_leaving=True))),
            Wait(f"pod team-a/vm (nvidia.com/pgpu) cannot be evicted: {BUDGET}", is_blocked=True),
        ),
        (BEGUN, Relabel(PLUGIN, "true", "paused-by-nodeagent")),
        (PAUSED, Switch(CcMode.ON)),
        (PAUSED._replace(holders=QEMU), Wait(f"in use by {QEMU[0]}", is_blocked=True)),
        (
            PAUSED._replace(guests=(PLAIN,)),
            Wait("in use by pod team-a/vm (nvidia.com/pgpu)", is_blocked=True),
        ),
    ],
)
def test_pods_go_after_the_cordon_and_before_the_operands(now: Standing, step: Step | Wait) -> None:
    assert plan.next_step(now, NOTE) == step


def test_at_the_deadline_everything_is_given_back_and_the_budget_is_named() -> None:
    """With the pod still there; nobody is asked to go any more."""
    late = PAUSED._replace(guests=(REFUSED._replace(is_due=True),), is_late=True)
    assert plan.next_step(late, None) == Relabel(PLUGIN, "paused-by-nodeagent", "true")

    back = late._replace(deploy={PLUGIN: "true"})
    assert plan.next_step(back, None) == Uncordon()

    free = back._replace(is_unschedulable=False, is_cordoned_by_us=False)
    why = f"pod team-a/vm (nvidia.com/pgpu) cannot be evicted: {BUDGET}"
    assert plan.next_step(free, None) == Finish(NOTE, plan.BLOCKED, why)
