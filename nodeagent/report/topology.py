"""The PCIe tree above GPUs and switches as it is shown: by NUMA node, from root ports down."""

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import NamedTuple

from nodeagent.model.codes import Code
from nodeagent.model.fabric import DOWNSTREAM, ROOT_PORT, UPSTREAM, Bridge, Link
from nodeagent.model.facts import Facts, Source
from nodeagent.model.pci import Gpu, PciFunction
from nodeagent.model.seen import Unreadable, known
from nodeagent.model.text import printable
from nodeagent.model.words import CcMode

PORTS = {ROOT_PORT: "root port", UPSTREAM: "switch", DOWNSTREAM: "switch port"}
_WORDS = {
    Code.GPU_ASLEEP: "asleep",
    Code.GPU_BOOT_INCOMPLETE: "booting",
    Code.GPU_GONE: "gone",
    Code.GPU_IN_USE: "in use",
    Code.GPU_MODE_INVALID: "invalid",
    Code.GPU_NOT_CAPABLE: "no CC",
    Code.GPU_RECOVERY: "recovery",
    Code.GPU_SECURITY_FAULT: "locked",
    Code.GPU_VIRTUAL: "virtual",
}
_KINDS = {
    0x01: "storage",
    0x02: "network",
    0x03: "display",
    0x04: "audio",
    0x06: "bridge",
    0x0C: "serial bus",
    0x10: "encryption",
}


class Standing(NamedTuple):
    """A device's mode, or the code for why it has none. `aside`: it does not matter here."""

    mode: CcMode | None
    code: Code | None
    fails: bool
    says: str
    aside: bool = False

    @property
    def word(self) -> str:
        if self.mode:
            return self.mode.value
        return _WORDS.get(self.code, "unknown") if self.code else "unknown"


class Leaf(NamedTuple):
    """A GPU or a switch. `sharing`: who else would be handed over with it."""

    gpu: Gpu
    standing: Standing
    sharing: tuple[str, ...]

    @property
    def bdf(self) -> str:
        return self.gpu.bdf

    @property
    def kind(self) -> str:
        return "GPU" if self.gpu.pci.is_gpu else "NVSwitch"

    @property
    def name(self) -> str:
        """The product, or the ids where it has no name here."""
        pci, chip = self.gpu.pci, self.gpu.chip
        if self.kind == "NVSwitch":
            return "NVSwitch"
        return chip.product if chip and chip.product else ids(pci.vendor, pci.device)


class Branch(NamedTuple):
    """A bridge with what is below it."""

    bdf: str
    bridge: Bridge | Unreadable
    twigs: tuple["Branch | Leaf", ...]

    @property
    def kind(self) -> str:
        port = self.bridge.port if isinstance(self.bridge, Bridge) else None
        return PORTS.get(port, "bridge") if isinstance(port, int) else "bridge"

    @property
    def name(self) -> str:
        bridge = self.bridge
        return ids(bridge.vendor, bridge.device) if isinstance(bridge, Bridge) else ""


class Panel(NamedTuple):
    """What hangs on one NUMA node; None: the firmware does not tell which."""

    numa: int | None
    trees: tuple[Branch | Leaf, ...]

    @property
    def title(self) -> str:
        return "NUMA node not told" if self.numa is None else f"NUMA node {self.numa}"


class Topology(NamedTuple):
    source: Source
    panels: tuple[Panel, ...]
    leaves: tuple[Leaf, ...]
    gap: Unreadable | None

    @property
    def summary(self) -> str:
        """`8 × H100 in mode ppcie, 4 × NVSwitch in mode ppcie`."""
        if self.gap:
            return f"PCI devices cannot be read: {printable(str(self.gap))}"
        if not self.leaves:
            return "no GPU and no NVSwitch on the PCI bus"
        counts: dict[tuple[str, str], int] = {}
        for leaf in self.leaves:
            key = (leaf.name, leaf.standing.word)
            counts[key] = counts.get(key, 0) + 1
        return ", ".join(f"{count} × {name}: {word}" for (name, word), count in counts.items())


def ids(vendor: int, device: int) -> str:
    return f"{vendor:04x}:{device:04x}"


def topology(facts: Facts, standings: Mapping[str, Standing]) -> Topology:
    """`standings` by BDF, as they were judged."""
    devices = facts.devices
    if isinstance(devices, Unreadable):
        return Topology(facts.source, (), (), devices)
    leaves = tuple(
        Leaf(gpu, _standing(gpu, standings), _sharing(facts, gpu))
        for gpu in (*devices.gpus, *devices.switches)
    )
    trees = _grow(leaves, devices.bridges, 0)
    panels = groupby(sorted(trees, key=_order), key=_numa)
    return Topology(
        facts.source, tuple(Panel(numa, tuple(inside)) for numa, inside in panels), leaves, None
    )


