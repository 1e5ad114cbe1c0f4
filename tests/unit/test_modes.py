"""Every combination of a status register's mode bits, by family (gpu-cc.md §5.1)."""

import pytest

from nodeagent.model.modes import decode
from nodeagent.model.words import CcMode

ON, OFF, DEVTOOLS, PPCIE = CcMode.ON, CcMode.OFF, CcMode.DEVTOOLS, CcMode.PPCIE


@pytest.mark.parametrize(
    ("family", "value", "mode"),
    [
        *[("hopper", bits, mode) for bits, mode in ((0, OFF), (1, ON), (2, None), (3, DEVTOOLS))],
        ("hopper", 1 << 5, PPCIE),
        *[("hopper", 1 << 5 | bits, None) for bits in (1, 2, 3)],
        *[("hopper", 1 << 6 | bits, None) for bits in (0, 1, 2, 3)],
        *[("hopper", 3 << 5 | bits, None) for bits in (0, 1, 2, 3)],
        ("hopper", 3 << 7 | 1, ON),  # power-efficient CC, and that it is supported
        *[("gb100", bits, mode) for bits, mode in ((0, OFF), (1, ON), (2, None), (3, DEVTOOLS))],
        ("gb100", 1 << 2 | 1, ON),  # the BAR firewall
        ("gb202", 1 << 6 | 1, ON),  # NVLink encryption, which is no Hopper's bit 6
        ("ls10", 0, OFF),
        ("ls10", 1, PPCIE),
        ("ls10", 2, OFF),
    ],
)
def test_bits_are_a_mode_or_none(family: str, value: int, mode: CcMode | None) -> None:
    assert decode(value, family) is mode
