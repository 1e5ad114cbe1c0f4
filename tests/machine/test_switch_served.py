"""Modes switched by the command on a simulated machine in another process, ended and disturbed."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from nodeagent.sim.remote import connect
from tests.machine.simulated import PATIENCE_S, Node, served
from tests.real.podresources import Held, Kubelet
from tests.real.wait import eventually

pytestmark = pytest.mark.timeout(300)

GPU, OTHER, LAST = "0000:23:00.0", "0000:24:00.0", "0000:e4:00.0"
SWITCH = "0000:c3:00.0"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with served(tmp_path / "hgx") as node:
        yield node


def modes(node: Node, *words: str) -> dict[str, str | None]:
    done = node.run("gpus", "-o", "json", *words)
    assert done.returncode == 0, done.stderr
    return {each["bdf"]: each["active"] for each in json.loads(done.stdout)["devices"]}


def _await(apply: "subprocess.Popen[str]", step: str) -> None:
    """Until it says, after its plan, that it begins such a step."""
    assert apply.stdout
    for line in apply.stdout:
        if re.match(rf"\d\d:\d\d:\d\d {re.escape(step)}", line):
            return
    raise AssertionError(f"it never began to {step}")


def demand_whole(node: Node) -> None:
    """Every driver, override and power setting as the host had them, and nothing owed."""
    assert node.owed == []
    for bdf in modes(node):
        assert node.driver(bdf) == "vfio-pci", bdf
        assert node.text(bdf, "driver_override") == "(null)", bdf


def test_the_whole_node_goes_to_a_mode_and_back(node: Node) -> None:
    """All GPUs and switches, protected PCIe included, which `off` really leaves."""
    for mode, of_switches in (
        ("ppcie", "ppcie"),
        ("on", "off"),
        ("ppcie", "ppcie"),
        ("off", "off"),
    ):
        done = node.run("apply", "--mode", mode, "--yes")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "12 of 12 devices are in the mode" in done.stdout
        found = modes(node)
        assert {found[bdf] for bdf in found if bdf[5:7] in {"c3", "c4", "c5", "c6"}} == {
            of_switches
        }
        assert {found[bdf] for bdf in found if bdf[5] != "c"} == {mode}
        demand_whole(node)


def test_vfio_numbers_its_nodes_as_before(node: Node) -> None:
    """CDI files name them: a GPU that came back under another one's number would go astray."""

    def numbers() -> dict[str, object]:
        folder = "/sys/bus/pci/devices"
        return {bdf: node.machine.files.names(f"{folder}/{bdf}/vfio-dev") for bdf in modes(node)}

    before = numbers()
    for mode in ("on", "off"):
        assert node.run("apply", "--mode", mode, "--yes").returncode == 0
        assert numbers() == before


def test_apply_does_what_plan_listed(node: Node) -> None:
    planned = json.loads(node.run("plan", "--mode", "on", "-o", "json").stdout)
    listed = {step["does"] for wave in planned["waves"] for step in wave}

    done = node.run("apply", "--mode", "on", "--yes", "-o", "json")

    did = {line[9:] for line in done.stderr.splitlines() if re.match(r"\d\d:\d\d:\d\d ", line)}
    assert did
    assert did <= listed


def test_without_yes_and_without_a_terminal_nothing_is_done(node: Node) -> None:
    done = node.run("apply", "--mode", "on")

    assert (done.returncode, done.stdout) == (2, "")
    assert "nobody is there to say yes" in done.stderr
    assert set(modes(node).values()) == {"off"}


def test_a_plain_query_writes_nothing_and_asking_says_what_is_pending(node: Node) -> None:
    assert set(modes(node).values()) == {"off"}
    with node.start("apply", "--mode", "on", "--gpu", GPU, "--yes") as apply:
        _await(apply, f"reset {GPU}")
        apply.kill()

    done = node.run("gpus", "--ask-firmware", "-o", "json")

    [found] = [each for each in json.loads(done.stdout)["devices"] if each["bdf"] == GPU]
    assert found["configured"] == "on"
    assert node.owed == []  # the next command gave back what the killed one owed
    assert node.driver(GPU) == "vfio-pci"


