"""Judges whether this node starts a confidential GPU pod: kubelet, containerd, Kata, CDI."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from nodeagent import data
from nodeagent.checks.check import Ask, Check, plain
from nodeagent.checks.gpu import is_protected
from nodeagent.checks.paths import targets
from nodeagent.model.codes import Code
from nodeagent.model.facts import Facts
from nodeagent.model.findings import Outcome, bad, ok, skip, unknown, warn
from nodeagent.model.pci import Devices, Gpu
from nodeagent.model.runtime import (
    DEFAULT_TIMEOUT_S,
    NO_LIMIT,
    Containerd,
    Handler,
    Kata,
    Kubelet,
    NodeSays,
    Release,
    Setting,
    at_least,
    release,
)
from nodeagent.model.seen import Seen, Unreadable
from nodeagent.model.text import printable
from nodeagent.model.words import Confidence, Level

_CDEV = "/dev/vfio/devices/"
_CONTAINER = "/dev/vfio/vfio"
_SHOWN = 60


def _wanted(topic: str) -> dict[str, Any]:
    found: dict[str, Any] = data.load("runtime.json")[topic]
    return found


def _floor(topic: str, key: str = "floor") -> Release:
    return tuple(_wanted(topic)[key])


def _dotted(numbers: Iterable[int]) -> str:
    return ".".join(str(number) for number in numbers)


def _gap(gap: Unreadable) -> Outcome:
    return unknown(Code.NO_ACCESS, printable(str(gap)), where=gap.where)


def _kubelet(facts: Facts) -> Kubelet | None:
    found = facts.runtime.kubelet
    return found if isinstance(found, Kubelet) else None


def kubelet(facts: Facts) -> tuple[Outcome, ...]:
    """Whether there is one decides whether this level counts at all."""
    found = facts.runtime.kubelet
    if isinstance(found, Unreadable):
        return (_gap(found),)
    if found is None:
        return (skip("no kubelet is installed here"),)
    name = f"{found.name} {'runs' if found.running else 'does not run'}"
    version = release(found.version)
    if version is None:
        return (skip(f"{name}, its version is not known"),)
    seen = f"{name}, Kubernetes {printable(str(found.version), 30)}"
    floor = _floor("kubelet")
    if not at_least(version, floor):
        return (bad(Code.KUBELET_TOO_OLD, f"{seen}; {_dotted(floor)} is wanted"),)
    return (ok(seen),)


# The kubelet's settings.


class Wrong(NamedTuple):
    """A setting that is certainly not as wanted, and the place that sets it, if any does."""

    says: str
    where: str


_Answer = str | Wrong | Unreadable | None


def settings(facts: Facts) -> tuple[Outcome, ...]:
    """One outcome for all: they are set in one place, and take one restart."""
    found = _kubelet(facts)
    if found is None:
        return ()
    answers = [*_gates(found), _timeout(found)]
    wrong = [each for each in answers if isinstance(each, Wrong)]
    if wrong:
        seen = "; ".join(each.says for each in wrong)
        return (bad(Code.KUBELET_NOT_PREPARED, seen, where=wrong[0].where),)
    gap = next((each for each in answers if isinstance(each, Unreadable)), None)
    if gap:
        return (_gap(gap),)
    # Flags of a kubelet within another program could still say otherwise.
    sure = Confidence.MEDIUM if found.unseen else Confidence.HIGH
    return (ok("; ".join(each for each in answers if isinstance(each, str)), confidence=sure),)


def _gates(found: Kubelet) -> Iterator[_Answer]:
    version = release(found.version)
    for name, wanted in _wanted("gates").items():
        on_from = wanted.get("on_from")
        if on_from is None:
            default: bool | None = False
        else:
            default = at_least(version, tuple(on_from)) if version else None
        yield _gate(found, name, default)


def _gate(found: Kubelet, name: str, default: bool | None) -> _Answer:
    """Its own word, else that of AllAlpha or AllBeta, else the release's default.

    Where the release is not known, its default is not held against anybody.
    """
    said = found.gate(name)
    if said is None and default is not None:
        said = found.gate("AllBeta" if default else "AllAlpha")
    if isinstance(said, Unreadable):
        return said
    if said is None and default is None:
        return None
    if said.value if said else default:
        return f"{name} is on"
    if said is None and found.unseen:
        return found.unseen
    return Wrong(f"feature gate {name} is off{_by(said)}", said.where if said else "")


def _timeout(found: Kubelet) -> _Answer:
    said = found.timeout()
    if isinstance(said, Unreadable):
        return said
    floor = _wanted("request_timeout_s")["floor"]
    value = said.value if said else DEFAULT_TIMEOUT_S
    seen = f"runtimeRequestTimeout is {_clock(value)}"
    if value >= floor:
        return seen
    if said is None and found.unseen:
        return found.unseen
    return Wrong(f"{seen}{_by(said)}, {_clock(floor)} is wanted", said.where if said else "")


def _by(said: Setting | None) -> str:
    return f" in {printable(said.where, _SHOWN)}" if said else " by default"


def _clock(seconds: float) -> str:
    """As Go writes it, without parts that are zero."""
    minutes, rest = divmod(seconds, 60)
    return (f"{minutes:g}m" if minutes else "") + (f"{rest:g}s" if rest or not minutes else "")


# The container runtime.


def containerd(facts: Facts) -> tuple[Outcome, ...]:
    found = facts.runtime.containerd
    version = release(found.version) if found else None
    if found is None or version is None:
        return ()
    seen = f"containerd {printable(str(found.version), 30)}"
    validated = tuple(_wanted("containerd")["validated"])
    if at_least(version, validated):
        return (ok(seen),)
    seen = f"{seen}; {_dotted(validated)} is what NVIDIA validated"
    return (warn(Code.RUNTIME_TOO_OLD, seen),)


def handler(facts: Facts) -> tuple[Outcome, ...]:
    """The Node shows what containerd runs with; its files, what it would start with next."""
    found = facts.runtime.containerd
    if found is None:
        return ()
    node = facts.runtime.node
    files = _handlers(found)
    if node is None or not node.handlers:
        return (_configured(found, files),)
    running = sorted(name for name in node.handlers if _is_named(name))
    known = [each for each in files if each.name in node.handlers]
    if known:
        return (_pointing(known[0]),)
    if running:
        return (ok(f"the Node shows the handler {printable(running[0], _SHOWN)}"),)
    if files:
        name = printable(files[0].name, _SHOWN)
        seen = f"handler {name} is configured, but the Node does not show it"
        return (bad(Code.RUNTIME_NOT_PREPARED, f"{seen}: restart containerd"),)
    if found.closed and not _knows_no_kata(node):
        return (_gap(found.closed),)
    return (bad(Code.RUNTIME_NOT_PREPARED, "the Node shows no Kata handler for GPUs and SNP"),)


def _configured(found: Containerd, files: list[Handler]) -> Outcome:
    if files:
        return _pointing(files[0])
    if found.closed:
        return _gap(found.closed)
    name = _wanted("handler")["name"]
    return bad(Code.RUNTIME_NOT_PREPARED, f"containerd's configuration has no handler {name}")


def _handlers(found: Containerd) -> list[Handler]:
    """The plain name first: a second installation has a suffix, a custom one any name."""
    wanted = _wanted("handler")
    base = wanted["configuration"]
    fitting = [
        each
        for each in found.handlers
        if _is_named(each.name) or each.config.rpartition("/")[2].startswith(base)
    ]
    return sorted(fitting, key=lambda each: (each.name != wanted["name"], each.name))


def _is_named(name: str) -> bool:
    wanted: str = _wanted("handler")["name"]
    return name == wanted or name.startswith(f"{wanted}-")


def _knows_no_kata(node: NodeSays | None) -> bool:
    """Every handler that the Node shows is known to be another runtime's."""
    others = _wanted("handler")["others"]
    return bool(node and node.handlers and set(node.handlers) <= set(others))


