"""Judges whether a GPU could be put into a guest: groups and drivers."""

from nodeagent.checks.bars import bars
from nodeagent.checks.check import Check, by_mode, plain
from nodeagent.checks.kernel import unbuilt
from nodeagent.checks.paths import above, open_doors, some, targets
from nodeagent.model.codes import Code
from nodeagent.model.facts import Facts
from nodeagent.model.findings import Outcome, bad, ok, replace_device, unknown, warn
from nodeagent.model.pci import Gpu, IommuGroup, PciFunction
from nodeagent.model.seen import Seen, Unreadable
from nodeagent.model.text import printable
from nodeagent.model.words import CcMode, Level

_GROUPS = "/sys/kernel/iommu_groups"
_BRIDGE = 0x0604
_HOST_BRIDGE = 0x0600
_HARMLESS_DRIVERS = frozenset({"pci-stub", "pcieport"})


def groups(facts: Facts) -> tuple[Outcome, ...]:
    found = facts.iommu.groups
    if isinstance(found, Unreadable):
        return (unknown(Code.NO_ACCESS, f"IOMMU groups cannot be read: {found}"),)
    if not found:
        return (bad(Code.IOMMU_GROUP_MISSING, "the kernel shows no IOMMU group", where=_GROUPS),)
    return (ok(f"{len(found)} IOMMU groups"),)


def translation(facts: Facts) -> tuple[Outcome, ...]:
    """vfio brings a domain of its own, so an identity default is a hazard, not a verdict."""
    found = facts.iommu.groups
    if found is None or isinstance(found, Unreadable):
        return ()
    types = {group.type for group in found.values() if isinstance(group.type, str)}
    if "identity" in types:
        return (warn(Code.IOMMU_PASSTHROUGH_OR_OFF, "the default domain type is identity"),)
    return (ok(f"default domain type {printable(', '.join(sorted(types)), 40)}"),) if types else ()


def isolation(facts: Facts, want: CcMode | None) -> tuple[Outcome, ...]:
    """A group with anything but the GPU's own functions and bridges is handed over whole."""
    found = facts.iommu.groups
    if found is None or isinstance(found, Unreadable):
        return ()
    return tuple(
        replace_device(_isolated(facts, each, found.get(_number(each.pci))), each.bdf)
        for each in targets(facts, want)
    )


def _number(function: PciFunction) -> int:
    return function.group if isinstance(function.group, int) else -1


def _isolated(facts: Facts, gpu: Gpu, group: IommuGroup | None) -> Outcome:
    if isinstance(gpu.pci.group, Unreadable):
        return unknown(Code.NO_ACCESS, str(gpu.pci.group))
    if group is None:
        return bad(Code.IOMMU_GROUP_MISSING, f"{gpu.bdf} is in no IOMMU group", where=gpu.bdf)
    if not isinstance(group.members, tuple):
        return unknown(Code.NO_ACCESS, f"members of group {group.number} cannot be read")
    slot = gpu.bdf.rpartition(".")[0]
    others = [bdf for bdf in group.members if bdf.rpartition(".")[0] != slot]
    functions = {bdf: facts.iommu.foreign.get(bdf) for bdf in others}
    strangers = [bdf for bdf, each in functions.items() if _is_stranger(each)]
    if strangers:
        seen = f"{gpu.bdf} shares group {group.number} with {some(strangers)}"
        door = next(open_doors(above(facts, gpu)), None)
        return bad(
            Code.IOMMU_GROUP_SHARED,
            f"{seen}; {door[0]} has {door[1]}" if door else seen,
            where=f"{_GROUPS}/{group.number}",
            cause=Code.ACS_MISSING if door else None,
        )
    hidden = list(filter(None, map(_hidden, functions.values())))
    if hidden:
        return unknown(Code.NO_ACCESS, printable(str(hidden[0])), where=hidden[0].where)
    return ok(f"{gpu.bdf} is alone in group {group.number}")


def _is_stranger(function: PciFunction | Unreadable | None) -> bool:
    """Whether it certainly is no bridge; None is an NVIDIA function, which never is one here.

    A host bridge has nothing to hand over, and VFIO opens the group unless a driver of the host
    has taken it: the kernel counts drivers, not devices (drivers/iommu/iommu.c, dma owner).
    """
    if isinstance(function, Unreadable):
        return False
    if function is None or function.pci_class >> 8 not in {_BRIDGE, _HOST_BRIDGE}:
        return True
    taken = isinstance(function.driver, str) and not _is_vfio(function.driver)
    return function.pci_class >> 8 == _HOST_BRIDGE and taken


def _hidden(function: PciFunction | Unreadable | None) -> Unreadable | None:
    if function is None or isinstance(function, Unreadable):
        return function
    counts = function.pci_class >> 8 == _HOST_BRIDGE
    return function.driver if counts and isinstance(function.driver, Unreadable) else None


