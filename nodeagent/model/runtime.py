"""What starts a confidential GPU pod: kubelet, containerd, Kata, CDI specs, limits."""

from collections.abc import Mapping
from typing import NamedTuple

from nodeagent.model.pause import Wedge
from nodeagent.model.seen import Seen, Unreadable

Release = tuple[int, ...]

DEFAULT_TIMEOUT_S = 120.0
"""The kubelet's own runtimeRequestTimeout, where nothing or zero is set."""

NO_LIMIT = 1 << 64


class RuntimeClass(NamedTuple):
    """`selector` None: it selects no nodes at all, and so says nothing of any."""

    name: str
    handler: str
    selector: Mapping[str, str] | None
    overhead: Mapping[str, str]


class Around(NamedTuple):
    """What the cluster wants of this node and is offered there: a running agent alone knows it.

    `prefix`: labels that we write; `is_authority`: so are the states of the devices' mode.
    """

    labels: Mapping[str, str]
    offered: Mapping[str, str]
    classes: tuple[RuntimeClass, ...] | Unreadable
    prefix: str
    is_authority: bool = False
    wedges: tuple[Wedge, ...] = ()


class NodeSays(NamedTuple):
    """What the Node object shows of this host: the kubelet that runs wrote it.

    `handlers` None: it does not list any, as before containerd 2.
    """

    kubelet: str
    runtime: str
    handlers: tuple[str, ...] | None
    around: Around | None = None


class Setting(NamedTuple):
    """A value, and the place that sets it."""

    value: float
    where: str


class Layer(NamedTuple):
    """What one place sets of the kubelet's configuration, and nothing that it leaves alone.

    A gate that is None there was taken back to its default; so were all of weaker layers
    where `clears`.
    """

    where: str
    gates: Mapping[str, bool | None]
    timeout_s: float | None
    clears: bool = False
    endpoint: str | None = None


class Kubelet(NamedTuple):
    """`layers`: file, drop-ins, flags, from the weakest to the strongest.

    `unseen` is a layer above them that is usually empty and cannot be looked at.
    """

    name: str
    running: bool
    version: Seen[str]
    layers: tuple[Layer | Unreadable, ...]
    unseen: Unreadable | None = None

    def gate(self, name: str) -> Seen[Setting]:
        """The strongest word about a feature gate; None: its default."""
        for layer in reversed(self.layers):
            if isinstance(layer, Unreadable):
                return layer
            if name in layer.gates:
                value = layer.gates[name]
                return None if value is None else Setting(value, layer.where)
            if layer.clears:
                break
        return None

    def timeout(self) -> Seen[Setting]:
        """The strongest runtimeRequestTimeout; None: its default."""
        for layer in reversed(self.layers):
            if isinstance(layer, Unreadable):
                return layer
            if layer.timeout_s is not None:
                return Setting(layer.timeout_s, layer.where)
        return None

    def endpoint(self) -> Seen[str]:
        """The socket of the container runtime; None where nothing names it."""
        for layer in reversed(self.layers):
            if isinstance(layer, Unreadable):
                return layer
            if layer.endpoint:
                return layer.endpoint
        return None


class Handler(NamedTuple):
    """One of containerd's or CRI-O's. `config_there`: whether the file at `config` exists."""

    name: str
    kind: str
    shim: str
    config: str
    snapshotter: str
    where: str
    config_there: Seen[bool] = None


class Containerd(NamedTuple):
    """Its configuration, imports included, or CRI-O's in its place: `name` tells which.

    `closed`: what of that could not be read.
    `locked_bytes` is RLIMIT_MEMLOCK of the process, which the VMs it starts inherit.
    """

    version: str | None
    handlers: tuple[Handler, ...]
    proxies: frozenset[str]
    closed: Unreadable | None
    locked_bytes: Seen[int]
    name: str = "containerd"


class Kata(NamedTuple):
    """One installation. `shim`: the NVIDIA SNP configuration that it has, by path.

    `qemu` is the version of the QEMU that this configuration starts, where it is known.
    """

    root: str
    version: Seen[str]
    shim: Seen[str]
    qemu_path: Seen[str]
    qemu: Seen[str]


class CdiSpec(NamedTuple):
    """One CDI file of NVIDIA's and the device nodes that it names."""

    where: str
    kind: str
    nodes: tuple[str, ...]


class Runtime(NamedTuple):
    """`kubelet` None: none is installed, and then nothing else was looked at."""

    kubelet: Seen[Kubelet]
    containerd: Containerd | None = None
    kata: tuple[Kata, ...] = ()
    kata_closed: Unreadable | None = None
    specs: tuple[CdiSpec, ...] = ()
    specs_closed: Unreadable | None = None
    inotify: Seen[int] = None
    node: NodeSays | None = None


def release(text: Seen[str]) -> Release | None:
    """`v1.35.2+k3s1` → (1, 35, 2), `1:10.0.2+ds-2` → (10, 0, 2); None where it is none.

    A Debian epoch goes, and so does whatever follows the dotted numbers.
    """
    if not text or isinstance(text, Unreadable):
        return None
    rest = text.partition(":")[2] if text.partition(":")[0].isdecimal() else text
    numbers: list[int] = []
    for part in rest.removeprefix("v").split(".")[:4]:
        digits = _leading_digits(part)
        if digits is None:
            break
        numbers.append(int(digits))
        if len(digits) < len(part):
            break
    return tuple(numbers) if len(numbers) > 1 else None


def _leading_digits(part: str) -> str | None:
    end = next((at for at, char in enumerate(part) if not "0" <= char <= "9"), len(part))
    return part[:end] if 0 < end < 7 else None


def at_least(found: Release, floor: Release) -> bool:
    """Numerically: 1.9 is older than 1.32, and 3.29 is 3.29.0."""
    length = max(len(found), len(floor))
    return found + (0,) * (length - len(found)) >= floor + (0,) * (length - len(floor))
