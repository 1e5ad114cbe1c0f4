"""Judges whether this node starts a confidential GPU pod: Kata, limits, and the level's checks."""

from collections.abc import Iterator

from nodeagent.checks import cdi, containerd, kubelet
from nodeagent.checks.check import Ask, Check, plain
from nodeagent.checks.gpu import is_protected
from nodeagent.checks.wanted import SHOWN, dotted, installed, unread, wanted
from nodeagent.model.codes import Code
from nodeagent.model.facts import Facts
from nodeagent.model.findings import Outcome, bad, ok, skip, unknown, warn
from nodeagent.model.pci import Devices
from nodeagent.model.runtime import NO_LIMIT, Kata, at_least, release
from nodeagent.model.seen import Seen, Unreadable
from nodeagent.model.text import printable
from nodeagent.model.words import Level

# Kata and its QEMU.


def kata(facts: Facts) -> tuple[Outcome, ...]:
    """Kata with a shim for GPUs in SNP guests; a node that only runs plain pods has none."""
    found = facts.runtime
    if installed(facts) is None:
        return ()
    used = _used(facts)
    if used:
        seen = f"Kata in {printable(used.root, SHOWN)} has its NVIDIA GPU SNP shim"
        return (ok(seen, where=str(used.shim)),)
    shims = [each.shim for each in found.kata]
    elsewhere = found.containerd.closed if found.containerd else None
    gaps = [found.kata_closed, None if containerd.knows_no_kata(found.node) else elsewhere, *shims]
    for gap in gaps:
        if isinstance(gap, Unreadable):
            return (unread(gap),)
    if not found.kata:
        return (bad(Code.KATA_MISSING, "Kata Containers is neither in /opt/kata nor in /usr"),)
    seen = f"Kata in {printable(found.kata[0].root, SHOWN)} has no NVIDIA GPU SNP configuration"
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
        return (skip(f"Kata's version {_nowhere(used.version)}"),)
    devices = facts.devices
    switches = isinstance(devices, Devices) and devices.switches
    protected = isinstance(devices, Devices) and is_protected(devices, ask.want)
    floor = wanted().kata_with_switches if switches and protected else wanted().kata
    seen = f"Kata {printable(str(used.version), 30)}"
    if at_least(version, floor):
        return (ok(seen),)
    for_whom = " with NVSwitches" if switches and protected else ""
    return (bad(Code.KATA_TOO_OLD, f"{seen}; {dotted(floor)} is wanted{for_whom}"),)


def _nowhere(version: Seen[str]) -> str:
    why = f": {version.why}" if isinstance(version, Unreadable) else ""
    return f"stands nowhere that could be read{printable(why, 80)}"


def advisory(facts: Facts) -> tuple[Outcome, ...]:
    """A published hole is no reason why a pod would not start: it counts beside the floors."""
    used = _used(facts)
    version = release(used.version) if used and isinstance(used.version, str) else None
    if used is None or version is None:
        return ()
    seen = f"Kata {printable(str(used.version), 30)}"
    if at_least(version, wanted().kata_without_advisory):
        return (ok(seen),)
    return (bad(Code.KATA_TOO_OLD, f"{seen} has the published hole {wanted().advisory}"),)


def qemu(facts: Facts) -> tuple[Outcome, ...]:
    """The one that Kata's configuration starts; another beside it is nobody's."""
    used = _used(facts)
    if used is None:
        return ()
    version = release(used.qemu) if isinstance(used.qemu, str) else None
    if version is None:
        return (skip(f"the version of Kata's QEMU {_nowhere(used.qemu)}"),)
    path = f" ({printable(used.qemu_path, SHOWN)})" if isinstance(used.qemu_path, str) else ""
    seen = f"QEMU {printable(str(used.qemu), 30)}{path}"
    floor = wanted().qemu
    if at_least(version, floor):
        return (ok(seen),)
    return (bad(Code.QEMU_TOO_OLD, f"{seen}; {dotted(floor)} is wanted"),)


# Limits.


def limits(facts: Facts, ask: Ask) -> tuple[Outcome, ...]:
    """VMs inherit containerd's limit of locked memory; the instances are a matter of how many."""
    if installed(facts) is None:
        return ()
    return tuple(_inotify(facts.runtime.inotify)) + tuple(_memlock(facts, ask.policy.guest_bytes))


def _inotify(instances: Seen[int]) -> Iterator[Outcome]:
    floor = wanted().inotify
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
        yield unread(limit)
    elif limit is None:
        yield unknown(Code.NO_ACCESS, f"{found.name}'s limits: it was not seen running")
    elif limit < guest_bytes:
        seen = f"{found.name} may lock {_gib(limit)}, the configured guest has {_gib(guest_bytes)}"
        yield bad(Code.LIMITS_TOO_LOW, f"{seen}: LimitMEMLOCK of its unit")
    else:
        shown = "any amount of memory" if limit >= NO_LIMIT else _gib(limit)
        yield ok(f"{found.name} may lock {shown}")


def _gib(count: int) -> str:
    return f"{count / (1 << 30):.4g} GiB"


_RUNTIME = Level.RUNTIME
CHECKS: tuple[Check, ...] = (
    Check("runtime.kubelet", _RUNTIME, "Kubernetes 1.32 or newer", plain(kubelet.kubelet)),
    Check("runtime.settings", _RUNTIME, "gates on, and time to start", plain(kubelet.settings)),
    Check("runtime.containerd", _RUNTIME, "containerd 2.3 or newer", plain(containerd.containerd)),
    Check("runtime.kata", _RUNTIME, "Kata with its NVIDIA GPU SNP shim", plain(kata)),
    Check("runtime.kata_version", _RUNTIME, "a Kata that passes GPUs through", kata_version),
    Check("runtime.qemu", _RUNTIME, "QEMU 9.2 or newer", plain(qemu)),
    Check(
        "runtime.handler", _RUNTIME, "a Kata handler for GPUs and SNP", plain(containerd.handler)
    ),
    Check("runtime.snapshotter", _RUNTIME, "one that is there", plain(containerd.snapshotter)),
    Check("runtime.cdi", _RUNTIME, "a CDI spec that names today's nodes", cdi.cdi),
    Check("runtime.limits", _RUNTIME, "limits that a guest fits in", limits),
    Check("kata.advisory", Level.COMPLIANT, "a Kata without known holes", plain(advisory)),
)
"""In reading order."""
