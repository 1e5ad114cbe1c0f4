"""Reads the processors: /proc/cpuinfo, CPUID, MSRs of every online CPU."""

from collections.abc import Mapping

from nodeagent.facts.parse import cpu_list, number, parsed
from nodeagent.model.cpu import MSRS, CpuIdentity, Cpus, CpuValues, SevLeaf
from nodeagent.model.seen import Seen, Unreadable
from nodeagent.seams import Files, Machine

_CPUINFO = "/proc/cpuinfo"
_CPUINFO_LIMIT = 16 << 20
_CPU_FOLDER = "/sys/devices/system/cpu"
_SEV_LEAF = 0x8000001F
_HIGHEST_EXTENDED = 0x80000000


def read(machine: Machine) -> Cpus:
    files, probes = machine.files, machine.probes
    cpuinfo = files.read(_CPUINFO, _CPUINFO_LIMIT)
    identity = parsed(_CPUINFO, cpuinfo, identity_of)
    online = _cpus(files, "online")
    known = online if isinstance(online, tuple) else _counted(identity)
    return Cpus(
        identity=identity,
        sev_leaf=_sev_leaf(machine),
        msrs=probes.msrs(known, MSRS) if known else dict.fromkeys(MSRS, _no_cpus(online)),
        online=online,
        present=_cpus(files, "present"),
        smt=files.read(f"{_CPU_FOLDER}/smt/control", 64),
        microcode=parsed(_CPUINFO, cpuinfo, microcode_of),
    )


def identity_of(text: str) -> CpuIdentity:
    """The first processor's identity; ValueError where it shows none."""
    first, _, _ = text.partition("\n\n")
    fields: dict[str, str] = {}
    for line in first.split("\n"):
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    processors = text.count("\nprocessor") + text.startswith("processor")
    if "CPU implementer" in fields:
        return _arm(fields, processors)
    try:
        return CpuIdentity(
            vendor=fields["vendor_id"],
            family=number(fields["cpu family"]),
            model=number(fields["model"]),
            stepping=number(fields.get("stepping", "0")),
            name=fields.get("model name", ""),
            flags=frozenset(fields["flags"].split()),
            processors=processors,
        )
    except KeyError as error:
        raise ValueError(text) from error


def microcode_of(text: str) -> CpuValues:
    """The patch level of every processor; ValueError where one shows none."""
    count = text.count("\nprocessor") + text.startswith("processor")
    first = text.partition("\nmicrocode\t: ")[2].partition("\n")[0]
    # All alike, as good as always: 192 processors are not worth taking apart then.
    if first and text.count(f"\nmicrocode\t: {first}\n") == count:
        return CpuValues({number(first): tuple(range(count))})
    levels: dict[int, list[int]] = {}
    for block in text.strip().split("\n\n"):
        fields = {name.strip(): value.strip() for name, value in map(_pair, block.split("\n"))}
        if "processor" not in fields or "microcode" not in fields:
            raise ValueError(text[:60])
        levels.setdefault(number(fields["microcode"]), []).append(number(fields["processor"]))
    return CpuValues({level: tuple(cpus) for level, cpus in levels.items()})


def _pair(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name, value


def _arm(fields: Mapping[str, str], processors: int) -> CpuIdentity:
    """What carries a superchip's GPU: its cpuinfo has a maker's number and no name."""
    return CpuIdentity(
        vendor=f"Arm, implementer {fields['CPU implementer']}",
        family=0,
        model=0,
        stepping=0,
        name=f"part {fields.get('CPU part', 'unknown')}",
        flags=frozenset(fields.get("Features", "").split()),
        processors=processors,
    )


def _cpus(files: Files, name: str) -> Seen[tuple[int, ...]]:
    path = f"{_CPU_FOLDER}/{name}"
    return parsed(path, files.read(path, 1 << 14), cpu_list)


def _counted(identity: Seen[CpuIdentity]) -> tuple[int, ...]:
    return tuple(range(identity.processors)) if isinstance(identity, CpuIdentity) else ()


def _no_cpus(online: Seen[tuple[int, ...]]) -> Unreadable | None:
    return online if isinstance(online, Unreadable) else None


def _sev_leaf(machine: Machine) -> Seen[SevLeaf]:
    """Absent where the CPU has no such leaf: asking beyond the highest repeats another."""
    highest = machine.probes.cpuid(_HIGHEST_EXTENDED)
    if highest is None or (not isinstance(highest, Unreadable) and highest.eax < _SEV_LEAF):
        return None
    regs = machine.probes.cpuid(_SEV_LEAF)
    return SevLeaf(regs) if regs is not None and not isinstance(regs, Unreadable) else regs
