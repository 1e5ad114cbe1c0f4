"""Character devices that answer by offset or ioctl: MSRs, CPUID, KVM."""

import array
import errno
import fcntl
import os
import struct
from collections.abc import Mapping, Sequence

from nodeagent.host.root import ABSENT, Root, why
from nodeagent.model.cpu import CpuidRegs, CpuValues
from nodeagent.model.host import Kvm
from nodeagent.model.seen import Seen, Unreadable

# O_NONBLOCK: where a FIFO was planted, open() would wait for a writer for ever.
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
# linux/kvm.h and asm/kvm.h of x86; the policy bits are from about 6.19.
KVM_GET_API_VERSION = 0xAE00
KVM_CHECK_EXTENSION = 0xAE03
KVM_GET_DEVICE_ATTR = 0x4018AEE2  # _IOW(0xAE, 0xE2, 24 bytes)
_KVM_CAP_VM_TYPES = 235
_KVM_X86_GRP_SEV = 1
_SEV_VMSA_FEATURES, _SNP_POLICY_BITS = 0, 1


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
            return Unreadable(path, f"gave {len(raw)} bytes on MSR {index:#x}")
        return int.from_bytes(raw, "little")
    except OSError as error:
        return Unreadable(path, f"{why(error)} on MSR {index:#x}")


def kvm(root: Root) -> Seen[Kvm]:
    device = _open(root, "/dev/kvm")
    if not isinstance(device, int):
        return device
    try:
        return Kvm(
            api=fcntl.ioctl(device, KVM_GET_API_VERSION),
            vm_types=fcntl.ioctl(device, KVM_CHECK_EXTENSION, _KVM_CAP_VM_TYPES) or None,
            sev_vmsa_features=_kvm_attribute(device, _SEV_VMSA_FEATURES),
            policy_bits=_kvm_attribute(device, _SNP_POLICY_BITS),
        )
    except OSError as error:
        return Unreadable("/dev/kvm", why(error))
    finally:
        os.close(device)


def _kvm_attribute(device: int, attribute: int) -> Seen[int]:
    """A number of the SEV group; a kernel that does not know it says so, each in its way."""
    # Not ctypes: importing it needs memory that is writable and executable.
    value = array.array("Q", [0])
    where = value.buffer_info()[0]
    try:
        request = struct.pack("<IIQQ", 0, _KVM_X86_GRP_SEV, attribute, where)
        fcntl.ioctl(device, KVM_GET_DEVICE_ATTR, request)
    except OSError as error:
        unknown = error.errno in {errno.ENXIO, errno.EINVAL, errno.ENOTTY}
        return None if unknown else Unreadable("/dev/kvm", why(error))
    return value[0]
