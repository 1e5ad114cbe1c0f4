"""Reads IOMMU groups, and every function that shares one with a GPU."""

from collections.abc import Iterable, Mapping

from nodeagent.facts import pci
from nodeagent.facts.parse import number
from nodeagent.model.pci import Iommu, IommuGroup, PciFunction
from nodeagent.model.seen import Seen, Unreadable
from nodeagent.seams import Files

_GROUPS = "/sys/kernel/iommu_groups"


def read(files: Files, functions: Iterable[PciFunction]) -> Iommu:
    groups = _groups(files, functions)
    return Iommu(groups=groups, foreign=_foreign(files, groups, functions))


def _groups(files: Files, functions: Iterable[PciFunction]) -> Seen[Mapping[int, IommuGroup]]:
    """All group numbers; type and members only of those that hold an NVIDIA function,
    or of one other, so that the default translation type is known without any GPU."""
    names = files.names(_GROUPS)
    if not isinstance(names, tuple):
        return names
    try:
        numbers = sorted(number(name) for name in names)
    except ValueError:
        return Unreadable(_GROUPS, "has an entry that is no number")
    wanted = {function.group for function in functions} | set(numbers[:1])
    return {
        group: _group(files, group) if group in wanted else IommuGroup(group, None, None)
        for group in numbers
    }


def _group(files: Files, group: int) -> IommuGroup:
    folder = f"{_GROUPS}/{group}"
    members = files.names(f"{folder}/devices")
    if isinstance(members, tuple):
        members = tuple(sorted(members, key=pci.address))
    return IommuGroup(group, files.read(f"{folder}/type", 64), members)


def _foreign(
    files: Files, groups: Seen[Mapping[int, IommuGroup]], functions: Iterable[PciFunction]
) -> Mapping[str, PciFunction | Unreadable]:
    if groups is None or isinstance(groups, Unreadable):
        return {}
    own = {function.bdf for function in functions}
    members: set[str] = set()
    for function in functions:
        group = groups.get(function.group) if isinstance(function.group, int) else None
        if group and isinstance(group.members, tuple):
            members |= set(group.members) - own
    return {bdf: pci.read(files, bdf) for bdf in sorted(members, key=pci.address)}
