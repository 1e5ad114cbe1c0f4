"""A switch of modes as it goes right, and as one device among many goes wrong."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from nodeagent.agent.converge import StillNeededError, Told, converge
from nodeagent.agent.together import in_turn, side_by_side
from nodeagent.debts import Debts
from nodeagent.errors import AgentError
from nodeagent.model.switching import Await, Reset, Stage, Step, Unbind
from nodeagent.model.words import CcMode
from nodeagent.plan.gpu import BlockedError
from nodeagent.sim.clock import ManualClock
from nodeagent.sim.device import BOOT_S, RESET_S
from nodeagent.sim.machine import SimMachine
from nodeagent.sim.node import node
from tests.kill.board import ASLEEP, FOUND, OFF, ON, PPCIE, Board, Found, Run, Slot, addresses, chip
from tests.kill.board import base as host
from tests.unit.recalled import recalled

GPUS = addresses(8)
FIRST, OTHER = GPUS[:2]


def board(bdfs: Sequence[str], mode: CcMode = OFF, found: Found = ASLEEP) -> Board:
    return Board({bdf: Slot(chip(bdf), found, mode) for bdf in bdfs})


def run(board: Board, told: Told | None = None) -> Run:
    gpus = sum(not each.device.chip.is_switch for each in board.places.values())
    return Run(board, host(gpus, len(board.places) - gpus), told=told)


def test_what_is_held_is_left_alone() -> None:
    """Nothing at all is begun: the others of the node would be switched for nothing."""
    two = board([FIRST, OTHER])
    switch = run(two)
    switch.machine.hold(OTHER, 4242, "qemu-system-x86")

    with pytest.raises(BlockedError, match=rf"{OTHER} is in use by qemu-system-x86 \(pid 4242"):
        switch.converge({FIRST: ON, OTHER: ON})

    assert switch.writes == 0
    assert [place.driver for place in two.places.values()] == ["vfio-pci", "vfio-pci"]


@pytest.mark.parametrize("name", ["vfio-pci, asleep", "nvidia", "nouveau"])
def test_whoever_has_it_open_through_its_driver_is_seen(name: str) -> None:
    """By VFIO's group, nvidiactl, or a DRM node."""
    one = board([FIRST], OFF, FOUND[name])
    switch = run(one)
    switch.machine.hold(FIRST, 4242, "somebody")

    with pytest.raises(BlockedError, match=r"in use by somebody \(pid 4242, /dev/"):
        switch.converge({FIRST: ON})

    assert switch.writes == 0


def test_a_vm_that_comes_in_between_keeps_its_gpu() -> None:
    """Two are looked at; before the first step of one is done, a VM has the other."""
    two = board([FIRST, OTHER])
    switch = run(two)

    def begins(step: Step) -> None:
        if step.bdf == FIRST and not two.places[OTHER].holders:
            switch.machine.hold(OTHER, 4242, "qemu-system-x86")

    switch.told = Told(begins=begins)
    outcome = switch.converge({FIRST: ON, OTHER: ON})

    assert outcome.proven == {FIRST: ON}
    assert "in use by qemu" in str(outcome.failed[OTHER])
    assert two.places[OTHER].driver == "vfio-pci"


def test_a_gpu_that_never_boots_gets_its_driver_back_and_is_named() -> None:
    two = board([FIRST, OTHER])
    two.places[OTHER].device.faults.never_boots = True

    outcome = run(two).converge({FIRST: ON, OTHER: ON})

    assert outcome.proven == {FIRST: ON}
    told = str(outcome.failed[OTHER])
    assert "did not boot within 10 s" in told
    assert "configuration space: vendor 0x10de, command 0x0002, PMCSR 0x0008" in told
    assert [place.driver for place in two.places.values()] == ["vfio-pci", "vfio-pci"]
    assert not two.owed


@pytest.mark.parametrize(
    ("at", "value", "said"),
    [(0x02, b"\x21\x23", "the device id 0x2321"), (0x10, b"\x0c\0\0\0", "its registers at")],
)
def test_what_comes_back_as_another_device_is_not_believed(
    at: int, value: bytes, said: str
) -> None:
    two = board([FIRST, OTHER])

    def begins(step: Step) -> None:
        if step == Await(OTHER) and reset:
            two.places[OTHER].device.config.raw[at : at + len(value)] = value

    def ended(step: Step, _error: AgentError | None) -> None:
        reset.extend([step] if step == Reset(OTHER) else [])

    reset: list[Step] = []
    outcome = run(two, Told(begins, ended)).converge({FIRST: ON, OTHER: ON})

    assert outcome.proven == {FIRST: ON}
    assert f"{OTHER} shows {said}" in str(outcome.failed[OTHER])
    assert outcome.failed[OTHER].hint == "power cycle the node"


