"""Judges firmware, microcode and TCB against their floors (snp-host.md §4)."""

from collections.abc import Callable, Iterable, Iterator

from nodeagent.checks.answer import Gap
from nodeagent.checks.check import Ask, Check, plain
from nodeagent.checks.firmware import MIN_API, sev_version
from nodeagent.checks.psp_errors import failure
from nodeagent.checks.silicon import difference, identity
from nodeagent.model import versions
from nodeagent.model.codes import Code
from nodeagent.model.cpu import CpuIdentity, CpuValues
from nodeagent.model.facts import Facts
from nodeagent.model.findings import Outcome, bad, ok, replace_device, skip, unknown, warn
from nodeagent.model.firmware import Tcb, decode_tcb
from nodeagent.model.host import NotAsked, PspFailure, SnpStatus
from nodeagent.model.pci import Gpu, GpuStatus
from nodeagent.model.policy import (
    ALIAS_CHECK,
    BIOS,
    GPU_FSP,
    GPU_VBIOS,
    MICROCODE,
    SEV,
    TCB_MICROCODE,
    TCB_SNP,
    Floor,
    Version,
)
from nodeagent.model.seen import Seen, Unreadable
from nodeagent.model.text import printable
from nodeagent.model.words import Confidence, Level

_PSP = "/dev/sev"
_CPUINFO = "/proc/cpuinfo"
_DMI = "/sys/class/dmi/id"
_WAITS = "waits for tcb.reported"
_LOW = "low"
_MAX_NAMED = 3


# Whether there is anything to go by.


def known(facts: Facts, ask: Ask) -> tuple[Outcome, ...]:
    """A part that no floor is about is not shown to be good: a site may say that it is enough."""
    cpu = identity(facts)
    if isinstance(cpu, Gap):
        return (unknown(Code.NO_ACCESS, str(cpu.gap), where=cpu.gap.where),)
    if not ask.policy.floors:
        return (skip("this site has no floors"),)
    floors = [each for each in ask.policy.floors if _fits(each, cpu) and _says_more(each)]
    if not floors:
        part = f"{cpu.generation}, model {cpu.model:#x} stepping {cpu.stepping}"
        return (unknown(Code.NO_FLOOR_KNOWN, f"no floor is about this CPU: {part}", where="CPUID"),)
    return (ok(f"{len(floors)} floors are about this CPU"),)


def _says_more(floor: Floor) -> bool:
    """What SNP cannot do without is judged before, and says nothing of what was mended since."""
    return floor.what != SEV or floor.minimum > (*MIN_API, 0)


# The TCB.


def reported(facts: Facts) -> tuple[Outcome, ...]:
    """What guests report, and whether it is what runs. Everything about the TCB waits for it."""
    status, cpu = facts.psp.snp, identity(facts)
    if isinstance(cpu, Gap):
        return (unknown(Code.NO_ACCESS, str(cpu.gap), where=cpu.gap.where),)
    if not isinstance(status, SnpStatus):
        return (_no_status(status),)
    told, runs = (_named(facts, raw) for raw in (status.reported_tcb, status.current_tcb))
    if isinstance(told, str):
        seen = f"the TCB is {told}, not in the layout that is known of this CPU"
        return (warn(Code.TCB_DECODE_SUSPECT, seen, where=_PSP),)
    if status.reported_tcb != status.current_tcb:
        seen = (
            f"guests report {told}; what runs is {runs}. "
            "What is committed only a guest's report says"
        )
        return (warn(Code.TCB_REPORTED_LAGS, seen, where=_PSP),)
    seen = f"guests report what runs: {told}. What is committed only a guest's report says"
    return (ok(seen),)


def _named(facts: Facts, raw: int) -> Tcb | str:
    cpu = identity(facts)
    tcb = None if isinstance(cpu, Gap) else decode_tcb(raw, cpu.generation)
    return tcb or f"{raw:#018x}"


def _no_status(status: Seen[PspFailure | NotAsked]) -> Outcome:
    match status:
        case Unreadable() as gap:
            return unknown(Code.NO_ACCESS, str(gap), where=gap.where)
        case NotAsked(why=why):
            return unknown(Code.TCB_NOT_KNOWN, f"the PSP is not asked: {why}", where=_PSP)
        case PspFailure() as answer:
            return unknown(Code.TCB_NOT_KNOWN, f"the PSP answers {failure(answer)}", where=_PSP)
        case None:
            return unknown(Code.TCB_NOT_KNOWN, f"there is no {_PSP}", where=_PSP)


