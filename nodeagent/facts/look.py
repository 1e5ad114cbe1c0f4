"""One look at a machine: every topic, once."""

from nodeagent.facts import cpu, firmware, gpu, iommu, kernel, log, pci, platform, psp, runtime
from nodeagent.model.facts import Facts
from nodeagent.model.pci import Known
from nodeagent.model.runtime import NodeSays
from nodeagent.model.seen import Unreadable
from nodeagent.seams import Machine

_NOTHING = Known()
BOOT_ID = "/proc/sys/kernel/random/boot_id"


def look(machine: Machine, *, known: Known = _NOTHING, node: NodeSays | None = None) -> Facts:
    """Everything that judging needs. Changes nothing on the machine."""
    with machine.look():
        files = machine.files
        boot_id = files.read(BOOT_ID, 64)
        functions = pci.nvidia_functions(files)
        lines = log.read(machine.probes)
        running = kernel.read(machine)
        cpus = cpu.read(machine)
        return Facts(
            source=machine.source,
            boot_id=boot_id,
            platform=platform.read(files),
            cpus=cpus,
            psp=psp.read(machine, running, lines),
            firmware=firmware.read(files, cpus.identity),
            kernel=running,
            log=lines,
            iommu=iommu.read(files, () if isinstance(functions, Unreadable) else functions),
            devices=gpu.read(machine, functions, boot_id=boot_id, known=known),
            runtime=runtime.read(machine, node),
        )
