"""Dying before or after any write, and running again: the mode comes, and nothing is lost."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import NamedTuple

import pytest

from nodeagent.agent.converge import Outcome, converge
from nodeagent.agent.together import in_turn
from nodeagent.debts import Debts
from nodeagent.model.modes import decode
from nodeagent.model.words import CcMode
from nodeagent.plan.gpu import BlockedError
from nodeagent.sim.chips import H100_PCIE
from nodeagent.sim.clock import ManualClock
from nodeagent.sim.device import BOOT_S, Device
from nodeagent.sim.machine import Place, SimMachine
from tests.unit.looks import EXAMPLES
from tests.unit.recalled import recalled

BDF = "0000:41:00.0"
GROUP = 41
ON, OFF, DEVTOOLS, PPCIE = CcMode.ON, CcMode.OFF, CcMode.DEVTOOLS, CcMode.PPCIE
KNOBS = {OFF: {}, ON: {8: 1, 10: 2}, DEVTOOLS: {8: 1, 6: 1}, PPCIE: {45: 1, 10: 2}}


class Killed(BaseException):
    """Nothing of ours may catch it."""


class Found(NamedTuple):
    """How somebody else has the device; all of it must be so again in the end."""

    driver: str | None
    override: str
    control: str
    idles: bool

    @property
    def decodes(self) -> bool:
        return self.driver is not None


FOUND = {
    "vfio-pci, asleep": Found("vfio-pci", "vfio-pci", "auto", True),
    "vfio-pci, awake": Found("vfio-pci", "vfio-pci", "auto", False),
    "nvidia": Found("nvidia", "", "on", False),
    "no driver": Found(None, "", "on", False),
    "no driver, meant for vfio": Found(None, "vfio-pci", "auto", False),
}


class Sim:
    """One GPU on a machine that can end the program at the n-th write."""

    def __init__(self, base: Path, folder: Path, found: Found, mode: CcMode) -> None:
        self.clock = ManualClock()
        device = Device(H100_PCIE, self.clock)
        device.fsp.knobs.update(KNOBS[mode])
        device.reset()
        self.clock.sleep(BOOT_S)
        device.resets = 0
        device.config.decodes_memory = found.decodes
        self.place = Place(
            device, GROUP, found.driver, found.override, found.control, idles=found.idles
        )
        self.base = base
        self.fuse: int | None = None
        self.writes = 0
        self.last = ""
        self.debts = Debts(folder / "run", self._touch)

    @contextmanager
    def machine(self) -> Iterator[SimMachine]:
        with recalled(str(self.base)) as base:
            machine = SimMachine(base, {BDF: self.place}, self.clock)
            machine.touch = self._touch  # type: ignore[method-assign]
            yield machine
            assert machine.harm == []

    def _touch(self, what: str) -> None:
        self._seen()
        self.writes += 1
        self.last = what
        if self.fuse is not None and self.writes > self.fuse:
            raise Killed

    def _seen(self) -> None:
        """Whatever the next instruction is: no reset may find a half mode."""
        knobs = self.place.device.fsp.knobs
        assert not (knobs[6] and not knobs[8]), "devtools alone"
        assert not (knobs[8] and knobs[45]), "two modes at once"
        needs = (knobs[8] and not knobs[6]) or knobs[45]
        assert not needs or knobs[10] == 2, "a mode without its filter"

    def switch(self, mode: CcMode) -> Outcome:
        with self.machine() as machine:
            return converge(machine, {BDF: mode}, self.debts, together=in_turn)

    def mode(self) -> CcMode | None:
        """What the register says, once somebody has woken the device."""
        config = self.place.device.config
        config.power_state, config.decodes_memory = 0, True
        return decode(self.place.device.read(H100_PCIE.mode), "hopper")

    def is_as_found(self, found: Found) -> bool:
        place = self.place
        asleep = place.device.config.power_state != 0
        return (
            (place.driver, place.override, place.control) == found[:3]
            and place.device.config.decodes_memory is found.decodes
            and asleep is (found.idles and found.control == "auto")
            and not self.debts.all()
        )


CASES = [(name, before, after) for name in FOUND for before in CcMode for after in CcMode]
WHOLE = {
    ("vfio-pci, asleep", OFF, ON),
    ("nvidia", ON, OFF),
    ("no driver, meant for vfio", ON, PPCIE),
}
"""Cut at each of their some six hundred writes, and every case where the full counts run."""
STRIDE = 37
KILLED: list[int] = []


@pytest.fixture(scope="module", autouse=True)
def _counted() -> Iterator[None]:
    yield
    print(f"programs that were ended at a write and run again: {len(KILLED):,}")


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("name", "before", "after"), CASES)
def test_dying_anywhere_is_survived(
    name: str, before: CcMode, after: CcMode, hosts: Path, tmp_path: Path
) -> None:
    found = FOUND[name]
    stride = 1 if (name, before, after) in WHOLE or EXAMPLES > 1000 else STRIDE
    for cut in count(0, stride):
        sim = Sim(hosts / "genoa-ready", tmp_path, found, before)
        sim.fuse = cut
        try:
            outcome = sim.switch(after)
        except Killed:
            sim.fuse = None
            KILLED.append(cut)
            outcome = sim.switch(after)
            done = False
        else:
            done = True
        assert outcome.proven == {BDF: after}
        assert sim.is_as_found(found), (cut, sim.last, sim.place)
        assert sim.mode() is after
        assert sim.place.device.fsp.knobs[10] == (2 if after in {ON, PPCIE} else 0)
        assert sim.place.device.filtered is (after in {ON, PPCIE})
        if done:
            return


def test_what_is_held_is_left_alone(hosts: Path, tmp_path: Path) -> None:
    sim = Sim(hosts / "genoa-ready", tmp_path, FOUND["vfio-pci, asleep"], OFF)
    with sim.machine() as machine:
        machine.hold(BDF, 4242, "qemu-system-x86")

        with pytest.raises(BlockedError, match=r"in use by qemu-system-x86 \(pid 4242"):
            converge(machine, {BDF: ON}, sim.debts, together=in_turn)

    assert sim.writes == 0
    assert sim.place.driver == "vfio-pci"


def test_a_gpu_that_never_boots_gets_its_driver_back_and_is_named(
    hosts: Path, tmp_path: Path
) -> None:
    found = FOUND["vfio-pci, asleep"]
    sim = Sim(hosts / "genoa-ready", tmp_path, found, OFF)
    sim.place.device.faults.never_boots = True

    outcome = sim.switch(ON)

    assert "did not boot within 10 s" in str(outcome.failed[BDF])
    assert (sim.place.driver, sim.place.control, sim.debts.all()) == ("vfio-pci", "auto", {})