def reported_tcb(facts: Facts) -> Tcb | None:
    """What verifiers go by, decoded; None where it is not known or not laid out as it should."""
    status = facts.psp.snp
    told = _named(facts, status.reported_tcb) if isinstance(status, SnpStatus) else None
    return told if isinstance(told, Tcb) else None


def alias_check(facts: Facts, ask: Ask) -> tuple[Outcome, ...]:
    floors = _of_cpu(facts, ask, ALIAS_CHECK)
    status = facts.psp.snp
    if not floors or not isinstance(status, SnpStatus):
        return (skip(_WAITS) if floors else _no_floor(facts),)
    if status.alias_check:
        return (ok("the PSP checked memory for aliases at boot"),)
    return (_short(Code.ALIAS_CHECK_MISSING, "the PSP did not check memory for aliases", floors),)


def tcb_snp(facts: Facts, ask: Ask) -> tuple[Outcome, ...]:
    return (_tcb(facts, ask, TCB_SNP, Code.TCB_BELOW_FLOOR),)


def tcb_microcode(facts: Facts, ask: Ask) -> tuple[Outcome, ...]:
    """The PSP's word for it; /proc/cpuinfo has the patch level, judged beside."""
    return (_tcb(facts, ask, TCB_MICROCODE, Code.MICROCODE_TOO_OLD),)


def _tcb(facts: Facts, ask: Ask, what: str, code: Code) -> Outcome:
    floors = _of_cpu(facts, ask, what)
    if not floors:
        return _no_floor(facts)
    if not isinstance(facts.psp.snp, SnpStatus):
        return skip(_WAITS)
    tcb = reported_tcb(facts)
    if tcb is None:
        return unknown(Code.TCB_DECODE_SUSPECT, "the TCB cannot be taken apart", where=_PSP)
    name, number = ("SNP", tcb.snp) if what == TCB_SNP else ("microcode", tcb.microcode)
    return _against(floors, (number,), f"{name} in the reported TCB", code, where=_PSP)


def chip_key(facts: Facts) -> tuple[Outcome, ...]:
    status = facts.psp.snp
    if not isinstance(status, SnpStatus):
        return (skip(_WAITS),)
    if not status.chip_key_masked:
        return (ok("the chip's key signs guests' reports"),)
    if status.vlek_loaded:
        return (ok("a VLEK signs guests' reports: the chip's key is masked"),)
    seen = "MASK_CHIP_KEY is set and no VLEK is loaded: nothing signs guests' reports"
    return (bad(Code.CHIP_KEY_MASKED, seen, where=_PSP),)


def chip_id(facts: Facts) -> tuple[Outcome, ...]:
    status = facts.psp.snp
    if not isinstance(status, SnpStatus):
        return (skip(_WAITS),)
    if status.chip_id_masked and not status.vlek_loaded:
        seen = "MASK_CHIP_ID is set and no VLEK is loaded: reports name no chip"
        return (warn(Code.CHIP_ID_MASKED, seen, where=_PSP),)
    return (ok("a VLEK signs for the chip" if status.vlek_loaded else "reports name the chip"),)


# SEV firmware and microcode.


def sev_firmware(facts: Facts, ask: Ask) -> tuple[Outcome, ...]:
    floors = _of_cpu(facts, ask, SEV)
    if not floors:
        return (_no_floor(facts),)
    version = sev_version(facts)
    if not isinstance(version, tuple):
        seen = str(version) if version else f"no {_PSP} and no log line tells the SEV firmware"
        return (unknown(Code.NO_ACCESS, seen, where=_PSP),)
    return (_against(floors, version, "SEV firmware", Code.SEV_FW_BELOW_FLOOR, where=_PSP),)


def microcode_alike(facts: Facts) -> tuple[Outcome, ...]:
    values = facts.cpus.microcode
    if not isinstance(values, CpuValues):
        return (_no_microcode(values),)
    if len(values.by_value) > 1:
        seen = f"microcode is {difference(values.masked(-1))}"
        return (bad(Code.MICROCODE_DIFFERS, seen, where=_CPUINFO),)
    return (ok(f"microcode {values.most or 0:#x} on every CPU"),)


