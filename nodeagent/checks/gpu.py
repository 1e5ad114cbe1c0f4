"""Judges GPUs and switches: are they alive, and do they all run in the wanted mode?"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from nodeagent.checks.check import Check, by_mode
from nodeagent.model.codes import Code
from nodeagent.model.fabric import Security
from nodeagent.model.facts import Facts
from nodeagent.model.findings import Outcome, bad, ok, skip, unknown
from nodeagent.model.modes import ARCHITECTURES, BOOTED, FIRST_UNKNOWN, decode
from nodeagent.model.pci import Asleep, Devices, Gpu, GpuStatus, Held, is_dead
from nodeagent.model.seen import Seen, Unreadable
from nodeagent.model.text import printable
from nodeagent.model.words import CcMode, Level

_ALL_ONES = 0xFFFFFFFF
_SECURITY_FAULT = frozenset({0xBADF0200, 0xBAD00200})
_BMSAI = 1 << 8
_UNREAD = unknown(Code.NO_ACCESS, "its mode register could not be read")


class Mode(NamedTuple):
    """A device's mode, and how it is known: read now, or remembered while it is in use."""

    mode: CcMode
    says: str


def modes(devices: Iterable[Gpu], lockdown: str) -> dict[str, Mode | Outcome]:
    """Each device's mode, or why it has none, by BDF."""
    return {device.bdf: mode_of(device, lockdown) for device in devices}


def mode_of(device: Gpu, lockdown: str) -> Mode | Outcome:
    """A register that reads well is a mode; everything else has a reason of its own."""
    if device.chip is None:
        return _named(device, _unlisted(device.pci.device))
    fault = _fault(device.slot.security)
    if fault:
        return _named(device, fault)
    match device.status:
        case Held(by):
            return _held(device, str(by[0]))
        case Asleep(why):
            return _named(device, unknown(Code.GPU_ASLEEP, why))
        case Unreadable() as gap:
            return _named(device, _no_access(gap, lockdown))
        case GpuStatus() as status:
            found = _decode(device, status, device.chip.family)
            return found if isinstance(found, Mode) else _named(device, found)


def _fault(security: Seen[Security]) -> Outcome | None:
    """Configuration space names the causes, and answers where BAR0 is closed or locked."""
    if not isinstance(security, Security) or not security.fault:
        return None
    named = f"its security fault register reads {security.fault:#x}"
    causes = ", ".join(security.causes[:4]) + (" and more" if len(security.causes) > 4 else "")
    return bad(Code.GPU_SECURITY_FAULT, f"{named}: {causes}")


def _unlisted(device_id: int) -> Outcome:
    """Older parts have no confidential mode; of newer ones nothing is known here."""
    if device_id < FIRST_UNKNOWN:
        seen = f"device id {device_id:#06x} is no part with a confidential mode"
        return bad(Code.GPU_NOT_CAPABLE, seen)
    return unknown(Code.GPU_NOT_KNOWN, f"device id {device_id:#06x} is newer than what is known")


def _named(device: Gpu, outcome: Outcome) -> Outcome:
    return outcome._replace(
        seen=f"{device.bdf}: {outcome.seen}",
        where=outcome.where or device.bdf,
        device=device.bdf,
    )


def _held(device: Gpu, holder: str) -> Mode | Outcome:
    """The last proven mode of this boot stands: it cannot change under an open device."""
    last = device.remembered
    if last:
        return Mode(last.mode, f"{last.mode}, in use, seen {_clock(last.at)}")
    seen = f"in use by {printable(holder, 60)}, and not seen before in this boot"
    return _named(device, unknown(Code.GPU_IN_USE, seen))


def _clock(at: str) -> str:
    """HH:MM of an RFC 3339 time."""
    clock = at.partition("T")[2][:5]
    return clock if len(clock) == 5 else "earlier"


def _no_access(gap: Unreadable, lockdown: str) -> Outcome:
    refused = gap.why.startswith(("EPERM", "EINVAL"))
    code = Code.LOCKDOWN if refused and lockdown not in {"", "none"} else Code.NO_ACCESS
    return unknown(code, f"its registers cannot be read: {printable(gap.why)}", where=gap.where)


