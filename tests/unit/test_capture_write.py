"""A capture replays to the same report, is written whole or not at all, and holds no more."""

import json
import os
import resource
import stat
import tarfile
import tempfile
from contextlib import closing
from functools import cache
from pathlib import Path

import pytest

from nodeagent.capture import write as writing
from nodeagent.capture.archive import open_capture
from nodeagent.capture.read import CapturedMachine
from nodeagent.capture.record import Recorder
from nodeagent.capture.take import take
from nodeagent.checks.judge import judge
from nodeagent.errors import CaptureError, UsageError
from nodeagent.facts.look import look
from nodeagent.host.live import LiveMachine
from nodeagent.model.facts import Facts
from nodeagent.model.seen import Unreadable
from nodeagent.model.words import Profile, Verdict
from nodeagent.report.document import document
from nodeagent.report.text import report
from tests.hosts import base, gpu_states, recipes, tree
from tests.hosts.expected import TABLE
from tests.hosts.inspector import inspect_as
from tests.unit.captures import (
    MEMORY,
    WHEN,
    Captured,
    captured,
    captured_host,
    masked,
    replayed,
    written,
)
from tests.unit.command import run
from tests.unit.looks import REQUIRED, Veiled, drafted, facts_of

HOSTS = Path(__file__).parents[1] / "hosts"
NAMES = [each.name for each in TABLE]


def _said(facts: Facts, profile: Profile) -> tuple[str, dict[str, object]]:
    """The report as text and as data, but for where it comes from."""
    judgement = judge(facts, profile=profile, want=None, policy=REQUIRED)
    source = facts.source._replace(where="here", note="")
    told = document(judgement, facts._replace(source=source))
    return report(judgement, source, verbose=True), told


@cache
def _of(name: str) -> Captured:
    """One capture of each host, for all tests that only look at it."""
    return captured_host(HOSTS / name)


@pytest.mark.parametrize("name", NAMES)
def test_a_capture_replays_to_the_same_facts_and_report(name: str) -> None:
    _replays(_of(name))


@pytest.mark.parametrize("name", ["genoa-ready", "genoa-ready-6.11", "genoa-gpu-held"])
def test_so_does_one_that_an_unprivileged_pod_takes(name: str, hosts: Path, tmp_path: Path) -> None:
    inspect_as(hosts / name, tmp_path / "seen")

    _replays(captured_host(tmp_path / "seen"))


def _replays(found: Captured) -> None:
    again = replayed(found)
    want = masked(found.facts, found.mask)
    assert again._replace(source=want.source) == want
    assert again.source.root == found.facts.source.root
    for profile in Profile:
        assert _said(again, profile) == _said(want, profile)


@pytest.mark.parametrize("host", ["genoa-kubelet-stopped", "genoa-iommu-pt"])
@pytest.mark.parametrize(
    "called",
    [
        *(
            "proxy",
            "plugins",
            "root",
            "usr",
            "bin",
            "runtime",
            "execstart",
            "environment",
            "generic",
        ),
        *("supermicro", "enabled", "sev", "snp", "rmp", "iommu", "passthrough", "kata", "nvidia"),
        *("vfio", "featuregates", "containeredits", "comm", "memory", "kernel", "amd", "pt", "on"),
        *("sev-snp", "kata-qemu", "vfio-pci.iommu.kernel"),
    ],
)
def test_a_host_called_like_a_word_of_its_files_replays_all_the_same(
    called: str, host: str, tmp_path: Path
) -> None:
    draft = recipes.draft(host)
    draft.put("/etc/hostname", called)
    taken = captured_host(drafted(draft, tmp_path / "host"))

    assert _verdicts(replayed(taken)) == _verdicts(taken.facts)


def _verdicts(facts: Facts) -> list[tuple[object, ...]]:
    judgement = judge(facts, profile=Profile.SNP_GPU, want=None, policy=REQUIRED)
    return [
        (each.check, each.verdict, each.code, each.outcome.cause, each.outcome.device, each.remedy)
        for each in judgement.findings
    ]


@pytest.mark.parametrize("name", NAMES)
def test_a_capture_of_a_capture_is_the_same_capture(name: str) -> None:
    once = _of(name)

    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        again = captured_host(written(once, Path(folder) / "once"))

    assert again.entries == once.entries


