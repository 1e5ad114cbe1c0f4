"""A device's PCI configuration space: 4 KiB with the capabilities that matter (gpu-cc.md §13.2)."""

from nodeagent.sim.chips import Chip

SIZE = 4096
COMMAND, MEMORY = 0x04, 1 << 1
_HEADER = 0x10  # the status register's bit: there is a list of capabilities
_PM, _PCIE, _AER = 0x40, 0x60, 0x100
PMCSR = _PM + 4
_NO_SOFT_RESET = 1 << 3
_FLR_CAPABLE = 1 << 28
_FLR = 1 << 15
DEVCTL = _PCIE + 8
_ENDPOINT = 0
_ALIVE = 0xF0  # read by NVIDIA's tool to see whether anything answers
_DVSEC, _VSEC = 0x23, 0x0B
_NVIDIA = 0x10DE
_READ_ONLY = (range(0x04), range(0x08, 0x10), range(0x2C, 0x30), range(0x34, 0x35))

BARS = (0x2000_0000_0000, 0x2400_0000_0000)
"""Where BAR0 and BAR1 lie, unless said otherwise."""


class ConfigSpace:
    """Bytes, with what is written landing only where it may."""

    def __init__(self, chip: Chip, *, bars: tuple[int, int] = BARS) -> None:
        self._chip = chip
        self.raw = bytearray(SIZE)
        self.lost = False
        self._put(0x00, _NVIDIA, 2)
        self._put(0x02, chip.device, 2)
        self._put(COMMAND, MEMORY, 2)
        self._put(0x06, _HEADER, 2)
        self._put(0x08, chip.pci_class << 8 | 0xA1, 4)
        for at, start in zip((0x10, 0x18), bars, strict=True):
            self._put(at, start & 0xFFFFFFFF | 0xC, 4)
            self._put(at + 4, start >> 32, 4)
        self._put(0x2C, _NVIDIA, 2)
        self._put(0x2E, chip.subsystem, 2)
        self._put(0x34, _PM, 1)
        self._put(_PM, 0x01 | _PCIE << 8 | 0x3 << 16, 4)
        self._put(PMCSR, _NO_SOFT_RESET, 2)
        self._put(_PCIE, 0x10 | 0x2 << 16 | _ENDPOINT << 20, 4)
        self._put(_PCIE + 4, _FLR_CAPABLE, 4)
        self._put(_PCIE + 12, 0x5 | 16 << 4, 4)
        self._put(_PCIE + 18, 0x5 | 16 << 4 | 1 << 13, 2)
        self._put(_ALIVE, 0x0001, 2)
        self._put(_AER, 0x0001 | 0x1 << 16 | chip.fault.at << 20, 4)
        self._put_own()

    def _put_own(self) -> None:
        """NVIDIA's own capability: GB1xx has a DVSEC, the others a VSEC."""
        own = self._chip.fault
        self._put(own.at, own.capability | 1 << 16, 4)
        if own.capability == _DVSEC:
            self._put(own.at + 4, 0x01C << 20 | _NVIDIA, 4)
            self._put(own.at + 8, 0, 4)
        else:
            self._put(own.at + 4, 0x0001 | 1 << 16 | 0x018 << 20, 4)

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
        asked = bool(self.word(DEVCTL, 2) & _FLR)
        self._put(DEVCTL, self.word(DEVCTL, 2) & ~_FLR, 2)  # the bit always reads as zero
        return asked

    @property
    def decodes_memory(self) -> bool:
        return bool(self.word(COMMAND, 2) & MEMORY)

    @decodes_memory.setter
    def decodes_memory(self, on: bool) -> None:
        command = self.word(COMMAND, 2)
        self._put(COMMAND, command | MEMORY if on else command & ~MEMORY, 2)

    @property
    def power_state(self) -> int:
        """0 is D0, 3 is D3hot."""
        return self.word(PMCSR, 2) & 3

    @power_state.setter
    def power_state(self, state: int) -> None:
        self._put(PMCSR, self.word(PMCSR, 2) & ~3 | state, 2)

    def show(self, *, fault: int, firewall: bool) -> None:
        """What the device shows of itself, whoever wrote there."""
        own = self._chip.fault
        self._put(own.at + own.fault, fault, 4)
        if own.firewall is not None:
            word = self.word(own.at + own.firewall) & ~(1 << own.firewall_bit)
            self._put(own.at + own.firewall, word | int(firewall) << own.firewall_bit, 4)
