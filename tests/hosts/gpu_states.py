"""What can be the matter with a GPU, on a host whose CPU side is ready."""

import json

from tests.hosts import pci
from tests.hosts.base import NIC
from tests.hosts.draft import BOOT_ID, GPU, Delta, Draft

SECOND = "0000:81:00.0"
AUDIO = "0000:41:00.1"
ALL_ONES = 0xFFFFFFFF
COMMAND = 0x04
PMCSR = pci.PM_CAP + 4


def mode(word: int, bdf: str = GPU) -> Delta:
    return lambda draft: pci.registers(draft, bdf, mode=word)


def configured(cc: int, bdf: str = GPU) -> Delta:
    """Somebody asked its firmware, whose answer counts from the next reset on."""

    def delta(draft: Draft) -> None:
        draft.knobs[bdf] = {6: 0, 8: cc, 10: 2 * cc, 45: 0}

    return delta


def left_cc(draft: Draft) -> None:
    """It was switched off and on again since the node was booted."""
    draft.put(f"/run/nodeagent/{GPU}.left-cc", "")


def second_gpu(draft: Draft) -> None:
    parent = pci.plug_port(draft, "0000:80:01.1", bus=0x81, group=70)
    pci.plug_h100(draft, SECOND, parent, group=71, vfio=1, offset=0x4000000000)


def no_gpu(draft: Draft) -> None:
    pci.leave_group(draft, GPU, 41)
    pci.unplug(draft, GPU)
    draft.remove("/dev/vfio/41")
    draft.remove("/dev/vfio/devices")
    draft.unsay("0000:41:00.0")


# Other GPUs in its place


def other_gpu(device: int, subsystem: int) -> Delta:
    """One that has no mode to show: too old for it, or too new to be known here."""

    def delta(draft: Draft) -> None:
        _replace(draft, device, subsystem, kind=0x030200)

    return delta


def rtx_pro_6000(draft: Draft) -> None:
    """A GB202 with its audio function, which shares the slot and so the group."""
    _replace(draft, 0x2BB5, 0x204E, kind=0x030000)
    draft.gpu[GPU] = pci.blackwell_registers(0x2BB5, serial=0)
    parent = "pci0000:40/0000:40:01.1"
    audio = pci.Device(AUDIO, parent, pci.NVIDIA, 0x22E8, 0x040300, driver="vfio-pci", group=41)
    pci.plug(draft, audio, config=bytes(pci.header(audio)))


def audio_on_host(draft: Draft) -> None:
    """VFIO opens a group only if no host driver has any of it."""
    pci.unbind(draft, AUDIO)
    pci.bind(draft, AUDIO, "snd_hda_intel")


def _replace(draft: Draft, device: int, subsystem: int, *, kind: int) -> None:
    pci.leave_group(draft, GPU, 41)
    pci.unplug(draft, GPU)
    ids = (pci.NVIDIA, device, kind, (pci.NVIDIA, subsystem), 0xA1)
    bars = (pci.Bar(0, 0x28040000000, 64 * pci.MIB), pci.GPU_BARS[1])
    dev = pci.Device(GPU, "pci0000:40/0000:40:01.1", *ids, bars, "vfio-pci", 41)
    pci.plug_passed(draft, dev, vfio=0)
    draft.put("/etc/modprobe.d/vfio.conf", f"options vfio-pci ids=10de:{device:04x}")
    said = f"vfio_pci: add [10de:{device:04x}[ffffffff:ffffffff]] class 0x000000/00000000"
    draft.swap("vfio_pci: add", said, level=6)


# Drivers, groups, BARs


def on_driver(name: str) -> Delta:
    """A host driver got the GPU before vfio-pci did."""

    def delta(draft: Draft) -> None:
        pci.unbind(draft, GPU)
        pci.bind(draft, GPU, name)
        for path in (f"{pci.home(draft, GPU)}/vfio-dev", "/dev/vfio/41", "/dev/vfio/devices"):
            draft.remove(path)
        draft.remove("/etc/modprobe.d/vfio.conf")
        draft.put(f"/sys/module/{name}/initstate", "live")
        modules = draft.text("/proc/modules") or ""
        draft.put("/proc/modules", f"{name} 6782976 0 - Live 0x0000000000000000\n{modules}")
        draft.unsay("vfio_pci: add")

    return delta


