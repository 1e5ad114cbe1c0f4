"""A captured host (format version 1), read exactly as a live one."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from typing import NoReturn, TypeVar

from nodeagent.capture.shape import NOT_CAPTURED, Node, describe, load, mapping_of_text, paths
from nodeagent.errors import CaptureError, HostError, nearest
from nodeagent.host import klog
from nodeagent.host.devices import combine
from nodeagent.host.root import Root
from nodeagent.model.cpu import CpuidRegs, CpuValues
from nodeagent.model.facts import Source
from nodeagent.model.host import Kvm, PspFailure, Uname
from nodeagent.model.seen import Seen, Unreadable
from nodeagent.seams import FILE_LIMIT, Files, Parts, Registers

T = TypeVar("T")

VERSION = 1
_HOST_KEYS = frozenset(
    {
        *("version", "captured", "note", "uname", "boot_id", "euid", "absent", "denied"),
        *("listed", "log_from", "masked"),
    }
)
_PROBE_KEYS = frozenset({"cpuid", "msr", "sev", "kvm", "gpu", "versions"})
_KVM_KEYS = frozenset({"api_version", "vm_types", "sev_vmsa_features", "policy_bits"})
_VERSIONED = frozenset({"kubelet", "containerd", "qemu", "kata"})
_PROCESSES = "/proc"
"""Read name by name in every capture, though one that was written keeps few processes."""
CPUID_DEVICE = "/dev/cpu/0/cpuid"
SEV_NAMES = {1: "platform_status", 9: "snp_platform_status"}


class CapturedFiles:
    """The tree `root/`, with what host.json says of paths that are not in it.

    `listed` are the folders that are known name by name; None: every folder in the tree is.
    """

    def __init__(
        self,
        root: Root,
        absent: frozenset[str],
        denied: Mapping[str, str],
        listed: frozenset[str] | None = None,
    ) -> None:
        self._root = root
        self._absent = absent
        self._denied = denied
        self._listed = listed

    def read_bytes(self, path: str, limit: int = FILE_LIMIT) -> Seen[bytes]:
        found = self.denied(path)
        return found or self._or_why(path, self._root.read_bytes(path, limit))

    def read(self, path: str, limit: int = FILE_LIMIT) -> Seen[str]:
        found = self.denied(path)
        return found or self._or_why(path, self._root.read(path, limit))

    @contextmanager
    def parts(self, path: str) -> Iterator[Seen[Parts]]:
        with self._root.parts(path) as found:
            yield self.denied(path) or self._or_why(path, found)

    def names(self, path: str) -> Seen[tuple[str, ...]]:
        if gap := self.denied(path):
            return gap
        found = self._or_why(path, self._root.names(path))
        if isinstance(found, tuple) and not (path == _PROCESSES or self._is_listed(path)):
            return Unreadable(path, NOT_CAPTURED)
        return found

    def link(self, path: str) -> Seen[str]:
        found = self._root.link(path)
        if isinstance(found, str):
            return found
        return self.denied(path) or self._or_why(path, found)

    def has(self, path: str) -> bool | Unreadable:
        found = self._root.has(path)
        if found is False:
            gap = self.denied(path) or self.missing(path)
            return False if gap is None else gap
        return found

    def denied(self, path: str) -> Unreadable | None:
        """What opening this very path failed with on the host."""
        name = self._denied.get(path)
        return Unreadable(path, describe(name)) if name else None

    def missing(self, path: str) -> Unreadable | None:
        """Why a path is not in the tree: None if it was absent on the host."""
        folder = path.rstrip("/").rpartition("/")[0]
        if self._is_listed(folder) and self._root.has(f"{folder}/.") is not False:
            return None
        above = path.rstrip("/")
        while above:
            if above in self._absent:
                return None
            above = above.rpartition("/")[0]
        return Unreadable(path, NOT_CAPTURED)

    def _is_listed(self, folder: str) -> bool:
        return self._listed is None or folder in self._listed

    def _or_why(self, path: str, found: Seen[T]) -> Seen[T]:
        return self.missing(path) if found is None else found


class CapturedRegisters:
    def __init__(self, values: Mapping[int, int | Unreadable]) -> None:
        self._values = values

    def read(self, offset: int) -> int | Unreadable:
        return self._values.get(offset, Unreadable(f"register {offset:#x}", NOT_CAPTURED))


class CapturedProbes:
    """probes.json; every value is checked when the capture is opened, not when it is used."""

    def __init__(
        self,
        node: Node,
        files: CapturedFiles,
        tree: Root,
        *,
        uname: Uname | None,
        log_from: str | None = None,
    ) -> None:
        for key, value in node.items():
            if key not in _PROBE_KEYS:
                unknown_key(value, key, _PROBE_KEYS)
        self._files = files
        self._tree = tree
        self._uname = uname
        self._log_from = log_from or klog.RING
        self._cpuid = _cpuid(node.get("cpuid"))
        self._msrs = _msrs(node.get("msr"))
        self._sev = _sev(node.get("sev"))
        self._kvm = _kvm(node.get("kvm"))
        self._bar0 = _gpus(node.get("gpu"))
        self._knobs = _knobs(node.get("gpu"))
        self._versions = _versions(node.get("versions"))

    def uname(self) -> Seen[Uname]:
        return self._uname or Unreadable("uname", NOT_CAPTURED)

    def cpuid(self, leaf: int, subleaf: int = 0) -> Seen[CpuidRegs]:
        if gap := self._files.denied(CPUID_DEVICE):
            return gap
        if self._cpuid is None:
            return self._no_probe(CPUID_DEVICE)
        found = self._cpuid.get((leaf, subleaf))
        return found or Unreadable(f"CPUID {leaf:#x}", NOT_CAPTURED)

    def msrs(self, cpus: Sequence[int], indexes: Sequence[int]) -> Mapping[int, Seen[CpuValues]]:
        denied = {cpu: gap for cpu in cpus if (gap := self._files.denied(f"/dev/cpu/{cpu}/msr"))}
        return {index: self._one_msr(index, cpus, denied) for index in indexes}

    def _one_msr(
        self, index: int, cpus: Sequence[int], denied: Mapping[int, Unreadable]
    ) -> Seen[CpuValues]:
        if self._msrs is None and not denied:
            return self._no_probe("/dev/cpu/0/msr")
        captured: _PerCpu = (self._msrs or {}).get(index, {})
        missing = Unreadable(f"MSR {index:#x}", NOT_CAPTURED)
        default: int | str | Unreadable = captured.get(None, missing)
        values: dict[int, list[int]] = {}
        gaps: list[tuple[int, Unreadable]] = []
        for cpu in cpus:
            value = denied[cpu] if cpu in denied else captured.get(cpu, default)
            if isinstance(value, int):
                values.setdefault(value, []).append(cpu)
            elif isinstance(value, str):  # as devices.py says it of a live one
                gap = Unreadable(f"/dev/cpu/{cpu}/msr", f"{value} on MSR {index:#x}")
                gaps.append((cpu, gap))
            else:
                gaps.append((cpu, value))
        return combine(values, gaps)

    def sev(self, command: int) -> Seen[bytes | PspFailure]:
        if gap := self._files.denied("/dev/sev"):
            return gap
        if self._files.has("/dev/sev") is False:
            return None
        answer = self._sev.get(command)
        return Unreadable("/dev/sev", NOT_CAPTURED) if answer is None else answer

    def kvm(self) -> Seen[Kvm]:
        if gap := self._files.denied("/dev/kvm"):
            return gap
        return self._no_probe("/dev/kvm") if self._kvm is None else self._kvm

    def log_lines(self) -> Seen[tuple[str, Iterator[str]]]:
        if gap := self._files.denied(klog.RING):
            kept = klog.files(self._tree, self._uname)
            return kept if isinstance(kept, tuple) else gap
        text = self._files.read(klog.RING, 64 << 20)
        if isinstance(text, str):
            return self._log_from, (klog.clean(line) for line in text.split("\n"))
        kept = klog.files(self._tree, self._uname)
        return kept if isinstance(kept, tuple) else text

    def versions(self) -> Seen[Mapping[str, str]]:
        return self._versions

    @contextmanager
    def bar0(self, bdf: str) -> Iterator[Registers | Unreadable]:
        path = f"/sys/bus/pci/devices/{bdf}/resource0"
        gap = self._files.denied(path)
        values = self._bar0.get(bdf)
        if gap or values is None:
            yield gap or Unreadable(path, NOT_CAPTURED)
        else:
            yield CapturedRegisters(values)

    def knobs(self, bdf: str) -> Seen[Mapping[int, int | Unreadable]]:
        return self._knobs.get(bdf)

    def _no_probe(self, path: str) -> Unreadable | None:
        """Nothing captured of a device: absent if the host had none, else not captured."""
        return None if self._files.has(path) is False else Unreadable(path, NOT_CAPTURED)


class CapturedMachine:
    """One captured host, unpacked at `folder`. Nothing of this machine is looked at."""

    def __init__(self, folder: str, *, name: str | None = None) -> None:
        name = name or folder
        with closing(Root(folder)) as top:
            host = load(top, "host.json")
            if host is None:
                raise CaptureError(
                    f"{name}: is no capture: it has no host.json",
                    hint="a capture is a folder with host.json, root/ and probes.json",
                )
            self._check(host)
            probes = load(top, "probes.json") or Node("probes.json", "", {})
        self.captured = _text(host.get("captured"))
        note, euid = _text(host.get("note")), host.get("euid")
        self.source = Source(
            where=f"the capture {name}",
            simulated=True,
            root=euid is None or euid.number() == 0,
            note=note or "",
        )
        self._tree = _tree(folder, name)
        try:
            self._open(host, probes)
        except CaptureError:
            self._tree.close()
            raise

    def _open(self, host: Node, probes: Node) -> None:
        listed = host.get("listed")
        files = CapturedFiles(
            self._tree,
            paths(host.get("absent")),
            mapping_of_text(host.get("denied")),
            None if listed is None else paths(listed),
        )
        self.files: Files = files
        self.probes = CapturedProbes(
            probes,
            files,
            self._tree,
            uname=_uname(host.get("uname")),
            log_from=_text(host.get("log_from")),
        )

    def close(self) -> None:
        self._tree.close()

    def look(self) -> AbstractContextManager[None]:
        return self._look()

    @contextmanager
    def _look(self) -> Iterator[None]:
        try:
            yield
        finally:
            self._tree.forget()

    @staticmethod
    def _check(host: Node) -> None:
        version = host.get("version")
        if version is None:
            host.fail("has no version")
        if version.number(least=1) != VERSION:
            version.fail(
                f"is {version.number()}, and this program reads version {VERSION}",
                hint="a newer nodeagent wrote it: update this one",
            )
        for key, value in host.items():
            if key not in _HOST_KEYS:
                unknown_key(value, key, _HOST_KEYS)
            if key in {"captured", "note", "boot_id"} and value.value is not None:
                value.text()
        for _, count in _items(host.get("masked")):
            count.number()


def _tree(folder: str, name: str) -> Root:
    try:
        return Root(os.path.join(folder, "root"), through_link=False)
    except HostError as error:
        raise CaptureError(f"{name}: is no capture: it has no folder root/") from error


def unknown_key(node: Node, key: str, known: frozenset[str]) -> NoReturn:
    guess = nearest(key, known)
    node.fail("is no known key" + (f"; did you mean {guess}?" if guess else ""))


def _text(node: Node | None) -> str | None:
    return None if node is None else node.text()


def _items(node: Node | None) -> Iterator[tuple[str, Node]]:
    if node is not None:
        yield from node.items()


def _uname(node: Node | None) -> Uname | None:
    if node is None:
        return None
    texts = mapping_of_text(node)
    return Uname(*(texts.get(name, "") for name in ("release", "version", "machine")))


def _cpuid(node: Node | None) -> dict[tuple[int, int], CpuidRegs | Unreadable] | None:
    if node is None:
        return None
    return {
        _leaf(name, leaf): leaf.error(CPUID_DEVICE) or _registers(leaf)
        for name, leaf in node.items()
    }


def _leaf(name: str, node: Node) -> tuple[int, int]:
    leaf, _, subleaf = name.partition(".")
    try:
        return int(leaf, 0), int(subleaf or "0", 0)
    except ValueError:
        node.fail("must be named by a leaf such as 0x8000001f or 0x7.1")


def _registers(node: Node) -> CpuidRegs:
    values = []
    for name in ("eax", "ebx", "ecx", "edx"):
        register = node.get(name)
        if register is None:
            node.fail(f"has no {name}")
        values.append(register.number(32))
    return CpuidRegs(*values)


_PerCpu = dict[int | None, int | str]
"""A value, or why there is none; under None what every CPU shows that is not named."""


def _msrs(node: Node | None) -> dict[int, _PerCpu] | None:
    if node is None:
        return None
    return {_index(name, value): _msr_values(value) for name, value in node.items()}


def _index(name: str, node: Node) -> int:
    try:
        return int(name, 0)
    except ValueError:
        node.fail("must be named by a number such as 0x10")


def _msr_values(node: Node) -> _PerCpu:
    if not isinstance(node.value, dict) or "error" in node.value:
        return {None: _msr(node)}
    values: _PerCpu = {}
    for name, value in node.items():
        values[None if name == "default" else _index(name, value)] = _msr(value)
    return values


def _msr(node: Node) -> int | str:
    gap = node.error(node.key)
    return gap.why if gap else node.number()


def _sev(node: Node | None) -> dict[int, bytes | PspFailure | Unreadable]:
    answers: dict[int, bytes | PspFailure | Unreadable] = {}
    for command, name in SEV_NAMES.items():
        answer = node.get(name) if node else None
        if answer is not None:
            answers[command] = answer.error("/dev/sev") or _sev_answer(answer)
    return answers


def _sev_answer(node: Node) -> bytes | PspFailure:
    if found := node.get("hex"):
        return found.hex_bytes()
    name, firmware = node.get("errno"), node.get("fw_error")
    if name is None:
        node.fail("needs hex or errno")
    return PspFailure(name.text(), firmware.number(32) if firmware else None)


def _kvm(node: Node | None) -> Kvm | None:
    version = node.get("api_version") if node else None
    if node is None or version is None:
        return None
    for key, value in node.items():
        if key not in _KVM_KEYS:
            unknown_key(value, key, _KVM_KEYS)
    return Kvm(
        api=version.number(32),
        vm_types=_kvm_number(node, "vm_types"),
        sev_vmsa_features=_kvm_number(node, "sev_vmsa_features"),
        policy_bits=_kvm_number(node, "policy_bits"),
    )


def _kvm_number(node: Node, name: str) -> Seen[int]:
    """`null` is what the kernel did not know; what is not there was not asked."""
    if name not in node.mapping():
        return Unreadable("/dev/kvm", NOT_CAPTURED)
    value = node.get(name)
    return None if value is None else value.error("/dev/kvm") or value.number()


def _gpus(node: Node | None) -> dict[str, dict[int, int | Unreadable]]:
    devices: dict[str, dict[int, int | Unreadable]] = {}
    for bdf, device in _items(node):
        if bar0 := device.get("bar0"):
            devices[bdf] = dict(_register(name, value) for name, value in bar0.items())
    return devices


def _knobs(node: Node | None) -> dict[str, dict[int, int | Unreadable]]:
    found: dict[str, dict[int, int | Unreadable]] = {}
    for bdf, device in _items(node):
        if knobs := device.get("knobs"):
            found[bdf] = dict(_knob(name, value) for name, value in knobs.items())
    return found


def _knob(name: str, node: Node) -> tuple[int, int | Unreadable]:
    """Numbers of knobs are decimal in the format; the error of one is the FSP's code."""
    if not name.isdecimal() or len(name) > 3 or str(int(name)) != name:
        node.fail("a knob is a number such as 8")
    return int(name), node.error(f"knob {name}") or node.number(16)


def _register(name: str, node: Node) -> tuple[int, int | Unreadable]:
    offset = _index(name, node)
    return offset, node.error(f"register {offset:#x}") or node.number(32)


def _versions(node: Node | None) -> Mapping[str, str] | None:
    for name, value in node.items() if node else ():
        if name not in _VERSIONED:
            unknown_key(value, name, _VERSIONED)
    return mapping_of_text(node) if node else None
