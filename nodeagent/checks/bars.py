"""Judges BARs: has each its address, and does every bridge above let it through?"""

from nodeagent.checks.paths import above, targets
from nodeagent.model.codes import Code
from nodeagent.model.fabric import Aperture, Bridge
from nodeagent.model.facts import Facts
from nodeagent.model.findings import Outcome, bad, ok, replace_device, unknown
from nodeagent.model.pci import Bar, Gpu, PciFunction
from nodeagent.model.seen import Unreadable
from nodeagent.model.words import CcMode

_IS_64_BIT = 0x100000  # IORESOURCE_MEM_64


def bars(facts: Facts, want: CcMode | None) -> tuple[Outcome, ...]:
    return tuple(replace_device(_bars(facts, each), each.bdf) for each in targets(facts, want))


def _bars(facts: Facts, gpu: Gpu) -> Outcome:
    """Windows that cannot be read prove nothing: the kernel gave out the addresses."""
    found = gpu.pci.bars
    where = f"/sys/bus/pci/devices/{gpu.bdf}/resource"
    if found is None or isinstance(found, Unreadable):
        return unknown(Code.NO_ACCESS, f"{gpu.bdf}: BARs cannot be read", where=where)
    bridges = [each for each in above(facts, gpu) if isinstance(each, Bridge)]
    lost = _lost(gpu.pci, found)
    if lost:
        tight = _tight(facts, bridges)
        if tight:
            return bad(Code.BAR_WINDOW_TOO_SMALL, f"{gpu.bdf}: {_resources(lost)} {tight}")
        return bad(
            Code.BAR_UNASSIGNED, f"{gpu.bdf}: {_resources(lost)} without address", where=where
        )
    for bridge in bridges:
        outside = [bar.number for bar in found if bar.start and not _lets_through(bridge, bar)]
        if outside:
            seen = f"{gpu.bdf}: {_resources(outside)} outside the window of {bridge.bdf}"
            return bad(Code.BAR_WINDOW_TOO_SMALL, seen, where=where)
    return ok(f"{gpu.bdf}: {len([bar for bar in found if bar.start and bar.size])} BARs assigned")


def _lost(function: PciFunction, found: tuple[Bar, ...]) -> list[int]:
    """BAR0, and of a GPU the next one; the kernel empties the line of one it could not place."""
    assigned = {bar.number for bar in found if bar.start and bar.size}
    wide = any(bar.number == 0 and bar.flags & _IS_64_BIT for bar in found)
    needed = {0, 2 if wide else 1} if function.is_gpu else {0}
    return sorted(needed - assigned)


def _resources(numbers: list[int]) -> str:
    return " and ".join(f"resource{number}" for number in numbers)


def _lets_through(bridge: Bridge, bar: Bar) -> bool:
    if not isinstance(bridge.windows, tuple):
        return True
    return any(window.holds(bar.start, bar.size) for window in bridge.windows)


def _tight(facts: Facts, bridges: list[Bridge]) -> str | None:
    """The topmost bridge whose window is smaller than the large BARs below it, so far as the
    kernel still tells their sizes."""
    for bridge in bridges:
        need = sum(
            bar.size
            for each in _below(facts, bridge)
            for bar in (each.pci.bars if isinstance(each.pci.bars, tuple) else ())
            if bar.flags & _IS_64_BIT
        )
        if isinstance(bridge.windows, tuple) and need > (room := _room(bridge.windows)):
            return f"does not fit: {_size(need)} below {bridge.bdf}, whose window has {_size(room)}"
    return None


def _below(facts: Facts, bridge: Bridge) -> list[Gpu]:
    if isinstance(facts.devices, Unreadable):
        return []
    return [
        each
        for each in (*facts.devices.gpus, *facts.devices.switches)
        if isinstance(each.slot.path, tuple) and bridge.bdf in each.slot.path
    ]


def _room(windows: tuple[Aperture, ...]) -> int:
    return sum(window.size for window in windows if window.prefetchable)


def _size(size: int) -> str:
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size} {unit}"
        size = -(-size // 1024)
    return f"{size} GiB"
