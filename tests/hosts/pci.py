"""PCI devices as sysfs shows them: attributes, links, and configuration space."""

import struct
from dataclasses import dataclass

from tests.hosts.draft import GPU, Draft

MIB = 1 << 20
GIB = 1 << 30

NVIDIA = 0x10DE
AMD = 0x1022
PEX = (0x1000, 0xC030, 0x060400)  # a Gen 5 switch, as HGX boards and servers carry them

ROOT_PORT = 4  # port types, bits 7:4 of the PCIe capability's flags
UPSTREAM = 5
DOWNSTREAM = 6

PM_CAP = 0x60  # a GPU's power management capability; the state is in the word 4 bytes on
ATS = 0x2D0
VSEC = 0x2A4  # gpu-cc.md §5.5, as the next two
DVSEC = 0xAF0
SECURITY_FAULT = VSEC + 0x10


@dataclass(frozen=True, slots=True)
class Bar:
    index: int
    start: int
    size: int
    flags: int = 0x14220C  # memory, 64 bit, prefetchable


@dataclass(frozen=True, slots=True)
class Device:
    bdf: str
    parent: str  # the path under /sys/devices that holds it: "pci0000:40/0000:40:01.1"
    vendor: int
    device: int
    kind: int
    subsystem: tuple[int, int] = (0, 0)
    revision: int = 0
    bars: tuple[Bar, ...] = ()
    driver: str | None = None
    group: int | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """Speeds are the register's codes: 4 is 16 GT/s, 5 is 32."""

    width: int
    speed: int
    max_width: int
    max_speed: int


GEN5_X16 = Link(16, 5, 16, 5)
NVSWITCH_LINK = Link(2, 4, 2, 4)  # made up: narrower than its port
_SPEEDS = {1: "2.5", 2: "5.0", 3: "8.0", 4: "16.0", 5: "32.0", 6: "64.0"}

GPU_BARS = (
    Bar(0, 0x28042000000, 16 * MIB),
    Bar(2, 0x26000000000, 128 * GIB),
    Bar(4, 0x28040000000, 32 * MIB),
)


def home(draft: Draft, bdf: str) -> str:
    """The device's own directory, behind the link in /sys/bus/pci/devices."""
    target = draft.links[f"/sys/bus/pci/devices/{bdf}"]
    return "/sys/" + target.removeprefix("../../../")


def plug(draft: Draft, dev: Device, *, config: bytes) -> None:
    path = f"/sys/devices/{dev.parent}/{dev.bdf}"
    draft.link(f"/sys/bus/pci/devices/{dev.bdf}", path)
    draft.put(f"{path}/vendor", f"{dev.vendor:#06x}")
    draft.put(f"{path}/device", f"{dev.device:#06x}")
    draft.put(f"{path}/class", f"{dev.kind:#08x}")
    draft.put(f"{path}/config", config)
    if dev.group is not None:
        join_group(draft, dev.bdf, dev.group)
    if dev.driver is not None:
        bind(draft, dev.bdf, dev.driver)


def detail(draft: Draft, dev: Device) -> None:
    """What only the devices that matter here carry: every file counts 70 times."""
    path = home(draft, dev.bdf)
    draft.put(f"{path}/subsystem_vendor", f"{dev.subsystem[0]:#06x}")
    draft.put(f"{path}/subsystem_device", f"{dev.subsystem[1]:#06x}")
    draft.put(f"{path}/revision", f"{dev.revision:#04x}")
    draft.put(f"{path}/resource", resource(dev.bars))
    draft.put(f"{path}/numa_node", str(numa_node(draft, dev.bdf)))
    draft.put(f"{path}/power_state", "D0")
    for bar in dev.bars:
        for bdf in bridges_above(dev.parent):
            widen(draft, bdf, bar)


def numa_node(draft: Draft, bdf: str) -> int:
    """The first socket has the lower root buses: with two of them, those below 0x80."""
    return int(bdf[5:7], 16) * draft.cpu.sockets // 256


