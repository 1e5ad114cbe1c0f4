"""What the probes answered, in the shape of probes.json; the counterpart of read.py."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from nodeagent.capture.read import CPUID_DEVICE, SEV_NAMES
from nodeagent.capture.record import Record
from nodeagent.capture.shape import NOT_CAPTURED, errno_name
from nodeagent.model.cpu import CpuValues
from nodeagent.model.host import Kvm, PspFailure
from nodeagent.model.seen import Seen, Unreadable

Json = dict[str, Any]


class Answers(NamedTuple):
    """probes.json, and what it cannot say itself: devices that are not there, or closed."""

    probes: Json
    absent: frozenset[str]
    gaps: Mapping[str, str]
    devices: frozenset[str]


def answers(record: Record) -> Answers:
    absent: set[str] = set()
    gaps: dict[str, str] = {}
    probes: Json = {
        "cpuid": _by_device(CPUID_DEVICE, _cpuid(record), absent, gaps),
        "msr": _msrs(record, absent, gaps),
        "sev": _by_device("/dev/sev", _sev(record), absent, gaps),
        "kvm": _kvm(record.kvm, absent, gaps),
        "gpu": _gpus(record, gaps),
        "versions": _versions(record.versions),
    }
    found = {name: value for name, value in probes.items() if value is not None}
    nodes = {"cpuid": CPUID_DEVICE, "msr": "/dev/cpu/0/msr", "sev": "/dev/sev", "kvm": "/dev/kvm"}
    devices = frozenset(path for name, path in nodes.items() if name in found)
    return Answers(found, frozenset(absent), gaps, devices)


def _versions(found: Seen[Mapping[str, str]]) -> Json | None:
    return None if found is None or isinstance(found, Unreadable) else dict(found)


def _by_device(
    path: str, asked: Mapping[str, Seen[Json]], absent: set[str], gaps: dict[str, str]
) -> Json | None:
    """Answers by name. Where every question failed alike, it was the device that is closed."""
    known = {name: answer for name, answer in asked.items() if not _uncaptured(answer)}
    if not known:
        return None
    if all(answer is None for answer in known.values()):
        absent.add(path)
        return None
    reasons = {answer.why for answer in known.values() if isinstance(answer, Unreadable)}
    if len(reasons) == 1 and all(isinstance(answer, Unreadable) for answer in known.values()):
        gaps[path] = reasons.pop()
        return None
    return {
        name: _error(answer) if isinstance(answer, Unreadable) else answer
        for name, answer in known.items()
        if answer is not None
    }


def _uncaptured(answer: object) -> bool:
    return isinstance(answer, Unreadable) and answer.why == NOT_CAPTURED


def _error(gap: Unreadable) -> Json:
    return {"error": errno_name(gap.why)}


def _cpuid(record: Record) -> dict[str, Seen[Json]]:
    return {
        f"{leaf:#x}.{subleaf}" if subleaf else f"{leaf:#x}": (
            {name: f"{value:#010x}" for name, value in regs._asdict().items()}
            if regs is not None and not isinstance(regs, Unreadable)
            else regs
        )
        for (leaf, subleaf), regs in sorted(record.cpuid.items())
    }


def _msrs(record: Record, absent: set[str], gaps: dict[str, str]) -> Json | None:
    found: Json = {}
    for index, values in record.msrs.items():
        if values is None:
            absent.add("/dev/cpu/0/msr")
        elif isinstance(values, CpuValues):
            found[f"{index:#x}"] = _values(index, values, gaps)
        elif not _uncaptured(values):
            error = _msr_error(index, values, gaps)
            if error is not None:
                found[f"{index:#x}"] = error
    return found or None


def _values(index: int, values: CpuValues, gaps: dict[str, str]) -> Json | str:
    """What most CPUs show, and the others by number."""
    shown: dict[int, Any] = {
        cpu: f"{value:#x}" for value, cpus in values.by_value.items() for cpu in cpus
    }
    for cpu, gap in values.unreadable:
        error = None if _uncaptured(gap) else _msr_error(index, gap, gaps)
        if error is not None:
            shown[cpu] = error
    default = Counter(value for value in shown.values() if isinstance(value, str)).most_common(1)
    if any(_uncaptured(gap) for _, gap in values.unreadable):
        return {str(cpu): value for cpu, value in sorted(shown.items())}
    common = default[0][0]
    odd = {str(cpu): value for cpu, value in sorted(shown.items()) if value != common}
    return {"default": common, **odd} if odd else common


def _msr_error(index: int, gap: Unreadable, gaps: dict[str, str]) -> Json | None:
    """One register's failure; where the device did not open at all, a gap of that path."""
    reason, _, named = gap.why.rpartition(" on MSR ")
    if named == f"{index:#x}":
        return {"error": errno_name(reason)}
    gaps[gap.where] = gap.why
    return None


def _sev(record: Record) -> dict[str, Seen[Json]]:
    return {SEV_NAMES[command]: _sev_answer(found) for command, found in record.sev.items()}


def _sev_answer(found: Seen[bytes | PspFailure]) -> Seen[Json]:
    if isinstance(found, bytes):
        return {"hex": found.hex()}
    if isinstance(found, PspFailure):
        firmware = {} if found.firmware is None else {"fw_error": found.firmware}
        return {"errno": found.errno, **firmware}
    return found


def _kvm(found: Seen[Kvm], absent: set[str], gaps: dict[str, str]) -> Json | None:
    if found is None:
        absent.add("/dev/kvm")
        return None
    if isinstance(found, Unreadable):
        if not _uncaptured(found):
            gaps["/dev/kvm"] = found.why
        return None
    numbers = {
        "vm_types": found.vm_types,
        "sev_vmsa_features": found.sev_vmsa_features,
        "policy_bits": found.policy_bits,
    }
    return {"api_version": found.api} | {
        name: _error(value) if isinstance(value, Unreadable) else _hex(value)
        for name, value in numbers.items()
        if not _uncaptured(value)
    }


def _hex(value: int | None) -> str | None:
    return None if value is None else f"{value:#x}"


def _gpus(record: Record, gaps: dict[str, str]) -> Json | None:
    devices: Json = {bdf: {"knobs": _knobs(knobs)} for bdf, knobs in record.knobs.items()}
    for bdf, registers in record.bar0.items():
        if isinstance(registers, Unreadable):
            if not _uncaptured(registers):
                gaps[f"/sys/bus/pci/devices/{bdf}/resource0"] = registers.why
            continue
        devices.setdefault(bdf, {})["bar0"] = {
            f"{offset:#x}": _error(value) if isinstance(value, Unreadable) else f"{value:#x}"
            for offset, value in sorted(registers.items())
            if not _uncaptured(value)
        }
    return devices or None


def _knobs(knobs: Mapping[int, int | Unreadable]) -> Json:
    """By decimal number, as everybody writes them."""
    return {
        str(knob): _error(value) if isinstance(value, Unreadable) else value
        for knob, value in sorted(knobs.items())
    }