@pytest.mark.parametrize("name", ["genoa-ready", "genoa-gpu-held", "dev-machine"])
def test_an_archive_is_the_same_capture_in_the_same_bytes(name: str, tmp_path: Path) -> None:
    found = _of(name)

    one, other = written(found, tmp_path / "a.tar.gz"), written(found, tmp_path / "b.tar.gz")

    assert one.read_bytes() == other.read_bytes()
    assert captured_host(one).entries == found.entries
    with tarfile.open(one) as archive:
        members = archive.getmembers()
    assert [each.name for each in members] == sorted(each.name for each in members)
    assert {(each.uid, each.gid, each.mtime) for each in members} == {(0, 0, 1795167000)}


def test_every_file_that_is_hidden_stays_hidden_in_the_capture(hosts: Path) -> None:
    """Each gap with its reason, whichever way the reader stumbles upon it."""
    with open_capture(str(hosts / "genoa-ready")) as machine:
        veiled = Veiled(machine)
        look(veiled)
        # One of each kind: the vendor of a tenth device is hidden as that of the first is.
        kinds = {path.rpartition("/")[2]: path for path in veiled.asked if path[0] == "/"}
        for path in kinds.values():
            found = captured(Veiled(machine, hidden=lambda asked, path=path: asked == path))  # type: ignore[misc]
            want = masked(found.facts, found.mask)
            assert _said(replayed(found), Profile.SNP_GPU) == _said(want, Profile.SNP_GPU), path


def test_what_was_not_asked_was_not_captured(tmp_path: Path) -> None:
    """A later version must not take for absent what this one never looked for."""
    capture = written(_of("genoa-ready"), tmp_path / "capture")

    with open_capture(str(capture)) as machine:
        files = machine.files
        assert isinstance(files.read("/proc/meminfo"), Unreadable)
        assert isinstance(files.read("/sys/module/kvm_amd/parameters/new"), Unreadable | None)
        assert isinstance(files.names("/etc"), Unreadable)
        assert isinstance(files.has("/etc/kubernetes/kubelet.conf"), Unreadable)
        assert isinstance(files.link("/sys/bus/pci/devices/0000:41:00.0/virtfn0"), Unreadable)
        assert files.read("/etc/modprobe.d/other.conf") is None
        assert files.has("/sys/module/nvidia") is False


def test_a_listed_name_that_nobody_opened_is_there_and_not_empty(tmp_path: Path) -> None:
    draft = base.genoa_ready()
    draft.put("/etc/modprobe.d/README", "no configuration")
    capture = written(captured_host(drafted(draft, tmp_path / "host")), tmp_path / "capture")

    with open_capture(str(capture)) as machine:
        names = machine.files.names("/etc/modprobe.d")
        assert names == ("README", "vfio.conf")
        assert isinstance(machine.files.read("/etc/modprobe.d/README"), Unreadable)
        assert isinstance(machine.files.names("/etc/modprobe.d/README"), Unreadable)


def test_only_processes_that_matter_are_kept(tmp_path: Path) -> None:
    draft = base.genoa_ready()
    gpu_states.held(draft)
    draft.put("/proc/77/comm", "payroll-db")
    draft.link("/proc/77/fd/3", "/home/jane/salaries.db")
    draft.put("/proc/78/comm", "ssh-agent")
    draft.denied["/proc/78/fd"] = "EACCES"
    draft.put("/proc/79/comm", "other")
    draft.denied["/proc/79/fd"] = "EACCES"
    found = captured_host(drafted(draft, tmp_path / "host"))

    kept = [path for path in found.entries if path.startswith("root/proc/")]

    assert any(path.startswith("root/proc/4242/fd/") for path in kept)
    assert any(path.startswith("root/proc/78") for path in kept)
    assert not [path for path in kept if path.startswith(("root/proc/77", "root/proc/79"))]
    assert "salaries" not in str(found.entries)


