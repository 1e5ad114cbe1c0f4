"""What idles is woken for a look, and no look leaves anything awake that slept."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeagent import locks
from nodeagent.agent.asking import asked
from nodeagent.agent.waking import awake
from nodeagent.debts import Debts
from nodeagent.facts import switching
from nodeagent.model.knobs import Configured
from nodeagent.model.seen import Unreadable
from nodeagent.model.words import CcMode
from nodeagent.sim.clock import ManualClock
from nodeagent.sim.machine import SimMachine
from nodeagent.sim.node import node
from tests.unit.recalled import recalled

BDF = "0000:41:00.0"
CONTROL = f"/sys/bus/pci/devices/{BDF}/power/control"


@pytest.fixture
def asleep(hosts: Path) -> Iterator[SimMachine]:
    with recalled(str(hosts / "genoa-gpu-d3hot")) as base:
        machine = node(base, ManualClock())
        assert power(machine) == 3
        yield machine


def power(machine: SimMachine) -> int:
    return machine.places[BDF].device.config.power_state


def test_an_idle_gpu_is_awake_for_the_look_alone(asleep: SimMachine, tmp_path: Path) -> None:
    with awake(asleep, tmp_path):
        [target] = switching.read(asleep)  # type: ignore[misc]
        assert (target.awake, target.active) == (True, CcMode.OFF)
        assert Debts(tmp_path).all()[BDF].control == "auto"

    assert power(asleep) == 3
    assert (asleep.places[BDF].control, Debts(tmp_path).all()) == ("auto", {})


def test_a_look_that_fails_lets_it_sleep_again(asleep: SimMachine, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), awake(asleep, tmp_path):
        raise ZeroDivisionError

    assert (power(asleep), Debts(tmp_path).all()) == (3, {})


def test_what_somebody_holds_is_not_written_to(asleep: SimMachine, tmp_path: Path) -> None:
    asleep.hold(BDF, 4242, "qemu-system-x86")
    writes: list[str] = []
    asleep.touch = writes.append  # type: ignore[method-assign, assignment]

    with awake(asleep, tmp_path):
        pass

    assert writes == []


def test_what_another_program_changes_goes_on_sleeping(asleep: SimMachine, tmp_path: Path) -> None:
    with locks.taken(tmp_path, [BDF], command="apply"), awake(asleep, tmp_path):
        assert power(asleep) == 3


def test_where_nothing_can_be_noted_nothing_is_woken(asleep: SimMachine, tmp_path: Path) -> None:
    """As for one who may not write to /run: without a note it might never sleep again."""
    (tmp_path / "run").write_text("a file")

    with awake(asleep, tmp_path / "run"):
        assert power(asleep) == 3


def test_what_a_program_that_died_took_is_given_back(asleep: SimMachine, tmp_path: Path) -> None:
    Debts(tmp_path).owe(BDF, control="auto")
    asleep.write(BDF, CONTROL, "on")
    assert power(asleep) == 0

    with awake(asleep, tmp_path):
        pass

    assert (power(asleep), Debts(tmp_path).all()) == (3, {})


def test_a_debt_of_a_running_program_is_left_to_it(asleep: SimMachine, tmp_path: Path) -> None:
    Debts(tmp_path).owe(BDF, control="auto")
    asleep.write(BDF, CONTROL, "on")

    with locks.taken(tmp_path, [BDF], command="apply"), awake(asleep, tmp_path):
        pass

    assert (power(asleep), set(Debts(tmp_path).all())) == (0, {BDF})


def test_firmware_is_asked_of_what_may_be_woken(asleep: SimMachine, tmp_path: Path) -> None:
    asleep.places[BDF].device.fsp.knobs.update({8: 1, 10: 2})

    with asked(asleep, tmp_path, wake=True) as found:
        answer = found[BDF]
    with asked(asleep, tmp_path, wake=False) as unwoken:
        silent = unwoken[BDF]

    assert isinstance(answer, Configured)
    assert answer.mode is CcMode.ON
    assert isinstance(silent, Unreadable)
    assert "while it sleeps" in silent.why
    assert power(asleep) == 3


def test_firmware_of_a_held_gpu_is_not_asked(asleep: SimMachine, tmp_path: Path) -> None:
    asleep.hold(BDF, 4242, "qemu-system-x86")

    with asked(asleep, tmp_path, wake=True) as found:
        answer = found[BDF]

    assert isinstance(answer, Unreadable)
    assert "in use by qemu-system-x86" in answer.why
