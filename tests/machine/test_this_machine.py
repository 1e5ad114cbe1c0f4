"""Against this machine's own kernel: what the live seam does, whatever machine it is."""

import fcntl
import json
import mmap
import os
import pty
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import jsonschema
import pytest

from nodeagent import data
from nodeagent.cli.options import Chosen
from nodeagent.config import Config
from nodeagent.facts.look import look
from nodeagent.host import devices, klog, mmio
from nodeagent.host.live import LiveMachine
from nodeagent.host.root import Root
from nodeagent.host.sev import Psp
from nodeagent.model.cpu import SYSCFG, CpuIdentity, CpuValues
from nodeagent.model.host import Kvm, PspFailure
from nodeagent.model.pci import Devices
from nodeagent.model.seen import Unreadable
from tests.unit.command import run


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    (tmp_path / "dev").mkdir()
    opened = Root(str(tmp_path))
    yield opened
    opened.close()


_NO_CAPABILITY = ("setpriv", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all")
"""uid 0 and no capability: what the inspector pod is."""


def _check(*words: str, under: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [*under, sys.executable, "-m", "nodeagent", "check", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_this_machine_is_judged_and_keeps_to_the_schema() -> None:
    done = _check("-o", "json")

    assert done.stderr == ""
    found = json.loads(done.stdout)
    jsonschema.validate(found, data.load("report.schema.json"))
    assert done.returncode == {"ready": 0, "not-ready": 1, "cannot-tell": 4}[found["verdict"]]
    in_vm = "hypervisor" in Path("/proc/cpuinfo").read_text().split()
    assert (found["root"] or {}).get("code") == "RUNNING_IN_VM" or not in_vm


def test_without_capabilities_it_runs_and_nothing_fails_for_lack_of_access() -> None:
    done = _check("-o", "json", under=_NO_CAPABILITY)

    found = json.loads(done.stdout)
    refused = [each for each in found["findings"] if "EPERM" in each["seen"]]
    assert all(each["verdict"] == "unknown" for each in refused)
    assert done.returncode in {0, 1, 4}
    assert done.stderr == ""


def test_anybody_may_ask_what_a_code_means_and_this_machines_board_is_named() -> None:
    words = (*_NO_CAPABILITY, sys.executable, "-m", "nodeagent", "explain", "BIOS_SMEE_OFF")
    done = subprocess.run(words, capture_output=True, text=True, check=False)

    vendor = Path("/sys/class/dmi/id/sys_vendor")
    named = vendor.exists() and vendor.read_text().strip()
    assert (done.returncode, done.stderr) == (0, "")
    title = f"How to fix it on this board ({named}" if named else "How to fix it:"
    assert title in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("code", "opened"), [("BIOS_SMEE_OFF", True), ("KVM_AMD_NOT_LOADED", False)]
)
def test_only_for_a_fix_in_the_bios_is_this_machine_looked_at(code: str, *, opened: bool) -> None:
    program = (
        "import sys\nseen = set()\n"
        "sys.addaudithook(lambda event, args: event == 'open' and seen.add(str(args[0])))\n"
        "from nodeagent.cli.main import main\n"
        f"try:\n    main(['explain', {code!r}])\n"
        "except SystemExit:\n    print('OPENED', *seen)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    # Component by component, so that no link leads astray: each is opened by its own name.
    assert ("sys" in done.stdout.rsplit("OPENED", 1)[1].split()) is opened


def test_the_kernel_ring_is_read_without_waiting() -> None:
    began = time.monotonic()
    with closing(Root("/")) as whole:
        found = klog.ring(whole)

    assert isinstance(found, tuple)
    lines = list(found[1])
    assert lines
    assert not any(line[:1].isdecimal() and ";" in line[:40] for line in lines[:50])
    assert time.monotonic() - began < 20


def _asked_of_the_journal(program: Path, script: str) -> str | Unreadable:
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    folder = os.open("/", os.O_RDONLY)
    try:
        return klog._journal(str(program), "0123456789abcdef0123456789abcdef", folder)
    finally:
        os.close(folder)


def test_the_journal_is_asked_for_the_running_boot_by_name(tmp_path: Path) -> None:
    """With a folder given, the newest boot in it is not always this one."""
    said = _asked_of_the_journal(tmp_path / "journalctl", 'echo "$@"')

    assert isinstance(said, str)
    assert "--boot=0123456789abcdef0123456789abcdef" in said.split()
    assert "-kq" in said.split()


def test_an_endless_journal_costs_a_bound_of_memory(tmp_path: Path) -> None:
    said = _asked_of_the_journal(tmp_path / "journalctl", "exec yes SEV")

    assert isinstance(said, str)
    assert len(said) <= klog._TAIL + (1 << 16)


def test_an_empty_journal_is_unreadable_not_absent(tmp_path: Path) -> None:
    assert isinstance(_asked_of_the_journal(tmp_path / "journalctl", "exit 1"), Unreadable)


def test_a_cpu_without_its_msr_device_is_a_gap(root: Root) -> None:
    device = Path(root.folder) / "dev/cpu/0/msr"
    device.parent.mkdir(parents=True)
    with device.open("wb") as file:  # sparse: 8 bytes at the register's number
        file.seek(SYSCFG)
        file.write((0x3FC0000).to_bytes(8, "little"))

    values = devices.msrs(root, [0, 1], [SYSCFG])[SYSCFG]

    assert isinstance(values, CpuValues)
    assert values.by_value == {0x3FC0000: (0,)}
    assert values.unreadable == ((1, Unreadable("/dev/cpu/1/msr", "is absent")),)


def test_facts_of_this_machine_agree_with_the_kernel() -> None:
    with closing(LiveMachine()) as machine:
        facts = look(machine)

    assert isinstance(facts.cpus.identity, CpuIdentity)
    assert facts.cpus.identity.processors == os.cpu_count()
    assert facts.kernel.release == os.uname().release
    assert isinstance(facts.devices, Devices)
    on_bus = len(list(Path("/sys/bus/pci/devices").glob("*")))
    assert len(facts.devices.functions) <= on_bus
    assert facts.kernel.max_pfn is None or isinstance(facts.kernel.max_pfn, int)


def test_a_mounted_root_reads_like_this_machine(tmp_path: Path) -> None:
    """What a pod does: only some folders are there, and the rest was not looked at."""
    (tmp_path / "proc").symlink_to("/nowhere")
    with closing(LiveMachine(str(tmp_path))) as machine:
        unmounted = machine.files.names("/etc/modprobe.d")
        facts = look(machine)

    assert isinstance(unmounted, Unreadable)
    assert "not mounted" in unmounted.why
    assert facts.kernel.options_closed == unmounted
    # Else a pod without /sys would say that kvm_amd is not loaded.
    assert isinstance(facts.kernel.is_loaded("kvm_amd"), Unreadable)


def test_a_mounted_host_stands_beside_a_capture(
    hosts: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(hosts / "genoa-ready")

    assert run("check", "--compare", "--root", "root", hosts / "genoa-iommu-pt") == 0

    first, second, *lines = capsys.readouterr().out.split("\n")
    assert first.split()[:2] == ["A", "genoa-iommu-pt"]
    assert second.split()[:5] == ["B", "this", "host", "at", "root"]
    [option] = [line for line in lines if line.startswith("command line iommu=pt")]
    assert option.split()[-2:] == ["yes", "no"]


def test_looking_again_and_again_leaves_no_descriptor_open() -> None:
    """An agent looks every minute for months."""
    chosen = Chosen(None, None, Config())
    counts = []
    for _ in range(3):
        with chosen.open() as machine:
            look(machine)
        counts.append(len(os.listdir("/proc/self/fd")))

    assert len(set(counts)) == 1


def test_registers_are_aligned_32_bit_loads_of_a_read_only_map(root: Root) -> None:
    bar = Path(root.folder) / "resource0"
    bar.write_bytes(struct.pack("<3I", 0x180000A1, 0x1, 0xFFFFFFFF) + bytes(mmap.PAGESIZE - 12))

    with mmio.mapped(root, "/resource0") as registers:
        assert not isinstance(registers, Unreadable)
        assert [registers.read(offset) for offset in (0, 4, 8)] == [0x180000A1, 1, 0xFFFFFFFF]
        assert isinstance(registers.read(2), Unreadable)
        assert isinstance(registers.read(mmap.PAGESIZE), Unreadable)
    assert bar.read_bytes()[:4] == b"\xa1\0\0\x18"


def test_a_bar_that_cannot_be_mapped_says_why(root: Root) -> None:
    (Path(root.folder) / "resource0").write_bytes(b"")

    with mmio.mapped(root, "/resource0") as empty, mmio.mapped(root, "/missing") as missing:
        assert isinstance(empty, Unreadable)
        assert isinstance(missing, Unreadable)
        assert missing.why.startswith("ENOENT")


def test_the_psp_is_never_asked_anything_else(root: Root) -> None:
    for command in (0, 2, 8, 10, 11, 12):
        with pytest.raises(ValueError, match="never asked"):
            Psp().ask(root, command)


def test_what_is_no_psp_answers_with_an_error_and_no_psp_is_absent(root: Root) -> None:
    assert Psp().ask(root, 1) is None
    (Path(root.folder) / "dev/sev").write_bytes(b"")

    assert Psp().ask(root, 1) == PspFailure("ENOTTY", None)


def test_a_question_that_waits_is_abandoned_and_no_second_one_is_asked(root: Root) -> None:
    (Path(root.folder) / "dev/sev").write_bytes(b"")
    psp = Psp(deadline_s=0.001)

    first = psp.ask(root, 1)
    second = psp.ask(root, 9)

    assert isinstance(first, Unreadable)
    assert "no answer within" in first.why
    assert second == Unreadable("/dev/sev", "an earlier question still waits for the PSP")
    assert psp._waiting
    psp._waiting.wait()


def test_a_question_of_an_earlier_agent_is_waited_for_too(root: Root) -> None:
    device = Path(root.folder) / "dev/sev"
    device.write_bytes(b"")
    with device.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        answer = Psp().ask(root, 1)

    assert answer == Unreadable("/dev/sev", "an earlier question still waits for the PSP")


def test_an_answer_is_kept_for_minutes(root: Root) -> None:
    psp = Psp()
    assert psp.ask(root, 1) is None
    (Path(root.folder) / "dev/sev").write_bytes(b"")

    assert psp.ask(root, 1) is None


def test_kvm_says_which_machines_it_makes_and_knows_no_sev_numbers_here() -> None:
    kvm = devices.kvm(Root("/"))

    assert isinstance(kvm, Kvm) == os.access("/dev/kvm", os.R_OK)
    if not isinstance(kvm, Kvm):
        return  # a machine without nested virtualisation
    assert (kvm.api, kvm.policy_bits) in {(12, None), (12, 0)}
    assert isinstance(kvm.vm_types, int)
    assert kvm.vm_types & 1  # an ordinary one


def test_what_is_no_kvm_is_unreadable_and_no_kvm_is_absent(root: Root) -> None:
    assert devices.kvm(root) is None
    (Path(root.folder) / "dev/kvm").write_bytes(b"")

    assert isinstance(devices.kvm(root), Unreadable)


READY = str(Path(__file__).parents[1] / "hosts/genoa-ready")


@pytest.mark.parametrize("words", [("check",), ("labels",), ("check", "-o", "json")])
def test_an_answer_that_cannot_be_written_is_not_the_answer_not_ready(
    words: tuple[str, ...],
) -> None:
    command = [sys.executable, "-m", "nodeagent", *words, "--capture", READY]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    closed = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *command], capture_output=True, text=True, check=False
    )

    for each in (done, closed):
        assert each.returncode == 3
        assert "cannot write the answer" in each.stderr
        assert "Traceback" not in each.stderr


@pytest.mark.parametrize("words", [("--help",), ("check", "--help"), ("--version",)])
def test_help_that_cannot_be_written_says_so_in_one_line(words: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "nodeagent", *words]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)

    assert done.returncode == 3
    assert done.stderr == "nodeagent: cannot write the answer: No space left on device\n"


def test_a_reader_that_goes_away_does_not_change_the_verdict() -> None:
    command = [sys.executable, "-m", "nodeagent", "check", "-v", "--capture", READY]
    shell = 'set -o pipefail; "$@" | true; echo ${PIPESTATUS[0]}'
    done = subprocess.run(
        ["bash", "-c", shell, "bash", *command], capture_output=True, text=True, check=False
    )

    assert (done.stdout, done.stderr) == ("0\n", "")


@pytest.mark.parametrize(
    ("setting", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_colour_is_for_terminals_that_want_it(setting: dict[str, str], coloured: bool) -> None:
    ours, theirs = pty.openpty()
    kept = {name: text for name, text in os.environ.items() if name != "NO_COLOR"}
    command = [sys.executable, "-m", "nodeagent", "check", "--capture", READY]
    environment = kept | {"TERM": "xterm"} | setting
    with subprocess.Popen(command, stdout=theirs, env=environment) as child:
        os.close(theirs)
        said = b""
        with suppress(OSError):  # the terminal's other end is gone: the program has ended
            while part := os.read(ours, 4096):
                said += part
        child.wait()
    os.close(ours)

    assert b"READY" in said
    assert (b"\x1b[" in said) is coloured


@pytest.mark.parametrize("node", ["kvm", "sev", "cpu/0/msr", "cpu/0/cpuid", "kmsg"])
def test_a_fifo_in_place_of_a_device_does_not_hang(tmp_path: Path, node: str) -> None:
    (tmp_path / "dev" / node).parent.mkdir(parents=True)
    os.mkfifo(tmp_path / "dev" / node)
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_bytes(Path(READY, "root/proc/cpuinfo").read_bytes())

    done = subprocess.run(
        [sys.executable, "-m", "nodeagent", "check", "--root", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert done.returncode in {1, 4}
    assert "Traceback" not in done.stderr


def test_an_empty_msr_device_is_no_proof_of_anything() -> None:
    """`--root` on a capture's tree, an easy mistake: its device nodes are empty files."""
    done = _check("--root", f"{READY}/root", "-o", "json")

    found = json.loads(done.stdout)
    assert "BIOS_SMEE_OFF" not in [each["code"] for each in found["findings"]]


def test_nothing_is_imported_from_the_working_directory(tmp_path: Path) -> None:
    """`cd /tmp; sudo nodeagent check` must not run what somebody left in /tmp."""
    for name in ("json", "ctypes", "fcntl", "struct", "nodeagent"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(print('PLANTED'))")
    root = tmp_path / "host"
    (root / "dev").mkdir(parents=True)
    (root / "dev/sev").write_bytes(b"")
    program = (
        "import sys, os\n"
        f"sys.path.insert(0, {str(Path(__file__).parents[2])!r})\n"
        "from nodeagent.host.root import Root\nfrom nodeagent.host.sev import Psp\n"
        f"os.chdir({str(tmp_path)!r}); os.environ['PYTHONPATH'] = os.getcwd()\n"
        f"print(Psp().ask(Root({str(root)!r}), 1))\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True
    )

    assert "PLANTED" not in done.stdout
    assert "ENOTTY" in done.stdout


def test_looking_changes_nothing(tmp_path: Path) -> None:
    """Every open of a look on a copy of a host is for reading: the tree stays as it was."""
    host = Path(__file__).parents[1] / "hosts/genoa-ready"
    traced = tmp_path / "opens"
    program = (
        "import sys, os\n"
        "def hook(event, args):\n"
        "    if event == 'open' and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR"
        " | os.O_CREAT | os.O_TRUNC):\n"
        f"        os.write(9, repr(args).encode() + b'\\n')\n"
        "sys.addaudithook(hook)\n"
        "from nodeagent.cli.main import main\n"
        f"main(['check', '--capture', {str(host)!r}])\n"
    )
    command = f'exec {sys.executable} -c "$1" 9>{traced}'
    subprocess.run(["sh", "-c", command, "sh", program], capture_output=True, check=False)

    assert traced.read_text() == ""


@pytest.mark.parametrize("under", [(), _NO_CAPABILITY], ids=["root", "no capability"])
@pytest.mark.parametrize("name", ["capture", "capture.tar.gz"])
def test_a_capture_of_this_machine_is_judged_like_it(
    under: tuple[str, ...], name: str, tmp_path: Path
) -> None:
    tmp_path.chmod(0o777)
    command = [*under, sys.executable, "-m", "nodeagent", "capture", str(tmp_path / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "A check of it says the same" in done.stdout
    assert [each.name for each in tmp_path.iterdir()] == [name]

    live = json.loads(_check("-o", "json", "--no-wake", under=under).stdout)
    replayed = json.loads(_check("-o", "json", "--capture", str(tmp_path / name)).stdout)

    for each in (live, replayed):
        del each["source"]
    assert replayed == live


def test_a_capture_of_this_machine_does_not_name_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "nodeagent", "capture", str(tmp_path / "capture")]
    subprocess.run(command, capture_output=True, check=True)

    everything = b"\n".join(
        str(path).encode() + (path.read_bytes() if path.is_file() else b"")
        for path in (tmp_path / "capture").rglob("*")
        if not path.is_symlink()
    )

    boot_id = Path("/proc/sys/kernel/random/boot_id").read_bytes().strip()
    assert boot_id not in everything
    machine_id = Path("/etc/machine-id")
    if machine_id.exists() and (known := machine_id.read_bytes().strip()):
        assert known not in everything