def test_all_or_none_resets_nobody_once_one_cannot_be_staged() -> None:
    two = board([FIRST, OTHER])
    two.places[OTHER].device.fsp.knobs[44] = 0  # the BMC keeps protected PCIe to itself

    outcome = run(two).converge({FIRST: PPCIE, OTHER: PPCIE}, all_or_none=True)

    assert "may not be changed from the host" in str(outcome.failed[OTHER])
    assert not outcome.proven
    assert [place.device.resets for place in two.places.values()] == [0, 0]
    # Nothing is given back before all are as they were: a VM could open a half of them.
    assert [place.driver for place in two.places.values()] == [None, None]


def test_a_reset_that_changes_nothing_is_not_tried_again() -> None:
    """Its firmware takes every knob, and boots with none of them."""
    one = board([FIRST])
    device = one.places[FIRST].device
    device.boot = lambda: None  # type: ignore[method-assign]
    end = device._end

    def forgets(*, bus: bool = False) -> None:
        end(bus=bus)
        device._active = dict.fromkeys(device.fsp.knobs, 0)

    device._end = forgets  # type: ignore[method-assign]
    outcome = run(one).converge({FIRST: ON})

    assert isinstance(outcome.failed[FIRST], StillNeededError)
    assert device.resets == 1


def test_eight_resets_and_boots_take_as_long_as_one() -> None:
    eight = board(GPUS)
    began = eight.clock.now()
    switch = run(eight)
    switch.together = side_by_side  # the model's clock counts sleepers side by side as well

    outcome = switch.converge(dict.fromkeys(GPUS, ON))

    assert outcome.proven == dict.fromkeys(GPUS, ON)
    assert eight.clock.now() - began >= RESET_S + BOOT_S
    eight.demand_whole(dict.fromkeys(GPUS, ON))


def test_nobody_is_reset_before_everybody_is_staged() -> None:
    done: list[Step] = []
    lock = threading.Lock()

    def begins(step: Step) -> None:
        with lock:
            done.append(step)

    switch = run(board(GPUS), Told(begins=begins))
    switch.together = side_by_side
    switch.converge(dict.fromkeys(GPUS, ON))

    kinds = [type(step) for step in done if isinstance(step, Stage | Reset)]
    assert kinds == [Stage] * 8 + [Reset] * 8


def test_a_stop_finishes_the_step_in_hand_and_gives_back() -> None:
    asked: list[Step] = []
    two = board([FIRST, OTHER])
    switch = run(two, Told(begins=asked.append))

    outcome = switch.converge(
        {FIRST: ON, OTHER: ON}, stopped=lambda: any(isinstance(each, Stage) for each in asked)
    )

    assert (outcome.proven, outcome.failed) == ({}, {})
    assert [place.device.resets for place in two.places.values()] == [0, 0]
    assert [place.device.fsp.knobs[8] for place in two.places.values()] == [1, 1]
    assert [place.driver for place in two.places.values()] == ["vfio-pci", "vfio-pci"]
    assert set(two.owed) == {f"{FIRST}.staged", f"{OTHER}.staged"}


def test_a_mode_that_stands_is_not_believed_while_a_reset_is_due() -> None:
    """On since its boot, and without its filter: staging that alone changes nothing yet (§8.3)."""
    one = board([FIRST], ON)
    device = one.places[FIRST].device
    device.fsp.knobs[10] = 0
    device.boot()
    assert not device.filtered
    switch = run(one)
    switch.began_legal = False

    assert switch.converge({FIRST: ON}).proven == {FIRST: ON}

    one.demand_whole({FIRST: ON})


def test_a_feature_that_no_confidential_mode_goes_with_is_no_mode() -> None:
    one = board([FIRST], ON)
    one.places[FIRST].device.fsp.knobs[2] = 1

    assert run(one).converge({FIRST: ON}).proven == {FIRST: ON}

    assert one.places[FIRST].device.fsp.knobs[2] == 0
    one.demand_whole({FIRST: ON})


@pytest.mark.parametrize("name", FOUND)
def test_what_is_in_the_mode_already_is_neither_unbound_nor_reset(name: str) -> None:
    told: list[Step] = []
    one = board([FIRST], ON, FOUND[name])

    outcome = run(one, Told(begins=told.append)).converge({FIRST: ON})

    assert outcome.proven == {FIRST: ON}
    assert one.places[FIRST].device.resets == 0
    assert not [step for step in told if "take" in str(step)]
    one.demand_whole({FIRST: ON})