def no_vfio(draft: Draft) -> None:
    """Nobody loaded vfio-pci, so nobody has the GPU."""
    pci.unbind(draft, GPU)
    pci.take_nodes(draft, GPU)
    draft.remove("/etc/modprobe.d/vfio.conf")
    draft.remove("/dev/vfio")
    for module in ("vfio", "vfio_iommu_type1", "vfio_pci", "vfio_pci_core"):
        draft.remove(f"/sys/module/{module}")
    modules = draft.text("/proc/modules") or ""
    kept = [line for line in modules.splitlines() if not line.startswith("vfio")]
    draft.put("/proc/modules", "\n".join(kept).replace("1 vfio,", "0 -"))
    draft.unsay("vfio_pci: add")


def without_group(draft: Draft) -> None:
    """The firmware's table leaves its port out, so no unit translates for it."""
    pci.unbind(draft, GPU)
    pci.take_nodes(draft, GPU)
    pci.leave_group(draft, GPU, 41)
    draft.unsay("0000:41:00.0")


def nouveau_allowed(draft: Draft) -> None:
    draft.cmdline.remove("modprobe.blacklist=nouveau")
    on_driver("nouveau")(draft)


def shares_group(draft: Draft) -> None:
    """Without ACS redirection on the ports, GPU and NIC could reach each other."""
    for bdf, group in (("0000:40:01.1", 40), ("0000:40:03.1", 42), (NIC, 43)):
        pci.leave_group(draft, bdf, group)
        pci.join_group(draft, bdf, 41)
    for bdf in ("0000:40:01.1", "0000:40:03.1"):
        pci.poke(draft, bdf, 0x106, bytes(2))


HOST_BRIDGE = "0000:40:01.0"


def host_bridge_in_group(draft: Draft) -> None:
    """The dummy host bridge of the GPU's root bus, which nothing drives."""
    pci.leave_group(draft, HOST_BRIDGE, 39)
    pci.join_group(draft, HOST_BRIDGE, 41)


def driven_host_bridge_in_group(draft: Draft) -> None:
    """One that a driver of the host has taken: VFIO does not open the group."""
    host_bridge_in_group(draft)
    pci.bind(draft, HOST_BRIDGE, "agpgart-amd64")


def port_in_group(draft: Draft) -> None:
    """The GPU's own root port in its group: a bridge is handed to nobody, and does no harm."""
    pci.leave_group(draft, "0000:40:01.1", 40)
    pci.join_group(draft, "0000:40:01.1", 41)


def protected_without_switch(draft: Draft) -> None:
    """Protected PCIe everywhere, but the host's own driver has the NVSwitch."""
    mode(0x20)(draft)
    parent = pci.plug_port(draft, "0000:80:03.1", bus=0x83, group=72)
    switch = pci.Device(
        "0000:83:00.0",
        parent,
        pci.NVIDIA,
        0x22A3,
        0x068000,
        (pci.NVIDIA, 0x1796),
        0xA1,
        (pci.Bar(0, 0x2C042000000, 32 << 20),),
        "nvidia-nvswitch",
        73,
    )
    pci.plug(draft, switch, config=pci.gpu_config(switch))
    pci.detail(draft, switch)
    draft.gpu["0000:83:00.0"] = pci.nvswitch_registers(protected=True)


def bar_unassigned(draft: Draft) -> None:
    """No room above 4G for the 128 GiB BAR: it keeps its type bits and no address."""
    kept = tuple(bar for bar in pci.GPU_BARS if bar.index != 2)
    draft.put(f"{pci.home(draft, GPU)}/resource", pci.resource(kept))
    pci.poke(draft, GPU, 0x10 + 4 * 2, (0xC).to_bytes(8, "little"))


# Held


