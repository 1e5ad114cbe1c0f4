"""Character devices that answer by offset or ioctl: MSRs, CPUID, KVM."""

import fcntl
import os
import struct
from collections.abc import Mapping, Sequence

from nodeagent.host.root import ABSENT, Root, why
from nodeagent.model.cpu import CpuidRegs, CpuValues
from nodeagent.model.seen import Seen, Unreadable

# O_NONBLOCK: where a FIFO was planted, open() would wait for a writer for ever.
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
KVM_GET_API_VERSION = 0xAE00


def _open(root: Root, path: str) -> int | Unreadable | None:
    try:
        return root.open(path, _READ)
    except OSError as error:
        if error.errno in ABSENT:
            return None
        return Unreadable(path, why(error))


def cpuid(root: Root, leaf: int, subleaf: int = 0) -> Seen[CpuidRegs]:
    """One leaf from the first CPU's device, 16 bytes (arch/x86/kernel/cpuid.c)."""
    path = "/dev/cpu/0/cpuid"
    device = _open(root, path)
    if not isinstance(device, int):
        return device
    try:
        raw = os.pread(device, 16, subleaf << 32 | leaf)
        return CpuidRegs(*struct.unpack("<4I", raw))
    except (OSError, struct.error) as error:
        return Unreadable(path, why(error) if isinstance(error, OSError) else "short read")
    finally:
        os.close(device)


def msrs(root: Root, cpus: Sequence[int], indexes: Sequence[int]) -> Mapping[int, Seen[CpuValues]]:
    """Each register of each CPU, one open a CPU (arch/x86/kernel/msr.c)."""
    values: dict[int, dict[int, list[int]]] = {index: {} for index in indexes}
    gaps: dict[int, list[tuple[int, Unreadable]]] = {index: [] for index in indexes}
    absent = True
    for cpu in cpus:
        path = f"/dev/cpu/{cpu}/msr"
        device = _open(root, path)
        absent = absent and device is None
        if device is None:
            device = Unreadable(path, "is absent")
        for index in indexes:
            value = _msr(path, device, index) if isinstance(device, int) else device
            if isinstance(value, int):
                values[index].setdefault(value, []).append(cpu)
            else:
                gaps[index].append((cpu, value))
        if isinstance(device, int):
            os.close(device)
    if absent:
        return dict.fromkeys(indexes)
    return {index: combine(values[index], gaps[index]) for index in indexes}


def combine(
    values: Mapping[int, Sequence[int]], gaps: Sequence[tuple[int, Unreadable]]
) -> CpuValues | Unreadable:
    """One register over all CPUs; unreadable on every one of them is unreadable."""
    ordered = tuple(sorted(gaps, key=lambda gap: gap[0]))
    if not values and ordered:
        return ordered[0][1]
    return CpuValues({value: tuple(sorted(cpus)) for value, cpus in values.items()}, ordered)


def _msr(path: str, device: int, index: int) -> int | Unreadable:
    try:
        raw = os.pread(device, 8, index)
        if len(raw) != 8:
            return Unreadable(path, f"gave {len(raw)} bytes of MSR {index:#x}")
        return int.from_bytes(raw, "little")
    except OSError as error:
        return Unreadable(path, f"{why(error)} on MSR {index:#x}")


def kvm_api(root: Root) -> Seen[int]:
    device = _open(root, "/dev/kvm")
    if not isinstance(device, int):
        return device
    try:
        return fcntl.ioctl(device, KVM_GET_API_VERSION)
    except OSError as error:
        return Unreadable("/dev/kvm", why(error))
    finally:
        os.close(device)