def microcode(facts: Facts, ask: Ask) -> tuple[Outcome, ...]:
    """The lowest patch level of all CPUs against the floor of this very part (§4.6)."""
    floors = _of_cpu(facts, ask, MICROCODE)
    values = facts.cpus.microcode
    if not floors:
        return (_no_floor(facts),)
    if not isinstance(values, CpuValues) or not values.by_value:
        return (skip("waits for microcode.alike"),)
    level = (min(values.by_value),)
    return (_against(floors, level, "microcode", Code.MICROCODE_TOO_OLD, where=_CPUINFO),)


def _no_microcode(gap: Seen[CpuValues]) -> Outcome:
    return unknown(Code.NO_ACCESS, str(gap or f"{_CPUINFO} shows no microcode"), where=_CPUINFO)


# The part itself.


def fused(facts: Facts) -> tuple[Outcome, ...]:
    lacking = "fused_part is 0: an engineering sample, whose keys prove nothing"
    return (_attribute(facts, "fused_part", "the part is fused", Code.PART_NOT_FUSED, lacking),)


def debug_locked(facts: Facts) -> tuple[Outcome, ...]:
    lacking = "debug_lock_on is 0: debug access to the CPU is open"
    return (_attribute(facts, "debug_lock_on", "debug is locked", Code.DEBUG_NOT_LOCKED, lacking),)


def _attribute(facts: Facts, name: str, good: str, code: Code, lacking: str) -> Outcome:
    """Most EPYC parts do not report these, which is no reason to doubt them (§4.5)."""
    master = facts.firmware.master
    if isinstance(master, Unreadable):
        return unknown(Code.NO_ACCESS, str(master), where=master.where)
    value = master.attributes.get(name) if master else None
    match value:
        case Unreadable() as gap:
            return unknown(Code.NO_ACCESS, str(gap), where=gap.where)
        case None:
            return skip(f"the PSP does not report {name}")
        case "1":
            return ok(good)
        case "0":
            return bad(code, lacking, where=f"/sys/bus/pci/drivers/ccp/*/{name}")
        case other:
            return unknown(Code.NO_ACCESS, f"{name} is {printable(other, 20)}")


# BIOS and GPUs.


def bios(facts: Facts, ask: Ask) -> tuple[Outcome, ...]:
    dmi = facts.platform.dmi
    board = dmi.board_name
    if isinstance(board, Unreadable):
        return (unknown(Code.NO_ACCESS, str(board), where=board.where),)
    floors = _of(ask, BIOS, lambda floor: (board or "").startswith(floor.board))
    if not floors or not board:
        return (skip("no BIOS floor is known for this board"),)
    name, where = f"BIOS of {printable(board, 40)}", f"{_DMI}/bios_version"
    version = dmi.bios_version
    if not isinstance(version, str):
        return (unknown(Code.NO_ACCESS, str(version or f"no {where}"), where=where),)
    try:
        number = versions.parse(BIOS, version)
    except ValueError:
        seen = f"{name} is {printable(version, 40)}, which does not compare with a floor"
        return (unknown(Code.NO_ACCESS, seen, where=where),)
    return (_against(floors, number, name, Code.BIOS_TOO_OLD, where=where),)


def gpu_firmware(facts: Facts, ask: Ask) -> tuple[Outcome, ...]:
    """By FSP version. Of the VBIOS no register tells the version, so its floors are only named."""
    devices = facts.devices
    if isinstance(devices, Unreadable):
        asked = any(floor.what == GPU_FSP for floor in ask.policy.floors)
        return (unknown(Code.NO_ACCESS, str(devices), where=devices.where),) if asked else ()
    found = [
        replace_device(_fsp(gpu, floors), gpu.bdf)
        for gpu in devices.gpus
        if (floors := _of_chip(gpu, ask, GPU_FSP))
    ]
    untold = {floor for gpu in devices.gpus for floor in _of_chip(gpu, ask, GPU_VBIOS)}
    return (*found, *_vbios(untold))


def _of_chip(gpu: Gpu, ask: Ask, what: str) -> tuple[Floor, ...]:
    name = gpu.chip.name if gpu.chip else ""
    return _of(ask, what, lambda floor: floor.chip == name)


