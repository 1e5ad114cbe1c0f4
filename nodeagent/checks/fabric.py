"""Judges how GPUs are plugged in: ACS, links, D3cold, iommufd. All of it warns, none gates.

What could not be read is skipped here, not unknown: an unknown would gate the level.
"""

from collections.abc import Iterator
from typing import NamedTuple

from nodeagent.checks.check import Check, by_mode, plain
from nodeagent.checks.gpu import is_told_protected
from nodeagent.checks.passthrough import isolation
from nodeagent.checks.paths import above, open_doors, some, targets
from nodeagent.model.codes import Code
from nodeagent.model.fabric import Bridge, Link
from nodeagent.model.facts import Facts
from nodeagent.model.findings import Outcome, ok, skip, warn
from nodeagent.model.seen import Unreadable
from nodeagent.model.text import printable
from nodeagent.model.words import CcMode, Level, Verdict

_IDLE_D3 = "vfio_pci.disable_idle_d3"


def acs(facts: Facts, want: CcMode | None) -> tuple[Outcome, ...]:
    """Not where there are no groups: without an IOMMU the kernel leaves ACS off everywhere. Nor
    of a GPU that shares its group: there it is named as the cause."""
    if not facts.iommu.groups:
        return ()
    shared = {each.device for each in isolation(facts, want) if each.verdict is Verdict.FAIL}
    paths = [above(facts, each) for each in targets(facts, want) if each.bdf not in shared]
    bridges = {each.bdf: each for path in paths for each in path if isinstance(each, Bridge)}
    doors = dict(open_doors(tuple(bridges.values())))
    if doors:
        lacking = [f"{bdf} has {what}" for bdf, what in doors.items()]
        seen = f"{some(lacking, 2)}; the groups isolate all the same"
        return (warn(Code.ACS_MISSING, seen, where=f"{next(iter(doors))}/config"),)
    judged = [each for each in bridges.values() if each.should_isolate]
    gaps = [each for path in paths for each in path if isinstance(each, Unreadable)]
    gaps += [
        gap
        for each in bridges.values()
        for gap in (each.port, each.acs)
        if isinstance(gap, Unreadable)
    ]
    if gaps:
        return (skip(f"not told: {printable(str(gaps[0]))}"),)
    if not _all_told(facts, want):
        return (skip("not told: a mode is not known, and with it whether switches count"),)
    return (ok(f"{_count(judged, 'port')} above the GPUs isolate"),) if judged else ()


def _all_told(facts: Facts, want: CcMode | None) -> bool:
    devices = facts.devices
    return not isinstance(devices, Unreadable) and is_told_protected(devices, want)


def _count(things: list[Bridge] | list[str], noun: str) -> str:
    return f"{len(things)} {noun}" + ("" if len(things) == 1 else "s")


class _Edge(NamedTuple):
    """One link: its lower end's word on it, and what the two ends could do."""

    bdf: str
    link: Link
    port: Link | None
    to_device: bool
    is_gpu: bool


def links(facts: Facts, want: CcMode | None) -> tuple[Outcome, ...]:
    """Width is judged of every link. Speed only of those between bridges: an idle GPU slows its
    own down to save power, and says so by the same register."""
    edges = {edge.bdf: edge for edge in _edges(facts, want)}
    slow = [said for edge in edges.values() if (said := _degraded(edge))]
    if slow:
        where = f"{slow[0].split(' ')[0]}/current_link_width"
        return (warn(Code.LINK_DEGRADED, some(slow, 2), where=where),)
    known = [edge.bdf for edge in edges.values() if isinstance(edge.link.width, int)]
    if known and _all_told(facts, want):
        return (ok(f"{_count(known, 'link')} at full width"),)
    gap = next((e.link.width for e in edges.values() if isinstance(e.link.width, Unreadable)), None)
    return (skip(f"not told: {printable(str(gap))}"),) if gap else ()


def _edges(facts: Facts, want: CcMode | None) -> Iterator[_Edge]:
    for gpu in targets(facts, want):
        port: Link | None = None
        for bridge in above(facts, gpu):
            if isinstance(bridge, Bridge) and port:
                yield _Edge(bridge.bdf, bridge.link, port, to_device=False, is_gpu=False)
            port = bridge.link if isinstance(bridge, Bridge) else None
        yield _Edge(gpu.bdf, gpu.slot.link, port, to_device=True, is_gpu=gpu.pci.is_gpu)


def _degraded(edge: _Edge) -> str | None:
    link, port = edge.link, edge.port
    if isinstance(link.width, int) and isinstance(link.max_width, int):
        port_width = port.max_width if port and isinstance(port.max_width, int) else None
        # A switch may be wired narrow by design; a GPU in a narrow slot is in the wrong one.
        could = link.max_width if edge.is_gpu else min(link.max_width, port_width or link.width)
        if link.width < could:
            slot = ": its slot has no more" if port_width and port_width <= link.width else ""
            return f"{edge.bdf} runs at x{link.width} of x{could}{slot}"
    speeds = [link.speed, link.max_speed, port.max_speed if port else None]
    known = [speed for speed in speeds if isinstance(speed, float)]
    if not edge.to_device and len(known) == 3 and known[0] < min(known[1:]):
        return f"{edge.bdf} runs at {known[0]:g} of {min(known[1:]):g} GT/s"
    return None


def d3cold(facts: Facts) -> tuple[Outcome, ...]:
    """An idle GPU under vfio-pci goes to D3cold where both allow it, and may not come back."""
    devices = facts.devices
    if isinstance(devices, Unreadable):
        return ()
    bound = [
        each
        for each in devices.gpus
        if isinstance(each.pci.driver, str) and "vfio" in each.pci.driver
    ]
    allowed = [each.bdf for each in bound if each.slot.d3cold is True]
    keeps_awake = facts.kernel.parameters.get(_IDLE_D3)
    if allowed and keeps_awake in {"N", "0"}:
        seen = f"disable_idle_d3 is {keeps_awake}, and D3cold is allowed to {some(allowed, 2)}"
        where = "/sys/module/vfio_pci/parameters/disable_idle_d3"
        return (warn(Code.D3COLD_HAZARD, seen, where=where),)
    if bound and keeps_awake in {"Y", "1"}:
        return (ok("idle GPUs stay awake: disable_idle_d3 is on"),)
    gaps = [each for each in (keeps_awake, *(gpu.slot.d3cold for gpu in bound)) if _is_gap(each)]
    return (skip(f"not told: {printable(str(gaps[0]))}"),) if bound and gaps else ()


def _is_gap(value: object) -> bool:
    return isinstance(value, Unreadable)


def iommufd(facts: Facts) -> tuple[Outcome, ...]:
    if isinstance(facts.devices, Unreadable) or not facts.devices.gpus:
        return ()
    found = facts.devices.iommufd
    if isinstance(found, Unreadable):
        return (skip(f"not told: {printable(str(found))}"),)
    if not found:
        return (warn(Code.IOMMUFD_MISSING, "there is no /dev/iommu", where="/dev/iommu"),)
    return (ok("/dev/iommu is there"),)


_PASSTHROUGH = Level.PASSTHROUGH
CHECKS: tuple[Check, ...] = (
    Check("pci.acs", _PASSTHROUGH, "ACS on every port above a GPU", by_mode(acs)),
    Check("pci.links", _PASSTHROUGH, "every link as wide as it can be", by_mode(links)),
    Check("gpu.d3cold", _PASSTHROUGH, "idle GPUs that do not lose power", plain(d3cold)),
    Check("vfio.iommufd", _PASSTHROUGH, "iommufd", plain(iommufd)),
)
"""In reading order."""
