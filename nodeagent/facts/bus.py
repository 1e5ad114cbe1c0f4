"""Reads who else is on a device's bus: a bus reset strikes all of them."""

from nodeagent.facts import gpu, holders, pci
from nodeagent.model.pci import Sibling
from nodeagent.model.seen import Unreadable
from nodeagent.seams import Machine


def siblings(machine: Machine, bdf: str) -> tuple[Sibling, ...] | Unreadable:
    """The other functions of the same bus, with whoever has one of them open."""
    bus = bdf.rpartition(":")[0]
    with machine.look():
        names = machine.files.names(pci.DEVICES)
        if not isinstance(names, tuple):
            return names or Unreadable(pci.DEVICES, "is absent")
        others = [name for name in names if name != bdf and name.rpartition(":")[0] == bus]
        held = holders.read(machine.files) if others else None
        found = []
        for name in filter(pci.is_address, others):
            function = pci.read(machine.files, name)
            if isinstance(function, Unreadable) or held is None:
                return function if isinstance(function, Unreadable) else Unreadable(name, "unread")
            found.append(Sibling(name, function.driver, gpu.holders(machine.files, function, held)))
    return tuple(found)
