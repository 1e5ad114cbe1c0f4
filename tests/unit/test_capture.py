"""Captures: absent, denied and not captured are kept apart; a malformed one is named."""

import gzip
import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nodeagent.capture.archive import open_capture
from nodeagent.errors import AgentError, CaptureError
from nodeagent.model.host import Kvm
from nodeagent.model.seen import Unreadable
from tests.unit.looks import judged


@pytest.fixture
def capture(tmp_path: Path) -> Callable[..., Path]:
    def make(host: dict[str, Any] | str, probes: dict[str, Any] | str | None = None) -> Path:
        folder = tmp_path / "capture"
        (folder / "root/etc").mkdir(parents=True)
        (folder / "root/etc/name").write_text("here\n")
        _write(folder / "host.json", host)
        if probes is not None:
            _write(folder / "probes.json", probes)
        return folder

    return make


def _write(path: Path, value: dict[str, Any] | str) -> None:
    path.write_text(value if isinstance(value, str) else json.dumps(value))


def test_absent_denied_and_not_captured_are_three_answers(capture: Callable[..., Path]) -> None:
    folder = capture(
        {"version": 1, "absent": ["/sys/module/nvidia", "/opt"], "denied": {"/etc/name": "EACCES"}}
    )
    with open_capture(str(folder)) as machine:
        files = machine.files
        assert files.read("/etc/other") is None
        assert files.read("/opt/kata/version") is None
        assert files.has("/sys/module/nvidia") is False
        assert files.read("/sys/module/kvm/parameters/x") == Unreadable(
            "/sys/module/kvm/parameters/x", "not captured"
        )
        denied = files.read("/etc/name")
        assert isinstance(denied, Unreadable)
        assert denied.why == "EACCES: Permission denied"


def test_numbers_are_hex_strings_or_integers(capture: Callable[..., Path]) -> None:
    folder = capture(
        {"version": 1},
        {
            "msr": {"0xc0010010": {"default": "0x3fc0000", "7": 1}, "0xc0010015": {"error": "EIO"}},
            "cpuid": {"0x8000001f": {"eax": "0x1f", "ebx": 0, "ecx": 1006, "edx": "0x64"}},
        },
    )
    with open_capture(str(folder)) as machine:
        values = machine.probes.msrs([0, 1, 7], [0xC0010010, 0xC0010015])
        syscfg = values[0xC0010010]
        assert syscfg is not None
        assert not isinstance(syscfg, Unreadable)
        assert syscfg.by_value == {0x3FC0000: (0, 1), 1: (7,)}
        assert isinstance(values[0xC0010015], Unreadable)


def test_of_kvm_null_is_what_the_kernel_does_not_know_and_a_missing_key_was_not_asked(
    capture: Callable[..., Path],
) -> None:
    kvm = {"api_version": 12, "vm_types": "0x1f", "policy_bits": None}
    folder = capture({"version": 1}, {"kvm": kvm})

    with open_capture(str(folder)) as machine:
        found = machine.probes.kvm()
    assert found == Kvm(12, 0x1F, Unreadable("/dev/kvm", "not captured"), None)


@pytest.mark.parametrize(
    ("host", "probes", "message"),
    [
        ("not json", None, "host.json: is no JSON"),
        ("[]", None, "host.json: must be an object, is a list"),
        ("{}", None, "host.json: has no version"),
        ({"version": 2}, None, r"host.json: version: is 2, and this program reads version 1"),
        ({"version": -3}, None, "host.json: version: must be 1 or more, is -3"),
        ({"version": 0}, None, "host.json: version: must be 1 or more, is 0"),
        ({"version": "-1"}, None, "host.json: version: must be 1 or more, is -1"),
        ({"version": False}, None, "host.json: version: must be a whole number, is"),
        ({"version": "soon"}, None, "host.json: version: must be a number such as"),
        ({"version": 1, "abscent": []}, None, "host.json: abscent: is no known key.*absent"),
        ({"version": 1, "absent": "x"}, None, "host.json: absent: must be a list, is a string"),
        ({"version": 1, "denied": {"/x": 1}}, None, "host.json: denied./x: must be a string"),
        ({"version": 1}, {"cpuid": {"leaf": {}}}, "probes.json: cpuid.leaf: must be named by"),
        ({"version": 1}, {"cpuid": {"0x1": {"eax": 1}}}, "probes.json: cpuid.0x1: has no ebx"),
        ({"version": 1}, {"msr": {"0x10": True}}, "probes.json: msr.0x10: must be a whole number"),
        ({"version": 1}, {"msr": {"0x10": "0x1" + "0" * 20}}, "must fit in 64 bits"),
        ({"version": 1}, {"sev": {"platform_status": {"hex": "0g"}}}, "must be bytes in hex"),
        ({"version": 1}, {"sev": {"platform_status": {}}}, "needs hex or errno"),
        (
            {"version": 1},
            {"gpu": {"0000:41:00.0": {"bar0": {"x": 1}}}},
            "must be named by a number",
        ),
        (
            {"version": 1},
            {"kvm": {"api_version": 12, "policy_bit": 1}},
            "probes.json: kvm.policy_bit: is no known key; did you mean policy_bits",
        ),
        ({"version": 1}, "[" * 5000, "probes.json: is no JSON"),
        ({"version": 1}, '{"cpuid":' * 30 + "1" + "}" * 30, "nested deeper than 16"),
    ],
)
def test_a_malformed_capture_names_file_key_and_reason(
    capture: Callable[..., Path], host: object, probes: object, message: str
) -> None:
    folder = capture(host, probes)

    with pytest.raises(CaptureError, match=message), open_capture(str(folder)):
        pass


