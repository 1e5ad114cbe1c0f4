"""Reads GPUs and NVSwitches: identity, driver, power, holders, and the mode they booted with."""

import json
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from nodeagent import data
from nodeagent.facts import fabric, pci
from nodeagent.facts import holders as holding
from nodeagent.host.gpu.status import FAMILIES, read_status
from nodeagent.model.fabric import Slot
from nodeagent.model.pci import (
    Asleep,
    Chip,
    Devices,
    Gpu,
    Held,
    Holder,
    Known,
    PciFunction,
    Sighting,
    Status,
)
from nodeagent.model.seen import Seen, Unreadable
from nodeagent.model.words import CcMode
from nodeagent.seams import Files, Machine

if TYPE_CHECKING:
    from nodeagent.model.knobs import Configured

SEEN_FOLDER = "/run/nodeagent"
SEEN_FILE = f"{SEEN_FOLDER}/seen.json"
_MEMORY_DECODE = 1 << 1
_NOTHING = Known()


def read(
    machine: Machine,
    functions: tuple[PciFunction, ...] | Unreadable,
    *,
    boot_id: Seen[str],
    known: Known = _NOTHING,
    slots: bool = True,
) -> Devices | Unreadable:
    """To the sightings that the caller has a file may add more.

    Without `slots` links, windows and bridges are not looked at: no switch depends on them.
    """
    if isinstance(functions, Unreadable):
        return functions
    targets = [function for function in functions if function.is_gpu or function.is_nvswitch]
    held = holding.read(machine.files) if targets else holding.Holding({}, None)
    seen = {**_remembered(machine.files, boot_id), **known.remembered} if targets else {}
    devices = [
        _with_known(machine, _device(machine, function, held, seen.get(function.bdf)), known)
        for function in targets
    ]
    if slots:
        devices = [each._replace(slot=_slot(machine.files, each)) for each in devices]
    return Devices(
        gpus=tuple(device for device in devices if device.pci.is_gpu),
        switches=tuple(device for device in devices if device.pci.is_nvswitch),
        functions=functions,
        vfio=machine.files.has("/dev/vfio/vfio"),
        iommufd=machine.files.has("/dev/iommu"),
        bridges=fabric.bridges(machine.files, (device.slot for device in devices if slots)),
    )


def _device(
    machine: Machine, function: PciFunction, held: holding.Holding, remembered: Sighting | None
) -> Gpu:
    chip = chip_of(function)
    nodes = _vfio_nodes(machine.files, function)
    holders = _holders(machine.files, function, nodes, held)
    return Gpu(
        pci=function,
        chip=chip,
        holders=holders,
        vfio_nodes=nodes,
        status=_status(machine, function, chip, holders),
        remembered=remembered,
    )


def _with_known(machine: Machine, gpu: Gpu, known: Known) -> Gpu:
    """A captured host's firmware answered whoever captured it."""
    configured = known.asked.get(gpu.bdf) or _captured(machine.probes.knobs(gpu.bdf), gpu)
    return gpu._replace(configured=configured, left_cc=_left_cc(machine.files, gpu))


def _left_cc(files: Files, gpu: Gpu) -> Seen[bool]:
    """What a switch noted of parts that are known for it (see modes.json); of others, nothing."""
    if f"{gpu.pci.device:#06x}" not in data.load("modes.json")["reboot_before_attesting"]:
        return None
    return files.has(f"{SEEN_FOLDER}/{gpu.bdf}.left-cc")


def _captured(
    knobs: Seen[Mapping[int, int | Unreadable]], gpu: Gpu
) -> "Configured | Unreadable | None":
    """Of firmware that is too old for protected PCIe its knob is no gap; all else that lacks is."""
    if knobs is None or isinstance(knobs, Unreadable) or gpu.chip is None:
        return knobs if isinstance(knobs, Unreadable) else None
    from nodeagent.model.knobs import ASKED, Configured, Knob, line_of  # noqa: PLC0415 - few ask

    line = line_of(gpu.chip.family)
    for knob in ASKED[line]:
        found = knobs.get(knob, Unreadable(f"knob {int(knob)}", "not captured"))
        if isinstance(found, Unreadable) and not (knob is Knob.PPCIE and found.why == "0x1e3"):
            return found
    return Configured(line, {k: v for k, v in knobs.items() if isinstance(v, int)})


def _slot(files: Files, gpu: Gpu) -> Slot:
    return fabric.slot(files, gpu.pci, gpu.chip.family if gpu.chip else None)


@cache
def _chips() -> dict[str, Any]:
    table: dict[str, Any] = data.load("chips.json")
    return table