def test_links_lead_nowhere_outside_the_capture(tmp_path: Path) -> None:
    draft = base.genoa_ready()
    draft.put("/usr/lib/modprobe.d/a.conf", "options kvm_amd sev_snp=1")
    host = drafted(draft, tmp_path / "host")
    (host / "root/lib/modprobe.d").symlink_to("/usr/lib/modprobe.d")
    (host / "root/etc/modprobe.d/far.conf").symlink_to("../../../../../../../../etc/passwd")
    declared = json.loads((host / "host.json").read_text())
    declared["absent"].remove("/lib/modprobe.d")
    (host / "host.json").write_text(json.dumps(declared))

    found = captured_host(host)

    links = {path: text for path, text in found.entries.items() if isinstance(text, str)}
    assert links["root/lib/modprobe.d"] == "../usr/lib/modprobe.d"
    out = written(found, tmp_path / "capture")
    assert all(os.path.realpath(out / path).startswith(str(out / "root")) for path in links)
    assert "root:" not in str(found.entries)


def test_a_links_name_and_target_are_masked(tmp_path: Path) -> None:
    draft = base.genoa_ready()
    draft.put("/etc/hostname", "gpu-rack7-n3")
    draft.put("/etc/modprobe.d/of/gpu-rack7-n3.options", "options kvm_amd sev_snp=1")
    draft.link("/etc/modprobe.d/gpu-rack7-n3.conf", "/etc/modprobe.d/of/gpu-rack7-n3.options")

    found = captured_host(drafted(draft, tmp_path / "host"))

    name = found.mask.text("gpu-rack7-n3")
    assert found.entries[f"root/etc/modprobe.d/{name}.conf"] == f"of/{name}.options"
    assert "rack7" not in str(found.entries)
    assert replayed(found).kernel == masked(found.facts.kernel, found.mask)


@pytest.mark.parametrize("name", ["capture", "capture.tar.gz"])
def test_only_its_owner_may_read_it(name: str, tmp_path: Path) -> None:
    out = written(_of("genoa-ready"), tmp_path / name)

    places = [out, *out.rglob("*")]
    assert all(
        stat.S_IMODE(place.lstat().st_mode) & 0o077 == 0
        for place in places
        if not place.is_symlink()
    )
    assert [each.name for each in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["capture", "capture.tar.gz"])
@pytest.mark.parametrize("room", [0, 1000, 8000])
def test_where_a_file_cannot_grow_nothing_is_left_behind(
    name: str, room: int, tmp_path: Path
) -> None:
    found = _of("genoa-ready")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        with pytest.raises(CaptureError, match=r"cannot write the capture .*File too large"):
            writing.write(found.entries, str(tmp_path / name), captured=WHEN)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("taken", ["file", "folder", "link"])
@pytest.mark.parametrize("name", ["capture", "capture.tar.gz"])
def test_nothing_is_overwritten(taken: str, name: str, tmp_path: Path) -> None:
    place = tmp_path / name
    if taken == "link":
        place.symlink_to("nowhere")
    elif taken == "folder":
        place.mkdir()
    else:
        place.write_text("mine")

    with pytest.raises(UsageError, match="is there already"):
        writing.refuse_place(str(place), None)
    with pytest.raises(CaptureError, match=r"cannot write the capture .*File exists"):
        writing.write({"host.json": b"{}"}, str(place), captured=WHEN)
    assert place.is_symlink() or place.is_dir() or place.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [place]


@pytest.mark.parametrize(
    "place", ["/proc/self/x", "/sys/x.tar.gz", "{root}/proc/x", "{root}/sys/deep/x", "{capture}/x"]
)
def test_nothing_is_written_into_what_is_looked_at(place: str, tmp_path: Path) -> None:
    root, capture = tmp_path / "host", tmp_path / "old"
    for folder in ("proc", "sys/deep"):
        (root / folder).mkdir(parents=True)
    tree.write(base.genoa_ready().tree(), capture)
    looked_at = str(capture if "{capture}" in place else root)

    with pytest.raises(UsageError, match="lies within what is looked at"):
        writing.refuse_place(place.format(root=root, capture=capture), looked_at)


@pytest.mark.parametrize("name", ["x.tgz", "x.tar", "x.zip"])
def test_another_kind_of_archive_is_refused_by_name(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"a folder or a \.tar\.gz"):
        writing.refuse_place(str(tmp_path / name), None)


