"""Why the PSP refuses INIT: for each error what the field found, in order, held to the facts.

A cause is supported (Hit), excluded (Miss), or open (Gap): an open one is a note and never
named, an excluded one is neither (snp-host.md §2.3 rows 5 and 20–22, §4.4).
"""

from collections.abc import Callable
from typing import NamedTuple

from nodeagent.checks import kernel, rmp, silicon
from nodeagent.checks.answer import Answer, Gap, Hit, Miss, gap
from nodeagent.checks.firmware import api_too_old, offline, offlining_options, shown_offline
from nodeagent.checks.silicon import identity
from nodeagent.model.codes import Code
from nodeagent.model.facts import Facts
from nodeagent.model.firmware import PspDevice
from nodeagent.model.text import printable
from nodeagent.model.words import Generation

_HOT_LOAD = (0x00, 0x13, 0x00, 0x70)  # the first boot loader of Milan that takes newer firmware
_HEX = frozenset("0123456789abcdefABCDEF")
_RMP_ERRORS = (0x1A, 0x20, 0x26)
_FIRMWARE_ERRORS = (0x15, 0x21, 0x22)


class Cause(NamedTuple):
    """`code` names it; `test` says whether the facts bear it out."""

    code: Code
    test: Callable[[Facts], Answer]


class Weighed(NamedTuple):
    """The first cause that is borne out, and what else it may be: code, and why."""

    first: Code | None
    because: str
    others: tuple[tuple[Code, str], ...]


def weigh(facts: Facts, error: int) -> Weighed:
    """An error without causes of its own has none."""
    answered = [(cause.code, cause.test(facts)) for cause in RANKED.get(error, ())]
    hits = [(code, answer.seen) for code, answer in answered if isinstance(answer, Hit)]
    gaps = [(code, str(answer.gap)) for code, answer in answered if isinstance(answer, Gap)]
    first, because = hits[0] if hits else (None, "")
    return Weighed(first, because, (*hits[1:], *gaps))


def cpus_offline(facts: Facts) -> Answer:
    """Where the list is closed an option that takes CPUs offline is witness enough."""
    online, present = facts.cpus.online, facts.cpus.present
    lists = isinstance(online, tuple) and isinstance(present, tuple)
    if offline(facts) or (not lists and offlining_options(facts)):
        return Hit(shown_offline(facts), "/sys/devices/system/cpu/online")
    if not lists:
        return gap("/sys/devices/system/cpu", online if not isinstance(online, tuple) else present)
    return Miss("every CPU is online")


def legacy_boot(facts: Facts) -> Answer:
    efi = facts.kernel.efi
    if efi is False:
        return Hit("there is no /sys/firmware/efi", "/sys/firmware/efi")
    return Miss("booted by UEFI") if efi is True else gap("/sys/firmware/efi", efi)


def old_firmware(facts: Facts) -> Answer:
    return api_too_old(facts)


def old_boot_loader(facts: Facts) -> Answer:
    """On Milan, with a firmware file that the driver would load into it."""
    cpu = identity(facts)
    if isinstance(cpu, Gap):
        return cpu
    files = facts.firmware.files
    if cpu.generation is not Generation.MILAN or files == () or files is None:
        return Miss()
    psp = facts.firmware.master
    if not isinstance(psp, PspDevice):
        return gap("the PSP's attributes", psp)
    found = psp.attributes.get("bootloader_version")
    version = _version(found) if isinstance(found, str) else None
    if not isinstance(found, str) or version is None:
        return gap(f"bootloader_version of {psp.bdf}", found, absent="has no version")
    if version >= _HOT_LOAD:
        return Miss(f"PSP boot loader {found}")
    if not isinstance(files, tuple):
        return gap("/lib/firmware/amd", files)
    seen = f"PSP boot loader {printable(found, 20)} is too old for {printable(files[0], 60)}"
    return Hit(seen, f"bootloader_version of {psp.bdf}")


def _version(text: str) -> tuple[int, ...] | None:
    """`00.13.00.70`: four bytes in hex."""
    parts = text.split(".")
    if len(parts) != 4 or not all(len(each) == 2 and set(each) <= _HEX for each in parts):
        return None
    return tuple(int(each, 16) for each in parts)


_RMP = (
    Cause(Code.BIOS_RMP_NOT_RESERVED, rmp.not_reserved),
    Cause(Code.BIOS_RMP_INVALID, rmp.invalid),
    Cause(Code.BIOS_RMP_TOO_SMALL, rmp.too_small),
)
_FIRMWARE = (Cause(Code.SEV_FW_TOO_OLD, old_firmware),)

RANKED: dict[int, tuple[Cause, ...]] = {
    0x1: (Cause(Code.PSP_BOOT_LOADER_OLD, old_boot_loader),),
    0x3: (
        Cause(Code.CPUS_OFFLINE, cpus_offline),
        Cause(Code.LEGACY_BOOT, legacy_boot),
        *_FIRMWARE,
    ),
    0xE: (Cause(Code.KERNEL_NO_SNP_HOST, kernel.no_snp_host), *_FIRMWARE),
    0x13: (
        Cause(Code.BIOS_SMEE_OFF, silicon.smee_off),
        Cause(Code.BIOS_IOMMU_OFF, kernel.iommu_off),
        Cause(Code.BIOS_IOMMU_SNP_OFF, kernel.iommu_snp_off),
        *_RMP,
    ),
    **dict.fromkeys(_RMP_ERRORS, _RMP),
    **dict.fromkeys(_FIRMWARE_ERRORS, _FIRMWARE),
}
