"""Two sockets and a baseboard of eight GPUs: everything there twice, and behind PCIe switches."""

from dataclasses import dataclass

from tests.hosts import base, pci
from tests.hosts.draft import GPU, RMP_BASE, RMP_END, Cpu, Delta, Draft

FIRST_GPU = "0000:23:00.0"
LAST_SWITCH = "0000:c6:00.0"
SECOND_PSP = "0000:81:00.5"

_TOP = 0x20080000  # the first page frame above 2 TiB of memory and the hole below 4 GiB
_RMP = (0x1FDF7800000, 0x1FFF80FFFFF)  # 0x200900000 bytes; 0x200804000 are needed
_SWITCHED = (0x20, 0x60, 0xA0, 0xE0)  # root buses with two GPUs each
_NVSWITCHES = 0xC0
_WINDOW = 1 << 41  # bytes of addresses for each root bus, from the 33rd TiB on
_FIRST_GROUP = 60


@dataclass(frozen=True, slots=True)
class Model:
    """A GPU for such a baseboard; `frame` is the size of its large BAR."""

    device: int
    subsystem: int
    frame: int


H100 = Model(0x2330, 0x16C1, 128 * pci.GIB)


def two_sockets(draft: Draft) -> None:
    """Two EPYC 9454 with 2 TiB: a second PSP, an IOMMU for each root bus, two memory nodes."""
    name = "AMD EPYC 9454 48-Core Processor"
    old = draft.cpu
    draft.cpu = Cpu(old.vendor, 25, 17, name, 1, old.microcode, old.flags, 48, sockets=2)
    draft.present = draft.online = draft.cpu.threads
    base.put_brand(draft, name)
    _memory(draft)
    for number, bus in enumerate((0x20, 0x40, 0x60, 0x80, 0xA0, 0xC0, 0xE0), 1):
        base.put_iommu(draft, f"0000:{bus:02x}:00.2", number)
    _second_psp(draft)


def _memory(draft: Draft) -> None:
    start, end = _RMP
    draft.put("/proc/zoneinfo", base.zoneinfo(_TOP, sockets=2))
    for node, cpus in enumerate(("0-47,96-143", "48-95,144-191")):
        draft.put(f"/sys/devices/system/node/node{node}/cpulist", cpus)
    draft.wrmsr(RMP_BASE, start)
    draft.wrmsr(RMP_END, end)
    span = f"[{start:#018x} - {end:#018x}]"
    draft.swap("RMP table", f"SEV-SNP: RMP table physical range {span}", level=6)
    draft.unsay("BIOS-e820")


def _second_psp(draft: Draft) -> None:
    """It serves its own socket; of SEV only the first one speaks, and its lines do no harm."""
    parent = pci.plug_port(draft, "0000:80:07.1", bus=0x81, group=50)
    base.put_psp(draft, SECOND_PSP, parent, group=51)
    draft.say(f"ccp {SECOND_PSP}: enabling device (0000 -> 0002)")
    for said in ("no command queues available", "psp does not support SEV", "psp enabled"):
        draft.say(f"ccp {SECOND_PSP}: {said}")


def baseboard(model: Model, *, nvswitches: int) -> Delta:
    """Eight GPUs in protected PCIe mode with their NVSwitches, each alone in its group."""

    def delta(draft: Draft) -> None:
        _take_single(draft)
        group = _FIRST_GROUP
        for n, root in enumerate(_SWITCHED):
            ports = _switch(draft, root, 2, group)
            for slot, port in enumerate(ports):
                start = (16 + n) * _WINDOW + slot * 2 * model.frame
                plug_gpu(draft, model, port, group=group + 4 + slot, vfio=2 * n + slot, start=start)
            group += 6
        if nvswitches:
            ports = _switch(draft, _NVSWITCHES, nvswitches, group)
            for slot, port in enumerate(ports):
                plug_nvswitch(draft, port, group=group + 2 + nvswitches + slot, vfio=8 + slot)
        _announce(draft, model, switches=bool(nvswitches))

    return delta