@pytest.mark.parametrize("what", ["missing", "empty"])
def test_a_path_that_is_no_capture_is_named(tmp_path: Path, what: str) -> None:
    (tmp_path / "empty").mkdir()

    with pytest.raises(AgentError, match=what), open_capture(str(tmp_path / what)):
        pass


@pytest.mark.parametrize("inner", ["", "host-a/"])
def test_an_archive_reads_like_its_folder(hosts: Path, tmp_path: Path, inner: str) -> None:
    archive = tmp_path / "host.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        file.add(hosts / "genoa-iommu-pt", arcname=inner.rstrip("/") or ".")

    packed, plain = judged(archive), judged(hosts / "genoa-iommu-pt")

    assert packed == plain


@pytest.mark.parametrize(
    ("name", "kind", "target", "message"),
    [
        ("../out", tarfile.REGTYPE, "", "leads out of the archive"),
        ("/etc/out", tarfile.REGTYPE, "", "leads out of the archive"),
        ("root/dev/sda", tarfile.BLKTYPE, "", "is no file, folder or symbolic link"),
        ("root/hard", tarfile.LNKTYPE, "host.json", "is no file, folder or symbolic link"),
        ("root/link/x", tarfile.REGTYPE, "", "lies behind a link"),
        ("root/away", tarfile.SYMTYPE, "/etc/passwd", "out of the archive"),
        ("root/away", tarfile.SYMTYPE, "../../etc/passwd", "out of the archive"),
        ("root/away", tarfile.SYMTYPE, "x/../../../etc", "out of the archive"),
    ],
)
def test_a_hostile_archive_is_refused(
    tmp_path: Path, name: str, kind: bytes, target: str, message: str
) -> None:
    archive = tmp_path / "host.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        _add(file, "host.json", tarfile.REGTYPE, "", b'{"version": 1}')
        _add(file, "root/link", tarfile.SYMTYPE, "etc", b"")
        _add(file, name, kind, target, b"")

    with pytest.raises(CaptureError, match=message), open_capture(str(archive)):
        pass


def _add(file: tarfile.TarFile, name: str, kind: bytes, target: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.size = kind, target, len(data)
    file.addfile(member, io.BytesIO(data))


def test_a_bomb_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "bomb.tar.gz"
    with tarfile.open(archive, "w:gz", compresslevel=1) as file:
        member = tarfile.TarInfo("root/zeros")
        member.size = 600 << 20
        with open("/dev/zero", "rb") as zeros:
            file.addfile(member, zeros)

    with (
        pytest.raises(CaptureError, match="more than a capture can hold"),
        open_capture(str(archive)),
    ):
        pass


def test_what_is_no_archive_says_so(tmp_path: Path) -> None:
    (tmp_path / "x.tar.gz").write_text("no archive")

    with (
        pytest.raises(CaptureError, match="cannot be unpacked"),
        open_capture(str(tmp_path / "x.tar.gz")),
    ):
        pass


def test_a_root_that_is_a_link_is_refused(tmp_path: Path) -> None:
    """Else a capture could show this machine as if it were another."""
    (tmp_path / "host.json").write_text('{"version": 1}')
    (tmp_path / "root").symlink_to("/")

    with pytest.raises(CaptureError, match="no folder root/"), open_capture(str(tmp_path)):
        pass


def test_a_damaged_archive_is_refused_or_harmless(hosts: Path, tmp_path: Path) -> None:
    """Damage takes files away, and a file that is not there would read as absent."""
    archive = tmp_path / "host.tar.gz"
    with tarfile.open(archive, "w:gz", compresslevel=6) as file:
        file.add(hosts / "genoa-ready", arcname=".")
    whole = archive.read_bytes()
    undamaged = judged(archive)
    refused = 0
    for at in range(30, len(whole), len(whole) // 97):
        flipped = bytearray(whole)
        flipped[at] ^= 0x10
        archive.write_bytes(flipped)
        try:
            assert judged(archive) == undamaged
        except CaptureError:
            refused += 1

    assert refused >= 90  # a few bits of a compressed stream mean nothing


def test_an_archive_cut_at_a_member_is_never_judged(hosts: Path, tmp_path: Path) -> None:
    plain = tmp_path / "host.tar"
    with tarfile.open(plain, "w") as file:
        file.add(hosts / "genoa-ready", arcname=".")
    with tarfile.open(plain) as file:
        cut = [member.offset for member in file][100]
    archive = tmp_path / "host.tar.gz"
    archive.write_bytes(gzip.compress(plain.read_bytes()[:cut]))

    with (
        pytest.raises(CaptureError, match="cut short or damaged"),
        open_capture(str(archive)),
    ):
        pass


def test_a_fifo_is_no_capture(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    with (
        pytest.raises(CaptureError, match="neither a folder nor a file"),
        open_capture(str(tmp_path / "pipe")),
    ):
        pass


def test_an_unknown_probe_is_named(capture: Callable[..., Path]) -> None:
    folder = capture({"version": 1}, {"msrs": {}})

    with (
        pytest.raises(CaptureError, match=r"probes.json: msrs: is no known key; did you mean msr"),
        open_capture(str(folder)),
    ):
        pass