def test_of_two_at_once_one_is_told_of_the_other(node: Node) -> None:
    with node.start("apply", "--mode", "on", "--yes") as first:
        _await(first, "take ")
        second = node.run("apply", "--mode", "ppcie", "--yes")
        rest, _ = first.communicate(timeout=PATIENCE_S)

    assert second.returncode == 3
    assert f"is being changed by nodeagent apply (pid {first.pid}) since" in second.stderr
    assert len(second.stderr.splitlines()) == 2
    assert first.returncode == 0, rest
    assert {mode for bdf, mode in modes(node).items() if bdf[5] != "c"} == {"on"}


def test_sigterm_finishes_the_step_in_hand_and_gives_everything_back(node: Node) -> None:
    with node.start("apply", "--mode", "on", "--yes") as apply:
        _await(apply, "reset ")
        apply.send_signal(signal.SIGTERM)
        rest, _ = apply.communicate(timeout=PATIENCE_S)

    assert apply.returncode == 1, rest
    assert "the same command again goes on" in rest
    demand_whole(node)
    assert node.run("apply", "--mode", "on", "--yes").returncode == 0


def test_killed_at_any_moment_the_same_command_goes_on(node: Node) -> None:
    chance = random.Random(7)
    for mode in ("ppcie", "on", "off"):
        for _ in range(4):
            with node.start("apply", "--mode", mode, "--yes") as apply:
                time.sleep(chance.uniform(0.2, 1.6))
                apply.kill()
        done = node.run("apply", "--mode", mode, "--yes")
        assert done.returncode == 0, done.stdout + done.stderr
        assert {each for bdf, each in modes(node).items() if bdf[5] != "c"} == {mode}
        demand_whole(node)


_QUEUE_TAIL = 0x8F2C14
"""Of the mailbox that we ask through: 0 since the boot, until the first message."""


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--mode", "on", "--gpu", "0000:99:00.0"), 2),
        (("--mode", "on", "--gpu", SWITCH), 2),
        (("--mode", "onn"), 2),
        (("--mode", "ppcie", "--gpu", GPU), 2),
        (("--mode", "on", "--gpus-per-vm", "2"), 3),
        (("--mode", "ppcie", "--gpus-per-vm", "1"), 3),
    ],
)
def test_what_is_refused_has_written_nothing(words: tuple[str, ...], code: int, node: Node) -> None:
    done = node.run("apply", *words, "--yes")

    assert (done.returncode, done.stdout) == (code, "")
    for bdf in (GPU, OTHER):
        with node.machine.bar0(bdf) as regs:
            assert regs.read(_QUEUE_TAIL) == 0
    demand_whole(node)


def test_a_reader_that_goes_away_ends_no_switch(node: Node) -> None:
    words = " ".join(node.command("apply", "--mode", "on", "--yes"))
    subprocess.run(["sh", "-c", f"{words} | head -1"], check=True, timeout=PATIENCE_S)

    eventually(lambda: set(modes(node).values()) == {"on", "off"}, within_s=30)
    assert {mode for bdf, mode in modes(node).items() if bdf[5] != "c"} == {"on"}
    demand_whole(node)


