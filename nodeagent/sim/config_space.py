"""A device's PCI configuration space: 4 KiB with the capabilities that matter (gpu-cc.md §13.2)."""

from collections.abc import Iterator

from nodeagent.sim.chips import Chip

SIZE = 4096
COMMAND, MEMORY = 0x04, 1 << 1
_HEADER = 0x10  # the status register's bit: there is a list of capabilities
_PM, _PCIE, _AER = 0x40, 0x60, 0x100
_PM_ID, _PCIE_ID = 0x01, 0x10
_NO_SOFT_RESET = 1 << 3
_FLR_CAPABLE = 1 << 28
_FLR = 1 << 15
_DEVCTL = 8  # of the PCIe capability
_PMCSR = 4  # of the power management capability
_ENDPOINT = 0
_ALIVE = 0xF0  # read by NVIDIA's tool to see whether anything answers
_DVSEC, _VSEC = 0x23, 0x0B
_NVIDIA = 0x10DE
_BARS = range(0x10, 0x28)
_READ_ONLY = (range(0x04), range(0x08, 0x10), range(0x2C, 0x30), range(0x34, 0x35))

BARS = (0x2000_0000_0000, 0x2400_0000_0000)
"""Where BAR0 and BAR1 lie, unless said otherwise."""


class ConfigSpace:
    """Bytes, with what is written landing only where it may."""

    def __init__(
        self, chip: Chip, *, bars: tuple[int, int] = BARS, captured: bytes | None = None
    ) -> None:
        """`captured` is a real device's space, to begin with: its capabilities stay in place."""
        self._chip = chip
        self.lost = False
        self._first = captured or _made(chip, bars)
        self.raw = bytearray(self._first)
        standard = dict(_standard(self._first))
        self._pm, self._pcie = standard.get(_PM_ID, _PM), standard.get(_PCIE_ID, _PCIE)
        self._own = _own(self._first, chip)

    def start(self) -> None:
        """As it was in the beginning: after power came."""
        self.raw[:] = self._first

    def _put(self, at: int, value: int, size: int) -> None:
        self.raw[at : at + size] = value.to_bytes(size, "little")

    def word(self, at: int, size: int = 4) -> int:
        return int.from_bytes(self.raw[at : at + size], "little")

    def read(self, at: int, size: int) -> bytes:
        """What a bus cycle brings; nothing answers for a device that is lost."""
        return b"\xff" * size if self.lost else bytes(self.raw[at : at + size])

    def write(self, at: int, data: bytes) -> bool:
        """Whether that started a function level reset."""
        if self.lost:
            return False
        for offset, byte in enumerate(data, at):
            if not any(offset in each for each in _READ_ONLY):
                self.raw[offset] = byte
        devctl = self._pcie + _DEVCTL
        asked = bool(self.word(devctl, 2) & _FLR)
        self._put(devctl, self.word(devctl, 2) & ~_FLR, 2)  # the bit always reads as zero
        return asked

    def forget(self) -> None:
        """What any reset takes from it: command, addresses, power state. The kernel has a copy."""
        self._put(COMMAND, 0, 2)
        self.raw[_BARS.start : _BARS.stop] = bytes(len(_BARS))
        self.power_state = 0

    @property
    def decodes_memory(self) -> bool:
        return bool(self.word(COMMAND, 2) & MEMORY)

    @decodes_memory.setter
    def decodes_memory(self, on: bool) -> None:
        command = self.word(COMMAND, 2)
        self._put(COMMAND, command | MEMORY if on else command & ~MEMORY, 2)

    @property
    def has_address(self) -> bool:
        """Whether BAR0 is still where the kernel maps it."""
        return self.raw[0x10:0x18] == self._first[0x10:0x18]

    @property
    def power_state(self) -> int:
        """0 is D0, 3 is D3hot."""
        return self.word(self._pm + _PMCSR, 2) & 3

    @power_state.setter
    def power_state(self, state: int) -> None:
        at = self._pm + _PMCSR
        self._put(at, self.word(at, 2) & ~3 | state, 2)

    def show(self, *, fault: int, firewall: bool) -> None:
        """What the device shows of itself, whoever wrote there."""
        own, at = self._chip.fault, self._own
        self._put(at + own.fault, fault, 4)
        if own.firewall is not None:
            word = self.word(at + own.firewall) & ~(1 << own.firewall_bit)
            self._put(at + own.firewall, word | int(firewall) << own.firewall_bit, 4)