def resource(bars: tuple[Bar, ...]) -> str:
    lines = [(0, 0, 0)] * 13
    for bar in bars:
        lines[bar.index] = (bar.start, bar.start + bar.size - 1, bar.flags)
    return as_lines(lines)


def as_lines(lines: list[tuple[int, int, int]]) -> str:
    return "".join(f"{start:#018x} {end:#018x} {flags:#018x}\n" for start, end, flags in lines)


def join_group(draft: Draft, bdf: str, group: int, kind: str = "DMA-FQ") -> None:
    path = home(draft, bdf)
    draft.put(f"/sys/kernel/iommu_groups/{group}/type", kind)
    draft.link(f"/sys/kernel/iommu_groups/{group}/devices/{bdf}", path)
    draft.link(f"{path}/iommu_group", f"/sys/kernel/iommu_groups/{group}")


def leave_group(draft: Draft, bdf: str, group: int) -> None:
    folder = f"/sys/kernel/iommu_groups/{group}"
    draft.links.pop(f"{home(draft, bdf)}/iommu_group")
    draft.links.pop(f"{folder}/devices/{bdf}")
    if not any(name.startswith(f"{folder}/devices/") for name in draft.links):
        draft.files.pop(f"{folder}/type")


def bind(draft: Draft, bdf: str, driver: str) -> None:
    path = home(draft, bdf)
    draft.link(f"{path}/driver", f"/sys/bus/pci/drivers/{driver}")
    draft.link(f"/sys/bus/pci/drivers/{driver}/{bdf}", path)
    # Write-only in sysfs. Here it keeps the driver's directory when no device is left in it.
    draft.put(f"/sys/bus/pci/drivers/{driver}/new_id", b"")


def unplug(draft: Draft, bdf: str) -> None:
    path = home(draft, bdf)
    here = [f"/sys/bus/pci/devices/{bdf}"]
    here += [name for name in draft.links if name.endswith(f"/{bdf}") and name not in here]
    for name in here:
        del draft.links[name]
    for entries in (draft.files, draft.links):
        for name in [name for name in entries if name.startswith(path + "/")]:
            del entries[name]
    draft.gpu.pop(bdf, None)


def unbind(draft: Draft, bdf: str) -> None:
    path = home(draft, bdf)
    driver = draft.links.pop(f"{path}/driver").rpartition("/")[2]
    draft.links.pop(f"/sys/bus/pci/drivers/{driver}/{bdf}")


def poke(draft: Draft, bdf: str, offset: int, data: bytes) -> None:
    """Change bytes of a device's configuration space."""
    path = f"{home(draft, bdf)}/config"
    config = bytearray(draft.files[path])
    config[offset : offset + len(data)] = data
    draft.put(path, bytes(config))


def header(dev: Device, *, command: int = 0x0006, size: int = 64) -> bytearray:
    config = bytearray(size)
    struct.pack_into("<HHHH", config, 0, dev.vendor, dev.device, command, 0x0010)
    config[8] = dev.revision
    config[9:12] = dev.kind.to_bytes(3, "little")
    for bar in dev.bars:
        low = (bar.start & 0xFFFFFFFF) | (bar.flags & 0xF)
        struct.pack_into("<II", config, 0x10 + 4 * bar.index, low, bar.start >> 32)
    struct.pack_into("<HH", config, 0x2C, *dev.subsystem)
    return config