def _decode(device: Gpu, status: GpuStatus, family: str) -> Mode | Outcome:
    """BOOT_0 first: on a dead or locked device every other register lies."""
    boot0 = status.boot0
    if isinstance(boot0, Unreadable):
        return unknown(Code.NO_ACCESS, printable(str(boot0)))
    if boot0 in _SECURITY_FAULT:
        return bad(Code.GPU_SECURITY_FAULT, f"BOOT_0 reads {boot0:#010x}: locked after a fault")
    if is_dead(boot0):
        return _gone(device, boot0, family)
    if status.recovery is True or (boot0 == 0 and family == "hopper"):
        return bad(Code.GPU_RECOVERY, "its firmware is in recovery mode")
    architecture = ARCHITECTURES.get(family)
    if architecture is not None and boot0 >> 24 & 0x1F != architecture:
        return unknown(Code.NO_ACCESS, f"BOOT_0 reads {boot0:#010x}, which is no {family} part")
    if family != "ls10" and _is_virtual(status.boot1):
        return bad(Code.GPU_VIRTUAL, f"BOOT_1 reads {status.boot1:#010x}: no physical GPU")
    return _booted(status, family)


def _is_virtual(boot1: Seen[int]) -> bool:
    """BOOT_1.VGPU, bits 17:16: 0 real, 1 paravirtual, 2 a virtual function (gpu-cc.md §4.2)."""
    return isinstance(boot1, int) and not is_dead(boot1) and bool(boot1 >> 16 & 0b11)


def _booted(status: GpuStatus, family: str) -> Mode | Outcome:
    """The mode register means something only once the boot is complete (gpu-cc.md §1)."""
    for value in (status.boot, status.recovery, status.mode):
        if isinstance(value, Unreadable):
            return unknown(Code.NO_ACCESS, printable(str(value)))
    if status.boot != BOOTED:
        # A VM that starts or stops resets its GPU: a boot under way is no fault yet.
        seen = f"boot register reads {status.boot:#x}, not 0xff"
        return unknown(Code.GPU_BOOT_INCOMPLETE, seen)
    return _mode(status.mode, family) if isinstance(status.mode, int) else _UNREAD


def _gone(device: Gpu, boot0: int, family: str) -> Outcome:
    """Never called gone where it might be held or in its reset: both look the same."""
    seen = f"BOOT_0 reads {boot0:#010x}"
    security = device.slot.security
    firewall = security.firewall if isinstance(security, Security) else None
    if family not in {"hopper", "ls10"} and boot0 == _ALL_ONES and firewall is not False:
        # Blackwell keeps its BARs behind a firewall until it has booted (gpu-cc.md §9.4).
        why = "still behind its firewall" if firewall else "lost, or still behind its firewall"
        return unknown(Code.GPU_BOOT_INCOMPLETE, f"{seen}: {why}")
    if isinstance(device.holders, tuple):
        return bad(Code.GPU_GONE, f"{seen}, though it is awake and nobody has it open")
    return unknown(Code.NO_ACCESS, f"{seen}, and who has it open cannot be told")


def _mode(value: int, family: str) -> Mode | Outcome:
    """Status registers by family (gpu-cc.md §5.1)."""
    if is_dead(value):
        return unknown(Code.NO_ACCESS, f"its mode register reads {value:#010x}")
    found = decode(value, family)
    if found is None:
        return bad(Code.GPU_MODE_INVALID, f"its mode bits are {value & 0x63:#x}, no valid mode")
    return Mode(found, found.value)


def known_modes(found: Mapping[str, Mode | Outcome]) -> dict[str, CcMode]:
    return {bdf: each.mode for bdf, each in found.items() if isinstance(each, Mode)}


def shared_mode(found: Mapping[str, CcMode]) -> str | None:
    """One word for all: the mode they share, or `mixed`."""
    values = set(found.values())
    if not values:
        return None
    return next(iter(values)).value if len(values) == 1 else "mixed"