def _pointing(found: Handler) -> Outcome:
    name = f"handler {printable(found.name, _SHOWN)}"
    if found.config_there is False:
        seen = f"{name} points at {printable(found.config, 120)}, which is not there"
        return bad(Code.RUNTIME_NOT_PREPARED, seen, where=found.where)
    if isinstance(found.config_there, Unreadable):
        return _gap(found.config_there)
    return ok(f"{name} is configured", where=found.where)


def snapshotter(facts: Facts) -> tuple[Outcome, ...]:
    """One that containerd does not have fails every pod of the handler."""
    found = facts.runtime.containerd
    files = _handlers(found) if found else []
    if found is None or not files:
        return ()
    wanted = _wanted("containerd")
    name, own = printable(files[0].name, _SHOWN), files[0].snapshotter
    if not own:
        seen = (
            f"handler {name} uses the default snapshotter, NVIDIA's stack {wanted['snapshotter']}"
        )
        return (warn(Code.RUNTIME_NOT_PREPARED, seen, where=files[0].where),)
    if own in found.proxies or own in wanted["built_in"]:
        return (ok(f"snapshotter {printable(own, _SHOWN)}"),)
    if found.closed:
        return (_gap(found.closed),)
    seen = f"handler {name} uses snapshotter {printable(own, _SHOWN)}, which is no proxy plugin"
    return (bad(Code.RUNTIME_NOT_PREPARED, seen, where=files[0].where),)