def test_a_host_that_goes_away_leaves_a_switch_that_is_unfinished(tmp_path: Path) -> None:
    """Drivers were taken by then: that is not `it did not begin`."""
    folder = tmp_path / "hgx"
    command = [sys.executable, "-m", "nodeagent", "sim", "serve", str(folder), "--rate", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        server.stdout.readline()
        with closing(connect(str(folder / "socket"))) as machine:
            node = Node(folder / "socket", machine)
            with node.start("apply", "--mode", "on", "--yes") as apply:
                _await(apply, "reset ")
                server.kill()
                said, _ = apply.communicate(timeout=PATIENCE_S)

    assert apply.returncode == 1, said
    assert "the switch was begun and is not finished" in said
    assert "the same command again goes on" in said


@pytest.mark.parametrize(
    ("words", "code", "mode"),
    [(("--recover", GPU), 3, "off"), (("--mode", "on"), 0, "on")],  # found again, it answers
    ids=["recover", "mode"],
)
def test_a_recovery_killed_between_remove_and_rescan_goes_on(
    words: tuple[str, ...], code: int, mode: str, node: Node
) -> None:
    node.machine.set_fault(GPU, "stale", value=True)
    with node.start("apply", "--recover", GPU, "--yes") as recovery:
        _await(recovery, "let the kernel look for")
        recovery.kill()
    with node.start("apply", *words, "--yes") as again:
        said, _ = again.communicate(timeout=PATIENCE_S)

    assert again.returncode == code, said
    assert modes(node)[GPU] == mode
    demand_whole(node)


def test_a_held_gpu_is_named_and_nothing_is_touched(node: Node) -> None:
    node.machine.hold(OTHER, 4242, "qemu-system-x86")

    done = node.run("apply", "--mode", "on", "--yes")

    assert done.returncode == 3
    assert f"{OTHER} is in use by qemu-system-x86 (pid 4242, /dev/vfio/" in done.stderr
    assert node.driver(GPU) == node.driver(OTHER) == "vfio-pci"
    assert {mode for mode in modes(node).values() if mode} == {"off"}


@pytest.mark.parametrize(
    ("words", "others"), [((), "on"), (("--on-failure", "rollback"), "off")], ids=["finish", "back"]
)
def test_one_gpu_fails_and_the_policy_decides_of_the_others(
    words: tuple[str, ...], others: str, node: Node
) -> None:
    node.machine.set_fault(OTHER, "never_boots", value=True)

    done = node.run("apply", "--mode", "on", "--yes", *words)

    assert done.returncode == 1
    assert f"{OTHER}  FAILED: it did not boot within 10 s" in done.stdout
    assert modes(node)[LAST] == others
    assert modes(node)[OTHER] is None
    assert ("rolled back, since another device failed" in done.stdout) is (others == "off")
    demand_whole(node)


def test_protected_pcie_is_all_or_nothing(node: Node) -> None:
    node.machine.set_fault(SWITCH, "no_ppcie", value=True)

    done = node.run("apply", "--mode", "ppcie", "--yes")

    assert done.returncode == 1
    assert f"{SWITCH}  FAILED: {SWITCH} cannot be ppcie" in done.stdout
    assert "update the VBIOS" in " ".join(done.stdout.split())
    assert set(modes(node).values()) == {"off"}
    demand_whole(node)


@pytest.mark.parametrize(
    ("fault", "helped"), [("wedged", "bus reset"), ("stale", "remove and rescan")]
)
def test_a_device_that_does_not_answer_is_brought_back(fault: str, helped: str, node: Node) -> None:
    node.machine.set_fault(GPU, fault, value=True)
    assert modes(node)[GPU] is None

    planned = node.run("plan", "--recover", GPU)
    done = node.run("apply", "--recover", GPU, "--yes")

    assert planned.returncode == 0
    assert "power cycle the node" in planned.stdout
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{GPU} answers again after a {helped}" in done.stdout
    assert modes(node)[GPU] == "off"
    demand_whole(node)
    assert node.text(GPU, "reset_method") == "flr bus"


def test_what_no_reset_brings_back_needs_power(node: Node) -> None:
    node.machine.set_fault(GPU, "lost", value=True)

    done = node.run("apply", "--recover", GPU, "--yes")

    assert done.returncode == 1
    assert "does not come back\n  try: power cycle the node" in done.stdout
    assert node.owed == [f"{GPU}.owed"]
    node.machine.set_fault(GPU, "lost", value=False)  # somebody did
    assert modes(node)[GPU] == "off"
    demand_whole(node)


def test_a_held_device_is_not_recovered(node: Node) -> None:
    node.machine.set_fault(GPU, "wedged", value=True)
    node.machine.hold(GPU, 4242, "qemu-system-x86")

    done = node.run("apply", "--recover", GPU, "--yes")

    assert done.returncode == 3
    assert node.driver(GPU) == "vfio-pci"


@pytest.fixture
def asleep(tmp_path: Path) -> Iterator[Node]:
    """One GPU, in D3hot as vfio-pci leaves an idle one."""
    folder = tmp_path / "one"
    folder.mkdir()
    shutil.copytree(
        Path(__file__).parents[1] / "hosts/genoa-gpu-d3hot", folder / "host", symlinks=True
    )
    with served(folder) as node:
        yield node


BDF = "0000:41:00.0"


def test_an_idle_gpu_is_woken_for_a_look_and_sleeps_again(asleep: Node) -> None:
    assert asleep.text(BDF, "power_state") == "D3hot"

    assert modes(asleep) == {BDF: "off"}

    assert asleep.text(BDF, "power_state") == "D3hot"
    assert asleep.text(BDF, "power/control") == "auto"
    assert asleep.owed == []


def test_no_wake_lets_it_sleep(asleep: Node) -> None:
    assert modes(asleep, "--no-wake") == {BDF: None}
    check = asleep.run("check", "--no-wake", "-o", "json")

    assert json.loads(check.stdout)["root"]["code"] == "GPU_ASLEEP"
    assert asleep.owed == []


def test_no_wake_switches_nothing_that_sleeps(asleep: Node) -> None:
    done = asleep.run("apply", "--mode", "on", "--yes", "--no-wake")

    assert (done.returncode, asleep.text(BDF, "power_state")) == (3, "D3hot")
    assert "sleeps, and --no-wake forbids to wake it" in done.stderr


def test_a_sleeping_gpu_is_switched_and_sleeps_again(asleep: Node) -> None:
    done = asleep.run("apply", "--mode", "on", "--yes")

    assert done.returncode == 0, done.stdout + done.stderr
    assert asleep.text(BDF, "power_state") == "D3hot"
    assert modes(asleep) == {BDF: "on"}


def test_a_look_that_was_killed_is_made_good_by_the_next_command(asleep: Node) -> None:
    with asleep.start("check", "--watch", "--every", "0.5") as watch:
        eventually(lambda: bool(asleep.owed), within_s=30, every_s=0.001)
        watch.kill()

    assert asleep.run("check").returncode in {0, 1}
    assert asleep.owed == []
    assert asleep.text(BDF, "power_state") == "D3hot"


@pytest.fixture
def rtx(tmp_path: Path) -> Iterator[Node]:
    folder = tmp_path / "rtx"
    folder.mkdir()
    hosts = Path(__file__).parents[1] / "hosts"
    shutil.copytree(hosts / "genoa-rtx-pro-6000", folder / "host", symlinks=True)
    with served(folder) as node:
        yield node


def test_a_part_that_attests_only_after_a_boot_is_said_to(rtx: Node) -> None:
    first = rtx.run("apply", "--mode", "on", "--yes")
    rtx.run("apply", "--mode", "off", "--yes")
    again = rtx.run("apply", "--mode", "on", "--yes")

    assert f"{BDF}  on (was off)\n" in first.stdout
    assert "reboot" not in first.stdout
    assert (again.returncode, first.returncode) == (0, 0)
    assert "switched; reboot before attesting" in again.stdout


def test_what_may_not_be_left_open_is_closed(node: Node) -> None:
    """Locks and debts are the owner's alone."""
    node.run("apply", "--mode", "on", "--yes", "--gpu", GPU)

    folder = node.socket.parent / "run"
    for name in os.listdir(folder):
        assert (folder / name).stat().st_mode & 0o077 == 0, name


def test_the_demo_shows_the_whole_job(tmp_path: Path) -> None:
    began = time.monotonic()
    done = subprocess.run(
        [*Node(tmp_path, None).command("demo")[:4]],  # type: ignore[arg-type]
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    for said in ("NOT READY", "GPU_MODE_UNWANTED", "PLAN: 8 GPUs to on", "READY for snp-gpu"):
        assert said in done.stdout
    assert "nodeagent.io/ready           true" in done.stdout
    assert time.monotonic() - began < 20
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_a_gpu_that_the_kubelet_gave_to_a_pod_is_not_switched(node: Node, tmp_path: Path) -> None:
    """Its VM may not have opened it yet: then no process has it, and it is somebody's still."""
    config = tmp_path / "config.yaml"
    with Kubelet(
        tmp_path / "kubelet.sock", pods=[Held("vm", "team-a", ("nvidia.com/pgpu",))]
    ) as it:
        config.write_text(json.dumps({"pod_resources": str(it.socket)}))
        for command in (("plan",), ("apply", "--yes")):
            done = node.run(*command, "--mode", "on", "--config", str(config))
            assert done.returncode == 3
            assert "gave GPUs of this node to pod team-a/vm (nvidia.com/pgpu)" in done.stderr
    assert set(modes(node).values()) == {"off"}

    done = node.run("plan", "--mode", "on", "--config", str(config))
    assert done.returncode == 3
    assert "which pods have a GPU cannot be told" in done.stderr
