"""What is read of the PSP, its firmware files, microcode and installed kernels."""

from pathlib import Path

import pytest

from nodeagent.capture.archive import open_capture
from nodeagent.facts.cpu import microcode_of
from nodeagent.facts.look import look
from nodeagent.facts.parse import parsed
from nodeagent.model.cpu import CpuValues
from nodeagent.model.firmware import PspDevice, Tcb, decode_tcb
from nodeagent.model.seen import Unreadable
from nodeagent.model.words import Generation
from tests.hosts import base, pci
from tests.hosts.draft import Draft
from tests.unit.looks import Veiled, drafted, facts_of

SECOND_PSP = "0000:03:00.5"
PSP_FOLDER = f"/sys/bus/pci/devices/{base.PSP}"


def processors(*levels: str) -> str:
    return "\n\n".join(
        f"processor\t: {number}\nvendor_id\t: AuthenticAMD\nmicrocode\t: {level}\nflags\t\t: fpu"
        for number, level in enumerate(levels)
    )


def two_psps() -> Draft:
    """The second socket's device has the driver too, and says nothing of itself."""
    draft = base.genoa_ready()
    parent = pci.plug_port(draft, "0000:02:07.1", bus=0x03, group=60)
    pci.plug(
        draft,
        pci.Device(SECOND_PSP, parent, pci.AMD, 0x14CA, 0x108000, driver="ccp", group=61),
        config=b"\0" * 64,
    )
    return draft


def psp_attributes(draft: Draft, bdf: str = base.PSP, **attributes: str) -> None:
    for name, value in attributes.items():
        draft.put(f"{pci.home(draft, bdf)}/{name}", value)


def test_every_attribute_that_the_kernel_shows_is_read(tmp_path: Path) -> None:
    host = base.genoa_ready()
    psp_attributes(host, fused_part="1", debug_lock_on="0", rpmc_production_enabled="1")

    master = facts_of(drafted(host, tmp_path)).firmware.master

    assert master == PspDevice(
        base.PSP,
        {
            "bootloader_version": "00.2d.00.78",
            "debug_lock_on": "0",
            "fused_part": "1",
            "rpmc_production_enabled": "1",
        },
    )


@pytest.mark.parametrize(("talks", "master"), [(base.PSP, base.PSP), (SECOND_PSP, SECOND_PSP)])
def test_the_master_is_the_lowest_that_says_anything(
    talks: str, master: str, tmp_path: Path
) -> None:
    host = two_psps()
    host.remove(f"{pci.home(host, base.PSP)}/bootloader_version")
    psp_attributes(host, talks, tee_version="00.00.00.11")

    firmware = facts_of(drafted(host, tmp_path)).firmware

    assert isinstance(firmware.psps, tuple)
    assert [each.bdf for each in firmware.psps] == [base.PSP, SECOND_PSP]
    assert isinstance(firmware.master, PspDevice)
    assert firmware.master.bdf == master


def test_without_the_driver_there_is_no_psp(tmp_path: Path) -> None:
    host = base.genoa_ready()
    host.remove("/sys/bus/pci/drivers/ccp")

    assert facts_of(drafted(host, tmp_path)).firmware.master is None


@pytest.mark.parametrize("hidden", ["/sys/bus/pci/drivers/ccp", PSP_FOLDER])
def test_a_closed_folder_hides_the_psp(hidden: str, hosts: Path) -> None:
    with open_capture(str(hosts / "genoa-ready")) as machine:
        firmware = look(Veiled(machine, hidden=hidden.__eq__)).firmware

    assert isinstance(firmware.master, Unreadable)


def test_firmware_files_are_found_in_the_drivers_order(tmp_path: Path) -> None:
    host = base.genoa_ready()
    for name in (
        "/lib/firmware/amd/sev.fw",
        "/lib/firmware/amd/amd_sev_fam19h_model11h.sbin.zst",
        "/lib/firmware/updates/amd/amd_sev_fam19h_model1xh.sbin.xz",
        "/lib/firmware/amd/amd_sev_fam19h_model0xh.sbin",  # a Milan's
        "/lib/firmware/amd/amd_sev_fam19h_model1xh.sbin.old",
    ):
        host.put(name, b"")

    assert facts_of(drafted(host, tmp_path)).firmware.files == (
        "/lib/firmware/amd/amd_sev_fam19h_model11h.sbin.zst",
        "/lib/firmware/updates/amd/amd_sev_fam19h_model1xh.sbin.xz",
        "/lib/firmware/amd/amd_sev_fam19h_model1xh.sbin",
        "/lib/firmware/amd/sev.fw",
    )


