"""`nodeagent capture`: what it prints, what it refuses, and what its answer is worth."""

import json
import re
import shlex
from pathlib import Path

import pytest

from nodeagent.capture.archive import open_capture
from nodeagent.capture.record import Recorder
from nodeagent.capture.take import take
from nodeagent.capture.write import Written
from nodeagent.cli.capture import lines as told
from nodeagent.facts.look import look
from tests.hosts import base
from tests.unit.command import run
from tests.unit.looks import drafted, judged

HOSTS = Path(__file__).parents[1] / "hosts"


@pytest.mark.parametrize("name", ["out", "out.tar.gz"])
@pytest.mark.parametrize(("host", "code"), [("genoa-ready", 0), ("genoa-iommu-pt", 1)])
def test_what_was_captured_is_checked_alike(
    name: str, host: str, code: int, hosts: Path, tmp_path: Path
) -> None:
    assert run("capture", "--capture", hosts / host, tmp_path / name) == 0

    assert run("check", "--capture", tmp_path / name) == code


def test_it_says_where_and_what_was_masked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draft = base.genoa_ready()
    draft.cmdline.append("ip=10.1.2.3")
    draft.say("usb 1-4: SerialNumber: 4C530001234567")
    host = drafted(draft, tmp_path / "host")

    assert run("capture", "--capture", host, tmp_path / "out", "--note", "ask a@acme.com") == 0

    said = capsys.readouterr().out
    assert f"Wrote {tmp_path}/out: " in said.replace("\n  ", " ")
    assert "network addresses (1), UUIDs (1), serial numbers (1), user names (1)" in said.replace(
        "\n  ", " "
    )
    assert "A check of it says the same" in said
    assert "4C530001234567" not in said
    assert all(len(line) <= 80 for line in said.splitlines() if str(tmp_path) not in line)
    about = json.loads((tmp_path / "out/host.json").read_text())
    assert about["note"] == "ask masked-user-1@example.com"
    assert about["masked"]["e-mail addresses"] == 1
    assert about["captured"] == "2026-11-20T09:30:00Z"


def test_without_privilege_it_says_what_is_missing(
    hosts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("capture", "--capture", hosts / "genoa-no-privileges", tmp_path / "out") == 0

    said = capsys.readouterr().out.replace("\n  ", " ")
    assert "Could not be looked at: /dev/cpu/0/cpuid: EPERM; " in said
    gaps = json.loads((tmp_path / "out/host.json").read_text())["denied"]
    assert f"; {len(gaps) - 4} more in host.json." in said
    assert "Taken as root it would also hold: " in said


@pytest.mark.parametrize(
    ("words", "note"), [((), "as it came"), (("--note", "mine"), "mine"), (("--note", ""), "")]
)
def test_a_note_is_kept_unless_there_is_another(
    words: tuple[str, ...], note: str, tmp_path: Path
) -> None:
    host = drafted(base.genoa_ready(), tmp_path / "host")
    run("capture", "--capture", host, tmp_path / "first", "--note", "as it came")

    assert run("capture", "--capture", tmp_path / "first", tmp_path / "second", *words) == 0

    about = json.loads((tmp_path / "second/host.json").read_text())
    assert about.get("note", "") == note


@pytest.mark.parametrize(
    ("same", "said"),
    [
        (True, "A check of it says the same as a check of this host."),
        (False, "A check of it does NOT say the same as a check of this host: please report that."),
    ],
)
def test_a_mask_that_hid_too_much_would_be_told(same: bool, said: str, hosts: Path) -> None:
    with open_capture(str(hosts / "genoa-ready")) as machine:
        recorder = Recorder(machine)
        look(recorder)
        taken = take(recorder, note="")
    judgement = judged(hosts / "genoa-ready")

    lines = list(told("/nowhere", Written(3, 2048), taken, judgement, same=same))

    assert lines[0] == "Wrote /nowhere: 3 files, 2 KiB."
    assert said in " ".join(lines).replace("   ", " ")


def test_a_place_that_is_taken_is_refused_before_anything_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").write_text("mine")

    assert run("capture", "--capture", tmp_path / "missing", tmp_path / "out") == 2

    assert "is there already" in capsys.readouterr().err
    assert (tmp_path / "out").read_text() == "mine"


def test_a_place_that_cannot_be_written_is_no_answer(
    hosts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "missing" / "out"

    assert run("capture", "--capture", hosts / "genoa-ready", out) == 3

    complaint = capsys.readouterr().err
    assert complaint.startswith(f"nodeagent: cannot write the capture {out}: No such file")
    assert "try: another PATH" in complaint


def test_a_capture_of_a_newer_version_asks_for_an_update(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "host.json").write_text('{"version": 2}')

    assert run("check", "--capture", tmp_path) == 3

    complaint = capsys.readouterr().err
    assert "host.json: version: is 2, and this program reads version 1" in complaint
    assert "try: a newer nodeagent wrote it: update this one" in complaint


def test_the_readmes_capture_is_what_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    readme = (HOSTS.parents[1] / "README.md").read_text()
    [(words, printed)] = re.findall(
        r"^```\n# nodeagent (capture .*)\n((?:.*\n)*?)```$", readme, re.MULTILINE
    )
    (tmp_path / "tests").symlink_to(HOSTS.parent)
    monkeypatch.chdir(tmp_path)

    assert run(*shlex.split(words)) == 0

    # How many files are read, and how well they pack, changes with every check and every zlib.
    size = re.compile(r"[\d,]+ files, [\d,]+ KiB")
    assert size.sub("", capsys.readouterr().out) == size.sub("", printed)
