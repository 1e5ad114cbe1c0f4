"""What a status register says of a mode (gpu-cc.md §5.1)."""

from nodeagent.model.words import CcMode

BOOTED = 0xFF
"""FSP boot complete; anything else is a boot under way, or one that failed."""

_CC = {0: CcMode.OFF, 1: CcMode.ON, 3: CcMode.DEVTOOLS}
_MULTI_GPU, _PPCIE = 0b11 << 5, 1 << 5  # Hopper, bits 6:5


def decode(value: int, family: str) -> CcMode | None:
    """None for bits that are no valid mode, such as devtools alone."""
    if family == "ls10":
        return CcMode.PPCIE if value & 1 else CcMode.OFF
    found = _CC.get(value & 0b11)
    if family == "hopper" and value & _MULTI_GPU:
        return CcMode.PPCIE if found is CcMode.OFF and value & _MULTI_GPU == _PPCIE else None
    return found


ARCHITECTURES = {"hopper": 0x18, "gb100": 0x1A, "gb202": 0x1B, "ls10": 0x00}
"""BOOT_0 bits 28:24 by family: a device id that they contradict is not believed (§4.2)."""

FIRST_UNKNOWN = 0x2900
"""Ada ends below it, Blackwell begins (§4.1): from here on an unlisted id says nothing."""
