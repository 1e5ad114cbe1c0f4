"""A simulated machine in a process of its own, as its clients have it: two ends and a socket."""

import errno
import fcntl
import json
import os
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from nodeagent import data
from nodeagent.capture.archive import open_capture
from nodeagent.cli.looking import look
from nodeagent.errors import HostError, StuckWriteError, UsageError
from nodeagent.facts.look import look as read
from nodeagent.host.gpu.fsp import open_fsp
from nodeagent.model.codes import Code
from nodeagent.model.facts import Facts
from nodeagent.model.knobs import Line
from nodeagent.model.seen import Unreadable
from nodeagent.model.words import CcMode, Profile
from nodeagent.seams import Changeable
from nodeagent.sim import wire
from nodeagent.sim.clock import ManualClock
from nodeagent.sim.device import BOOT_S, RESET_S
from nodeagent.sim.node import node
from nodeagent.sim.remote import RemoteMachine, connect
from nodeagent.sim.serve import served

GPU, OTHER = "0000:23:00.0", "0000:24:00.0"
DEVICES = "/sys/bus/pci/devices"
ON, OFF = CcMode.ON, CcMode.OFF
_PATIENCE_S = 30.0
_SERVE = """
import sys
from nodeagent.capture.archive import open_capture
from nodeagent.sim.serve import serve
serve(sys.argv[1], open_capture, rate=float(sys.argv[2]), told=lambda path: print(path, flush=True))
"""


