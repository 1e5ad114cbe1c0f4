"""Reads what starts a confidential GPU pod, on hosts where a kubelet is installed."""

from nodeagent.facts.parse import read_number
from nodeagent.model.packages import CONTAINERD, KUBELET
from nodeagent.model.runtime import NO_LIMIT, Kubelet, NodeSays, Runtime
from nodeagent.model.seen import Seen, Unreadable
from nodeagent.seams import Files, Machine

# Any of these is a kubelet that can be started.
_INSTALLED = (
    "/usr/bin/kubelet",
    "/usr/local/bin/kubelet",
    "/opt/bin/kubelet",
    "/usr/local/bin/k3s",
    "/var/lib/kubelet/config.yaml",
    "/etc/systemd/system/kubelet.service",
    "/usr/lib/systemd/system/kubelet.service",
    "/lib/systemd/system/kubelet.service",
)
# Every kubelet makes this folder, wherever its own is: plugins meet it there.
_TRACE = "/var/lib/kubelet"
_INOTIFY = "/proc/sys/fs/inotify/max_user_instances"


def read(machine: Machine, node: NodeSays | None) -> Runtime:
    """`node` is what the Node object says of this host, where there is one."""
    files = machine.files
    there = [files.has(path) for path in _INSTALLED]
    trace = files.has(_TRACE)
    if not any(there) and trace is False:
        return Runtime(kubelet=None)
    return _read(machine, node, there)


def _read(machine: Machine, node: NodeSays | None, there: list[bool | Unreadable]) -> Runtime:
    """Only from here on is it worth loading the rest, and searching all processes."""
    from nodeagent.facts import cdi, containerd, crio, kata, kubelet  # noqa: PLC0415
    from nodeagent.facts.packages import Packages  # noqa: PLC0415
    from nodeagent.facts.processes import find  # noqa: PLC0415

    files = machine.files
    found = find(files, kubelet.NAMES, (containerd.NAME, crio.NAME))
    running = found.of(kubelet.NAMES)
    if running is None and True not in there:
        there += kubelet.traces(files)
    if running is None and True not in there:
        gap = next((each for each in there if isinstance(each, Unreadable)), found.closed)
        return Runtime(kubelet=gap)
    packages = Packages(files)
    asked = machine.probes.versions()
    said = {} if asked is None or isinstance(asked, Unreadable) else asked
    # What runs outweighs what somebody asked, and that what is installed but may not run yet.
    version = (node and node.kubelet) or said.get("kubelet")
    own = kubelet.read(files, running or found.closed, version)
    if own.version is None and own.name == "kubelet":
        own = own._replace(version=packages.version(KUBELET))
    daemon = next((each for each in found.processes if containerd.serves_pods(each)), None)
    other = found.of((crio.NAME,))
    if _is_crio(files, node, own, runs=(daemon is not None, other is not None)):
        cri = crio.read(files, other or found.closed)
        cri = cri._replace(locked_bytes=_locked(files, other.pid) if other else found.closed)
    else:
        cri = containerd.read(files, daemon or found.closed or _untold(own), within=own.name)
        version = _containerd(node) or said.get("containerd")
        version = version or _text(packages.version(CONTAINERD))
        locked = _locked(files, daemon.pid) if daemon else found.closed
        cri = cri._replace(version=version, locked_bytes=locked)
    katas, kata_closed = kata.read(files, cri.handlers, packages, said)
    specs, specs_closed = cdi.read(files)
    return Runtime(
        kubelet=own,
        containerd=cri,
        kata=katas,
        kata_closed=kata_closed,
        specs=specs,
        specs_closed=specs_closed,
        inotify=read_number(files, _INOTIFY),
        node=node,
    )


def _text(value: Seen[str]) -> str | None:
    return value if isinstance(value, str) else None


def _containerd(node: NodeSays | None) -> str | None:
    """`containerd://2.3.0`."""
    name, _, version = (node.runtime if node else "").partition("://")
    return version if name == "containerd" else None


def _untold(kubelet: Kubelet) -> Unreadable | None:
    """A kubelet that may be part of something else, whose containerd is configured elsewhere."""
    first = kubelet.layers[0] if kubelet.layers and not kubelet.running else None
    return first if isinstance(first, Unreadable) else None


def _is_crio(
    files: Files, node: NodeSays | None, kubelet: Kubelet, *, runs: tuple[bool, bool]
) -> bool:
    """By the Node, else by the kubelet's own word, else by which of the two runs or is there."""
    if node and node.runtime:
        return node.runtime.startswith("cri-o://")
    endpoint = kubelet.endpoint()
    if isinstance(endpoint, str):
        return "crio" in endpoint
    return runs[1] or (not runs[0] and files.has("/etc/crio") is True)


def _locked(files: Files, pid: int) -> Seen[int]:
    """The soft limit of locked memory in bytes, from /proc/PID/limits."""
    path = f"/proc/{pid}/limits"
    text = files.read(path, 1 << 14)
    if not isinstance(text, str):
        return text
    for line in text.split("\n"):
        if line.startswith("Max locked memory"):
            soft = line.removeprefix("Max locked memory").split()[:1]
            if soft == ["unlimited"]:
                return NO_LIMIT
            if soft and soft[0].isdecimal() and len(soft[0]) <= 20:
                return int(soft[0])
    return Unreadable(path, "has no limit of locked memory")