def drivers(facts: Facts, want: CcMode | None) -> tuple[Outcome, ...]:
    """vfio-pci or one of its variants, and no host driver on what shares card and group."""
    return tuple(
        replace_device(_sibling(facts, each.pci) or _driver(each.pci), each.bdf)
        for each in targets(facts, want)
    )


def _sibling(facts: Facts, gpu: PciFunction) -> Outcome | None:
    """VFIO opens a group only if no host driver has any of it (drivers/vfio/group.c)."""
    if isinstance(facts.devices, Unreadable) or not _is_vfio(gpu.driver):
        return None
    slot = gpu.bdf.rpartition(".")[0]
    for each in facts.devices.functions:
        other = each.bdf != gpu.bdf and each.bdf.rpartition(".")[0] == slot
        if not other or each.driver is None or _is_vfio(each.driver):
            continue
        where = f"/sys/bus/pci/devices/{each.bdf}"
        for gap in (each.driver, each.group, gpu.group):
            if isinstance(gap, Unreadable):
                return unknown(Code.NO_ACCESS, f"{each.bdf}: {printable(str(gap))}", where=where)
        if each.group == gpu.group:
            seen = f"{each.bdf} of the same card is bound to {printable(str(each.driver), 40)}"
            return bad(Code.GPU_NOT_VFIO, seen, where=where)
    return None


def _is_vfio(driver: Seen[str]) -> bool:
    return isinstance(driver, str) and ("vfio" in driver or driver in _HARMLESS_DRIVERS)


def _driver(function: PciFunction) -> Outcome:
    driver = function.driver
    where = f"/sys/bus/pci/devices/{function.bdf}/driver"
    if isinstance(driver, Unreadable):
        return unknown(Code.NO_ACCESS, f"{function.bdf}: its driver cannot be read", where=where)
    if driver is None:
        return bad(Code.GPU_NOT_VFIO, f"{function.bdf} has no driver", where=where)
    if "vfio" in driver:
        override = function.override if isinstance(function.override, str) else None
        by = f" by driver_override {printable(override, 40)}" if override else ""
        return ok(f"{function.bdf} is bound to {printable(driver, 40)}{by}")
    seen = f"{function.bdf} is bound to {printable(driver, 40)}"
    return bad(Code.GPU_NOT_VFIO, seen, where=where)


def vfio(facts: Facts) -> tuple[Outcome, ...]:
    """Said only where nothing is bound to vfio yet: a bound GPU is the better witness."""
    if isinstance(facts.devices, Unreadable) or not facts.devices.gpus:
        return ()
    bound = any(
        isinstance(gpu.pci.driver, str) and "vfio" in gpu.pci.driver for gpu in facts.devices.gpus
    )
    loaded = facts.kernel.is_loaded("vfio_pci")
    if bound or loaded is True:
        return (ok("vfio-pci is loaded"),)
    if isinstance(loaded, Unreadable):
        return (unknown(Code.NO_ACCESS, str(loaded)),)
    without, cause = unbuilt(facts, "CONFIG_VFIO", "CONFIG_VFIO_PCI")
    seen = f"vfio-pci is not loaded{without}"
    return (bad(Code.VFIO_MISSING, seen, where="/sys/module/vfio_pci", cause=cause),)


def host_drivers(facts: Facts) -> tuple[Outcome, ...]:
    """A loaded host driver takes the GPU back at the next rescan or boot."""
    if isinstance(facts.devices, Unreadable) or not facts.devices.gpus:
        return ()
    states = {name: facts.kernel.is_loaded(name) for name in ("nvidia", "nouveau")}
    loaded = [name for name, state in states.items() if state is True]
    if loaded:
        names = " and ".join(loaded)
        return (warn(Code.HOST_DRIVER_LOADED, f"the host has {names} loaded", where="/sys/module"),)
    for state in states.values():
        if isinstance(state, Unreadable):
            return (unknown(Code.NO_ACCESS, str(state), where=state.where),)
    return (ok("no host GPU driver is loaded"),)


_PASSTHROUGH = Level.PASSTHROUGH
CHECKS: tuple[Check, ...] = (
    Check("iommu.groups", _PASSTHROUGH, "IOMMU groups", plain(groups)),
    Check("iommu.translation", _PASSTHROUGH, "domain type DMA", plain(translation)),
    Check("iommu.isolation", _PASSTHROUGH, "each GPU alone in its group", by_mode(isolation)),
    Check("vfio.module", _PASSTHROUGH, "vfio-pci", plain(vfio)),
    Check("gpu.driver", _PASSTHROUGH, "each GPU bound to vfio-pci", by_mode(drivers)),
    Check("gpu.bars", _PASSTHROUGH, "assigned BARs", by_mode(bars)),
    Check("host.drivers", _PASSTHROUGH, "no host GPU driver", plain(host_drivers)),
)
"""In reading order."""
