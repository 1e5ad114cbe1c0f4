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

# The header of an image, which AMD publishes with the firmware's source: AMD-ASPFW, header.inc.
_HEADER_SIZE = 256
_COOKIE = (0x10, b"$PS1")
_VERSION = 0x60  # build, minor, major, and a byte that sets these apart from very old images
_PACKED_SIZE = 4096
_UNPACK_LIMIT = 16 << 20  # the kernel itself unpacks no file that needs more than a small window


def read(files: Files, cpu: Seen[CpuIdentity]) -> Firmware:
    images = _files(files, cpu)
    first = images[0] if isinstance(images, tuple) and images else None
    return Firmware(_psps(files), images, _image(files, first) if first else None)


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


def _image(files: Files, path: str) -> Seen[tuple[int, int, int]]:
    """The version that an image's header tells; None for one that is packed by zstd."""
    packed = path.endswith(".xz")
    if path.endswith(".zst"):
        return None
    with files.parts(path) as parts:
        if parts is None or isinstance(parts, Unreadable):
            return parts
        raw = parts.read(0, _PACKED_SIZE if packed else _HEADER_SIZE)
    if isinstance(raw, Unreadable):
        return raw
    return image_version(_unpacked(raw) if packed else raw)


def _unpacked(raw: bytes) -> bytes:
    import lzma  # noqa: PLC0415 - few hosts have it packed this way

    try:
        unpacker = lzma.LZMADecompressor(memlimit=_UNPACK_LIMIT)
        return unpacker.decompress(raw, max_length=_HEADER_SIZE)
    except (lzma.LZMAError, EOFError, MemoryError):
        return b""


def image_version(header: bytes) -> tuple[int, int, int] | None:
    start, cookie = _COOKIE
    if len(header) < _HEADER_SIZE or not header.startswith(cookie, start):
        return None
    build, minor, major, mark = header[_VERSION : _VERSION + 4]
    return (major, minor, build) if mark == 1 else None
