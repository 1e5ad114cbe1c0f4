"""Takes serial numbers out of a PCI function's configuration space."""

from collections.abc import Callable, Iterator

_STATUS, _HAS_CAPABILITIES = 0x06, 0x10
_FIRST, _EXTENDED = 0x34, 0x100
_VPD = 0x03
_SERIAL_NUMBER = 0x0003


def masked_config(raw: bytes, stand_in: Callable[[int], int]) -> bytes:
    """The same bytes but for the device's serial number and the last word read of its VPD.

    PCIe §7.9.3: capability 0x0003 holds the 64-bit serial number 4 bytes on; PCI 3.0 appendix I:
    capability 3 holds address and data of the VPD.
    """
    config = bytearray(raw)
    for at in _capabilities(config):
        if config[at] == _VPD and at + 8 <= len(config):
            config[at + 2 : at + 8] = bytes(6)
    for at in _extended(config):
        if int.from_bytes(config[at : at + 2], "little") == _SERIAL_NUMBER and at + 12 <= len(
            config
        ):
            serial = int.from_bytes(config[at + 4 : at + 12], "little")
            if serial not in {0, (1 << 64) - 1}:
                config[at + 4 : at + 12] = stand_in(serial).to_bytes(8, "little")
    return bytes(config)


def _capabilities(config: bytearray) -> Iterator[int]:
    """Where the capabilities begin; a list that goes in circles ends."""
    if len(config) <= _FIRST or not config[_STATUS] & _HAS_CAPABILITIES:
        return
    at, seen = config[_FIRST] & 0xFC, set[int]()
    while 0x40 <= at < min(len(config), _EXTENDED) - 1 and at not in seen:
        seen.add(at)
        yield at
        at = config[at + 1] & 0xFC


def _extended(config: bytearray) -> Iterator[int]:
    at, seen = _EXTENDED, set[int]()
    while _EXTENDED <= at <= len(config) - 4 and at not in seen:
        seen.add(at)
        header = int.from_bytes(config[at : at + 4], "little")
        if header in {0, 0xFFFFFFFF}:
            return
        yield at
        at = header >> 20 & 0xFFC
