"""Judges CDI specs: does each GPU's device node of today stand in one?"""

from collections.abc import Iterable

from nodeagent.checks.check import Ask
from nodeagent.checks.paths import targets
from nodeagent.checks.wanted import SHOWN, installed, unread
from nodeagent.model.codes import Code
from nodeagent.model.facts import Facts
from nodeagent.model.findings import Outcome, bad, ok, unknown
from nodeagent.model.pci import Gpu
from nodeagent.model.text import printable

_CDEV = "/dev/vfio/devices/"
_CONTAINER = "/dev/vfio/vfio"


def cdi(facts: Facts, ask: Ask) -> tuple[Outcome, ...]:
    """The device plugin writes its spec once, and goes on offering GPUs that were renumbered."""
    if installed(facts) is None:
        return ()
    devices = [each for each in targets(facts, ask.want) if _is_bound(each)]
    named = {node for spec in facts.runtime.specs for node in spec.nodes}
    left = [each for each in devices if not named.intersection(_nodes(each))]
    if not devices:
        return ()
    if not left:
        where = ", ".join(dict.fromkeys(spec.where for spec in facts.runtime.specs))
        return (ok(f"{printable(where, SHOWN)} names every GPU's device node"),)
    first = left[0]
    if facts.runtime.specs_closed:
        return (unread(facts.runtime.specs_closed),)
    if not facts.runtime.specs:
        seen = "there is no CDI spec of NVIDIA's in /run/cdi or /etc/cdi"
        return (bad(Code.CDI_MISSING, seen, where="/run/cdi"),)
    if not _kinds(named) <= _kinds(_nodes(first)):
        seen = f"{first.bdf}: not all of its device nodes could be read"
        return (unknown(Code.NO_ACCESS, seen, where=first.bdf),)
    return (_unnamed(facts, first, named - {node for each in devices for node in _nodes(each)}),)


def _unnamed(facts: Facts, device: Gpu, strange: set[str]) -> Outcome:
    """Nodes that no GPU has today are those of the past."""
    spec = facts.runtime.specs[0]
    own = " or ".join(_nodes(device)) or "without a node"
    past = sorted(node for node in strange if node.startswith("/dev/vfio/") and node != _CONTAINER)
    if past:
        seen = f"{spec.where} names {past[0]}; {device.bdf} is {own} today"
        return bad(Code.CDI_STALE, printable(seen), where=spec.where)
    seen = f"no CDI spec names {device.bdf}, which is {own}"
    return bad(Code.CDI_MISSING, printable(seen), where=spec.where)


def _is_bound(device: Gpu) -> bool:
    return isinstance(device.pci.driver, str) and "vfio" in device.pci.driver


def _nodes(device: Gpu) -> tuple[str, ...]:
    return device.vfio_nodes if isinstance(device.vfio_nodes, tuple) else ()


def _kinds(nodes: Iterable[str]) -> set[bool]:
    """Which of the two kinds are among them: a device's own node, or its group's."""
    return {
        node.startswith(_CDEV)
        for node in nodes
        if node.startswith("/dev/vfio/") and node != _CONTAINER
    }
