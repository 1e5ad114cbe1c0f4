"""What bites later: ASIDs that run out, a kernel and firmware that wait for a reboot."""

import lzma
from pathlib import Path

import pytest

from nodeagent.checks.upkeep import release_parts
from nodeagent.facts.firmware import image_version
from nodeagent.model.codes import Code
from nodeagent.model.words import Ready, Verdict
from nodeagent.report.document import document
from tests.hosts import firmware
from tests.hosts.base import genoa_ready
from tests.unit.looks import drafted, facts_of, judged

UBUNTU, RHEL = "6.17.0-8-generic", "5.14.0-503.40.1.el9_5.x86_64"
DEBIAN, SUSE = "6.12.43+deb13-amd64", "6.4.0-150600.23.73-default"


@pytest.mark.parametrize(
    ("running", "installed", "newer"),
    [
        (UBUNTU, "6.17.0-14-generic", True),
        (UBUNTU, "6.18.0-1-generic", True),
        (UBUNTU, "7.0.0-1-generic", True),
        (UBUNTU, "6.17.0-7-generic", False),
        (UBUNTU, "6.8.0-85-generic", False),
        (UBUNTU, "6.17.0-8-generic.old", False),
        (UBUNTU, "6.18.0-1-lowlatency", False),
        (UBUNTU, "6.18.0-rc1-generic", False),
        (RHEL, "5.14.0-570.12.1.el9_6.x86_64", True),
        (RHEL, "5.14.0-503.5.1.el9_5.x86_64", False),
        (RHEL, "5.14.0-570.12.1.el9_6.x86_64+debug", False),
        (DEBIAN, "6.12.48+deb13-amd64", True),
        (DEBIAN, "6.12.48+deb13-cloud-amd64", False),
        (SUSE, "6.4.0-150600.23.78-default", True),
        ("6.18.3", "6.18.4", True),
        ("6.18.3", "rescue-0123456789abcdef", False),
        ("6.18.3", "", False),
    ],
)
def test_a_newer_kernel_of_the_same_kind_waits_for_a_reboot(
    running: str, installed: str, newer: bool, tmp_path: Path
) -> None:
    host = genoa_ready()
    host.release = running
    host.put(f"/boot/vmlinuz-{installed}", b"")

    judgement = judged(drafted(host, tmp_path))

    found = {each.code for each in judgement.findings if each.verdict is Verdict.WARN}
    assert (Code.REBOOT_PENDING in found) is newer
    assert judgement.ready is Ready.YES


@pytest.mark.parametrize(
    ("release", "number", "flavour"),
    [
        (UBUNTU, (6, 17, 0, 8), "generic"),
        (RHEL, (5, 14, 0, 503, 40, 1), "el.x"),
        (DEBIAN, (6, 12, 43), "+deb-amd"),
        (SUSE, (6, 4, 0, 150600, 23, 73), "default"),
        ("6.18.3-061803-generic", (6, 18, 3, 61803), "generic"),
        ("7.1-rc1", (7, 1), "rc"),
        ("6.18.3", (6, 18, 3), ""),
        ("strange", (), "strange"),
        ("9" * 400, (), ""),
        ("1.٣", (1,), ""),
    ],
)
def test_a_release_is_a_number_and_a_flavour(
    release: str, number: tuple[int, ...], flavour: str
) -> None:
    assert release_parts(release) == (number, flavour)


SBIN = "/lib/firmware/amd/amd_sev_fam19h_model1xh.sbin"
_BOMB = lzma.compress(bytes(64 << 20), preset=9)


