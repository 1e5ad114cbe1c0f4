"""What is handed to a guest, and the bridges above it."""

from collections.abc import Iterator

from nodeagent.checks.gpu import is_protected
from nodeagent.model.fabric import ACS_NAMES, Acs, Bridge
from nodeagent.model.facts import Facts
from nodeagent.model.pci import Gpu
from nodeagent.model.seen import Unreadable
from nodeagent.model.text import printable
from nodeagent.model.words import CcMode


def targets(facts: Facts, want: CcMode | None) -> tuple[Gpu, ...]:
    """Every GPU, and every switch where protected PCIe is used."""
    devices = facts.devices
    if isinstance(devices, Unreadable):
        return ()
    return devices.gpus + (devices.switches if is_protected(devices, want) else ())


def above(facts: Facts, gpu: Gpu) -> tuple[Bridge | Unreadable, ...]:
    """From the root port down; a path that could not be read is one gap."""
    if isinstance(facts.devices, Unreadable):
        return ()
    path = gpu.slot.path
    if not isinstance(path, tuple):
        return (path or Unreadable(gpu.bdf, "its path is not known"),)
    missing = Unreadable(gpu.bdf, "a bridge above it was not read")
    return tuple(facts.devices.bridges.get(bdf, missing) for bdf in path)


def open_doors(bridges: tuple[Bridge | Unreadable, ...]) -> Iterator[tuple[str, str]]:
    """Each bridge that lets its devices reach each other, and what it lacks."""
    for bridge in bridges:
        if isinstance(bridge, Unreadable) or not bridge.should_isolate:
            continue
        if bridge.acs is None:
            yield bridge.bdf, "no ACS"
        elif isinstance(bridge.acs, Acs) and bridge.acs.missing:
            yield bridge.bdf, f"ACS {acs_names(bridge.acs.missing)} off"


def acs_names(bits: int) -> str:
    return " ".join(name for bit, name in ACS_NAMES.items() if bits & bit)


def some(words: list[str], most: int = 3) -> str:
    """The first few, and how many more."""
    named = printable(", ".join(words[:most]), 120)
    return named if len(words) <= most else f"{named} and {len(words) - most} more"
