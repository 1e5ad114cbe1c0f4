"""Reads what a switch of modes goes by: the devices alone, not the whole host."""

from collections.abc import Callable, Collection

from nodeagent.errors import HostError
from nodeagent.facts import gpu, pci
from nodeagent.model.knobs import Configured, line_of
from nodeagent.model.modes import BOOTED, decode
from nodeagent.model.pci import Asleep, Bar, Devices, Gpu, GpuStatus, is_dead
from nodeagent.model.seen import Seen, Unreadable
from nodeagent.model.switching import Target
from nodeagent.model.words import CcMode
from nodeagent.seams import Machine

Ask = Callable[[Target], Configured]
"""Asks a device's firmware what it is configured to; HostError where it does not say."""

_MEMORY = 1 << 1


def read(machine: Machine, without: Collection[str] = ()) -> tuple[Target, ...] | Unreadable:
    """Every GPU and switch that has modes, by address, but those of `without`. Writes nothing."""
    with machine.look():
        functions = pci.nvidia_functions(machine.files, without)
        found = gpu.read(machine, functions, boot_id=None, slots=False)
        if isinstance(found, Unreadable):
            return found
        return targets(machine, found)


def targets(machine: Machine, devices: Devices) -> tuple[Target, ...]:
    """Those of a look that was taken already."""
    return tuple(
        _target(machine, device)
        for device in (*devices.gpus, *devices.switches)
        if device.chip is not None
    )


def asked(target: Target, ask: Ask) -> Target:
    """With what its firmware says the next reset brings. Writes to its mailbox."""
    try:
        return target._replace(configured=ask(target))
    except HostError as error:
        gap = Unreadable(f"{target.bdf}: its firmware", str(error))
        return target._replace(configured=gap)


def _target(machine: Machine, device: Gpu) -> Target:
    function, bdf = device.pci, device.bdf
    family = device.chip.family if device.chip else ""
    power = function.power_state
    target = Target(
        bdf=bdf,
        family=family,
        line=line_of(family),
        device=function.device,
        nodes=device.vfio_nodes if isinstance(device.vfio_nodes, tuple) else (),
        bar0=_bar0(function.bars),
        driver=function.driver,
        override=function.override,
        holders=device.holders,
        awake=power if isinstance(power, Unreadable) else power == "D0",
        decodes=_decodes(function.command),
        control=machine.files.read(f"{pci.DEVICES}/{bdf}/power/control", 16),
        reset_method=machine.files.read(f"{pci.DEVICES}/{bdf}/reset_method", 64),
    )
    status = device.status
    if isinstance(status, Asleep):
        return target
    if not isinstance(status, GpuStatus):
        return target._replace(booted=status if isinstance(status, Unreadable) else None)
    booted = _booted(status)
    active = _active(status, family) if booted is True else None
    return target._replace(booted=booted, active=active)


def _bar0(bars: Seen[tuple[Bar, ...]]) -> int | None:
    found = bars if isinstance(bars, tuple) else ()
    return next((bar.start for bar in found if bar.number == 0 and bar.start), None)


def _decodes(command: Seen[int]) -> bool | Unreadable:
    """What sleeps is not looked at, and is woken before this counts."""
    if isinstance(command, Unreadable):
        return False if "it sleeps in" in command.why else command
    return bool((command or 0) & _MEMORY)


def _booted(status: GpuStatus) -> bool | Unreadable:
    """Dead reads are those of a device in its reset, or lost: it has not booted either way."""
    if isinstance(status.boot, Unreadable):
        return status.boot
    return status.boot == BOOTED


def _active(status: GpuStatus, family: str) -> Seen[CcMode]:
    if isinstance(status.mode, Unreadable) or is_dead(status.mode):
        return status.mode if isinstance(status.mode, Unreadable) else _dead(status.mode)
    return decode(status.mode, family) or Unreadable(
        "its mode register", f"reads {status.mode:#x}, which is no mode"
    )


def _dead(value: int) -> Unreadable:
    return Unreadable("its mode register", f"reads as {value:#010x}")
