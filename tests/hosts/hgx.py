"""A baseboard of eight GPUs, behind PCIe switches, for a host of two sockets."""

from dataclasses import dataclass

from tests.hosts import pci
from tests.hosts.draft import GPU, Delta, Draft

FIRST_GPU = "0000:23:00.0"
LAST_SWITCH = "0000:c6:00.0"

_SWITCHED = (0x20, 0x60, 0xA0, 0xE0)  # root buses with two GPUs each
_NVSWITCHES = 0xC0
_WINDOW = 1 << 41  # bytes of addresses for each root bus, from the 33rd TiB on
_FIRST_GROUP = 60


@dataclass(frozen=True, slots=True)
class Model:
    """A GPU for such a baseboard: its ids, and the sizes of its BARs 0 and 2."""

    device: int
    subsystem: int
    bar0: int
    bar2: int


H100 = Model(0x2330, 0x16C1, 16 * pci.MIB, 128 * pci.GIB)
B200 = Model(0x2901, 0x1999, 64 * pci.MIB, 256 * pci.GIB)


def baseboard(model: Model, *, nvswitches: int) -> Delta:
    """Eight GPUs in a mode for all together, with their NVSwitches, each alone in its group.

    H100 has protected PCIe for it; B200 encrypts its NVLinks in CC mode, and shows no switch:
    those sit behind bridges of another vendor (gpu-cc.md §0.1).
    """

    def delta(draft: Draft) -> None:
        _take_single(draft)
        group = _FIRST_GROUP
        for n, root in enumerate(_SWITCHED):
            ports = _switch(draft, root, 2, group)
            for slot, port in enumerate(ports):
                start = (16 + n) * _WINDOW + slot * 2 * model.bar2
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
        pci.Bar(0, start + model.bar2 + 64 * pci.MIB, model.bar0),
        pci.Bar(2, start, model.bar2),
        pci.Bar(4, start + model.bar2, 32 * pci.MIB),
    )
    bdf = _behind(port)
    ids = (pci.NVIDIA, model.device, 0x030200, (pci.NVIDIA, model.subsystem), 0xA1)
    pci.plug_passed(draft, pci.Device(bdf, port, *ids, bars, "vfio-pci", group), vfio=vfio)
    if model is H100:
        draft.gpu[bdf] = pci.h100_registers(serial=vfio)
        pci.registers(draft, bdf, mode=0x20)
    else:
        draft.gpu[bdf] = pci.blackwell_registers(model.device, serial=vfio)


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


def unplayed(draft: Draft) -> None:
    """No register was captured: whoever plays the devices has their own."""
    draft.gpu.clear()


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


def b200_mode(word: int, bdf: str) -> Delta:
    def delta(draft: Draft) -> None:
        draft.gpu[bdf][0x590] = word

    return delta


def behind_firewall(bdf: str) -> Delta:
    """A B200 that has not booted yet keeps its BARs shut, and says so in its space."""

    def delta(draft: Draft) -> None:
        pci.poke(draft, bdf, pci.DVSEC + 8, (1 << 20).to_bytes(4, "little"))
        pci.reads_as(draft, 0xFFFFFFFF, bdf)

    return delta