def test_protected_pcie_is_left_for_good() -> None:
    """Not the CC bits alone: they are off under protected PCIe already."""
    both = addresses(1, 1)
    pair = board(both, PPCIE)

    outcome = run(pair).converge(dict.fromkeys(both, OFF))

    assert outcome.proven == dict.fromkeys(both, OFF)
    pair.demand_whole(dict.fromkeys(both, OFF))


def test_an_error_is_told_with_the_step_that_it_ended() -> None:
    told: list[tuple[Step, AgentError | None]] = []
    one = board([FIRST])
    one.places[FIRST].device.fsp.knobs[7] = 0

    run(one, Told(ended=lambda step, error: told.append((step, error)))).converge({FIRST: ON})

    [(step, error)] = [pair for pair in told if pair[1] is not None]
    assert isinstance(step, Stage)
    assert "CC_IN_BAND (knob 7) is 0" in str(error)


def test_an_error_of_the_firmware_names_the_part_and_its_version() -> None:
    one = board([FIRST])
    one.places[FIRST].device.faults.answer_code = 0x202

    outcome = run(one).converge({FIRST: ON})

    assert "error 0x202" in str(outcome.failed[FIRST])
    assert "(FSP firmware 4.17, device id 0x2330)" in str(outcome.failed[FIRST])


def test_a_write_that_is_stuck_names_who_has_the_device_and_is_the_last_one() -> None:
    """A VM that opened it in the very moment: the kernel waits for it, and we do not."""
    told: list[str] = []
    two = board([FIRST, OTHER])
    switch = run(two)

    def begins(step: Step) -> None:
        told.append(str(step))
        if isinstance(step, Unbind) and step.bdf == OTHER:
            switch.machine.hold(OTHER, 4242, "qemu-system-x86")

    def ended(_step: Step, _error: AgentError | None) -> None:
        switch.machine.harm.clear()  # the model takes the race for our fault

    switch.told = Told(begins, ended)
    outcome = switch.converge({FIRST: ON, OTHER: ON})

    assert outcome.proven == {FIRST: ON}
    assert "did not return" in str(outcome.failed[OTHER])
    assert "held by qemu-system-x86 (pid 4242" in str(outcome.failed[OTHER])
    assert [line for line in told if OTHER in line][-1] == f"take {OTHER} away from vfio-pci"


BLACKWELL = ["turin-hgx-b200", "genoa-rtx-pro-6000"]


@pytest.fixture(params=BLACKWELL)
def blackwell(request: pytest.FixtureRequest, hosts: Path) -> Iterator[SimMachine]:
    with recalled(str(hosts / request.param)) as base:
        yield node(base, ManualClock())


def test_blackwell_comes_to_every_mode_that_it_has(blackwell: SimMachine, tmp_path: Path) -> None:
    """Through its own mailbox, and behind its firewall for the first part of each boot."""
    for mode in (ON, CcMode.DEVTOOLS, OFF, ON):
        want = dict.fromkeys(blackwell.places, mode)
        outcome = converge(blackwell, want, Debts(tmp_path), together=in_turn)
        assert outcome.proven == want
    knobs = [place.device.fsp.knobs for place in blackwell.places.values()]
    assert {each[10] for each in knobs} == {0}  # the firewall of CC mode is no matter of ours here


def test_a_firewall_that_stays_up_is_said_to(blackwell: SimMachine, tmp_path: Path) -> None:
    first = next(iter(blackwell.places))
    blackwell.places[first].device.faults.firewall_stays = True

    outcome = converge(blackwell, {first: ON}, Debts(tmp_path), together=in_turn)

    assert "still behind their firewall after 15 s" in str(outcome.failed[first])


def test_a_device_that_falls_out_of_the_tree_is_named() -> None:
    two = board([FIRST, OTHER])

    def begins(step: Step) -> None:
        if isinstance(step, Stage) and step.bdf == FIRST:
            two.places[OTHER].removed = True

    outcome = run(two, Told(begins=begins)).converge({FIRST: ON, OTHER: ON})

    assert outcome.proven == {FIRST: ON}
    assert str(outcome.failed[OTHER]) in {
        f"{OTHER} is no longer there",
        f"cannot stage on on {OTHER} (only knobs that differ)",
    }


def test_a_device_that_is_never_there_is_named() -> None:
    one = board([FIRST])

    outcome = run(one).converge({FIRST: ON, OTHER: ON})

    assert outcome.proven == {FIRST: ON}
    assert str(outcome.failed[OTHER]) == f"{OTHER} is no longer there"
