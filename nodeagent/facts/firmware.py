"""Reads what the PSP's driver shows in sysfs, and the SEV firmware files on the disk."""

from collections.abc import Iterator

from nodeagent.facts.pci import address, is_address
from nodeagent.model.cpu import CpuIdentity
from nodeagent.model.firmware import Firmware, PspDevice
from nodeagent.model.seen import Seen, Unreadable
from nodeagent.seams import Files

_DRIVER = "/sys/bus/pci/drivers/ccp"
_ATTRIBUTES = frozenset(
    {
        "anti_rollback_status",
        "boot_integrity",
        "bootloader_version",
        "debug_lock_on",
        "fused_part",
        "hsp_tpm_available",
        "rom_armor_enforced",
        "rpmc_production_enabled",
        "rpmc_spirom_available",
        "tee_version",
        "tsme_status",
    }
)
"""Documentation/ABI/testing/sysfs-driver-ccp; the kernel shows those that its PSP can tell."""
_MAX_DEVICES = 32
_FOLDERS = ("/lib/firmware/updates/amd", "/lib/firmware/amd")
_PACKED = ("", ".xz", ".zst")


def read(files: Files, cpu: Seen[CpuIdentity]) -> Firmware:
    return Firmware(psps=_psps(files), files=_files(files, cpu))


def _psps(files: Files) -> Seen[tuple[PspDevice, ...]]:
    names = files.names(_DRIVER)
    if names is None or isinstance(names, Unreadable):
        return names
    found = []
    for bdf in sorted(filter(is_address, names), key=address)[:_MAX_DEVICES]:
        device = _psp(files, bdf)
        if isinstance(device, Unreadable):
            return device
        found.append(device)
    return tuple(found)


def _psp(files: Files, bdf: str) -> PspDevice | Unreadable:
    folder = f"/sys/bus/pci/devices/{bdf}"
    names = files.names(folder)
    if isinstance(names, Unreadable):
        return names
    shown = sorted(_ATTRIBUTES.intersection(names or ()))
    return PspDevice(bdf, {name: files.read(f"{folder}/{name}", 64) for name in shown})


def _files(files: Files, cpu: Seen[CpuIdentity]) -> Seen[tuple[str, ...]]:
    """By exact model, by its high digit, then for any CPU; an update's folder wins (§4.4)."""
    if cpu is None or isinstance(cpu, Unreadable):
        return cpu
    present: dict[str, frozenset[str]] = {}
    for folder in _FOLDERS:
        names = files.names(folder)
        if isinstance(names, Unreadable):
            return names
        present[folder] = frozenset(names or ())
    return tuple(
        f"{folder}/{stem}{suffix}"
        for stem in _stems(cpu)
        for folder, names in present.items()
        for suffix in _PACKED
        if f"{stem}{suffix}" in names
    )


def _stems(cpu: CpuIdentity) -> Iterator[str]:
    family = f"amd_sev_fam{cpu.family:02x}h_model"
    yield f"{family}{cpu.model:02x}h.sbin"
    yield f"{family}{cpu.model >> 4 & 0xF:x}xh.sbin"
    yield "sev.fw"