@pytest.mark.parametrize(
    "path",
    [
        "/sys/class/dmi/id/product_serial",
        "/sys/class/dmi/id/product_uuid",
        "/sys/class/dmi/id/board_serial",
        "/sys/class/dmi/id/chassis_serial",
        "/sys/class/dmi/id/chassis_asset_tag",
        "/sys/class/dmi/id/board_asset_tag",
        "/sys/devices/virtual/dmi/id/product_serial",
        "/sys/bus/pci/devices/0000:41:00.0/vpd",
    ],
)
def test_a_serial_number_is_never_read(path: str, hosts: Path) -> None:
    with open_capture(str(hosts / "genoa-ready")) as machine:
        recorder = Recorder(machine)
        look(recorder)
        recorder.files.read(path)
        recorder.record.contents[path] = b"8XKQ2Z3"
        taken = take(recorder, note="")

    assert taken.contents.denied[path] == "never captured"
    assert b"8XKQ2Z3" not in b"".join(taken.contents.files.values())


def test_the_log_says_where_it_came_from(tmp_path: Path) -> None:
    draft = base.genoa_ready()
    log = draft.tree().files["/dev/kmsg"].decode()
    lines = "".join(
        f"Nov 20 09:30:00 n kernel: {line.partition(';')[2]}\n" for line in log.splitlines()
    )
    draft.put("/var/log/kern.log", lines)
    draft.denied["/dev/kmsg"] = "EPERM"
    found = captured_host(drafted(draft, tmp_path / "host"))

    replayed = facts_of(written(found, tmp_path / "capture"))

    assert not isinstance(replayed.log, Unreadable | None)
    assert replayed.log.origin == "/var/log/kern.log"
    assert replayed.log == masked(found.facts, found.mask).log


def test_a_capture_tells_when_the_host_was_looked_at(tmp_path: Path) -> None:
    out = written(_of("genoa-ready"), tmp_path / "capture")

    with open_capture(str(out)) as machine:
        assert isinstance(machine, CapturedMachine)
        assert machine.captured == WHEN


def test_a_switch_can_be_planned_from_a_capture(
    hosts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "host.tar.gz"
    assert run("capture", "--capture", hosts / "genoa-gpu-off", out) == 0
    capsys.readouterr()

    for place in (hosts / "genoa-gpu-off", out):
        assert run("plan", "--mode", "on", "--capture", place) == 0
    assert capsys.readouterr().out.count("take 0000:41:00.0 away from vfio-pci") == 2


def test_a_ready_host_is_still_ready_after_masking(tmp_path: Path) -> None:
    facts = facts_of(written(_of("genoa-ready"), tmp_path / "capture"))

    judgement = judge(facts, profile=Profile.SNP_GPU, want=None)

    assert {each.verdict for each in judgement.levels.values()} <= {Verdict.PASS, Verdict.SKIP}


def test_a_secret_that_a_read_cut_in_half_is_left_out(tmp_path: Path) -> None:
    draft = base.genoa_ready()
    text = "x" * 240 + " jane.doe@acme.example.org and more\n"
    draft.put("/sys/module/kvm_amd/parameters/lbrv", text)

    found = captured_host(drafted(draft, tmp_path / "host"))

    assert found.entries["root/sys/module/kvm_amd/parameters/lbrv"] == b"x" * 240 + b" "


def test_what_was_not_mounted_is_not_absent_in_the_capture(tmp_path: Path) -> None:
    """Nor are devices: without /dev nobody looked for them."""
    (tmp_path / "etc/modprobe.d").mkdir(parents=True)
    with closing(LiveMachine(str(tmp_path))) as machine:
        found = captured(machine)

    assert found.facts.kernel.kvm == Unreadable("/dev/kvm", "/dev is not mounted here")
    assert found.facts.psp.device == Unreadable("/dev/sev", "/dev is not mounted here")
    assert found.facts.log == Unreadable("/dev/kmsg", "/dev is not mounted here")
    assert _said(replayed(found), Profile.SNP_GPU) == _said(
        found.facts._replace(source=found.facts.source._replace(simulated=True)), Profile.SNP_GPU
    )