def chip_of(function: PciFunction) -> Chip | None:
    """By device id alone; None where the id is in no range that can do CC."""
    table = _chips()
    rows = table["ranges"] if function.is_gpu else table["switches"]
    for row in rows:
        if int(row["first"], 16) <= function.device <= int(row["last"], 16):
            key = f"{function.device:#06x}"
            product = table["products"].get(key)
            return Chip(row["chip"], row["family"], product, _is_c2c(table["c2c"], function))
    return None


def _is_c2c(table: Mapping[str, list[str]], function: PciFunction) -> bool:
    free = table.get(f"{function.device:#06x}")
    own = f"{function.subsystem[1]:#06x}" if function.subsystem else None
    return free is not None and own not in free


def holders(files: Files, function: PciFunction, held: holding.Holding) -> Seen[tuple[Holder, ...]]:
    """Who has a function open through VFIO or NVIDIA's driver; Unreadable where that is hidden."""
    return _holders(files, function, _vfio_nodes(files, function), held)


def _drm_nodes(files: Files, function: PciFunction) -> tuple[str, ...] | Unreadable:
    """Those of a graphics driver, such as nouveau's: cardN and renderDN."""
    driver = function.driver
    if not isinstance(driver, str) or "vfio" in driver:
        return ()
    names = files.names(f"{pci.DEVICES}/{function.bdf}/drm")
    if isinstance(names, Unreadable):
        return names
    return tuple(f"/dev/dri/{name}" for name in names or () if name.startswith(("card", "render")))


def _vfio_nodes(files: Files, function: PciFunction) -> Seen[tuple[str, ...]]:
    """The nodes that a process opens to use the function: its group's, and its own."""
    nodes = [f"/dev/vfio/{function.group}"] if isinstance(function.group, int) else []
    if function.driver is None or isinstance(function.driver, Unreadable):
        return tuple(nodes)
    own = files.names(f"{pci.DEVICES}/{function.bdf}/vfio-dev") if "vfio" in function.driver else ()
    nodes += (
        [f"/dev/vfio/devices/{name}" for name in sorted(own or ())]
        if isinstance(own, tuple)
        else []
    )
    return tuple(nodes)


def _holders(
    files: Files, function: PciFunction, nodes: Seen[tuple[str, ...]], held: holding.Holding
) -> Seen[tuple[Holder, ...]]:
    """Nobody holds it only if every process showed what it has open."""
    drm = _drm_nodes(files, function)
    opened = [node for each in (nodes, drm) if isinstance(each, tuple) for node in each]
    if isinstance(function.driver, str) and function.driver.startswith("nvidia"):
        # Which GPU stands behind nvidiactl, nvidia-uvm or a switch's node cannot be told: any.
        opened += [node for node in held.by_node if node.startswith("/dev/nvidia")]
    mine = tuple(holder for node in opened for holder in held.by_node.get(node, ()))
    return mine or held.closed or (drm if isinstance(drm, Unreadable) else ())


def _status(
    machine: Machine, function: PciFunction, chip: Chip | None, holders: Seen[tuple[Holder, ...]]
) -> Status:
    """BAR0 is believed only of a device that is awake before and after, and left to its VM."""
    if isinstance(holders, tuple) and holders:
        return Held(holders)
    if chip is None or chip.family not in FAMILIES:
        return Unreadable(function.bdf, "is of a family without known status registers")
    asleep = _asleep(function)
    if asleep:
        return asleep
    with machine.probes.bar0(function.bdf) as registers:
        if isinstance(registers, Unreadable):
            return registers
        status = read_status(registers, chip.family)
    again = machine.files.read(f"{pci.DEVICES}/{function.bdf}/power_state", 64)
    if again != function.power_state:
        return Asleep(f"went to {again} while it was read")
    return status


def _asleep(function: PciFunction) -> Asleep | Unreadable | None:
    power, command = function.power_state, function.command
    if isinstance(power, Unreadable):
        return power
    if power != "D0":
        return Asleep(f"power state {power}" if power else "its power state is not known")
    if isinstance(command, Unreadable):
        return command
    if command is None or not command & _MEMORY_DECODE:
        return Asleep("its memory decode is off")
    return None


def _remembered(files: Files, boot_id: Seen[str]) -> dict[str, Sighting]:
    """What `run` wrote down of this boot; anything odd is no memory at all."""
    text = files.read(SEEN_FILE, 1 << 16)
    if not isinstance(text, str) or not isinstance(boot_id, str):
        return {}
    try:
        memory = json.loads(text)
        if memory["version"] != 1 or memory["boot_id"] != boot_id:
            return {}
        return {
            str(bdf): Sighting(CcMode(entry["mode"]), str(entry["at"])[:40])
            for bdf, entry in memory["gpus"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