def _take_single(draft: Draft) -> None:
    """The H100 PCIe of the base, its port, and all that named it."""
    for bdf, group in ((GPU, 41), ("0000:40:01.1", 40)):
        pci.leave_group(draft, bdf, group)
        pci.unplug(draft, bdf)
    draft.remove("/dev/vfio/41")
    draft.remove("/dev/vfio/devices")
    draft.unsay("0000:41:00.0")


def _switch(draft: Draft, root: int, below: int, group: int) -> list[str]:
    port = pci.plug_port(
        draft, f"0000:{root:02x}:01.1", bus=root + 1, last=root + 2 + below, group=group
    )
    return pci.plug_switch(draft, port, bus=root + 1, group=group + 1, below=below)


def plug_gpu(draft: Draft, model: Model, port: str, *, group: int, vfio: int, start: int) -> None:
    bars = (
        pci.Bar(0, start + model.frame + 32 * pci.MIB, 16 * pci.MIB),
        pci.Bar(2, start, model.frame),
        pci.Bar(4, start + model.frame, 32 * pci.MIB),
    )
    bdf = _behind(port)
    ids = (pci.NVIDIA, model.device, 0x030200, (pci.NVIDIA, model.subsystem), 0xA1)
    pci.plug_passed(draft, pci.Device(bdf, port, *ids, bars, "vfio-pci", group), vfio=vfio)
    draft.gpu[bdf] = pci.h100_registers(serial=vfio)
    pci.registers(draft, bdf, mode=0x20)


def plug_nvswitch(draft: Draft, port: str, *, group: int, vfio: int) -> None:
    bdf = _behind(port)
    start = 24 * _WINDOW + int(bdf[5:7], 16) * 64 * pci.MIB
    bars = (pci.Bar(0, start, 32 * pci.MIB),)
    ids = (pci.NVIDIA, 0x22A3, 0x068000, (pci.NVIDIA, 0x1796), 0xA1)
    pci.plug_passed(draft, pci.Device(bdf, port, *ids, bars, "vfio-pci", group), vfio=vfio)
    draft.gpu[bdf] = pci.nvswitch_registers(protected=True)


def _behind(port: str) -> str:
    """The one device of a downstream port: the ports of a switch count up with their buses."""
    bus, slot = port[-7:-2].split(":")
    return f"0000:{int(bus, 16) + 1 + int(slot, 16):02x}:00.0"


def _announce(draft: Draft, model: Model, *, switches: bool) -> None:
    ids = [f"10de:{model.device:04x}", *(["10de:22a3"] if switches else [])]
    option = f"options vfio-pci ids={','.join(ids)} disable_idle_d3=1"
    draft.put("/etc/modprobe.d/vfio.conf", option)
    said = [f"vfio_pci: add [{each}[ffffffff:ffffffff]] class 0x000000/00000000" for each in ids]
    draft.swap("vfio_pci: add", said[0], level=6)
    for text in said[1:]:
        draft.say(text)


# What the twelve can be


def modes(gpus: int, switches: int) -> Delta:
    """The mode registers of every GPU, and of every switch."""

    def delta(draft: Draft) -> None:
        for bdf, registers in draft.gpu.items():
            if 0x28C50 in registers:
                registers[0x28C50] = switches
            else:
                pci.registers(draft, bdf, mode=gpus)

    return delta


def switches_stay(draft: Draft) -> None:
    """Not handed to anybody: no driver has them."""
    for bdf, registers in draft.gpu.items():
        if 0x28C50 in registers:
            pci.unbind(draft, bdf)
            pci.take_nodes(draft, bdf)


def switch_mode(word: int, bdf: str = LAST_SWITCH) -> Delta:
    def delta(draft: Draft) -> None:
        draft.gpu[bdf][0x28C50] = word

    return delta


def fell_off(bdf: str) -> Delta:
    """Its link is down: still listed, and neither space nor registers answer."""

    def delta(draft: Draft) -> None:
        pci.poke(draft, bdf, 0, b"\xff" * 4096)
        pci.reads_as(draft, 0xFFFFFFFF, bdf)

    return delta
