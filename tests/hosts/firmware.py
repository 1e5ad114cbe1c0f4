"""Deltas of firmware: levels, masks, fuses, and what waits to be booted."""

from dataclasses import replace

from tests.hosts import base, pci
from tests.hosts.draft import Delta, Draft

# SNP 27 and microcode 86: what the floors of a Genoa ask for (snp-host.md §4.6).
COMPLIANT_TCB = "0a00000000001b56"


def tcb(current: str, reported: str | None = None) -> Delta:
    """As it lies in memory, in hex."""

    def delta(draft: Draft) -> None:
        _status(draft, 16, current + (reported or current))

    return delta


def updated(draft: Draft) -> None:
    """§8.3 #13: loaded at boot from the disk, and never committed."""
    text = f"ccp {base.PSP}: SEV firmware updated from 1.55.37 to 1.55.40"
    where = next(n for n, line in enumerate(draft.log) if "psp enabled" in line.text)
    draft.log.insert(where + 1, replace(draft.log[where], text=text))


def no_alias_check(draft: Draft) -> None:
    """§8.3 #14."""
    _status(draft, 3, "01")


def flags(bits: int) -> Delta:
    """Masks and features of the SNP status; the base has FEATURE_INFO and hiding capable."""

    def delta(draft: Draft) -> None:
        _status(draft, 8, (0x28 | bits).to_bytes(4, "little").hex())

    return delta


def _status(draft: Draft, offset: int, text: str) -> None:
    reply = draft.sev["snp_platform_status"]
    assert isinstance(reply, dict)
    old, start = str(reply["hex"]), 2 * offset
    draft.sev["snp_platform_status"] = {"hex": old[:start] + text + old[start + len(text) :]}


def sev_build(build: int) -> Delta:
    def delta(draft: Draft) -> None:
        said = base.SEV_STATUS[:14] + f"{build:02x}" + base.SEV_STATUS[16:]
        draft.sev["platform_status"] = {"hex": said}
        _status(draft, 4, build.to_bytes(4, "little").hex())
        for kind in ("SEV-SNP", "SEV"):
            said = f"ccp {base.PSP}: {kind} API:1.55 build:{build}"
            draft.swap(f"{kind} API", said, level=6)

    return delta


def microcode(level: int) -> Delta:
    def delta(draft: Draft) -> None:
        draft.cpu = replace(draft.cpu, microcode=level)

    return delta


def odd_microcode(draft: Draft) -> None:
    draft.odd_microcode[7] = 0xA101148


def psp_says(name: str, value: str) -> Delta:
    def delta(draft: Draft) -> None:
        draft.put(f"{pci.home(draft, base.PSP)}/{name}", value)

    return delta


def bios(board: str, version: str) -> Delta:
    def delta(draft: Draft) -> None:
        draft.dmi(board_name=board, bios_version=version)

    return delta


def asids_in_use(count: int) -> Delta:
    def delta(draft: Draft) -> None:
        draft.put("/sys/fs/cgroup/misc.current", f"sev 0\nsev_es {count}\n")

    return delta


def newer_kernel(draft: Draft) -> None:
    draft.put("/boot/vmlinuz-6.17.0-14-generic", b"")


def image(major: int, minor: int, build: int) -> bytes:
    """The header as AMD-ASPFW has it, and some bytes of what would follow."""
    header = bytearray(256)
    header[:0x10] = bytes(range(0x80, 0x90))
    header[0x10:0x14] = b"$PS1"
    header[0x60:0x64] = bytes((build, minor, major, 1))
    return bytes(header) + bytes(range(256)) * 16


def newer_image(draft: Draft) -> None:
    """linux-firmware was updated since the boot."""
    draft.put("/lib/firmware/amd/amd_sev_fam19h_model1xh.sbin", image(1, 55, 44))


def all_demands(draft: Draft) -> None:
    """Every bit that a guest's policy may set, as KVM takes them from a Zen 5 on (§0.4 #6)."""
    draft.policy_bits |= 0b11111 << 20 | 1 << 25