def judge_modes(facts: Facts, want: CcMode | None) -> tuple[Outcome, ...]:
    """One outcome a device that has a reason of its own, else one for all together."""
    devices = facts.devices
    if isinstance(devices, Unreadable):
        return (unknown(Code.NO_ACCESS, f"PCI devices cannot be read: {devices}"),)
    if not devices.gpus:
        return (bad(Code.NO_GPU, "no NVIDIA GPU on the PCI bus", where="/sys/bus/pci/devices"),)
    lockdown = facts.kernel.lockdown if isinstance(facts.kernel.lockdown, str) else ""
    gpus = modes(devices.gpus, lockdown)
    switches = modes(devices.switches, lockdown)
    reasons = [each for each in gpus.values() if isinstance(each, Outcome)]
    protected = is_protected(devices, want)
    reasons += [_tied(each) for each in devices.gpus if _is_tied(each, gpus[each.bdf])]
    if protected:
        reasons += [each for each in switches.values() if isinstance(each, Outcome)]
    if reasons:
        return tuple(reasons)
    unlike = _against_want(known_modes(gpus), want)
    if unlike:
        return unlike
    mismatch = _switches(known_modes(gpus), known_modes(switches), protected=protected)
    return mismatch or tuple(
        ok(f"{bdf} is in mode {each.says}", where=bdf)
        for bdf, each in gpus.items()
        if isinstance(each, Mode)
    )


def _is_tied(gpu: Gpu, found: Mode | Outcome) -> bool:
    """A GPU of a Grace CPU has no mode but off, unless it is one for BMSAI (gpu-cc.md §4.3)."""
    if gpu.chip is None or not gpu.chip.c2c or not isinstance(found, Mode):
        return False
    status = gpu.status
    bmsai = (
        isinstance(status, GpuStatus)
        and gpu.chip.name.startswith("gb1")
        and isinstance(status.mode, int)
        and bool(status.mode & _BMSAI)
    )
    return found.mode is CcMode.OFF and not bmsai


def _tied(gpu: Gpu) -> Outcome:
    name = gpu.chip.product or gpu.chip.name if gpu.chip else ""
    return _named(gpu, bad(Code.GPU_C2C, f"{name} is tied to a Grace CPU: it has no mode but off"))


def is_protected(devices: Devices, want: CcMode | None) -> bool:
    """Whether protected PCIe is used or asked for: then the switches count as well."""
    return want is CcMode.PPCIE or CcMode.PPCIE in all_modes(devices, "").values()


def is_told_protected(devices: Devices, want: CcMode | None) -> bool:
    """Whether it is certain that the switches count, or that they do not."""
    known = len(all_modes(devices, "")) == len(devices.gpus)
    return known or not devices.switches or is_protected(devices, want)


def _against_want(found: Mapping[str, CcMode], want: CcMode | None) -> tuple[Outcome, ...]:
    """Off and devtools fail even where they were asked for: no secret is safe in them."""
    shared = shared_mode(found)
    if want in {CcMode.OFF, CcMode.DEVTOOLS}:
        seen = f"mode {want} is asked for, in which no secret is safe; {_listing(found)}"
        return (bad(Code.WANTED_MODE_NEVER_READY, seen),)
    if shared == "mixed" and want is None:
        return (bad(Code.GPU_MODE_MIXED, f"GPUs differ: {_listing(found)}"),)
    if want is not None and any(mode is not want for mode in found.values()):
        odd = {bdf: mode for bdf, mode in found.items() if mode is not want}
        return (bad(Code.GPU_MODE_UNWANTED, f"{want} is wanted: {_listing(odd)}"),)
    if shared == CcMode.OFF:
        return (bad(Code.GPU_MODE_OFF, f"{_count(found)} mode off"),)
    if shared == CcMode.DEVTOOLS:
        return (bad(Code.GPU_MODE_DEVTOOLS, f"{_count(found)} mode devtools"),)
    return ()


def _count(found: Mapping[str, CcMode]) -> str:
    if len(found) == 1:
        return f"{next(iter(found))} is in"
    return f"all {len(found)} GPUs are in"


