"""A real node of a test's control plane: containerd and kubelet, for as long as a `with` lasts.

Both live in a mount and process namespace of their own. Killing the first process there ends
every container and unmounts everything. What is left on the machine are empty cgroups and the empty
folders that were made to be mounted over; `__exit__` removes them.

One thing is a stand-in: the handler of confidential VMs, HANDLER, is an ordinary runc here. Its
name, the RuntimeClass and the scheduling are real; the VM is not.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.real import image
from tests.real.build import binaries
from tests.real.plane import AWAY
from tests.real.process import Process
from tests.real.wait import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.real.api import Object
    from tests.real.plane import ControlPlane

HANDLER = "kata-qemu-nvidia-gpu-snp"
START_S = 60.0
# Its own folders, and what they are mounted over: places that nobody lets it choose.
MOUNTED = {
    "kubelet": Path("/var/lib/kubelet"),  # device plugins have no other place to meet it
    "containerd-run": Path("/run/containerd"),  # shims leave sockets there
    "cdi": Path("/run/cdi"),  # our own pod makes it
    "modprobe": Path("/etc/modprobe.d"),  # on every node of kubeadm's, and not on all machines
    "container-logs": Path("/var/log/containers"),  # kubelet leaves links there
}
_CGROUPS = Path("/sys/fs/cgroup")
_CNI_PLUGINS = Path("/usr/lib/cni")

# Runs as PID 1, because whatever that is takes the whole node with it when it ends: a part that
# dies must come back without it, and an orphaned shim must find a parent.
_SUPERVISOR = """\
set -eu
folder=$1 kubeconfig=$2 name=$3
cd "$folder"
shift 3
while [ $# -gt 0 ]; do
    mount --bind "$1" "$2"
    shift 2
done
for knob in vm/overcommit_memory kernel/panic kernel/panic_on_oops; do
    # kubelet sets these for good, and a panic on oops is not for a developer's machine
    cp "/proc/sys/$knob" "sysctl-${knob#*/}"
    mount --bind "sysctl-${knob#*/}" "/proc/sys/$knob"
done
keep() {
    while :; do
        "$@" >>"logs/$part" 2>&1 || true
        sleep 0.2
    done
}
part=containerd; keep containerd --config "$folder/containerd.toml" &
part=kubelet; keep kubelet --config /var/lib/kubelet/config.yaml --kubeconfig "$kubeconfig" \\
    --hostname-override "$name" --cert-dir kubelet-certs --root-dir /var/lib/kubelet &
wait
"""

_CONTAINERD = """\
version = 3
root = "{folder}/containerd"
state = "{folder}/containerd-run/state"
disabled_plugins = [
    "io.containerd.internal.v1.opt",  # makes /opt/containerd
    "io.containerd.nri.v1.nri",       # makes a socket under /var/run
]
[grpc]
address = "{folder}/containerd.sock"
[plugins."io.containerd.cri.v1.images"]
snapshotter = "overlayfs"
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{pause}"
[plugins."io.containerd.cri.v1.runtime"]
restrict_oom_score_adj = true  # lowering it takes CAP_SYS_RESOURCE, which a container here lacks
disable_apparmor = true
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
# A stand-in: no VM behind it.
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.{handler}]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["{plugins}"]
conf_dir = "{folder}/cni"
"""
# Enough for a node to be Ready. Pods that talk to anybody use the host's network.
_LOOPBACK = {"cniVersion": "0.4.0", "name": "lo", "plugins": [{"type": "loopback"}]}


class Node:
    """One node of that name. The folder must be short (sockets) and no overlay (snapshots)."""

    def __init__(
        self, plane: ControlPlane, name: str, folder: Path, *, images: Sequence[Path] = ()
    ) -> None:
        self.name = name
        self.folder = folder
        self.plane = plane
        self._images = (image.tools(), *images)
        # A root of its own: two kubelets that share one remove each other's pods.
        self._cgroup = f"nodeagent-test-{os.getpid()}-{name}"
        self._process: Process | None = None
        self._made: list[Path] = []

    def __enter__(self) -> Self:
        for name in ("cni", "logs", *MOUNTED):
            (self.folder / name).mkdir(parents=True)
        self._write_settings()
        for controller in _controllers():
            (controller / self._cgroup).mkdir()
        try:
            self._make_places()
            self._start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    @property
    def captured(self) -> Path:
        """Put a captured host there; pods find it at /var/lib/kubelet/captured-host."""
        return self.folder / "kubelet" / "captured-host"

    @property
    def object(self) -> Object:
        return self.plane.api.get(f"/api/v1/nodes/{self.name}")

    def load(self, archive: Path) -> None:
        """Make a docker archive's images known to pods of this node."""
        self._ctr("images", "import", str(archive))

    def processes(self, pod: Object) -> list[int]:
        """The pids, as this machine counts them, of a pod's containers without its sandbox."""
        ids = [status["containerID"] for status in pod["status"]["containerStatuses"]]
        wanted = tuple(ident.rpartition("/")[2] for ident in ids)
        return sorted(pid for pid, group in _cgroup_of_each() if group.endswith(wanted))

    def log(self, pod: Object) -> str:
        """What a pod's containers wrote, the times and streams before it left out."""
        meta = pod["metadata"]
        folder = self.folder / "pods" / f"{meta['namespace']}_{meta['name']}_{meta['uid']}"
        lines = [line for file in sorted(folder.glob("*/*.log")) for line in file.open()]
        return "".join(line.split(" ", 3)[-1] for line in lines)

    def tail(self) -> str:
        """The ends of the node's own logs, for the message of a test that failed."""
        return "\n".join(
            f"--- {path.name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-15:])
            for path in sorted((self.folder / "logs").iterdir())
        )

    def _start(self) -> None:
        kubeconfig = self.plane.node_kubeconfig(self.name)
        self._process = Process(
            [
                *("unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child=KILL"),
                *("sh", "-c", _SUPERVISOR, "node", str(self.folder), str(kubeconfig), self.name),
                *(word for name, place in MOUNTED.items() for word in (name, str(place))),
            ],
            self.folder / "logs" / "supervisor",
            environment={"PATH": f"{binaries()}:/usr/sbin:/usr/bin:/sbin:/bin"},
        )
        eventually(lambda: self._ctr("version"), within_s=START_S, despite=NodeError)
        for archive in self._images:
            self.load(archive)
        try:
            eventually(self._is_ready, within_s=START_S, despite=AWAY)
        except AssertionError as error:
            raise NodeError(f"{self.name} is not ready:\n{self.tail()}") from error

    def _is_ready(self) -> bool:
        """And schedulable: the taint of a new node goes a moment after it is Ready."""
        node = self.object
        ready = any(
            condition["type"] == "Ready" and condition["status"] == "True"
            for condition in node["status"].get("conditions", [])
        )
        return ready and not node["spec"].get("taints")

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
        for controller in _controllers():
            root = controller / self._cgroup
            # The kernel takes a moment to bury the processes of a namespace that was killed.
            eventually(lambda root=root: _removed(root), within_s=20)  # type: ignore[misc]
        for place in self._made:
            if not is_mounted(place):
                with suppress(OSError):  # somebody put something there meanwhile
                    place.rmdir()

    def _make_places(self) -> None:
        """And remember which were not there; all are on every real node."""
        for place in MOUNTED.values():
            with suppress(FileExistsError):
                place.mkdir()
                self._made.append(place)

    def _write_settings(self) -> None:
        (self.folder / "cni" / "10-loopback.conflist").write_text(json.dumps(_LOOPBACK))
        (self.folder / "containerd.toml").write_text(
            _CONTAINERD.format(
                folder=self.folder, pause=image.TOOLS, handler=HANDLER, plugins=_CNI_PLUGINS
            )
        )
        # Where kubeadm puts it: the agent's pod mounts it from there.
        (self.folder / "kubelet" / "config.yaml").write_text(json.dumps(self._kubelet_settings()))

    def _kubelet_settings(self) -> Object:
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": "127.0.0.1",
            "port": _free_port(),
            "healthzPort": 0,
            "readOnlyPort": 0,
            "authentication": {
                "anonymous": {"enabled": False},
                "x509": {"clientCAFile": str(self.plane.client_ca)},
            },
            "authorization": {"mode": "Webhook"},
            "containerRuntimeEndpoint": f"unix://{self.folder}/containerd.sock",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{self._cgroup}",
            "failCgroupV1": False,
            "failSwapOn": False,
            "makeIPTablesUtilChains": False,  # this machine's firewall is not ours
            "podLogsDir": str(self.folder / "pods"),
            "volumePluginDir": str(self.folder / "plugins"),
            # Quick to tell what changed; unset, the second would follow and write every second.
            "nodeStatusUpdateFrequency": "1s",
            "nodeStatusReportFrequency": "5m",
            # A developer's full disk is no reason to evict the test.
            "evictionHard": {
                "memory.available": "100Mi",
                "nodefs.available": "1%",
                "imagefs.available": "1%",
            },
            "imageGCHighThresholdPercent": 100,
        }

    def _ctr(self, *args: str) -> str:
        command = [str(binaries() / "ctr"), "--address", f"{self.folder}/containerd.sock"]
        done = subprocess.run(
            [*command, "--namespace", "k8s.io", *args], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise NodeError(f"ctr {' '.join(args)}: {done.stderr.strip()}")
        return done.stdout


class NodeError(AssertionError):
    """The node did not do what it always does; its logs are in the message."""


def _controllers() -> list[Path]:
    """The hierarchies of cgroup v1, each of which has to know the node's root; none twice."""
    return sorted({path.resolve() for path in _CGROUPS.iterdir() if path.is_dir()})


def is_mounted(place: Path) -> bool:
    """By another test's node: removing the folder would take the mount from under it."""
    for table in Path("/proc").glob("[0-9]*/mountinfo"):
        with suppress(OSError):  # it ended meanwhile
            if any(line.split(" ")[4] == str(place) for line in table.read_text().splitlines()):
                return True
    return False


def _removed(cgroup: Path) -> bool:
    """Gone with all below it. Innermost first, and only ever empty ones: rmdir refuses others."""
    for folder, _, _ in os.walk(cgroup, topdown=False):
        with suppress(OSError):
            os.rmdir(folder)
    return not cgroup.exists()


def _cgroup_of_each() -> Iterator[tuple[int, str]]:
    """Every process of this machine and its memory cgroup."""
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        with suppress(OSError):  # it ended meanwhile
            for line in (folder / "cgroup").read_text().splitlines():
                _, kind, group = line.split(":", 2)
                if kind in {"memory", ""}:
                    yield int(folder.name), group
                    break


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
