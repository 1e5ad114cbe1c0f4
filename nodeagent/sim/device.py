"""A GPU or switch: registers, configuration space, power, and a boot that takes its time."""

from math import inf

from nodeagent.model.modes import decode
from nodeagent.model.words import CcMode
from nodeagent.seams import Clock
from nodeagent.sim.chips import Chip
from nodeagent.sim.config_space import ConfigSpace
from nodeagent.sim.faults import Faults
from nodeagent.sim.fsp import Fsp, factory_knobs
from nodeagent.sim.mailboxes import EmemBox, MnocBox

RESET_S, BOOT_S = 0.38, 1.3
"""Observed of an H100: 1.7 s from the reset to a verified mode (gpu-cc.md §9.1)."""
FIREWALL_S = 0.8
"""Of a Blackwell's boot, how long its BARs stay closed (§9.4)."""
RETRY_S = 0.1
"""For how long after a function level reset configuration space asks to be read again (§9.2)."""

_ALL_ONES = 0xFFFFFFFF
_LOCKED = 0xBADF0200
_WEDGED, _BAD = 0xBADF1100, 0xBADF5108
_RETRY = 0xFFFF0001
_BOOTED = 0xFF
_CCM, _CCD, _FILTER, _PPCIE = 8, 6, 10, 45
# Whatever a caller finds there: NVIDIA's tool reads these before a boot is over (§13.3).
_CONSTANT = {0x8F012C: 0x1100, 0x8F0278: 0x01000100, 0x8F0ABC: 0x20}
_FSP_VERSION, _FSP_VERSION_VALUE = 0x8F0334, 0x411
_UNIT_ID = 0x820344
_FORBIDS = 0x824E0C
_FUSES = {0x824E04: 1, 0x824E08: 1, _FORBIDS: 0}
"""Of a GH100 that can do CC (§4.3)."""