def fits(raw: bytes, chip: Chip) -> bool:
    """Whether a captured space is whole, and has what the model must show in it."""
    if len(raw) != SIZE or raw[:4] != chip_ids(chip) or not raw[0x06] & _HEADER:
        return False
    standard = dict(_standard(raw))
    return {_PM_ID, _PCIE_ID} <= standard.keys() and _own(raw, chip) in dict(_extended(raw))


def chip_ids(chip: Chip) -> bytes:
    return _NVIDIA.to_bytes(2, "little") + chip.device.to_bytes(2, "little")


def _made(chip: Chip, bars: tuple[int, int]) -> bytes:
    raw = bytearray(SIZE)

    def put(at: int, value: int, size: int) -> None:
        raw[at : at + size] = value.to_bytes(size, "little")

    raw[:4] = chip_ids(chip)
    put(COMMAND, MEMORY, 2)
    put(0x06, _HEADER, 2)
    put(0x08, chip.pci_class << 8 | 0xA1, 4)
    for at, start in zip((0x10, 0x18), bars, strict=True):
        put(at, start & 0xFFFFFFFF | 0xC, 4)
        put(at + 4, start >> 32, 4)
    put(0x2C, _NVIDIA, 2)
    put(0x2E, chip.subsystem, 2)
    put(0x34, _PM, 1)
    put(_PM, _PM_ID | _PCIE << 8 | 0x3 << 16, 4)
    put(_PM + _PMCSR, _NO_SOFT_RESET, 2)
    put(_PCIE, _PCIE_ID | 0x2 << 16 | _ENDPOINT << 20, 4)
    put(_PCIE + 4, _FLR_CAPABLE, 4)
    put(_PCIE + 12, 0x5 | 16 << 4, 4)
    put(_PCIE + 18, 0x5 | 16 << 4 | 1 << 13, 2)
    put(_ALIVE, 0x0001, 2)
    own = chip.fault
    put(_AER, 0x0001 | 0x1 << 16 | own.at << 20, 4)
    # NVIDIA's own capability: GB1xx has a DVSEC, the others a VSEC.
    put(own.at, own.capability | 1 << 16, 4)
    if own.capability == _DVSEC:
        put(own.at + 4, 0x01C << 20 | 1 << 16 | _NVIDIA, 4)
    else:
        put(own.at + 4, 0x0001 | 1 << 16 | 0x018 << 20, 4)
    return bytes(raw)


def _standard(raw: bytes) -> Iterator[tuple[int, int]]:
    """Capabilities of the first 256 bytes, by id; a list that goes in circles ends."""
    at, seen = raw[0x34] & 0xFC, set[int]()
    while at >= 0x40 and at not in seen:
        seen.add(at)
        yield raw[at], at
        at = raw[at + 1] & 0xFC


def _extended(raw: bytes) -> Iterator[tuple[int, int]]:
    """Where each extended capability lies, with its id."""
    at, seen = 0x100, set[int]()
    while at >= 0x100 and at not in seen:
        seen.add(at)
        word = int.from_bytes(raw[at : at + 4], "little")
        yield at, word & 0xFFFF
        at = word >> 20 & 0xFFC


def _own(raw: bytes, chip: Chip) -> int:
    """NVIDIA's own capability: a DVSEC of its vendor with id 0, or a VSEC 1 of revision 1."""
    for at, kind in _extended(raw):
        word = int.from_bytes(raw[at + 4 : at + 8], "little")
        wanted = word & 0xFFFF == _NVIDIA if kind == _DVSEC else word & 0xFFFFF == 0x10001
        if kind == chip.fault.capability and wanted and at <= SIZE - 0x20:
            return at
    return chip.fault.at
