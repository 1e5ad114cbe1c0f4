"""Devices of the model on a captured board, which can be copied at any write."""

import copy
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple

from nodeagent.agent.converge import SILENT, Outcome, Told, converge
from nodeagent.agent.switch import DeviceEnd, OnFailure, Workplace, switch
from nodeagent.agent.together import Together, in_turn
from nodeagent.agent.waking import awake
from nodeagent.capture.archive import open_capture
from nodeagent.checks.gpu import Mode, modes
from nodeagent.debts import Debts
from nodeagent.facts import gpu
from nodeagent.facts import pci as pci_facts
from nodeagent.model.modes import decode
from nodeagent.model.seen import Unreadable
from nodeagent.model.switching import Debt
from nodeagent.model.words import CcMode
from nodeagent.plan.wanted import Situation
from nodeagent.seams import Machine
from nodeagent.sim.chips import H100, LS10, Chip
from nodeagent.sim.clock import ManualClock
from nodeagent.sim.config_space import BARS, ConfigSpace
from nodeagent.sim.device import BOOT_S, Device
from nodeagent.sim.machine import SimMachine
from nodeagent.sim.place import Place
from tests.hosts import hgx, pci, tree
from tests.hosts.base import genoa_ready
from tests.unit.recalled import Recalled

ON, OFF, DEVTOOLS, PPCIE = CcMode.ON, CcMode.OFF, CcMode.DEVTOOLS, CcMode.PPCIE
KNOBS = {OFF: {}, ON: {8: 1, 10: 2}, DEVTOOLS: {8: 1, 6: 1}, PPCIE: {45: 1, 10: 2}}
_MEMORY = Path("/dev/shm")  # noqa: S108 - debts are synced at each write, which a disk is slow at

Modes = Mapping[str, CcMode]


class Found(NamedTuple):
    """How somebody else has a device; all of it must be so again in the end."""

    driver: str | None
    override: str
    control: str
    idles: bool

    @property
    def decodes(self) -> bool:
        return self.driver is not None


ASLEEP = Found("vfio-pci", "vfio-pci", "auto", True)
FOUND = {
    "vfio-pci, asleep": ASLEEP,
    "vfio-pci, awake": Found("vfio-pci", "vfio-pci", "auto", False),
    "vfio-pci by its ids": Found("vfio-pci", "", "auto", True),
    "nvidia": Found("nvidia", "", "on", False),
    "nouveau": Found("nouveau", "", "on", False),
    "no driver": Found(None, "", "on", False),
    "no driver, meant for vfio": Found(None, "vfio-pci", "auto", False),
}


class Slot(NamedTuple):
    chip: Chip
    found: Found
    mode: CcMode


class Board:
    """What outlives a program: devices, time, and what is noted of debts. It can be copied."""

    def __init__(self, slots: Mapping[str, Slot], host: Machine | None = None) -> None:
        """`host`: on which the devices are, if not the board of all."""
        self.clock = ManualClock()
        self.found = {bdf: slot.found for bdf, slot in slots.items()}
        self.places = {
            bdf: _place(slot, self.clock, group, _where(bdf, host))
            for group, (bdf, slot) in enumerate(slots.items(), 1)
        }
        self.owed: dict[str, bytes] = {}

    def copy(self) -> "Board":
        return copy.deepcopy(self)

    def mode(self, bdf: str) -> CcMode | None:
        """What the register says, once somebody has woken the device."""
        device = copy.deepcopy(self.places[bdf].device)
        device.config.power_state, device.config.decodes_memory = 0, True
        family = "ls10" if device.chip.is_switch else "hopper"
        return decode(device.read(device.chip.mode), family)

    def demand_whole(self, want: Modes) -> None:
        """Modes are right and stay so, drivers and power are as found, and nothing is owed."""
        assert not self.owed
        for bdf, place in self.places.items():
            found, asleep = self.found[bdf], place.device.config.power_state != 0
            assert (place.driver, place.override, place.control) == found[:3], bdf
            assert place.device.config.decodes_memory is found.decodes, bdf
            assert asleep is (found.idles and found.control == "auto"), bdf
        for bdf, mode in want.items():
            knobs = self.places[bdf].device.fsp.knobs
            filtered = mode in {ON, PPCIE} and not self.places[bdf].device.chip.is_switch
            assert self.mode(bdf) is mode, bdf
            assert (knobs[8], knobs[6], knobs[45]) == _modes(mode), bdf
            assert knobs[10] == 2 * filtered, bdf
            assert self.places[bdf].device.filtered is filtered, bdf


def _modes(mode: CcMode) -> tuple[int, int, int]:
    return int(mode in {ON, DEVTOOLS}), int(mode is DEVTOOLS), int(mode is PPCIE)


def _where(bdf: str, host: Machine | None) -> tuple[int, int]:
    """Where the host has its BARs: a device whose registers lie elsewhere is another one."""
    if host is None and bdf not in addresses(8, 4):
        return BARS
    files = (host or base(8, 4)).files
    text = files.read(f"/sys/bus/pci/devices/{bdf}/resource", 1 << 14)
    assert isinstance(text, str)
    starts = {bar.number: bar.start for bar in pci_facts.bars(text)}
    return starts[0], starts.get(2, BARS[1])


def _place(slot: Slot, clock: ManualClock, group: int, bars: tuple[int, int]) -> Place:
    device = Device(slot.chip, clock, config=ConfigSpace(slot.chip, bars=bars))
    device.fsp.knobs.update(KNOBS[slot.mode])
    if slot.chip.is_switch:
        device.fsp.knobs[10] = 0
    device.boot()
    device.config.decodes_memory = slot.found.decodes
    found = slot.found
    place = Place(device, group, found.driver, found.override, found.control, idles=found.idles)
    place.rest()
    return place