def _fsp(gpu: Gpu, floors: tuple[Floor, ...]) -> Outcome:
    status = gpu.status
    version = status.fsp if isinstance(status, GpuStatus) else None
    if not isinstance(version, tuple):
        return unknown(Code.NO_ACCESS, f"{gpu.bdf}: its FSP version cannot be read")
    return _against(floors, version, "FSP firmware", Code.GPU_FW_TOO_OLD, where=gpu.bdf)


def _vbios(floors: Iterable[Floor]) -> Iterator[Outcome]:
    named = sorted(f"{each.chip} {versions.show(GPU_VBIOS, each.minimum)}" for each in floors)
    if named:
        least = ", ".join(named[:_MAX_NAMED])
        yield skip(f"nothing on the host tells the VBIOS version; least for {least}")


# Against floors.


def _of(ask: Ask, what: str, fits: Callable[[Floor], bool]) -> tuple[Floor, ...]:
    return tuple(each for each in ask.policy.floors if each.what == what and fits(each))


def _of_cpu(facts: Facts, ask: Ask, what: str) -> tuple[Floor, ...]:
    cpu = identity(facts)
    return () if isinstance(cpu, Gap) else _of(ask, what, lambda floor: _fits(floor, cpu))


def _no_floor(facts: Facts) -> Outcome:
    unseen = isinstance(identity(facts), Gap)
    return skip(_WAITS if unseen else "no floor is known for this part")


def _fits(floor: Floor, cpu: CpuIdentity) -> bool:
    return (
        floor.generation is cpu.generation
        and floor.model in {None, cpu.model}
        and floor.stepping in {None, cpu.stepping}
    )


def _against(
    floors: tuple[Floor, ...], version: Version, name: str, code: Code, *, where: str
) -> Outcome:
    shown = versions.show(floors[0].what, version)
    below = tuple(each for each in floors if version < each.minimum)
    if below:
        return _short(code, f"{name} is {shown}", below, where=where)
    highest = max(floors, key=_least)
    return ok(f"{name} is {shown}; {highest.id} asks for {_shown(highest)}")


def _least(floor: Floor) -> Version:
    return floor.minimum


def _short(code: Code, seen: str, below: tuple[Floor, ...], *, where: str = _PSP) -> Outcome:
    """A floor that nobody is sure of warns; one that is known at second hand says so."""
    sure = tuple(each for each in below if each.confidence != _LOW)
    named = sorted(sure or below, key=_least, reverse=True)
    text = "; ".join(_asks(each) for each in named[:_MAX_NAMED])
    if not sure:
        return warn(code, f"{seen}: {text}", where=where)
    high = any(each.confidence == "high" for each in sure)
    confidence = Confidence.HIGH if high else Confidence.MEDIUM
    return bad(code, f"{seen}: {text}", where=where)._replace(confidence=confidence)


def _asks(floor: Floor) -> str:
    about = ", ".join(filter(None, (floor.issue, f"{floor.confidence} confidence")))
    return f"{floor.id} asks for {_shown(floor)} ({about})"


def _shown(floor: Floor) -> str:
    return "it" if floor.what == ALIAS_CHECK else versions.show(floor.what, floor.minimum)


_C = Level.COMPLIANT
CHECKS: tuple[Check, ...] = (
    Check("floors.known", _C, "floors about this CPU", known),
    Check("tcb.reported", _C, "guests report the TCB that runs", plain(reported)),
    Check("tcb.alias", _C, "memory checked for aliases", alias_check),
    Check("tcb.snp", _C, "SNP firmware at its floors", tcb_snp),
    Check("tcb.microcode", _C, "microcode of the TCB at its floors", tcb_microcode),
    Check("tcb.key", _C, "MASK_CHIP_KEY clear", plain(chip_key)),
    Check("tcb.chip", _C, "MASK_CHIP_ID clear, or a VLEK", plain(chip_id)),
    Check("firmware.sev", _C, "SEV firmware at its floors", sev_firmware),
    Check("microcode.alike", _C, "the same microcode on every CPU", plain(microcode_alike)),
    Check("microcode.level", _C, "microcode at its floors", microcode),
    Check("firmware.fused", _C, "fused_part 1", plain(fused)),
    Check("firmware.debug", _C, "debug_lock_on 1", plain(debug_locked)),
    Check("firmware.bios", _C, "the BIOS at its floors", bios),
    Check("gpu.firmware", _C, "GPU firmware at its floors", gpu_firmware),
)
"""In reading order."""