# Kata and its QEMU.


def kata(facts: Facts) -> tuple[Outcome, ...]:
    """Kata with a shim for GPUs in SNP guests; a node that only runs plain pods has none."""
    found = facts.runtime
    if _kubelet(facts) is None:
        return ()
    used = _used(facts)
    if used:
        seen = f"Kata in {printable(used.root, _SHOWN)} has its NVIDIA GPU SNP shim"
        return (ok(seen, where=str(used.shim)),)
    shims = [each.shim for each in found.kata]
    elsewhere = found.containerd.closed if found.containerd else None
    gaps = [found.kata_closed, None if _knows_no_kata(found.node) else elsewhere, *shims]
    for gap in gaps:
        if isinstance(gap, Unreadable):
            return (_gap(gap),)
    if not found.kata:
        return (bad(Code.KATA_MISSING, "Kata Containers is neither in /opt/kata nor in /usr"),)
    seen = f"Kata in {printable(found.kata[0].root, _SHOWN)} has no NVIDIA GPU SNP configuration"
    return (bad(Code.KATA_MISSING, seen, where=found.kata[0].root),)


def _used(facts: Facts) -> Kata | None:
    return next((each for each in facts.runtime.kata if isinstance(each.shim, str)), None)


def kata_version(facts: Facts, ask: Ask) -> tuple[Outcome, ...]:
    """Older ones take an NVSwitch for a host bridge and drop it."""
    used = _used(facts)
    if used is None:
        return ()
    version = release(used.version) if isinstance(used.version, str) else None
    if version is None:
        return (skip("Kata's version stands nowhere that could be read"),)
    devices = facts.devices
    switches = isinstance(devices, Devices) and devices.switches
    protected = isinstance(devices, Devices) and is_protected(devices, ask.want)
    floor = _floor("kata", "floor_with_switches" if switches and protected else "floor")
    seen = f"Kata {printable(str(used.version), 30)}"
    if at_least(version, floor):
        return (ok(seen),)
    for_whom = " with NVSwitches" if switches and protected else ""
    return (bad(Code.KATA_TOO_OLD, f"{seen}; {_dotted(floor)} is wanted{for_whom}"),)


def qemu(facts: Facts) -> tuple[Outcome, ...]:
    """The one that Kata's configuration starts; another beside it is nobody's."""
    used = _used(facts)
    if used is None:
        return ()
    version = release(used.qemu) if isinstance(used.qemu, str) else None
    if version is None:
        return (skip("the version of Kata's QEMU stands nowhere that could be read"),)
    path = f" ({printable(used.qemu_path, _SHOWN)})" if isinstance(used.qemu_path, str) else ""
    seen = f"QEMU {printable(str(used.qemu), 30)}{path}"
    floor = _floor("qemu")
    if at_least(version, floor):
        return (ok(seen),)
    return (bad(Code.QEMU_TOO_OLD, f"{seen}; {_dotted(floor)} is wanted"),)


# CDI.


def cdi(facts: Facts, ask: Ask) -> tuple[Outcome, ...]:
    """The device plugin writes its spec once, and goes on offering GPUs that were renumbered."""
    if _kubelet(facts) is None:
        return ()
    devices = [each for each in targets(facts, ask.want) if _is_bound(each)]
    named = {node for spec in facts.runtime.specs for node in spec.nodes}
    left = [each for each in devices if not named.intersection(_nodes(each))]
    if not devices:
        return ()
    if not left:
        where = ", ".join(dict.fromkeys(spec.where for spec in facts.runtime.specs))
        return (ok(f"{printable(where, _SHOWN)} names every GPU's device node"),)
    first = left[0]
    if facts.runtime.specs_closed:
        return (_gap(facts.runtime.specs_closed),)
    if not facts.runtime.specs:
        seen = "there is no CDI spec of NVIDIA's in /run/cdi or /etc/cdi"
        return (bad(Code.CDI_MISSING, seen, where="/run/cdi"),)
    if not _kinds(named) <= _kinds(_nodes(first)):
        seen = f"{first.bdf}: not all of its device nodes could be read"
        return (unknown(Code.NO_ACCESS, seen, where=first.bdf),)
    return (_unnamed(facts, first, named - {node for each in devices for node in _nodes(each)}),)