def gpu_config(dev: Device) -> bytes:
    """An endpoint with FLR, AER, the capability that holds fault and firewall bits, and ATS."""
    own = DVSEC if is_gb100(dev.device) else VSEC
    config = header(dev, command=0x0002, size=4096)
    config[0x34] = PM_CAP
    struct.pack_into("<BBHH", config, PM_CAP, 0x01, 0x78, 0x0003, 0x0008)
    struct.pack_into("<BBHI", config, 0x78, 0x10, 0x00, 0x0002, 0x10008FE1)
    put_link(config, 0x78, NVSWITCH_LINK if dev.kind == 0x068000 else GEN5_X16)
    struct.pack_into("<I", config, 0x100, 0x0001 | 2 << 16 | own << 20)
    kind = 0x0023 if own == DVSEC else 0x000B
    struct.pack_into("<I", config, own, kind | 1 << 16 | ATS << 20)
    if own == VSEC:
        struct.pack_into("<I", config, VSEC + 4, 0x0001 | 1 << 16 | 0x24 << 20)
    else:
        struct.pack_into("<II", config, DVSEC + 4, NVIDIA | 0x18 << 20, 1 << 19)
    struct.pack_into("<IHH", config, ATS, 0x000F | 1 << 16, 0x0060, 0x0000)
    return bytes(config)


def is_gb100(device: int) -> bool:
    """The data-centre half of Blackwell, which has its bits elsewhere (gpu-cc.md §4.1, §5.5)."""
    return 0x2900 <= device <= 0x29FF or 0x3180 <= device <= 0x327F


def put_link(config: bytearray, cap: int, link: Link) -> None:
    """What this end can do, and what was agreed on."""
    struct.pack_into("<I", config, cap + 0x0C, link.max_speed | link.max_width << 4)
    struct.pack_into("<H", config, cap + 0x12, link.speed | link.width << 4)


def train(draft: Draft, bdf: str, link: Link) -> None:
    """Another link, in configuration space and in the kernel's attributes."""
    path = home(draft, bdf)
    config = bytearray(draft.files[f"{path}/config"])
    put_link(config, 0x58 if config[0x0E] & 0x7F else 0x78, link)
    draft.put(f"{path}/config", bytes(config))
    draft.put(f"{path}/current_link_width", str(link.width))
    draft.put(f"{path}/max_link_width", str(link.max_width))
    draft.put(f"{path}/current_link_speed", f"{_SPEEDS[link.speed]} GT/s PCIe")
    draft.put(f"{path}/max_link_speed", f"{_SPEEDS[link.max_speed]} GT/s PCIe")


def port_config(dev: Device, *, bus: int, last: int, kind: int) -> bytes:
    """A bridge to the buses `bus` to `last`; all but an upstream port redirect peers up (ACS)."""
    config = header(dev, command=0x0407, size=4096)
    config[0x0E] = 0x01
    config[0x18:0x1B] = bytes((int(dev.bdf[5:7], 16), bus, last))
    config[0x2C:0x30] = bytes(4)  # of a bridge these bytes are the upper window limit
    config[0x34] = 0x58
    struct.pack_into("<BBHI", config, 0x58, 0x10, 0x00, 0x0002 | kind << 4, 0x00008022)
    put_link(config, 0x58, GEN5_X16)
    if kind != UPSTREAM:
        struct.pack_into("<IHH", config, 0x100, 0x000D | 1 << 16, 0x005F, 0x001D)
    return bytes(config)


def windows(config: bytes) -> dict[int, tuple[int, int]]:
    """A bridge's open windows by their line in `resource`: 14 memory, 15 prefetchable."""
    near, far, low, high, upper, top = struct.unpack_from("<HHHHII", config, 0x20)
    found = {
        14: ((near & 0xFFF0) << 16, (far & 0xFFF0) << 16 | 0xFFFFF),
        15: ((low & 0xFFF0) << 16 | upper << 32, (high & 0xFFF0) << 16 | top << 32 | 0xFFFFF),
    }
    return {line: span for line, span in found.items() if span[0] <= span[1]}


def close_windows(draft: Draft, bdf: str) -> None:
    """As the kernel closes what nothing needs: they end before they start."""
    _put_windows(draft, bdf, struct.pack("<HHHHII", 0xFFF0, 0, 0xFFF1, 1, 0, 0))


