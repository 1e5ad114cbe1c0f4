"""The whole of a switch: rolled back before anybody could open a half of it, and told truly."""

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from nodeagent.agent.converge import Told
from nodeagent.agent.recover import recover
from nodeagent.agent.switch import DeviceEnd, End, OnFailure, Workplace, switch, workplace
from nodeagent.agent.together import in_turn
from nodeagent.agent.waking import give_back
from nodeagent.debts import Debts
from nodeagent.errors import HostError
from nodeagent.facts import gpu, pci
from nodeagent.model.modes import decode
from nodeagent.model.pci import Devices
from nodeagent.model.switching import Bind, Debt, Reset, Stage, Step
from nodeagent.model.words import CcMode
from nodeagent.plan.wanted import Situation
from nodeagent.sim.machine import SimMachine
from tests.kill.board import ASLEEP, OFF, ON, PPCIE, Board, Slot, addresses, base, chip

FIRST, OTHER = addresses(2)
WANT = {FIRST: ON, OTHER: ON}


class Node(NamedTuple):
    board: Board
    at: Workplace
    machine: SimMachine

    def switch(
        self,
        want: dict[str, CcMode],
        told: Told,
        *,
        on_failure: OnFailure = OnFailure.ROLLBACK,
        stop_at: Step | None = None,
    ) -> list[DeviceEnd]:
        devices = gpu.read(self.machine, pci.nvidia_functions(self.machine.files), boot_id=None)
        assert isinstance(devices, Devices)
        now = Situation(devices, {bdf: self.board.mode(bdf) or OFF for bdf in want}, "none", None)
        return list(
            switch(
                self.at,
                want,
                now,
                on_failure=on_failure,
                told=told,
                stopped=lambda: stop_at in STEPS,
                together=in_turn,
            )
        )


STEPS: list[Step] = []
TOLD = Told(begins=STEPS.append)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    yield from _node(tmp_path, OFF)


@pytest.fixture
def protected(tmp_path: Path) -> Iterator[Node]:
    yield from _node(tmp_path, PPCIE)


def _node(tmp_path: Path, mode: CcMode) -> Iterator[Node]:
    STEPS.clear()
    board = Board({bdf: Slot(chip(bdf), ASLEEP, mode) for bdf in WANT})
    machine = SimMachine(base(2, 0), board.places, board.clock)
    with workplace(machine, tmp_path, frozenset(WANT), command="test") as at:
        yield Node(board, at, machine)


def test_a_rollback_comes_before_anything_is_given_back(node: Node) -> None:
    node.board.places[OTHER].device.fsp.knobs[7] = 0

    ends = node.switch(WANT, TOLD)

    assert [each.end for each in ends] == [End.BACK, End.FAILED]
    assert [node.board.mode(bdf) for bdf in WANT] == [OFF, OFF]
    staged = [each for each in STEPS if not isinstance(each, Bind)]
    assert STEPS.index(next(each for each in STEPS if isinstance(each, Bind))) > len(staged) // 2
    assert [place.driver for place in node.board.places.values()] == ["vfio-pci", "vfio-pci"]
    assert node.at.debts.all() == {}


def test_what_a_stop_left_in_a_rollback_is_not_called_done(node: Node) -> None:
    """Both are proven on; one driver does not come back, and then somebody says stop."""
    write = node.machine.write

    def refuses(bdf: str, path: str, text: str) -> None:
        if path.endswith("/bind") and bdf == OTHER:
            raise OSError(errno.EBUSY, "Device or resource busy")
        write(bdf, path, text)

    node.machine.write = refuses  # type: ignore[method-assign]

    ends = node.switch(WANT, TOLD, stop_at=Stage(FIRST, OFF))

    assert (node.board.mode(FIRST), node.board.places[FIRST].device.fsp.knobs[8]) == (ON, 0)
    assert [each.end for each in ends] == [End.LEFT, End.FAILED]


def test_protected_pcie_is_left_by_all_or_none(protected: Node) -> None:
    protected.board.places[OTHER].device.faults.never_boots = True

    ends = protected.switch({FIRST: OFF, OTHER: OFF}, TOLD, on_failure=OnFailure.FINISH)

    assert [each.end for each in ends] == [End.BACK, End.FAILED]
    assert protected.board.mode(FIRST) is PPCIE


def test_no_reset_follows_a_driver_that_would_not_let_go(node: Node) -> None:
    node.board.places[FIRST].device.faults.wedged = True
    write = node.machine.write

    def refuses(bdf: str, path: str, text: str) -> None:
        if path.endswith("/unbind"):
            raise OSError(errno.EBUSY, "Device or resource busy")
        write(bdf, path, text)

    node.machine.write = refuses  # type: ignore[method-assign]
    with pytest.raises(HostError, match="does not come back"):
        recover(node.at, FIRST, told=TOLD)

    assert not [each for each in STEPS if isinstance(each, Reset)]
    assert node.board.places[FIRST].device.resets == 0
    assert node.board.places[FIRST].driver == "vfio-pci"


def test_every_word_of_a_debt_is_read_back(tmp_path: Path) -> None:
    whole = Debt("vfio-pci", "vfio-pci", "auto", decode=False, reset_method="flr", removed=True)
    assert None not in whole
    debts = Debts(tmp_path)

    debts.owe(FIRST, **{name: each for name, each in whole._asdict().items() if each is not None})

    assert debts.all() == {FIRST: whole}


def test_a_device_that_a_dead_program_removed_is_found_again(node: Node) -> None:
    place = node.board.places[FIRST]
    node.at.debts.owe(FIRST, driver="vfio-pci", override="vfio-pci", control="auto", removed=True)
    node.machine.write(FIRST, f"/sys/bus/pci/devices/{FIRST}/driver/unbind", FIRST)
    node.machine.write(FIRST, f"/sys/bus/pci/devices/{FIRST}/remove", "1")

    ends = node.switch(WANT, TOLD)

    assert place.removed is False
    assert place.driver == "vfio-pci"
    assert {each.bdf for each in ends} == set(WANT)
    assert node.at.debts.all() == {}
    assert decode(place.device.read(0x1182CC), "hopper") in {None, OFF, ON}


def test_a_stuck_device_is_neither_read_nor_written_again(node: Node) -> None:
    touched: list[str] = []

    def begins(step: Step) -> None:
        STEPS.append(step)
        if type(step).__name__ == "Unbind" and step.bdf == OTHER:
            node.machine.hold(OTHER, 4242, "qemu-system-x86")

    ends = node.switch(WANT, Told(begins=begins))
    node.machine.touch = touched.append  # type: ignore[method-assign, assignment]
    node.board.places[OTHER].device.read_config = _never  # type: ignore[method-assign, assignment]
    give_back(node.machine, node.at.debts, frozenset(WANT))

    assert ends[1].end is End.FAILED
    assert "held by qemu-system-x86" in str(ends[1].error)
    assert not [each for each in touched if OTHER in each]
    assert OTHER in node.at.debts.all()


def _never(_at: int, _size: int) -> bytes:
    """The kernel would make us wait for as long as the write does."""
    raise AssertionError("a stuck device was looked at")