@contextmanager
def _process(folder: Path, rate: float = 20.0) -> Iterator["subprocess.Popen[str]"]:
    """A server as a user has it; it is told to end, and must end well."""
    command = [sys.executable, "-c", _SERVE, str(folder), str(rate)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline().strip() == str(folder / "socket")
            yield server
        finally:
            if server.poll() is None:
                server.terminate()
            server.wait(_PATIENCE_S)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "node"


@pytest.fixture
def machine(folder: Path) -> Iterator[RemoteMachine]:
    """Served by threads of this process, in model time twenty times as fast."""
    with (
        open_capture(data.path("hgx.tar.gz")) as base,
        served(str(folder), base, rate=20.0) as path,
        closing(connect(path)) as machine,
    ):
        yield machine


def _stage(machine: Changeable, bdf: str, mode: CcMode) -> None:
    with machine.bar0(bdf) as regs:
        open_fsp(regs, machine.clock, Line.HOPPER).stage(mode)


def _configured(machine: Changeable, bdf: str) -> CcMode | None:
    with machine.bar0(bdf) as regs:
        return open_fsp(regs, machine.clock, Line.HOPPER).configured().mode


def _mode(machine: Changeable, bdf: str) -> int:
    with machine.bar0(bdf) as regs:
        return regs.read(0x1182CC)


def _reset(machine: Changeable, bdf: str) -> None:
    machine.write(bdf, f"{DEVICES}/{bdf}/driver/unbind", bdf)
    machine.set_decode(bdf, on=True)
    machine.write(bdf, f"{DEVICES}/{bdf}/reset", "1")
    machine.clock.sleep(BOOT_S + 0.1)


def _facts(machine: Changeable) -> Facts:
    return read(machine)._replace(source=machine.source)


# What a client sees


def test_a_client_sees_what_one_in_the_same_process_would(machine: RemoteMachine) -> None:
    with open_capture(data.path("hgx.tar.gz")) as base:
        here = node(base, ManualClock())

        assert _facts(machine) == _facts(here)


def test_a_whole_switch_by_a_client_makes_the_node_ready(machine: RemoteMachine) -> None:
    names = machine.files.names(DEVICES)
    assert isinstance(names, tuple)
    gpus = [bdf for bdf in names if machine.files.read(f"{DEVICES}/{bdf}/device") == "0x2330"]
    for bdf in gpus:
        _stage(machine, bdf, ON)
        _reset(machine, bdf)
        machine.write(bdf, "/sys/bus/pci/drivers/vfio-pci/bind", bdf)

    judgement = look(machine, profile=Profile.SNP_GPU, want=ON)[1]

    assert (judgement.root, judgement.ready.exit_code) == (None, 0)


def test_errors_travel(machine: RemoteMachine) -> None:
    with pytest.raises(OSError, match="Invalid argument") as invalid:
        machine.write(GPU, f"{DEVICES}/{GPU}/reset_method", "warp")
    assert invalid.value.errno == errno.EINVAL
    with pytest.raises(OSError, match="No such device") as missing, machine.bar0("0000:ff:00.0"):
        pass
    assert missing.value.errno == errno.ENODEV
    with machine.bar0(GPU) as regs, pytest.raises(OSError, match="no register lies"):
        regs.read(0x7)
    machine.hold(GPU, 4242, "qemu")
    with pytest.raises(StuckWriteError, match="driver/unbind did not return"):
        machine.write(GPU, f"{DEVICES}/{GPU}/driver/unbind", GPU)
    with pytest.raises(HostError, match="no fault is called 'loose'"):
        machine.set_fault(GPU, "loose", value=True)


def test_a_hidden_or_foreign_register_is_told_as_such(machine: RemoteMachine) -> None:
    with machine.probes.bar0("0000:00:00.0") as registers:
        assert isinstance(registers, Unreadable)
    machine.write(GPU, f"{DEVICES}/{GPU}/remove", "1")
    with machine.probes.bar0(GPU) as registers:
        assert isinstance(registers, Unreadable)
        assert registers.why.startswith("ENODEV")


def test_holders_and_faults_are_set_from_outside(machine: RemoteMachine) -> None:
    machine.hold(GPU, 4242, "qemu-system-x86")
    assert machine.files.link("/proc/4242/fd/7") == "/dev/vfio/64"
    machine.release(GPU)
    assert "4242" not in str(machine.files.names("/proc"))

    machine.set_fault(GPU, "security", 1)
    with machine.bar0(GPU) as regs:
        assert regs.read(0) == 0xBADF0200
        machine.power_cycle()
        assert regs.read(0) == 0x180000A1
    machine.set_fault(GPU, "bad_registers", [0x8F0334])
    with machine.bar0(GPU) as regs:
        assert regs.read(0x8F0334) >> 16 == 0xBADF


# What lasts


def test_knobs_outlive_the_client_and_the_server(folder: Path) -> None:
    with _process(folder):
        with closing(connect(str(folder / "socket"))) as client:
            _stage(client, GPU, ON)
        with closing(connect(str(folder / "socket"))) as client:
            assert (_configured(client, GPU), _mode(client, GPU)) == (ON, 0)
            client.write(OTHER, f"{DEVICES}/{OTHER}/driver/unbind", OTHER)
    with _process(folder), closing(connect(str(folder / "socket"))) as client:
        assert (_configured(client, GPU), _mode(client, GPU)) == (ON, 1)
        assert client.files.link(f"{DEVICES}/{OTHER}/driver") is None
        assert "vfio-pci" in str(client.files.link(f"{DEVICES}/{GPU}/driver"))


def test_a_server_that_is_killed_has_lost_nothing(folder: Path) -> None:
    with _process(folder) as server:
        with closing(connect(str(folder / "socket"))) as client:
            _stage(client, GPU, ON)
            _reset(client, GPU)
        server.kill()
        server.wait(_PATIENCE_S)
        assert (folder / "socket").exists()
    with _process(folder), closing(connect(str(folder / "socket"))) as client:
        assert _configured(client, GPU) is ON
    kept = json.loads((folder / "state.json").read_text())["devices"][GPU]
    assert (kept["knobs"], kept["resets"], kept["driver"]) == ({"8": 1, "10": 2}, 1, None)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_ends_when_told_and_takes_its_socket_away(
    folder: Path, number: signal.Signals
) -> None:
    with _process(folder) as server, closing(connect(str(folder / "socket"))) as client:
        server.send_signal(number)

        assert server.wait(_PATIENCE_S) == 0
        with pytest.raises(HostError, match="is gone"):
            client.files.read("/proc/version")
    assert sorted(path.name for path in folder.iterdir()) == ["host.tar.gz", "lock", "state.json"]


def test_a_client_that_dies_in_a_reset_leaves_the_lock_to_it(folder: Path, tmp_path: Path) -> None:
    """The write goes on in the server, and until it is over nobody else may have the device."""
    lock = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    again = os.open(tmp_path / "lock", os.O_RDWR)
    with (
        _process(folder, rate=0.2),
        closing(connect(str(folder / "socket"))) as client,
        closing(connect(str(folder / "socket"))) as watcher,
    ):
        fcntl.flock(lock, fcntl.LOCK_EX)
        client.write(GPU, f"{DEVICES}/{GPU}/driver/unbind", GPU)
        with client.hands({GPU: lock}):
            thread = threading.Thread(
                target=client.write, args=(GPU, f"{DEVICES}/{GPU}/reset", "1")
            )
            thread.start()
            time.sleep(0.3)
            os.close(lock)
            with pytest.raises(BlockingIOError):
                fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
            thread.join()
        watcher.files.read("/proc/version")
        fcntl.flock(again, fcntl.LOCK_EX)
        os.close(again)


# Several at once


def test_a_reset_does_not_hold_up_another_device(folder: Path) -> None:
    with _process(folder, rate=0.2), closing(connect(str(folder / "socket"))) as client:
        for bdf in (GPU, OTHER):
            client.write(bdf, f"{DEVICES}/{bdf}/driver/unbind", bdf)
        started = time.monotonic()
        threads = [
            threading.Thread(target=client.write, args=(bdf, f"{DEVICES}/{bdf}/reset", "1"))
            for bdf in (GPU, OTHER)
        ]
        for thread in threads:
            thread.start()
        time.sleep(0.1)
        reads = 0
        with client.bar0("0000:63:00.0") as regs:
            while threads[0].is_alive():
                assert regs.read(0) == 0x180000A1
                reads += 1
        for thread in threads:
            thread.join()

    whole_s = RESET_S / 0.2
    assert reads > 50
    assert time.monotonic() - started < 2 * whole_s


def test_two_clients_drive_devices_side_by_side(folder: Path) -> None:
    with _process(folder), ExitStack() as stack:
        clients = [stack.enter_context(closing(connect(str(folder / "socket")))) for _ in range(2)]
        bdfs = [GPU, OTHER, "0000:63:00.0", "0000:64:00.0"]
        threads = [
            threading.Thread(target=_stage, args=(clients[n % 2], bdf, ON))
            for n, bdf in enumerate(bdfs)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert [_configured(clients[0], bdf) for bdf in bdfs] == [ON] * 4


def test_clocks_of_both_ends_agree(machine: RemoteMachine) -> None:
    machine.write(GPU, f"{DEVICES}/{GPU}/driver/unbind", GPU)
    machine.set_decode(GPU, on=True)
    before = machine.clock.now()
    machine.write(GPU, f"{DEVICES}/{GPU}/reset", "1")
    with machine.bar0(GPU) as regs:
        while regs.read(0x200BC) != 0xFF:
            machine.clock.sleep(0.01)

    assert RESET_S + BOOT_S <= machine.clock.now() - before < RESET_S + BOOT_S + 60.0


# Strangers, and what is in the way


def _talk(path: Path, sent: bytes) -> bytes:
    """What a server answers to bytes of any kind, until it hangs up."""
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.settimeout(_PATIENCE_S)
        stranger.connect(str(path))
        stranger.sendall(sent)
        stranger.shutdown(socket.SHUT_WR)
        answer = b""
        while part := stranger.recv(1 << 16):
            answer += part
        return answer


_HEAD = struct.Struct("<cI")
MALFORMED = {
    "an unknown kind": _HEAD.pack(b"?", 0),
    "a frame too long": _HEAD.pack(wire.CALL, 1 << 31),
    "half a head": b"C\0",
    "half a frame": _HEAD.pack(wire.CALL, 100) + b"[",
    "no JSON": _HEAD.pack(wire.CALL, 1) + b"{",
    "deep JSON": _HEAD.pack(wire.CALL, 1 << 17) + b"[" * (1 << 17),
    "no call": _HEAD.pack(wire.CALL, 1) + b"7",
    "an unknown call": _HEAD.pack(wire.CALL, 9) + b'["shoot"]',
    "too few words": _HEAD.pack(wire.CALL, 8) + b'["read"]',
    "a word of another kind": _HEAD.pack(wire.CALL, 12) + b'["names",[]]',
    "registers nobody opened": _HEAD.pack(wire.READ, 6) + bytes(6),
    "an access too short": _HEAD.pack(wire.READ, 2) + bytes(2),
}


@pytest.mark.parametrize("sent", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_frame_ends_that_connection_alone(
    machine: RemoteMachine, folder: Path, sent: bytes
) -> None:
    answer = _talk(folder / "socket", sent)

    assert answer[:1] == wire.ERROR
    assert "refused" in json.loads(answer[_HEAD.size :])
    assert machine.files.has("/proc/version") is True


def test_a_frame_too_long_is_refused_before_it_comes(machine: RemoteMachine, folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.settimeout(_PATIENCE_S)
        stranger.connect(str(folder / "socket"))
        stranger.sendall(_HEAD.pack(wire.CALL, wire.ASKED_LIMIT + 1))

        assert b"refused" in stranger.recv(1 << 16)
    assert machine.files.has("/proc/version") is True


def test_descriptors_without_end_are_refused(machine: RemoteMachine, folder: Path) -> None:
    assert machine.files.has("/proc/version") is True
    before = len(os.listdir("/proc/self/fd"))
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.settimeout(_PATIENCE_S)
        stranger.connect(str(folder / "socket"))
        for _ in range(2):
            socket.send_fds(stranger, [b"C"], [0, 1, 2])
            time.sleep(0.05)

        answer = stranger.recv(1 << 16)
    assert b"too many descriptors" in answer
    assert machine.files.has("/proc/version") is True
    time.sleep(0.2)
    assert len(os.listdir("/proc/self/fd")) <= before


def test_a_silent_server_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "socket"
    monkeypatch.setattr("nodeagent.sim.lines.PATIENCE_S", 0.2)
    greeting = b'{"rate":1.0,"where":"a silent machine","note":""}'

    def play(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        connection.sendall(_HEAD.pack(wire.VALUE, len(greeting)) + greeting)

    with socket.socket(socket.AF_UNIX) as listener, ExitStack() as stack:
        listener.bind(str(path))
        listener.listen()

        def accept() -> None:
            play(stack.enter_context(listener.accept()[0]))

        thread = threading.Thread(target=accept)
        thread.start()
        machine = stack.enter_context(closing(connect(str(path))))
        thread.join()
        with pytest.raises(StuckWriteError, match="/reset did not return"):
            machine.write(GPU, f"{DEVICES}/{GPU}/reset", "1")
        thread = threading.Thread(target=lambda: stack.enter_context(listener.accept()[0]))
        thread.start()
        with pytest.raises(HostError, match="did not answer in"):
            machine.files.read("/proc/version")
        thread.join()


def test_a_call_with_odd_words_is_an_error_and_no_end(machine: RemoteMachine) -> None:
    for path in ("/proc/\0", "", "../../etc/passwd", "/proc/" + "x" * 5000, "/\udcff"):
        assert not isinstance(machine.files.read_bytes(path), bytes)
    with pytest.raises(OSError, match="No such device"):
        machine.write(GPU, "/etc/passwd", "root")
    assert machine.files.has("/proc/version") is True


ANSWERS = {
    "nothing": b"",
    "an unknown kind": _HEAD.pack(b"?", 0),
    "half a frame": _HEAD.pack(wire.VALUE, 100) + b"[",
    "a frame too long": _HEAD.pack(wire.VALUE, (1 << 32) - 1),
    "no JSON": _HEAD.pack(wire.VALUE, 1) + b"{",
    "no greeting": _HEAD.pack(wire.VALUE, 2) + b"[]",
    "a rate that is none": _HEAD.pack(wire.VALUE, 12) + b'{"rate": NaN}',
    "an error of no kind": _HEAD.pack(wire.ERROR, 2) + b"[]",
    "another version": _HEAD.pack(wire.ERROR, 14) + b'{"host":"no!"}',
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_a_server_that_is_none_is_one_clear_error(tmp_path: Path, answer: bytes) -> None:
    path = tmp_path / "socket"

    def play() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1 << 16)
            connection.sendall(answer)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=play)
        thread.start()
        with pytest.raises(HostError):
            connect(str(path))
        thread.join()


def test_nobody_at_the_socket_is_told_with_a_way_out(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(HostError, match="no simulated machine is served") as error:
            connect(str(path))
        assert "sim serve" in str(error.value.hint)


def test_a_second_server_in_one_folder_is_refused(machine: RemoteMachine, folder: Path) -> None:
    with (
        open_capture(data.path("hgx.tar.gz")) as base,
        pytest.raises(HostError, match="another server has"),
        served(str(folder), base),
    ):
        pass
    assert machine.files.has("/proc/version") is True


def test_a_path_too_long_for_a_socket_is_told(tmp_path: Path) -> None:
    with (
        open_capture(data.path("hgx.tar.gz")) as base,
        pytest.raises(HostError, match="too long for a socket"),
        served(str(tmp_path / ("d" * 100)), base),
    ):
        pass


@pytest.mark.parametrize("rate", [0.0, -1.0, 1e9, float("nan")])
def test_time_cannot_stand_still(tmp_path: Path, rate: float) -> None:
    with (
        open_capture(data.path("hgx.tar.gz")) as base,
        pytest.raises(UsageError),
        served(str(tmp_path), base, rate=rate),
    ):
        pass


_NEW: dict[str, object] = {
    "knobs": {},
    "driver": None,
    "override": "",
    "control": "on",
    "decode": True,
    "resets": 0,
    "methods": [],
}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"version": 2, "devices": {}}',
        '{"version": 1, "devices": {"0000:23:00.0": {}}}',
        json.dumps({"version": 1, "devices": {"0000:99:00.0": _NEW}}),
        json.dumps({"version": 1, "devices": {GPU: _NEW | {"knobs": {"99": 1}}}}),
        json.dumps({"version": 1, "devices": {GPU: _NEW | {"methods": ["warp"]}}}),
        json.dumps({"version": 1, "devices": {GPU: _NEW | {"resets": "many"}}}),
        "[" * 100_000,
    ],
)
def test_a_damaged_state_is_refused_and_kept(folder: Path, text: str) -> None:
    folder.mkdir()
    (folder / "state.json").write_text(text)

    with (
        open_capture(data.path("hgx.tar.gz")) as base,
        pytest.raises(HostError, match=r"state\.json"),
        served(str(folder), base),
    ):
        pass
    assert (folder / "state.json").read_text() == text


def test_the_socket_is_its_owners_alone(machine: RemoteMachine, folder: Path) -> None:
    assert stat.S_IMODE((folder / "socket").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "state.json").stat().st_mode) == 0o600
    assert machine.source.simulated


def test_another_host_in_the_folder_is_served(folder: Path, hosts: Path) -> None:
    folder.mkdir()
    (folder / "host").symlink_to(hosts / "genoa-ready")

    with _process(folder), closing(connect(str(folder / "socket"))) as client:
        judgement = look(client, profile=Profile.SNP_GPU, want=None)[1]
        assert judgement.root is not None
        assert judgement.root.code is Code.GPU_MODE_OFF
        assert client.files.read(f"{DEVICES}/0000:41:00.0/device") == "0x2331"
