"""The DaemonSet as it ships, on a real kubelet and containerd.

The handler behind the RuntimeClass is a stand-in: an ordinary runc under Kata's name. That a pod
lands here, and when, is real; that it runs in a VM is not.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.real.wait import eventually, throughout

if TYPE_CHECKING:
    from tests.node.agent import Agent
    from tests.real.api import Object

# The first test of the session also starts a control plane and builds the image.
pytestmark = pytest.mark.timeout(300)


def test_the_pod_says_that_this_machine_is_a_vm(agent: Agent) -> None:
    agent.deploy("live")

    assert agent.condition == ("False", "RunningInVm")
    assert "ready" not in agent.labels


def test_the_pod_has_no_capability_and_cannot_get_one(agent: Agent) -> None:
    for pid in agent.node.processes(agent.deploy("live")):
        status = _status(pid)
        held = {status[key] for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
        assert held == {"0000000000000000"}
        assert status["NoNewPrivs"] == "1"
        assert status["Seccomp"] == "2", "2 is: filtered"
        assert status["Uid"].split() == ["0"] * 4


def test_the_pod_can_write_nowhere_on_the_host(agent: Agent) -> None:
    [pid] = agent.node.processes(agent.deploy("live"))

    mounts = _mounts(pid)
    host = {folder: options for folder, options in mounts.items() if folder.startswith("/host/")}
    whole = {"/host/proc", "/host/sys", "/host/dev", "/host/boot", "/host/lib", "/host/usr"}
    assert whole <= set(host)
    assert {"/host/etc/modprobe.d", "/host/var/lib/kubelet/config.yaml"} <= set(host)
    assert [folder for folder, options in host.items() if "ro" not in options] == []
    assert "ro" in mounts["/"]


def test_the_pod_reaches_no_terminal_and_no_shared_memory_of_the_host(agent: Agent) -> None:
    [pid] = agent.node.processes(agent.deploy("live"))

    root = Path(f"/proc/{pid}/root/host/dev")
    assert (root / "null").exists(), "the rest of /dev is there"
    assert list((root / "pts").iterdir()) == []
    assert list((root / "shm").iterdir()) == []


def test_the_pod_sees_its_own_kubelet_and_says_what_that_lacks(agent: Agent) -> None:
    """A profile without the CPU, so that the rest is judged in a VM, too."""
    agent.deploy("live")
    found = agent.check("--profile", "gpu")

    seen = found["runtime.kubelet"]["seen"]
    assert seen.startswith("kubelet runs, its version is not known: ")
    assert seen.endswith(" is not mounted here")
    assert found["runtime.settings"]["code"] == "KUBELET_NOT_PREPARED"
    assert (
        "runtimeRequestTimeout is 2m by default, 20m is wanted" in found["runtime.settings"]["seen"]
    )


def test_what_is_not_mounted_is_unknown_and_says_which(agent: Agent) -> None:
    agent.deploy("live")
    found = agent.check("--profile", "gpu")

    for check in ("runtime.handler", "runtime.kata"):
        assert found[check]["verdict"] == "unknown"
        assert "containerd.toml: /tmp is not mounted here" in found[check]["seen"]


def test_the_policy_names_nothing_that_a_node_does_not_have(agent: Agent) -> None:
    agent.deploy("live")

    assert agent.policy_warnings() == {}


def test_a_pod_waits_for_a_ready_node_and_then_runs_there(agent: Agent, workload: Object) -> None:
    agent.deploy("live")
    name = workload["metadata"]["name"]
    eventually(lambda: _is_refused(agent.workload()), within_s=10)

    agent.deploy("captured")

    landed = eventually(lambda: _running(agent.workload()), within_s=20)
    assert landed["spec"]["nodeName"] == agent.node.name
    assert landed["metadata"]["name"] == name
    assert agent.labels["ready"] == "true"
    assert agent.labels["profile"] == "snp-gpu"
    assert agent.labels["simulated"] == "true", "nobody takes this node for a real one"


def test_replacing_the_pod_is_quick_and_leaves_the_label(agent: Agent) -> None:
    old = agent.deploy("captured")
    asked = time.monotonic()
    agent.remove_pod()

    eventually(lambda: agent.is_gone(old) and agent.labels["ready"] == "true", within_s=10)
    print(f"the pod was gone {time.monotonic() - asked:.1f} s after it was told to end")

    throughout(lambda: agent.labels["ready"] == "true", for_s=1)
    assert agent.pod()["metadata"]["name"] != old["metadata"]["name"]


def test_losing_readiness_takes_the_label(agent: Agent) -> None:
    agent.deploy("captured")
    assert agent.labels["ready"] == "true"

    agent.deploy("live")

    assert "ready" not in agent.labels
    assert "simulated" not in agent.labels
    assert agent.condition == ("False", "RunningInVm")


def test_the_probes_leave_a_working_pod_alone(agent: Agent) -> None:
    pod = agent.deploy("live")

    [container] = pod["status"]["containerStatuses"]
    assert container["started"]
    assert container["ready"]
    assert container["restartCount"] == 0


def _is_refused(pod: Object) -> bool:
    return any(
        condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable"
        for condition in pod["status"].get("conditions", [])
    )


def _running(pod: Object) -> Object:
    assert pod["status"]["phase"] == "Running", pod["status"]
    return pod


def _status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def _mounts(pid: int) -> dict[str, list[str]]:
    """The options of what is mounted where; proc(5) has the columns."""
    columns = [line.split() for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines()]
    return {column[4]: column[5].split(",") for column in columns}
