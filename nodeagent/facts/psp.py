"""Asks the PSP what is safe to ask (snp-host.md §0.3, §4.2)."""

import struct

from nodeagent.model.host import (
    KVM_ASKS_PSP,
    Kernel,
    KernelLog,
    NotAsked,
    PlatformStatus,
    Psp,
    PspFailure,
    SnpStatus,
)
from nodeagent.model.seen import Seen, Unreadable
from nodeagent.seams import Machine

_DEVICE = "/dev/sev"
_PLATFORM_STATUS, _SNP_PLATFORM_STATUS = 1, 9
_PLATFORM_LAYOUT = struct.Struct("<BBBIBI")
_SNP_LAYOUT = struct.Struct("<BBBBIIIQQ")


def read(machine: Machine, kernel: Kernel, log: Seen[KernelLog]) -> Psp:
    device = machine.files.has(_DEVICE)
    if device is False:
        return Psp(device=False, platform=None, snp=None)
    asking = safe_to_ask(kernel, log)
    return Psp(
        device=device,
        platform=_platform(machine.probes.sev(_PLATFORM_STATUS)),
        snp=_snp(machine.probes.sev(_SNP_PLATFORM_STATUS)) if asking is None else asking,
    )


def safe_to_ask(kernel: Kernel, log: Seen[KernelLog]) -> NotAsked | None:
    """None if SNP_PLATFORM_STATUS changes nothing: some kernels initialise SNP to answer it.

    Asked only where KVM offers SNP and this boot's log shows no failed INIT. Below 6.16 KVM
    offers it without asking the PSP, so there the log must be whole.
    """
    if kernel.parameter("kvm_amd.sev_snp") not in {"Y", "1"}:
        return NotAsked("kvm_amd does not offer SEV-SNP")
    if not isinstance(log, KernelLog):
        return NotAsked("the kernel log cannot be read", blind=True)
    failed = log.since_init("snp_init_failed", "sev_init_failed", "cpus_offline")
    if failed or log.of("psp_dead", "psp_dead_answer"):
        return NotAsked("the kernel log shows a failed INIT")
    if not log.whole and (kernel.version or (0, 0)) < KVM_ASKS_PSP:
        return NotAsked("the kernel log no longer reaches back to the boot", blind=True)
    return None


def _platform(answer: Seen[bytes | PspFailure]) -> Seen[PlatformStatus | PspFailure]:
    if not isinstance(answer, bytes):
        return answer
    if len(answer) != _PLATFORM_LAYOUT.size:
        return _unlikely(answer)
    major, minor, state, flags, build, guests = _PLATFORM_LAYOUT.unpack(answer)
    return PlatformStatus((major, minor), build, state, bool(flags & 0x100), guests)


def _snp(answer: Seen[bytes | PspFailure]) -> Seen[SnpStatus | PspFailure | NotAsked]:
    if not isinstance(answer, bytes):
        return answer
    if len(answer) != _SNP_LAYOUT.size:
        return _unlikely(answer)
    major, minor, state, bits, build, flags, guests, current, reported = _SNP_LAYOUT.unpack(answer)
    return SnpStatus(
        api=(major, minor),
        build=build,
        state=state,
        # Bits, not the whole byte: the alias check's bit stands beside it.
        rmp_initialised=bool(bits & 1),
        alias_check=bool(bits & 2),
        chip_id_masked=bool(flags & 1),
        chip_key_masked=bool(flags & 1 << 1),
        vlek_loaded=bool(flags & 1 << 2),
        rapl_disabled=bool(flags & 1 << 4),
        hiding_enabled=bool(flags & 1 << 6),
        guests=guests,
        current_tcb=current,
        reported_tcb=reported,
    )


def _unlikely(answer: bytes) -> Unreadable:
    return Unreadable(_DEVICE, f"answered with {len(answer)} bytes")