def _listing(found: Mapping[str, CcMode]) -> str:
    """The odd ones by name, however many the others are."""
    devices: dict[CcMode, list[str]] = {}
    for bdf, mode in found.items():
        devices.setdefault(mode, []).append(bdf)
    said: list[str] = []
    for mode, bdfs in sorted(devices.items(), key=lambda item: len(item[1])):
        some = f"{len(bdfs)} {'others' if said else 'devices'}"
        said.append(f"{' and '.join(bdfs) if len(bdfs) < 3 else some} {_are(bdfs)} {mode}")
    return ", ".join(said)


def _are(bdfs: list[str]) -> str:
    return "is" if len(bdfs) == 1 else "are"


def _switches(
    gpus: Mapping[str, CcMode], switches: Mapping[str, CcMode], *, protected: bool
) -> tuple[Outcome, ...]:
    """Protected PCIe is all GPUs and all switches, or nothing."""
    right = CcMode.PPCIE if protected else CcMode.OFF
    odd = {bdf: mode for bdf, mode in switches.items() if mode is not right}
    if not odd:
        return ()
    mode = shared_mode(gpus)
    return (bad(Code.SWITCH_MODE_MISMATCH, f"GPUs are in mode {mode}, but {_listing(odd)}"),)


def all_modes(devices: Devices, lockdown: str) -> dict[str, CcMode]:
    """Every mode that is known, read or remembered."""
    return known_modes(modes(devices.gpus, lockdown))


def judge_pending(facts: Facts, want: CcMode | None) -> tuple[Outcome, ...]:
    """What the next reset brings, where somebody asked; not asked is no gap (design.md §2)."""
    devices = facts.devices
    if isinstance(devices, Unreadable):
        return ()
    counted = devices.gpus + (devices.switches if is_protected(devices, want) else ())
    return tuple(_pending(each) for each in counted if each.configured is not None)


def _pending(device: Gpu) -> Outcome:
    configured, active = device.configured, mode_of(device, "")
    if isinstance(configured, Unreadable):
        return _named(device, unknown(Code.NO_ACCESS, printable(configured.why)))
    mode = configured.mode if configured else None
    if mode is None:
        return _named(device, bad(Code.GPU_MODE_INVALID, "its knobs are of no valid mode"))
    if not isinstance(active, Mode):
        return skip(f"{device.bdf} is configured to {mode}; its active mode is not known")
    if active.mode is not mode:
        seen = f"it is {active.mode} until its next reset, and {mode} then"
        return _named(device, bad(Code.GPU_MODE_PENDING, seen))
    return ok(f"{device.bdf} stays {mode} over its next reset", where=device.bdf)


def judge_attestation(facts: Facts, _want: CcMode | None) -> tuple[Outcome, ...]:
    """Of parts alone that are known for it, and left a confidential mode in this boot."""
    if isinstance(facts.devices, Unreadable):
        return ()
    return tuple(
        _named(each, _attests(each.left_cc))
        for each in facts.devices.gpus
        if each.left_cc is not None and _is_confidential(mode_of(each, ""))
    )


def _attests(left_cc: Seen[bool]) -> Outcome:
    if left_cc is False:
        return ok("it left no confidential mode in this boot")
    if isinstance(left_cc, Unreadable):
        seen = f"whether it left its mode in this boot cannot be read: {printable(left_cc.why)}"
        return unknown(Code.NO_ACCESS, seen, where=left_cc.where)
    seen = "it left a confidential mode in this boot, and attests only after the next"
    return bad(Code.GPU_REBOOT_TO_ATTEST, seen)


def _is_confidential(found: Mode | Outcome) -> bool:
    return isinstance(found, Mode) and found.mode is not CcMode.OFF


CHECKS: tuple[Check, ...] = (
    Check("gpu.mode", Level.GPU, "one confidential mode on every GPU", by_mode(judge_modes)),
    Check("gpu.pending", Level.GPU, "the same mode after the next reset", by_mode(judge_pending)),
    Check("gpu.attest", Level.GPU, "attestation without a boot", by_mode(judge_attestation)),
)
"""In reading order."""