def _unnamed(facts: Facts, device: Gpu, strange: set[str]) -> Outcome:
    """Nodes that no GPU has today are those of the past."""
    spec = facts.runtime.specs[0]
    own = " or ".join(_nodes(device)) or "without a node"
    past = sorted(node for node in strange if node.startswith("/dev/vfio/") and node != _CONTAINER)
    if past:
        seen = f"{spec.where} names {past[0]}; {device.bdf} is {own} today"
        return bad(Code.CDI_STALE, printable(seen), where=spec.where)
    seen = f"no CDI spec names {device.bdf}, which is {own}"
    return bad(Code.CDI_MISSING, printable(seen), where=spec.where)


def _is_bound(device: Gpu) -> bool:
    return isinstance(device.pci.driver, str) and "vfio" in device.pci.driver


def _nodes(device: Gpu) -> tuple[str, ...]:
    return device.vfio_nodes if isinstance(device.vfio_nodes, tuple) else ()


def _kinds(nodes: Iterable[str]) -> set[bool]:
    """Which of the two kinds are among them: a device's own node, or its group's."""
    return {
        node.startswith(_CDEV)
        for node in nodes
        if node.startswith("/dev/vfio/") and node != _CONTAINER
    }


# Limits.


def limits(facts: Facts, ask: Ask) -> tuple[Outcome, ...]:
    """VMs inherit containerd's limit of locked memory; the instances are a matter of how many."""
    if _kubelet(facts) is None:
        return ()
    return tuple(_inotify(facts.runtime.inotify)) + tuple(_memlock(facts, ask.policy.guest_bytes))


def _inotify(instances: Seen[int]) -> Iterator[Outcome]:
    floor = _wanted("inotify")["floor"]
    if isinstance(instances, int) and instances < floor:
        seen = f"fs.inotify.max_user_instances is {instances}, Contrast asks for {floor}"
        yield warn(Code.LIMITS_TOO_LOW, seen)


def _memlock(facts: Facts, guest_bytes: int | None) -> Iterator[Outcome]:
    """Only a configured guest says how much is enough."""
    found = facts.runtime.containerd
    if guest_bytes is None or found is None:
        return
    limit = found.locked_bytes
    if isinstance(limit, Unreadable):
        yield _gap(limit)
    elif limit is None:
        yield unknown(Code.NO_ACCESS, "containerd's limits: it was not seen running")
    elif limit < guest_bytes:
        seen = f"containerd may lock {_gib(limit)}, the configured guest has {_gib(guest_bytes)}"
        yield bad(Code.LIMITS_TOO_LOW, f"{seen}: LimitMEMLOCK of its unit")
    else:
        shown = "any amount of memory" if limit >= NO_LIMIT else _gib(limit)
        yield ok(f"containerd may lock {shown}")


def _gib(count: int) -> str:
    return f"{count / (1 << 30):.4g} GiB"


_R = Level.RUNTIME
CHECKS: tuple[Check, ...] = (
    Check("runtime.kubelet", _R, "Kubernetes 1.32 or newer", plain(kubelet)),
    Check("runtime.settings", _R, "the kubelet's gates and request timeout", plain(settings)),
    Check("runtime.containerd", _R, "containerd 2.3 or newer", plain(containerd)),
    Check("runtime.kata", _R, "Kata with its NVIDIA GPU SNP shim", plain(kata)),
    Check("runtime.kata_version", _R, "a Kata that passes GPUs through", kata_version),
    Check("runtime.qemu", _R, "QEMU 9.2 or newer", plain(qemu)),
    Check("runtime.handler", _R, "a Kata handler for GPUs and SNP", plain(handler)),
    Check("runtime.snapshotter", _R, "a snapshotter that containerd has", plain(snapshotter)),
    Check("runtime.cdi", _R, "a CDI spec that names today's nodes", cdi),
    Check("runtime.limits", _R, "limits that a guest fits in", limits),
)
"""In reading order."""