class Device:
    """Time passes by the clock alone; looking at a device moves it to where it is by then."""

    def __init__(  # noqa: PLR0913 - what a device is, each with an ordinary default
        self,
        chip: Chip,
        clock: Clock,
        *,
        knobs: dict[int, int] | None = None,
        faults: Faults | None = None,
        unit: int = 1,
        config: ConfigSpace | None = None,
    ) -> None:
        """Booted long ago with the knobs as they are."""
        self.chip = chip
        self.faults = faults or Faults()
        self.config = config or ConfigSpace(chip)
        self.fsp = Fsp(factory_knobs() if knobs is None else knobs, self.faults)
        self.resets = 0
        self._clock = clock
        self._unit = unit
        self._scratch = dict.fromkeys(chip.scratch, 0)
        self._box = (MnocBox if chip.is_blackwell else EmemBox)(self.fsp.answer, self.faults)
        self._booting_since: float | None = None
        self._boot_s = BOOT_S
        self._active: dict[int, int] = {}
        self._retries_until = 0.0
        self._is_loose = False
        self.boot()

    # Registers.

    def read(self, offset: int) -> int:
        """One aligned 32-bit load. Only the mailboxes' data changes by being read."""
        if offset % 4 or not 0 <= offset < self.chip.bar0_size:
            raise ValueError(f"no register lies at {offset:#x}")
        if not self._answers():
            return _ALL_ONES
        if self.faults.security or self.faults.wedged:
            return _LOCKED if self.faults.security else _WEDGED
        if offset in self.faults.bad_registers:
            return _BAD
        if self._box.has(offset):
            return self._box.read(offset)
        return self._register(offset)

    def write(self, offset: int, value: int) -> None:
        if offset % 4 or not 0 <= offset < self.chip.bar0_size or not 0 <= value <= _ALL_ONES:
            raise ValueError(f"no register lies at {offset:#x}, or {value:#x} is no word")
        if not self._answers() or self.faults.security or self.faults.wedged:
            return
        if self._box.has(offset):
            if self.is_booted:
                self._box.write(offset, value)
        elif offset in self._scratch:
            self._scratch[offset] = value

    def _answers(self) -> bool:
        config = self.config
        awake = config.power_state == 0 and config.decodes_memory and config.has_address
        gone = self.faults.lost or self.faults.stale or self.in_reset or self.firewall
        return awake and not gone

    def _register(self, offset: int) -> int:
        chip = self.chip
        match offset:
            case 0:
                return self._boot0()
            case chip.boot:
                return _BOOTED if self.is_booted else 0
            case chip.mode:
                return self._mode() if self.is_booted else 0
            case chip.recovery:
                return self._recovery()
            case _ if offset in self._scratch:
                return self._scratch[offset]
            case _ if offset == _FSP_VERSION:
                return 0 if chip.is_switch else _FSP_VERSION_VALUE
            case _ if offset in {_UNIT_ID, _UNIT_ID + 4}:
                return 0x5C3A0000 + self._unit if offset == _UNIT_ID else 0x0B7D0000
            case _ if offset in _FUSES and self._is_hopper:
                return int(self.faults.not_capable) if offset == _FORBIDS else _FUSES[offset]
            case _:
                return _CONSTANT.get(offset, 0)

    @property
    def _is_hopper(self) -> bool:
        return not (self.chip.is_blackwell or self.chip.is_switch)

    def _boot0(self) -> int:
        if self.faults.boot0 is not None:
            return self.faults.boot0
        return 0 if self.faults.recovery and self._is_hopper else self.chip.boot0

    def _recovery(self) -> int:
        if not self.faults.recovery:
            return 0
        return 2 if self.chip.is_blackwell else 1 << 30

    def _mode(self) -> int:
        """What this boot made of the knobs, whatever they say by now."""
        on = {knob: bool(value) for knob, value in self._active.items()}
        if self.chip.is_switch:
            return int(on[_PPCIE])
        mode = int(on[_CCM]) | int(on[_CCD]) << 1
        if self.chip.is_blackwell:
            return mode | int(on[_FILTER]) << 2
        return mode | int(on[_PPCIE]) << 5

    @property
    def booted_mode(self) -> CcMode | None:
        """What it runs in, asleep or not; None before it has booted."""
        if not self.is_booted or self.faults.lost:
            return None
        family = "ls10" if self.chip.is_switch else "hopper" if self._is_hopper else "gb100"
        return decode(self._mode(), family)

    # Time.

    @property
    def in_reset(self) -> bool:
        return self._booting_since is not None and self._since() < 0

    @property
    def is_booted(self) -> bool:
        return self._booting_since is None or self._since() >= self._boot_s

    @property
    def firewall(self) -> bool:
        """Blackwell's BARs answer nobody until its boot has come far enough."""
        if self.chip.fault.firewall is None or self._booting_since is None:
            return False
        return self.faults.firewall_stays or self._since() < FIREWALL_S

    @property
    def filtered(self) -> bool:
        """Whether this boot keeps the BAR0 filter up: no register of a Hopper's shows it."""
        return self._active.get(_FILTER) == 2

    def _since(self) -> float:
        return self._clock.now() - (self._booting_since or 0.0)

    # Configuration space.

    def show(self) -> None:
        """Bring configuration space to what it shows by now."""
        self.config.lost = self.faults.lost
        self.config.show(fault=self.faults.security, firewall=self.firewall)

    def read_config(self, at: int, size: int) -> bytes:
        """A device just reset asks to be read again, with a vendor id that nobody has."""
        self.show()
        if self._clock.now() >= self._retries_until or self.faults.lost:
            return self.config.read(at, size)
        first = _RETRY.to_bytes(4, "little")
        return (first + b"\xff" * (at + size))[at : at + size]

    def write_config(self, at: int, data: bytes) -> None:
        """Bit 15 of the device control register resets the function, and the write returns."""
        if self.config.write(at, data):
            self.config.forget()
            self._begin(self._clock.now())
            self._retries_until = self._clock.now() + RETRY_S
            self._end()

    # Resets.

    def boot(self) -> None:
        """As if it had booted long ago with the knobs as they are."""
        self._booting_since = None
        self._active = dict(self.fsp.knobs)

    def reset(self, *, bus: bool = False) -> None:
        """As the kernel does it: it returns when that is over. `bus`: the whole of its bus.

        The kernel brings configuration space back; power and knobs stay, and count anew.
        """
        if self.faults.lost:
            return
        self._begin(self._clock.now() + RESET_S)
        self._clock.sleep(RESET_S)
        self._end(bus=bus)

    def _begin(self, booting_since: float) -> None:
        """What is wrong with it by now decides how this boot ends, and no later one."""
        self._booting_since = booting_since
        self._boot_s = inf if self.faults.never_boots else BOOT_S + self.faults.boots_late_s

    def _end(self, *, bus: bool = False) -> None:
        self.resets += 1
        self._box.reset()
        self._scratch[self.chip.scratch[0]] = 0
        if bus:
            self._scratch = dict.fromkeys(self.chip.scratch, 0)
            self.faults.wedged = False
            self._is_loose = self.faults.stale
        self._active = dict(self.fsp.knobs)

    def find(self) -> None:
        """The bus is scanned, and the kernel gives it addresses anew."""
        if self._is_loose:
            self.faults.stale = self._is_loose = False
        self.config.power_state, self.config.decodes_memory = 0, False

    def power_cycle(self) -> None:
        """Cold: what only a cold boot cures is cured, and knobs are still there."""
        self.faults.security = 0
        self.faults.lost = self.faults.wedged = self.faults.stale = False
        self.config.start()
        self._scratch = dict.fromkeys(self.chip.scratch, 0)
        self._begin(self._clock.now())
        self._is_loose = False
        self._box.reset()
        self._active = dict(self.fsp.knobs)
