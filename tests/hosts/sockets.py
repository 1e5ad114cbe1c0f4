"""A second socket: everything is there twice, and one PSP speaks of SEV for both."""

from dataclasses import replace

from tests.hosts import base, cpus, pci
from tests.hosts.draft import RMP_BASE, RMP_CFG, RMP_END, Delta, Draft

SECOND_PSP = "0000:81:00.5"

_MIB = 1 << 20
_HOLE = 0x80000  # page frames below 4 GiB that are no memory


def two(*, tib: int) -> Delta:
    """Two of whatever CPU the host has, with `tib` TiB of memory between them."""

    def delta(draft: Draft) -> None:
        draft.cpu = replace(draft.cpu, sockets=2)
        draft.present = draft.online = draft.cpu.threads
        _memory(draft, top=(tib << 28) + _HOLE)
        for number, bus in enumerate((0x20, 0x40, 0x60, 0x80, 0xA0, 0xC0, 0xE0), 1):
            base.put_iommu(draft, f"0000:{bus:02x}:00.2", number)
        _second_psp(draft)

    return delta


def _memory(draft: Draft, *, top: int) -> None:
    draft.put("/proc/zoneinfo", base.zoneinfo(top, sockets=2))
    half = draft.cpu.cores
    for node in range(2):
        first = [node * half, (node + 2) * half]
        shown = ",".join(f"{cpu}-{cpu + half - 1}" for cpu in first)
        draft.put(f"/sys/devices/system/node/node{node}/cpulist", shown)
    draft.unsay("BIOS-e820")
    if draft.msr[RMP_CFG][None] == "EIO":
        _one_table(draft, top)
    else:
        cpus.say_segments(draft, top=top)


def _one_table(draft: Draft, top: int) -> None:
    """It no longer fits below 4 GiB, so it lies under the top of memory, whole MiB large."""
    size = -(-((top << 4) + 0x4000) // _MIB) * _MIB
    start = (top << 12) - 0x8000000 - size
    draft.wrmsr(RMP_BASE, start)
    draft.wrmsr(RMP_END, start + size - 1)
    span = f"[{start:#018x} - {start + size - 1:#018x}]"
    draft.swap("RMP table", f"SEV-SNP: RMP table physical range {span}", level=6)


def _second_psp(draft: Draft) -> None:
    """It serves its own socket; its lines look like faults and are none."""
    parent = pci.plug_port(draft, "0000:80:07.1", bus=0x81, group=50)
    base.put_psp(draft, SECOND_PSP, parent, group=51)
    for name in ("device", "bootloader_version"):
        own = draft.text(f"{pci.home(draft, base.PSP)}/{name}") or ""
        draft.put(f"{pci.home(draft, SECOND_PSP)}/{name}", own)
    draft.say(f"ccp {SECOND_PSP}: enabling device (0000 -> 0002)")
    for said in ("no command queues available", "psp does not support SEV", "psp enabled"):
        draft.say(f"ccp {SECOND_PSP}: {said}")