@pytest.mark.parametrize(
    ("path", "content", "code"),
    [
        (SBIN, firmware.image(1, 55, 41), "SEV_FW_PENDING"),
        (SBIN, firmware.image(1, 56, 0), "SEV_FW_PENDING"),
        (SBIN, firmware.image(2, 0, 0), "SEV_FW_PENDING"),
        (SBIN, firmware.image(1, 55, 40), None),
        (SBIN, firmware.image(1, 55, 39), None),
        (SBIN, firmware.image(1, 54, 99), None),
        # The driver takes the one in the folder of updates, and the exact model's before all.
        ("/lib/firmware/updates/amd/" + SBIN[18:], firmware.image(1, 55, 41), "SEV_FW_PENDING"),
        (SBIN.replace("1xh", "11h"), firmware.image(1, 55, 41), "SEV_FW_PENDING"),
        (SBIN + ".xz", lzma.compress(firmware.image(1, 55, 41)), "SEV_FW_PENDING"),
        (SBIN + ".xz", lzma.compress(firmware.image(1, 55, 40)), None),
    ],
)
def test_newer_firmware_on_the_disk_is_warned_of(
    path: str, content: bytes, code: str | None, tmp_path: Path
) -> None:
    host = genoa_ready()
    firmware.sev_build(40)(host)
    if path.startswith(SBIN):
        host.remove(SBIN)
    host.put(path, content)

    judgement = judged(drafted(host, tmp_path))

    [found] = [each for each in judgement.findings if each.check == "firmware.newest"]
    assert found.code == (Code(code) if code else None)
    assert judgement.ready is Ready.YES


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        ("", b"made up"),
        ("", b""),
        ("", firmware.image(1, 55, 99)[:255]),
        ("", firmware.image(1, 55, 99).replace(b"$PS1", b"$PS2")),
        ("", firmware.image(0, 0, 1)[:0x63] + b"\0" + firmware.image(0, 0, 1)[0x64:]),
        (".xz", b"\xfd7zXZ\0 and no more"),
        (".xz", firmware.image(1, 55, 99)),
        (".xz", _BOMB),
        (".zst", firmware.image(1, 55, 99)),
    ],
)
def test_a_file_that_tells_no_version_is_not_warned_of(
    suffix: str, content: bytes, tmp_path: Path
) -> None:
    host = genoa_ready()
    host.remove(SBIN)
    host.put(SBIN + suffix, content)

    judgement = judged(drafted(host, tmp_path))

    assert [each for each in judgement.findings if each.check == "firmware.newest"] == []


@pytest.mark.parametrize("gone", [0, 0x11, 0x63, 0x64, 0xFF])
def test_half_a_header_tells_nothing(gone: int) -> None:
    assert image_version(firmware.image(1, 55, 44)[:gone]) is None


@pytest.mark.parametrize(
    ("used", "code"),
    [
        (0, None), (89, None), (90, "ASIDS_LOW"), (98, "ASIDS_LOW"),
        (99, "ASIDS_EXHAUSTED"), (100, "ASIDS_EXHAUSTED"),
    ],
)  # fmt: skip
def test_few_free_asids_are_warned_of(used: int, code: str | None, tmp_path: Path) -> None:
    host = genoa_ready()
    firmware.asids_in_use(used)(host)

    judgement = judged(drafted(host, tmp_path))

    found = {each.code for each in judgement.findings if each.check == "snp.asids.free"}
    assert found == {Code(code) if code else None}
    assert judgement.ready is Ready.YES


@pytest.mark.parametrize(("first", "second"), [(91, 95), (1, 60)])
def test_guests_that_come_and_go_change_no_word(first: int, second: int, tmp_path: Path) -> None:
    told = []
    for used in (first, second):
        host = genoa_ready()
        firmware.asids_in_use(used)(host)
        facts = facts_of(drafted(host, tmp_path))
        told.append(document(judged(tmp_path), facts))

    assert told[0] == told[1]


def test_where_the_use_is_not_shown_nothing_is_said(tmp_path: Path) -> None:
    host = genoa_ready()
    host.denied["/sys/fs/cgroup/misc.current"] = "EACCES"

    judgement = judged(drafted(host, tmp_path))

    assert [each for each in judgement.findings if each.check == "snp.asids.free"] == []
