"""Everything that one look at a host found."""

from typing import NamedTuple

from nodeagent.model.cpu import Cpus
from nodeagent.model.firmware import Firmware
from nodeagent.model.host import Kernel, KernelLog, Psp
from nodeagent.model.pci import Devices, Iommu
from nodeagent.model.platform import Platform
from nodeagent.model.runtime import Runtime
from nodeagent.model.seen import Seen, Unreadable


class Source(NamedTuple):
    """Where the facts come from. `simulated`: not this machine as it is now."""

    where: str
    simulated: bool
    root: bool
    note: str = ""


class Facts(NamedTuple):
    """One look: every topic, each input a value, absent, or unreadable."""

    source: Source
    boot_id: Seen[str]
    platform: Platform
    cpus: Cpus
    psp: Psp
    firmware: Firmware
    kernel: Kernel
    log: Seen[KernelLog]
    iommu: Iommu
    devices: Devices | Unreadable
    runtime: Runtime
