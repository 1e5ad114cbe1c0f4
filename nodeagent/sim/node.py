"""Makes a simulated machine of a captured one: its GPUs and NVSwitches come alive in the model.

Where they are, who has them and what their configuration space holds is the capture's.
"""

from collections.abc import Mapping

from nodeagent.model.seen import Seen
from nodeagent.seams import Clock, Files, Machine
from nodeagent.sim import chips
from nodeagent.sim.bus import DEVICES, DRIVER_FOLDERS, DRIVERS
from nodeagent.sim.config_space import SIZE, ConfigSpace, fits
from nodeagent.sim.device import Device
from nodeagent.sim.machine import SimMachine
from nodeagent.sim.place import METHODS, Place

_NVIDIA = 0x10DE
_KINDS = frozenset({0x0300, 0x0302, 0x0680})
_IDLE = "/sys/module/vfio_pci/parameters/disable_idle_d3"
_AWAKE = ("D0", "unknown")


def node(
    base: Machine, clock: Clock, *, knobs: Mapping[str, Mapping[int, int]] | None = None
) -> SimMachine:
    """`knobs` are those that differ from a new device's, by address; all have booted with them."""
    files = base.files
    names = files.names(DEVICES)
    places: dict[str, Place] = {}
    for bdf in names if isinstance(names, tuple) else ():
        chip = _chip(files, f"{DEVICES}/{bdf}")
        if chip is not None:
            device = _device(files, bdf, chip, clock, unit=len(places) + 1)
            device.fsp.knobs.update((knobs or {}).get(bdf, {}))
            device.boot()
            places[bdf] = _place(files, f"{DEVICES}/{bdf}", device)
    loaded = [name for name in DRIVERS if files.has(f"{DRIVER_FOLDERS}/{name}") is True]
    return SimMachine(base, places, clock, drivers=loaded, ids=_told(places))


def _chip(files: Files, folder: str) -> chips.Chip | None:
    """None for what is no GPU and no switch of a modelled family."""
    if _number(files, f"{folder}/vendor") != _NVIDIA:
        return None
    kind = _number(files, f"{folder}/class")
    device = _number(files, f"{folder}/device")
    subsystem = _number(files, f"{folder}/subsystem_device") or 0
    if kind is None or kind >> 8 not in _KINDS or device is None:
        return None
    chip = chips.of(device, subsystem, kind)
    return None if chip is None else chip._replace(bar0_size=_bar(files, folder)[1])


def _device(files: Files, bdf: str, chip: chips.Chip, clock: Clock, *, unit: int) -> Device:
    """With the captured configuration space, where all of it was shown."""
    folder = f"{DEVICES}/{bdf}"
    raw = files.read_bytes(f"{folder}/config", SIZE)
    if isinstance(raw, bytes) and fits(raw, chip):
        config = ConfigSpace(chip, captured=raw)
    else:
        config = ConfigSpace(chip, bars=(_bar(files, folder)[0], _bar(files, folder, 2)[0]))
    return Device(chip, clock, unit=unit, config=config)


def _place(files: Files, folder: str, device: Device) -> Place:
    driver = _last(files.link(f"{folder}/driver"))
    override = _text(files.read(f"{folder}/driver_override", 256))
    state = _text(files.read(f"{folder}/power_state", 64))
    methods = files.read(f"{folder}/reset_method", 64)
    group = _last(files.link(f"{folder}/iommu_group"))
    nodes = files.names(f"{folder}/vfio-dev")
    number = nodes[0].removeprefix("vfio") if isinstance(nodes, tuple) and nodes else ""
    return Place(
        device,
        group=int(group) if group and group.isdecimal() else -1,
        driver=driver,
        override="" if override == "(null)" else override,
        control=_text(files.read(f"{folder}/power/control", 16)) or "on",
        idles=state not in _AWAKE if state else files.read(_IDLE, 4) != "Y",
        methods=tuple(methods.split()) if isinstance(methods, str) else METHODS,
        vfio=int(number) if number.isdecimal() else None,
    )


def _told(places: Mapping[str, Place]) -> dict[str, set[int]]:
    """A driver of vfio that has a device without an override was told to take such devices."""
    told: dict[str, set[int]] = {}
    for place in places.values():
        if place.driver and "vfio" in place.driver and not place.override:
            told.setdefault(place.driver, set()).add(place.device.chip.device)
    return told


def _bar(files: Files, folder: str, line: int = 0) -> tuple[int, int]:
    """Start and size of a BAR by its line in `resource`; a modest one where that is not told."""
    text = files.read(f"{folder}/resource", 1 << 14)
    lines = text.split("\n") if isinstance(text, str) else []
    words = lines[line].split() if line < len(lines) else []
    try:
        start, end = int(words[0], 16), int(words[1], 16)
    except (IndexError, ValueError):
        start = end = 0
    return (start, end - start + 1) if end > start else (start, 16 * chips.MIB)


def _number(files: Files, path: str) -> int | None:
    try:
        return int(_text(files.read(path, 64)), 16)
    except ValueError:
        return None


def _text(text: Seen[str]) -> str:
    return text if isinstance(text, str) else ""


def _last(link: Seen[str]) -> str | None:
    return link.rstrip("/").rpartition("/")[2] if isinstance(link, str) else None