def set_window(draft: Draft, bdf: str, line: int, start: int, end: int) -> None:
    config = bytearray(draft.files[f"{home(draft, bdf)}/config"])
    if line == 14:
        struct.pack_into("<HH", config, 0x20, start >> 16 & 0xFFF0, end >> 16 & 0xFFF0)
    else:
        words = (start >> 16 & 0xFFF0 | 1, end >> 16 & 0xFFF0 | 1, start >> 32, end >> 32)
        struct.pack_into("<HHII", config, 0x24, *words)
    _put_windows(draft, bdf, bytes(config[0x20:0x30]))


def _put_windows(draft: Draft, bdf: str, words: bytes) -> None:
    """In configuration space and in the kernel's list, where they follow 13 other lines."""
    poke(draft, bdf, 0x20, words)
    lines = [(0, 0, 0)] * 17
    for line, span in windows(draft.files[f"{home(draft, bdf)}/config"]).items():
        lines[line] = (*span, {14: 0x200, 15: 0x102201}[line])
    draft.put(f"{home(draft, bdf)}/resource", as_lines(lines))


def widen(draft: Draft, bdf: str, bar: Bar) -> None:
    """Let a bridge through to a BAR below it, by the window of its kind."""
    line = 15 if bar.flags & 0x2000 else 14
    first, last = bar.start & ~0xFFFFF, (bar.start + bar.size - 1) | 0xFFFFF
    start, end = windows(draft.files[f"{home(draft, bdf)}/config"]).get(line, (first, last))
    set_window(draft, bdf, line, min(start, first), max(end, last))


def bridges_above(parent: str) -> list[str]:
    return [step for step in parent.split("/") if not step.startswith("pci")]


def plug_port(draft: Draft, bdf: str, *, bus: int, group: int, last: int | None = None) -> str:
    """A root port, and the parent path for what is behind it."""
    root = f"pci{bdf[:7]}"
    dev = Device(bdf, root, AMD, 0x14AB, 0x060400, driver="pcieport", group=group)
    return _plug_bridge(draft, dev, bus=bus, last=last or bus, kind=ROOT_PORT)


def plug_switch(draft: Draft, root: str, *, bus: int, group: int, below: int) -> list[str]:
    """A PCIe switch at `bus`:00.0 with its ports to `below` buses, as parent paths.

    Of one with three: upstream 21:00.0, downstream 22:00.0 to 22:02.0, buses 0x23 to 0x25.
    """
    last = bus + 1 + below
    up = Device(f"0000:{bus:02x}:00.0", root, *PEX, driver="pcieport", group=group)
    inside = _plug_bridge(draft, up, bus=bus + 1, last=last, kind=UPSTREAM)
    ports = []
    for slot in range(below):
        bdf = f"0000:{bus + 1:02x}:{slot:02x}.0"
        down = Device(bdf, inside, *PEX, driver="pcieport", group=group + 1 + slot)
        behind = bus + 2 + slot
        ports.append(_plug_bridge(draft, down, bus=behind, last=behind, kind=DOWNSTREAM))
    return ports


def _plug_bridge(draft: Draft, dev: Device, *, bus: int, last: int, kind: int) -> str:
    plug(draft, dev, config=port_config(dev, bus=bus, last=last, kind=kind))
    draft.put(f"{home(draft, dev.bdf)}/power_state", "D0")
    close_windows(draft, dev.bdf)
    train(draft, dev.bdf, GEN5_X16)
    return f"{dev.parent}/{dev.bdf}"


def plug_h100(draft: Draft, bdf: str, parent: str, *, group: int, vfio: int, offset: int) -> None:
    """An H100 PCIe in CC mode under vfio-pci; `offset` keeps two from sharing addresses."""
    bars = tuple(Bar(b.index, b.start + offset, b.size) for b in GPU_BARS)
    dev = Device(
        bdf,
        parent,
        NVIDIA,
        0x2331,
        0x030200,
        (NVIDIA, 0x1626),
        0xA1,
        bars,
        "vfio-pci",
        group,
    )
    plug_passed(draft, dev, vfio=vfio)
    draft.gpu[bdf] = h100_registers(serial=vfio)