@pytest.mark.parametrize(
    ("text", "levels"),
    [
        (processors("0xa101154"), {0xA101154: (0,)}),
        (processors(*["0xa101154"] * 3), {0xA101154: (0, 1, 2)}),
        (processors("0xa101154", "0xa101148", "0xa101154"), {0xA101154: (0, 2), 0xA101148: (1,)}),
        # One level that is the beginning of the other.
        (processors("0xa10115", "0xa101154"), {0xA10115: (0,), 0xA101154: (1,)}),
    ],
)
def test_microcode_is_read_of_every_processor(
    text: str, levels: dict[int, tuple[int, ...]]
) -> None:
    assert microcode_of(text + "\n\n") == CpuValues(levels)
    assert microcode_of(text) == CpuValues(levels)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "processor\t: 0\nflags\t\t: fpu",
        processors("0xa101154", "new"),
        processors("0xa101154") + "\n\nprocessor\t: 1\nflags\t\t: fpu",
    ],
)
def test_a_processor_without_a_level_makes_them_unreadable(text: str) -> None:
    assert isinstance(parsed("/proc/cpuinfo", text, microcode_of), Unreadable)


def test_kernels_are_those_in_boot(tmp_path: Path) -> None:
    host = base.genoa_ready()
    host.put("/boot/vmlinuz-6.17.0-9-generic", b"")
    host.put("/lib/modules/6.18.0-1-generic/modules.dep", "")  # left by a removed kernel

    installed = facts_of(drafted(host, tmp_path)).kernel.installed

    assert installed == ("6.17.0-8-generic", "6.17.0-9-generic")


def test_where_boot_has_none_kernels_lie_beside_their_modules(tmp_path: Path) -> None:
    host = base.genoa_ready()
    del host.files["/boot/vmlinuz"]
    host.put("/lib/modules/6.17.0-8-generic/vmlinuz", b"")
    host.put("/lib/modules/6.16.0-4-generic/modules.dep", "")

    installed = facts_of(drafted(host, tmp_path)).kernel.installed

    assert installed == ("6.17.0-8-generic",)


def test_asids_in_use_are_read_beside_their_number(hosts: Path) -> None:
    kernel = facts_of(hosts / "genoa-ready").kernel

    assert kernel.misc_capacity == {"sev": 907, "sev_es": 99}
    assert kernel.misc_current == {"sev": 0, "sev_es": 0}


MILAN, GENOA, TURIN = Generation.MILAN, Generation.GENOA, Generation.TURIN


@pytest.mark.parametrize(
    ("memory", "generation", "tcb"),
    [
        ("0a 00 00 00 00 00 17 54", GENOA, Tcb(None, 10, 0, 23, 84)),
        ("0a 00 00 00 00 00 17 54", Generation.BERGAMO_SIENA, Tcb(None, 10, 0, 23, 84)),
        ("04 00 00 00 00 00 18 db", MILAN, Tcb(None, 4, 0, 24, 219)),
        ("03 04 00 08 00 00 00 0c", TURIN, Tcb(3, 4, 0, 8, 12)),
        ("03 04 00 08 00 00 00 0c", Generation.VENICE, Tcb(3, 4, 0, 8, 12)),
        ("00 00 00 00 00 00 00 00", GENOA, Tcb(None, 0, 0, 0, 0)),
        ("ff ff 00 00 00 00 ff ff", MILAN, Tcb(None, 255, 255, 255, 255)),
        ("ff ff ff ff 00 00 00 ff", TURIN, Tcb(255, 255, 255, 255, 255)),
        # One generation's value by another's layout, and bytes that must be zero.
        ("04 00 00 00 00 00 18 db", TURIN, None),
        ("03 04 00 08 00 00 00 0c", MILAN, None),
        ("0a 00 01 00 00 00 17 54", GENOA, None),
        ("0a 00 00 00 00 80 17 54", GENOA, None),
        ("03 04 00 08 01 00 00 0c", TURIN, None),
        ("03 04 00 08 00 00 01 0c", TURIN, None),
        ("03 04 00 08 00 00 00 0c", Generation.UNKNOWN, None),
        ("0a 00 00 00 00 00 17 54", Generation.ROME, None),
        ("0a 00 00 00 00 00 17 54", None, None),
    ],
)
def test_a_tcb_is_decoded_by_its_generation(
    memory: str, generation: Generation | None, tcb: Tcb | None
) -> None:
    raw = int.from_bytes(bytes.fromhex(memory), "little")

    assert decode_tcb(raw, generation) == tcb


def test_every_version_of_a_tcb_has_a_name_when_shown() -> None:
    assert str(Tcb(None, 10, 0, 23, 84)) == "boot loader 10, TEE 0, SNP 23, microcode 84"
    assert str(Tcb(3, 4, 0, 8, 12)) == "FMC 3, boot loader 4, TEE 0, SNP 8, microcode 12"
