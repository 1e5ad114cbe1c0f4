"""Status registers by family: what a device booted with, read without writing anything.

Offsets from gpu-cc.md §5.1; each is one aligned 32-bit load from BAR0.
"""

from typing import NamedTuple

from nodeagent.model.pci import GpuStatus, is_dead
from nodeagent.model.seen import Seen, Unreadable
from nodeagent.seams import Bar0, Registers

PMC_BOOT_0 = 0x0
PMC_BOOT_1 = 0x4


class Family(NamedTuple):
    """Where a family keeps its mode, boot progress and recovery flag.

    `normal_low_bytes` names the values of the low byte that are normal (Blackwell); None where
    one bit says it (Hopper, LS10: bit 30). `fsp`: where the FSP's version is, on a GPU.
    """

    mode: int
    boot: int
    recovery: int
    normal_low_bytes: frozenset[int] | None = None
    fsp: int | None = 0x8F0334


_RECOVERY_BIT = 1 << 30
_BLACKWELL_NORMAL = frozenset({0, 1})

FAMILIES = {
    "hopper": Family(mode=0x1182CC, boot=0x200BC, recovery=0x20120),
    "gb100": Family(0x590, 0x200BC, 0x8AA128, _BLACKWELL_NORMAL),
    "gb202": Family(0x590, 0xAD00BC, 0x8AA128, _BLACKWELL_NORMAL),
    "ls10": Family(mode=0x28C50, boot=0x660BC, recovery=0x66120, fsp=None),
}


def read_status(regs: Registers, family: str) -> GpuStatus:
    """The status registers of one device that is awake and decodes memory."""
    at = FAMILIES[family]
    boot0 = regs.read(PMC_BOOT_0)
    return GpuStatus(
        boot0=boot0,
        boot=regs.read(at.boot),
        mode=regs.read(at.mode),
        recovery=_recovery(regs.read(at.recovery), at),
        boot1=regs.read(PMC_BOOT_1),
        fsp=None if at.fsp is None else _version(regs.read(at.fsp), at.fsp),
    )


def firmware_version(regs: Bar0, family: str) -> str:
    """`4.17`, for what is said of an error; `unknown` where it is not told."""
    at = FAMILIES[family].fsp
    found = None if at is None else _version(regs.read(at), at)
    return f"{found[0]}.{found[1]}" if isinstance(found, tuple) else "unknown"


def _version(value: int | Unreadable, offset: int) -> Seen[tuple[int, int]]:
    """Old microcode leaves it 0; a GPU has been seen to answer with a bus error here."""
    if isinstance(value, Unreadable):
        return value
    if is_dead(value):
        return Unreadable(f"register {offset:#x}", f"reads as {value:#010x}")
    return (value >> 8 & 0xF, value & 0xFF) if value else None


def _recovery(value: int | Unreadable, at: Family) -> bool | Unreadable:
    if isinstance(value, Unreadable):
        return value
    if is_dead(value):
        return Unreadable(f"register {at.recovery:#x}", f"reads as {value:#010x}")
    if at.normal_low_bytes is None:
        return bool(value & _RECOVERY_BIT)
    return value & 0xFF not in at.normal_low_bytes