def plug_passed(draft: Draft, dev: Device, *, vfio: int) -> None:
    """A GPU or an NVSwitch with all its attributes, under vfio-pci and with its nodes."""
    plug(draft, dev, config=gpu_config(dev))
    detail(draft, dev)
    train(draft, dev.bdf, NVSWITCH_LINK if dev.kind == 0x068000 else GEN5_X16)
    path = home(draft, dev.bdf)
    draft.put(f"{path}/modalias", modalias(dev))
    draft.put(f"{path}/driver_override", "(null)")
    draft.put(f"{path}/d3cold_allowed", "1")
    draft.put(f"{path}/power/control", "auto")
    draft.put(f"{path}/power/runtime_status", "active")
    draft.put(f"{path}/vfio-dev/vfio{vfio}/dev", f"511:{vfio}")
    draft.put(f"/dev/vfio/{dev.group}", b"")
    draft.put(f"/dev/vfio/devices/vfio{vfio}", b"")


def take_nodes(draft: Draft, bdf: str) -> None:
    """What goes away when vfio-pci lets go of a device."""
    path = home(draft, bdf)
    group = draft.links[f"{path}/iommu_group"].rpartition("/")[2]
    own = next(name for name in draft.files if name.startswith(f"{path}/vfio-dev/"))
    draft.remove(f"{path}/vfio-dev")
    draft.remove(f"/dev/vfio/{group}")
    draft.remove(f"/dev/vfio/devices/{own.split('/')[-2]}")


def modalias(dev: Device) -> str:
    vendor, device = dev.subsystem
    base, sub, interface = dev.kind.to_bytes(3, "big")
    return (
        f"pci:v{dev.vendor:08X}d{dev.device:08X}sv{vendor:08X}sd{device:08X}"
        f"bc{base:02X}sc{sub:02X}i{interface:02X}"
    )


def h100_registers(*, serial: int) -> dict[int, int]:
    return {
        0x0: 0x180000A1,
        0x4: 0x0,
        0xA00: 0x180A1000,
        0x1182CC: 0x1,  # CC on
        0x200BC: 0xFF,  # boot complete
        0x20120: 0x0,  # no recovery
        0x8F0320: 0x0,
        0x8F0324: 0x0,
        0x8F0328: 0x0,
        0x8F032C: 0x0,
        0x8F0334: 0x0210,
        0x820344: 0x5C3A91E2 + serial,
        0x820348: 0x0B7D40C1,
        0x824E04: 0x1,
        0x824E08: 0x1,
        0x824E0C: 0x0,
    }


def blackwell_registers(device: int, *, serial: int) -> dict[int, int]:
    """In CC mode; each half of the family shows the end of its boot at another place."""
    gb100 = is_gb100(device)
    return {
        0x0: 0x1A0000A1 if gb100 else 0x1B2000A1,
        0x4: 0x0,
        0x590: 0x1,  # CC on
        (0x200BC if gb100 else 0xAD00BC): 0xFF,  # boot complete
        0x8AA128: 0x0,  # no recovery
        0x8F0320: 0x0,
        0x8F0324: 0x0,
        0x8F0328: 0x0,
        0x8F032C: 0x0,
        0x8F0334: 0x0305,
        0x820344: 0x6D4BA2F3 + serial,
        0x820348: 0x0C8E51D2,
    }


def nvswitch_registers(*, protected: bool) -> dict[int, int]:
    return {0x0: 0x007000A1, 0x28C50: int(protected), 0x660BC: 0xFF, 0x66120: 0}


def registers(draft: Draft, bdf: str = GPU, **named: int) -> None:
    """Set BAR0 registers by the names that the recipes use."""
    offsets = {"boot_0": 0x0, "mode": 0x1182CC, "boot": 0x200BC, "flags": 0x20120}
    for name, value in named.items():
        draft.gpu[bdf][offsets[name]] = value


def reads_as(draft: Draft, value: int, bdf: str = GPU) -> None:
    """Every register answers with the same word, as a device does that is not there."""
    draft.gpu[bdf] = dict.fromkeys(draft.gpu[bdf], value)