def unwatched(_what: str) -> None:
    """Nobody minds this write."""


class Run:
    """One program on a board; told of every write before it is done."""

    def __init__(
        self,
        board: Board,
        base: Machine,
        touch: Callable[[str], None] = unwatched,
        told: Told | None = None,
    ) -> None:
        self.board, self._touch = board, touch
        self.told = told or SILENT
        self.together: Together = in_turn
        self.writes = 0
        self.began_legal = True
        ids = {"vfio-pci": [H100.device]} if _by_ids(board) else {}
        self.machine = SimMachine(base, board.places, board.clock, ids=ids)
        self.machine.touch = self.touch  # type: ignore[method-assign]

    def touch(self, what: str) -> None:
        if self.began_legal:
            demand_legal(self.board)
        self.writes += 1
        self._touch(what)

    def converge(
        self,
        want: Modes,
        *,
        all_or_none: bool = False,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Outcome:
        with self._debts() as debts:
            return converge(
                self.machine,
                want,
                debts,
                mine=self.board.places,
                all_or_none=all_or_none,
                stopped=stopped,
                told=self.told,
                together=self.together,
            )

    def switch(
        self,
        want: Modes,
        *,
        on_failure: OnFailure = OnFailure.FINISH,
        stopped: Callable[[], bool] = lambda: False,
    ) -> tuple[DeviceEnd, ...]:
        """The whole of it, with its rollback and its marks."""
        with self._debts() as debts:
            return switch(
                Workplace(self.machine, debts, dict.fromkeys(self.board.places, 0)),
                want,
                self._situation(),
                on_failure=on_failure,
                stopped=stopped,
                told=self.told,
                together=self.together,
            )

    def _situation(self) -> Situation:
        with self.machine.look():
            devices = gpu.read(
                self.machine, pci_facts.nvidia_functions(self.machine.files), boot_id=None
            )
        assert not isinstance(devices, Unreadable)
        found = modes((*devices.gpus, *devices.switches), "")
        standing = {
            bdf: each.mode if isinstance(each, Mode) else each for bdf, each in found.items()
        }
        return Situation(devices, standing, "", None)

    def look(self) -> None:
        """Idle devices are woken, and put back."""
        with self._debts() as debts, awake(self.machine, debts.folder):
            pass

    @contextmanager
    def _debts(self) -> Iterator[Debts]:
        """The folder of the board's notes: taken up again wherever this program ends."""
        folder = Path(tempfile.mkdtemp(dir=_MEMORY if _MEMORY.is_dir() else None))
        self._folder = folder
        try:
            for name, content in self.board.owed.items():
                (folder / name).write_bytes(content)
            yield Debts(folder, self.touch)
        finally:
            self.board.owed = _notes(folder)
            shutil.rmtree(folder)
            assert self.machine.harm == []

    def noted(self) -> dict[str, bytes]:
        """What lies in that folder by now."""
        return _notes(self._folder)


def _notes(folder: Path) -> dict[str, bytes]:
    names = [name for name in os.listdir(folder) if not name.startswith(".")]
    names = [name for name in names if not name.endswith(".lock")]  # a lock dies with its process
    return {name: (folder / name).read_bytes() for name in names}


def _by_ids(board: Board) -> bool:
    return any(found.driver == "vfio-pci" and not found.override for found in board.found.values())


def demand_legal(board: Board) -> None:
    """Whatever the next instruction is: no reset may find a half mode."""
    for bdf, place in board.places.items():
        knobs, is_switch = place.device.fsp.knobs, place.device.chip.is_switch
        assert not (knobs[6] and not knobs[8]), f"{bdf}: devtools alone"
        assert not (knobs[8] and knobs[45]), f"{bdf}: two modes at once"
        needs = (knobs[8] and not knobs[6]) or knobs[45]
        assert is_switch or not needs or knobs[10] == 2, f"{bdf}: a mode without its filter"


def owe(board: Board, bdf: str, debt: Debt) -> None:
    """As a program that died would have left it."""
    folder = Path(tempfile.mkdtemp(dir=_MEMORY if _MEMORY.is_dir() else None))
    debts = Debts(folder)
    debts.owe(bdf, **{name: each for name, each in debt._asdict().items() if each is not None})
    board.owed |= _notes(folder)
    shutil.rmtree(folder)


def boot(board: Board, bdf: str) -> None:
    """A reset that is over, and the boot after it."""
    board.places[bdf].device.reset()
    board.clock.sleep(BOOT_S)


@cache
def base(gpus: int, switches: int) -> Machine:
    """A host with so many of them on its bus, kept in memory."""
    draft = genoa_ready()
    hgx.baseboard(hgx.H100, nvswitches=4)(draft)
    everything = addresses(8, 4)
    for bdf in everything[gpus:8] + everything[8 + switches :]:
        pci.unbind(draft, bdf)
        pci.unplug(draft, bdf)
    folder = Path(tempfile.mkdtemp()) / "host"
    tree.write(draft.tree(), folder)
    return Recalled(_OPEN.enter_context(open_capture(str(folder))))


_OPEN = ExitStack()
"""Until the end of the tests: what is recalled is read on demand."""


_GPUS = ("23", "24", "63", "64", "a3", "a4", "e3", "e4")
_SWITCHES = ("c3", "c4", "c5", "c6")


def addresses(gpus: int, switches: int = 0) -> list[str]:
    buses = (*_GPUS[:gpus], *_SWITCHES[:switches])
    return [f"0000:{bus}:00.0" for bus in buses]


def chip(bdf: str) -> Chip:
    return LS10 if bdf[5:7] in _SWITCHES else H100
