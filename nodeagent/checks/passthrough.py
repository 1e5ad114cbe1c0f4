"""Judges whether a GPU could be put into a guest: groups, drivers, BARs."""

from nodeagent.checks.answer import printable
from nodeagent.model.codes import Code
from nodeagent.model.facts import Facts
from nodeagent.model.findings import Outcome, bad, ok, unknown, warn
from nodeagent.model.pci import Gpu, IommuGroup, PciFunction
from nodeagent.model.seen import Unreadable
from nodeagent.model.words import CcMode

_GROUPS = "/sys/kernel/iommu_groups"
_BRIDGE = 0x0604
_IS_64_BIT = 0x100000  # IORESOURCE_MEM_64


def gpus(facts: Facts) -> tuple[Gpu, ...]:
    return () if isinstance(facts.devices, Unreadable) else facts.devices.gpus


def groups(facts: Facts) -> tuple[Outcome, ...]:
    found = facts.iommu.groups
    if isinstance(found, Unreadable):
        return (unknown(Code.NO_ACCESS, f"IOMMU groups cannot be read: {found}"),)
    if not found:
        return (bad(Code.IOMMU_GROUP_MISSING, "the kernel shows no IOMMU group", where=_GROUPS),)
    return (ok(f"{len(found)} groups"),)


def translation(facts: Facts) -> tuple[Outcome, ...]:
    """vfio brings a domain of its own, so an identity default is a hazard, not a verdict."""
    found = facts.iommu.groups
    if found is None or isinstance(found, Unreadable):
        return ()
    types = {group.type for group in found.values() if isinstance(group.type, str)}
    if "identity" in types:
        return (warn(Code.IOMMU_PASSTHROUGH_OR_OFF, "the default domain type is identity"),)
    return (ok(f"default domain type {printable(', '.join(sorted(types)), 40)}"),) if types else ()


def isolation(facts: Facts) -> tuple[Outcome, ...]:
    """A group with anything but the GPU's own functions and bridges is handed over whole."""
    found = facts.iommu.groups
    if found is None or isinstance(found, Unreadable):
        return ()
    return tuple(_isolated(facts, gpu, found.get(_number(gpu.pci))) for gpu in gpus(facts))


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
    strangers = [bdf for bdf in others if not _is_bridge(facts, bdf)]
    if strangers:
        seen = f"{gpu.bdf} shares group {group.number} with {_names(strangers)}"
        return bad(Code.IOMMU_GROUP_SHARED, seen, where=f"{_GROUPS}/{group.number}")
    return ok(f"{gpu.bdf} is alone in group {group.number}")


def _is_bridge(facts: Facts, bdf: str) -> bool:
    function = facts.iommu.foreign.get(bdf)
    return isinstance(function, PciFunction) and function.pci_class >> 8 == _BRIDGE


def _names(bdfs: list[str]) -> str:
    named = printable(", ".join(bdfs[:3]), 60)
    return named if len(bdfs) <= 3 else f"{named} and {len(bdfs) - 3} more"


def drivers(facts: Facts, want: CcMode | None) -> tuple[Outcome, ...]:
    """vfio-pci or one of its variants; switches too where they are handed over with the GPUs."""
    targets = list(gpus(facts))
    if want is CcMode.PPCIE and not isinstance(facts.devices, Unreadable):
        targets += facts.devices.switches
    return tuple(_driver(gpu.pci) for gpu in targets)


def _driver(function: PciFunction) -> Outcome:
    driver = function.driver
    where = f"/sys/bus/pci/devices/{function.bdf}/driver"
    if isinstance(driver, Unreadable):
        return unknown(Code.NO_ACCESS, f"{function.bdf}: its driver cannot be read", where=where)
    if driver is None:
        return bad(Code.GPU_NOT_VFIO, f"{function.bdf} has no driver", where=where)
    if "vfio" in driver:
        return ok(f"{function.bdf} is bound to {printable(driver, 40)}")
    seen = f"{function.bdf} is bound to {printable(driver, 40)}"
    return bad(Code.GPU_NOT_VFIO, seen, where=where)


def bars(facts: Facts) -> tuple[Outcome, ...]:
    return tuple(_bars(gpu.pci) for gpu in gpus(facts))


def _bars(function: PciFunction) -> Outcome:
    """BAR0 and the next one; the kernel empties the line of one it could not place."""
    found = function.bars
    where = f"/sys/bus/pci/devices/{function.bdf}/resource"
    if found is None or isinstance(found, Unreadable):
        return unknown(Code.NO_ACCESS, f"{function.bdf}: BARs cannot be read", where=where)
    assigned = {bar.number for bar in found if bar.start and bar.size}
    wide = any(bar.number == 0 and bar.flags & _IS_64_BIT for bar in found)
    lost = sorted({0, 2 if wide else 1} - assigned)
    if lost:
        which = " and ".join(f"resource{index}" for index in lost)
        return bad(Code.BAR_UNASSIGNED, f"{function.bdf}: {which} without address", where=where)
    return ok(f"{function.bdf}: {len(found)} BARs assigned")


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
    return (bad(Code.VFIO_MISSING, "vfio-pci is not loaded", where="/sys/module/vfio_pci"),)


def host_drivers(facts: Facts) -> tuple[Outcome, ...]:
    """A loaded host driver takes the GPU back at the next rescan or boot."""
    if not gpus(facts):
        return ()
    loaded = [name for name in ("nvidia", "nouveau") if facts.kernel.is_loaded(name) is True]
    if loaded:
        names = " and ".join(loaded)
        return (warn(Code.HOST_DRIVER_LOADED, f"the host has {names} loaded", where="/sys/module"),)
    return (ok("no host GPU driver is loaded"),)
