"""Reads PCI configuration space: the header, and capabilities wherever they lie.

Word by word: all 4096 bytes would be a thousand bus cycles. An unprivileged reader is shown
64 bytes; what lies beyond is unreadable then, and not absent.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from nodeagent.model.fabric import Link
from nodeagent.model.seen import Seen, Unreadable
from nodeagent.seams import Files, Parts

HEADER = 64
_EXTENDED = 0x100
_HAS_LIST = 1 << 4  # of the status register
_PM, _PCIE = 0x01, 0x10
_ALL_ONES = 0xFFFFFFFF
_SPEEDS = {1: 2.5, 2: 5.0, 3: 8.0, 4: 16.0, 5: 32.0, 6: 64.0}


class Pcie(NamedTuple):
    """The PCIe capability: port type and link."""

    port: int
    link: Link


class Extended(NamedTuple):
    """Offsets by capability id, and why the list could not be followed to its end, if so."""

    found: Mapping[int, tuple[int, ...]]
    gap: Unreadable | None

    def first(self, wanted: int) -> Seen[int]:
        """None only where the whole list was seen."""
        return self.found[wanted][0] if wanted in self.found else self.gap


class Space:
    """One function's configuration space."""

    def __init__(self, path: str, parts: Parts, header: bytes) -> None:
        self._path = path
        self._parts = parts
        self.header = header

    def word(self, offset: int, size: int = 4) -> int | Unreadable:
        raw = self._parts.read(offset, size)
        if isinstance(raw, Unreadable):
            return raw
        if len(raw) < size:
            return Unreadable(self._path, f"is shown only before {offset:#x}")
        return int.from_bytes(raw, "little")

    def standard(self, wanted: int) -> Seen[int]:
        """The offset of a capability of the first 256 bytes."""
        if not self.header[0x06] & _HAS_LIST:
            return None
        at, seen = self.header[0x34] & 0xFC, set[int]()
        while at >= HEADER:
            if at in seen:
                return self._loop(at)
            seen.add(at)
            entry = self.word(at, 2)
            if isinstance(entry, Unreadable):
                return entry
            if entry & 0xFF == wanted:
                return at
            at = entry >> 8 & 0xFC
        return None

    def extended(self) -> Extended:
        """All capabilities from 0x100 on; an empty list is a zero."""
        found: dict[int, tuple[int, ...]] = {}
        at, seen = _EXTENDED, set[int]()
        while at >= _EXTENDED:
            entry = self._loop(at) if at in seen else self.word(at)
            if entry == _ALL_ONES:
                entry = Unreadable(self._path, f"reads as all ones at {at:#x}")
            if isinstance(entry, Unreadable):
                return Extended(found, entry)
            if entry:
                found[entry & 0xFFFF] = (*found.get(entry & 0xFFFF, ()), at)
            seen.add(at)
            at = entry >> 20 & 0xFFC
        return Extended(found, None)

    def pcie(self) -> Seen[Pcie]:
        at = self.standard(_PCIE)
        if not isinstance(at, int):
            return at
        words = [self.word(at + offset, size) for offset, size in ((2, 2), (12, 4), (18, 2))]
        for word in words:
            if isinstance(word, Unreadable):
                return word
        flags, can, now = (word for word in words if isinstance(word, int))
        link = Link(
            width=now >> 4 & 0x3F or None,
            max_width=can >> 4 & 0x3F or None,
            speed=_SPEEDS.get(now & 0xF),
            max_speed=_SPEEDS.get(can & 0xF),
        )
        return Pcie(flags >> 4 & 0xF, link)

    def power(self) -> Seen[int]:
        """The power management control and status register, PMCSR."""
        at = self.standard(_PM)
        return self.word(at + 4, 2) if isinstance(at, int) else at

    def bar0(self) -> int:
        """Where it answers, as the device itself has it: 64 bits where it says so."""
        low, high = (int.from_bytes(self.header[at : at + 4], "little") for at in (0x10, 0x14))
        wide = low & 0x6 == 0x4
        return low & ~0xF | (high << 32 if wide else 0)

    def _loop(self, at: int) -> Unreadable:
        return Unreadable(self._path, f"its capability list comes back to {at:#x}")


@contextmanager
def opened(files: Files, path: str) -> Iterator[Space | Unreadable]:
    """The file `config` of a function that is awake: reading it would wake one in D3cold."""
    with files.parts(path) as parts:
        yield space(path, parts)


def space(path: str, parts: Seen[Parts]) -> Space | Unreadable:
    if parts is None:
        return Unreadable(path, "is absent")
    if isinstance(parts, Unreadable):
        return parts
    header = parts.read(0, HEADER)
    if isinstance(header, Unreadable):
        return header
    if len(header) < HEADER:
        return Unreadable(path, f"has {len(header)} bytes")
    if header[:4] == b"\xff" * 4:
        return Unreadable(path, "reads as all ones: nothing answers")
    return Space(path, parts, header)