def held(draft: Draft, *, node: str = "/dev/vfio/devices/vfio0") -> None:
    """A VM has it. Whoever took this capture did not read registers behind its back."""
    words = ("qemu-system-x86_64", "-machine", "q35", "-device", f"vfio-pci,host={GPU}")
    draft.put("/proc/4242/comm", "qemu-system-x86")
    draft.put("/proc/4242/cmdline", b"".join(word.encode() + b"\0" for word in words))
    stat = "4242 (qemu-system-x86) S 1 4242 4242 0 -1 4194560 9000 0 0 0 1 1 0 0 20 0 9 0 81234"
    draft.put("/proc/4242/stat", stat)
    draft.link("/proc/4242/fd/0", "/dev/null")
    draft.link("/proc/4242/fd/31", node)
    pci.poke(draft, GPU, COMMAND, bytes((0x06, 0x04)))
    del draft.gpu[GPU]


def held_by_group(draft: Draft) -> None:
    """The older way in: the group's node, not the device's."""
    held(draft, node="/dev/vfio/41")


def seen_before(draft: Draft) -> None:
    """An earlier look of this boot, before the VM took it, proved the mode."""
    held(draft)
    seen = {"mode": "on", "at": "2026-11-20T08:12:00Z"}
    memory = {"version": 1, "boot_id": BOOT_ID, "gpus": {GPU: seen}}
    draft.put("/run/nodeagent/seen.json", json.dumps(memory))


def seen_last_boot(draft: Draft) -> None:
    """What an earlier boot saw proves nothing: a reboot may have applied another mode."""
    seen_before(draft)
    memory = draft.text("/run/nodeagent/seen.json") or ""
    other = "11111111-2222-4333-8444-555555555555"
    draft.put("/run/nodeagent/seen.json", memory.replace(BOOT_ID, other))


# Asleep


def asleep_d3hot(draft: Draft) -> None:
    """Configuration space still answers; BAR0 reads 0, which is no mode and no recovery."""
    _suspend(draft, "D3hot")
    pci.poke(draft, GPU, PMCSR, bytes((0x03,)))
    pci.reads_as(draft, 0)


def asleep_d3cold(draft: Draft) -> None:
    """No power: everything reads as ones, as it would from a device that is gone."""
    _suspend(draft, "D3cold")
    pci.poke(draft, GPU, 0, b"\xff" * 4096)
    pci.reads_as(draft, ALL_ONES)


def _suspend(draft: Draft, state: str) -> None:
    path = pci.home(draft, GPU)
    draft.put(f"{path}/power_state", state)
    draft.put(f"{path}/power/runtime_status", "suspended")
    draft.param("vfio_pci", "disable_idle_d3", "N")
    draft.put("/etc/modprobe.d/vfio.conf", "options vfio-pci ids=10de:2331")


def decode_off(draft: Draft) -> None:
    """Powered, but its command register lets no memory access through."""
    pci.poke(draft, GPU, COMMAND, bytes(2))
    pci.reads_as(draft, ALL_ONES)


# Closed


def lockdown(mode: str) -> Delta:
    """Registers of a device cannot be mapped then; MSRs can still be read."""

    def delta(draft: Draft) -> None:
        modes = "none integrity confidentiality".replace(mode, f"[{mode}]")
        draft.put("/sys/kernel/security/lockdown", modes)
        draft.denied[f"/sys/bus/pci/devices/{GPU}/resource0"] = "EPERM"
        del draft.gpu[GPU]
        draft.cmdline.append(f"lockdown={mode}")
        manual = "see man kernel_lockdown.7"
        draft.say(f"Kernel is locked down from command line; {manual}", level=5)
        draft.say(f"Lockdown: nodeagent: direct PCI access is restricted; {manual}", level=5)

    return delta


# Broken


def gone(draft: Draft) -> None:
    pci.reads_as(draft, ALL_ONES)


def off_the_bus(draft: Draft) -> None:
    """The link is down: not even configuration space answers."""
    pci.poke(draft, GPU, 0, b"\xff" * 4096)
    pci.reads_as(draft, ALL_ONES)


def security_fault(draft: Draft) -> None:
    pci.poke(draft, GPU, pci.SECURITY_FAULT, bytes((0x01, 0x00, 0x00, 0x00)))
    pci.reads_as(draft, 0xBADF0200)


def boot_incomplete(draft: Draft) -> None:
    pci.registers(draft, boot=0, mode=0)


def recovery(draft: Draft) -> None:
    pci.registers(draft, boot_0=0, boot=0, mode=0, flags=1 << 30)