def _standing(gpu: Gpu, standings: Mapping[str, Standing]) -> Standing:
    """A switch may be off where no GPU uses protected PCIe."""
    found = standings.get(gpu.bdf, Standing(None, None, False, "not judged"))
    protected = any(each.mode is CcMode.PPCIE for each in standings.values())
    return found._replace(aside=gpu.pci.is_nvswitch and found.mode is CcMode.OFF and not protected)


def _grow(
    leaves: Iterable[Leaf], bridges: Mapping[str, Bridge | Unreadable], depth: int
) -> tuple[Branch | Leaf, ...]:
    """By paths, so that no tangle in a stranger's links makes a circle."""
    missing = Unreadable("bridge", "was not read")
    grown: list[Branch | Leaf] = []
    below: dict[str, list[Leaf]] = {}
    for leaf in leaves:
        path = known(leaf.gpu.slot.path) or ()
        if len(path) <= depth:
            grown.append(leaf)
        else:
            below.setdefault(path[depth], []).append(leaf)
    for bdf, inside in below.items():
        grown.append(Branch(bdf, bridges.get(bdf, missing), _grow(inside, bridges, depth + 1)))
    return tuple(sorted(grown, key=lambda each: (len(each.bdf), each.bdf)))


def first_leaf(tree: Branch | Leaf) -> Leaf:
    while isinstance(tree, Branch):
        tree = tree.twigs[0]
    return tree


def _numa(tree: Branch | Leaf) -> int | None:
    return known(first_leaf(tree).gpu.slot.numa)


def _order(tree: Branch | Leaf) -> tuple[bool, int, int, str]:
    """What is told first, then by number, then by address."""
    numa = _numa(tree)
    return numa is None, numa or 0, len(tree.bdf), tree.bdf


def _sharing(facts: Facts, gpu: Gpu) -> tuple[str, ...]:
    """The group's other members but bridges and the card's own functions."""
    groups, group = known(facts.iommu.groups), gpu.pci.group
    entry = groups.get(group) if groups and isinstance(group, int) else None
    if entry is None or not isinstance(entry.members, tuple):
        return ()
    card = gpu.bdf.rpartition(".")[0]
    others = [bdf for bdf in entry.members if bdf.rpartition(".")[0] != card]
    functions = functions_of(facts)
    named = [(bdf, functions.get(bdf)) for bdf in others]
    return tuple(member(bdf, each) for bdf, each in named if not _is_bridge(each))


def functions_of(facts: Facts) -> dict[str, PciFunction | Unreadable]:
    own = () if isinstance(facts.devices, Unreadable) else facts.devices.functions
    return {**facts.iommu.foreign, **{each.bdf: each for each in own}}


def _is_bridge(function: PciFunction | Unreadable | None) -> bool:
    return isinstance(function, PciFunction) and function.pci_class >> 8 == 0x0604


def member(bdf: str, function: PciFunction | Unreadable | None) -> str:
    if not isinstance(function, PciFunction):
        return printable(bdf, 20)
    kind = _KINDS.get(function.pci_class >> 16, ids(function.vendor, function.device))
    driver = known(function.driver)
    return printable(f"{bdf} ({kind}, {driver})" if driver else f"{bdf} ({kind})", 60)


def acs_word(branch: Branch) -> str:
    """Empty where ACS says nothing of this kind of bridge."""
    bridge = branch.bridge
    if isinstance(bridge, Unreadable) or isinstance(bridge.port, Unreadable):
        return "ACS ?"
    if not bridge.should_isolate:
        return ""
    if isinstance(bridge.acs, Unreadable):
        return "ACS ?"
    if bridge.acs is None:
        return "no ACS"
    return "ACS off" if bridge.acs.missing else "ACS on"


def link_word(link: Link) -> str:
    """`x16 32 GT/s`, and where it is narrower than it could be, `x8/16 32 GT/s`."""
    speed, lanes = known(link.speed), lanes_word(link)
    return f"{lanes} {speed:g} GT/s" if lanes and speed else lanes


def lanes_word(link: Link) -> str:
    width, most = known(link.width), known(link.max_width)
    if width is None:
        return ""
    return f"x{width}/{most}" if is_narrow(link) else f"x{width}"


def is_narrow(link: Link) -> bool:
    width, most = known(link.width), known(link.max_width)
    return width is not None and most is not None and width < most


def link_above(tree: Branch | Leaf) -> Link | None:
    """A switch's own ports sit on its inner bus; between them is no link."""
    if isinstance(tree, Leaf):
        return tree.gpu.slot.link
    bridge = tree.bridge
    return bridge.link if isinstance(bridge, Bridge) and bridge.port == UPSTREAM else None
