"""A host being made up: what recipes and fragments change before it becomes files."""

import posixpath
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from tests.hosts.tree import Json, Tree

BOOT_ID = "6f1c0a52-7f0e-4a6b-9d53-0c2f41e8b7aa"
GPU = "0000:41:00.0"

SYSCFG = 0xC0010010
HWCR = 0xC0010015
RMP_BASE = 0xC0010132
RMP_END = 0xC0010133
RMP_CFG = 0xC0010136


@dataclass(frozen=True, slots=True)
class Cpu:
    """One entry of /proc/cpuinfo; every processor of a host has the same."""

    vendor: str
    family: int
    model: int
    name: str
    stepping: int
    microcode: int
    flags: tuple[str, ...]
    cores: int
    sockets: int = 1

    @property
    def threads(self) -> int:
        return 2 * self.cores * self.sockets


@dataclass(frozen=True, slots=True)
class Line:
    """A kernel log record of facility 0."""

    level: int
    usec: int
    text: str


@dataclass(slots=True)
class Draft:
    cpu: Cpu
    release: str
    build: str
    cmdline: list[str]
    note: str = ""
    present: int = 192
    online: int = 192
    smt: str = "on"
    machine: str = "x86_64"
    odd_microcode: dict[int, int] = field(default_factory=dict)
    cpuinfo: str | None = None  # where it is none of an x86
    lost: int = 0  # records that the kernel's ring buffer has overwritten
    log: list[Line] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    absent: set[str] = field(default_factory=set)
    denied: dict[str, str] = field(default_factory=dict)
    cpuid: dict[str, tuple[int, int, int, int]] = field(default_factory=dict)
    msr: dict[int, dict[int | None, int | str]] = field(default_factory=dict)
    sev: dict[str, Json] = field(default_factory=dict)
    # API versions, SMT, the bit that must be set, debug, single socket; hiding is supported.
    policy_bits: int = 0x11BFFFF
    gpu: dict[str, dict[int, int]] = field(default_factory=dict)
    knobs: dict[str, dict[int, int]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    # files

    def put(self, path: str, content: str | bytes) -> None:
        """Text gets the newline that sysfs gives it; bytes stay as they are."""
        data = content if isinstance(content, bytes) else _line(content)
        self._exists(path)
        self.files[path] = data

    def link(self, path: str, target: str) -> None:
        """`target` is a path on the host; it is written relative, as sysfs does."""
        self._exists(path)
        self.links[path] = posixpath.relpath(target, posixpath.dirname(path))

    def remove(self, path: str) -> None:
        """Make it absent, with all below."""
        below = path + "/"
        for entries in (self.files, self.links):
            for name in [n for n in entries if n == path or n.startswith(below)]:
                del entries[name]
        # Git keeps no empty folder, and below a folder that is not there nothing is known:
        # saying so in host.json keeps "absent" from decaying into "not captured".
        self.absent.add(path)

    def text(self, path: str) -> str | None:
        data = self.files.get(path)
        return None if data is None else data.decode().rstrip("\n")

    def param(self, module: str, name: str, value: str) -> None:
        self.put(f"/sys/module/{module}/parameters/{name}", value)

    def dmi(self, **names: str) -> None:
        """Change some of the names in the SMBIOS table; serials are never put there."""
        for name, value in names.items():
            self.put(f"/sys/devices/virtual/dmi/id/{name}", value)

    def _exists(self, path: str) -> None:
        gone = {entry for entry in self.absent if path == entry or path.startswith(entry + "/")}
        self.absent -= gone

    # kernel log

    def say(self, text: str, *, level: int = 6) -> None:
        """Log a line just after the last one so far."""
        self.log.append(Line(level, self.log[-1].usec + 1_200, text))

    def swap(self, part: str, text: str, *, level: int = 3) -> None:
        """Have the kernel log `text` in place of the first line with `part`."""
        where = next(n for n, line in enumerate(self.log) if part in line.text)
        self.log[where] = Line(level, self.log[where].usec, text)

    def unsay(self, *parts: str) -> None:
        self.log = [line for line in self.log if not any(part in line.text for part in parts)]

    # CPU and PSP

    def flags(self, *, add: tuple[str, ...] = (), drop: tuple[str, ...] = ()) -> None:
        kept = tuple(flag for flag in self.cpu.flags if flag not in {*drop, *add})
        self.cpu = replace(self.cpu, flags=kept + add)

    def leaf(self, name: str, **registers: int) -> None:
        """Change some of the registers eax, ebx, ecx, edx of a CPUID leaf."""
        old = dict(zip(("eax", "ebx", "ecx", "edx"), self.cpuid[name], strict=True))
        new = old | registers
        self.cpuid[name] = (new["eax"], new["ebx"], new["ecx"], new["edx"])

    def wrmsr(self, number: int, value: int | str, *, cpu: int | None = None) -> None:
        """All CPUs, or one odd one. A string is the error that reading gives."""
        self.msr.setdefault(number, {})[cpu] = value

    def rdmsr(self, number: int) -> int:
        value = self.msr[number][None]
        if isinstance(value, str):
            raise TypeError(f"MSR {number:#x} reads as {value}")
        return value

    def asids(self, *, sev: int | None, es: int | None) -> None:
        """What KVM registers with the misc controller; a kind with none has no line."""
        kinds = [(name, n) for name, n in (("sev", sev), ("sev_es", es)) if n is not None]
        self.put("/sys/fs/cgroup/misc.capacity", "".join(f"{k} {n}\n" for k, n in kinds).encode())
        self.put("/sys/fs/cgroup/misc.current", "".join(f"{k} 0\n" for k, _ in kinds).encode())

    # the finished host

    def copy(self) -> "Draft":
        return deepcopy(self)

    def tree(self) -> Tree:
        draft = self.copy()
        _put_cpus(draft)
        _put_kernel(draft)
        return Tree(draft.files, draft.links, _host(draft), _probes(draft))


Delta: TypeAlias = Callable[[Draft], None]


def _line(text: str) -> bytes:
    return (text if text.endswith("\n") else text + "\n").encode()


def _put_cpus(draft: Draft) -> None:
    draft.put("/proc/cpuinfo", draft.cpuinfo or _cpuinfo(draft))
    base = "/sys/devices/system/cpu"
    last = draft.present - 1
    draft.put(f"{base}/present", f"0-{last}")
    draft.put(f"{base}/possible", f"0-{last}")
    draft.put(f"{base}/online", f"0-{draft.online - 1}")
    draft.put(f"{base}/offline", "" if draft.online > last else f"{draft.online}-{last}")
    draft.put(f"{base}/smt/control", draft.smt)
    draft.put(f"{base}/smt/active", "1" if draft.smt == "on" else "0")
    if draft.cpuinfo is None:
        draft.put(f"{base}/cpu0/microcode/version", f"{draft.cpu.microcode:#x}")


def _cpuinfo(draft: Draft) -> str:
    text = ""
    for number in range(draft.online):
        level = draft.odd_microcode.get(number, draft.cpu.microcode)
        siblings = min(draft.online, 2 * draft.cpu.cores)
        text += _processor(replace(draft.cpu, microcode=level), number, siblings) + "\n"
    return text


def _processor(cpu: Cpu, number: int, siblings: int) -> str:
    thread, place = divmod(number, cpu.cores * cpu.sockets)
    socket, core = divmod(place, cpu.cores)
    return (
        f"processor\t: {number}\n"
        f"vendor_id\t: {cpu.vendor}\n"
        f"cpu family\t: {cpu.family}\n"
        f"model\t\t: {cpu.model}\n"
        f"model name\t: {cpu.name}\n"
        f"stepping\t: {cpu.stepping}\n"
        f"microcode\t: {cpu.microcode:#x}\n"
        "cpu MHz\t\t: 2400.000\n"
        "cache size\t: 1024 KB\n"
        f"physical id\t: {socket}\n"
        f"siblings\t: {siblings}\n"
        f"core id\t\t: {core}\n"
        f"cpu cores\t: {cpu.cores}\n"
        f"apicid\t\t: {2 * place + thread}\n"
        f"initial apicid\t: {2 * place + thread}\n"
        "fpu\t\t: yes\n"
        "fpu_exception\t: yes\n"
        "cpuid level\t: 16\n"
        "wp\t\t: yes\n"
        f"flags\t\t: {' '.join(cpu.flags)}\n"
        "bugs\t\t: sysret_ss_attrs spectre_v1 spectre_v2 spec_store_bypass srso\n"
        "bogomips\t: 4792.78\n"
        "TLB size\t: 3584 4K pages\n"
        "clflush size\t: 64\n"
        "cache_alignment\t: 64\n"
        "address sizes\t: 52 bits physical, 57 bits virtual\n"
        "power management: ts ttp tm hwpstate cpb eff_freq_ro [13] [14]\n"
    )


def _put_kernel(draft: Draft) -> None:
    """What carries the release or the command line: they must agree everywhere."""
    release = draft.release
    cmdline = " ".join([f"BOOT_IMAGE=/vmlinuz-{release}", *draft.cmdline])
    banner = f"Linux version {release} (buildd@builder) (gcc 15.2.0) {draft.build}"
    draft.put("/proc/cmdline", cmdline)
    draft.put("/proc/version", banner)
    draft.put("/proc/sys/kernel/osrelease", release)
    draft.put("/proc/sys/kernel/random/boot_id", BOOT_ID)
    for name in ("config", "vmlinuz"):
        content = draft.files.pop(f"/boot/{name}", None)
        if content is not None:
            draft.put(f"/boot/{name}-{release}", content)
    # The first two records of a boot: with them the ring buffer has lost nothing.
    start = [Line(5, 0, banner), Line(6, 0, f"Command line: {cmdline}")]
    records = list(enumerate([*start, *draft.log]))[draft.lost :]
    text = "".join(f"{line.level},{seq},{line.usec},-;{line.text}\n" for seq, line in records)
    if "/dev/kmsg" in draft.files:
        draft.put("/dev/kmsg", text.encode())


def _host(draft: Draft) -> dict[str, Json]:
    return {
        "version": 1,
        "captured": "2026-11-20T09:30:00Z",
        "note": draft.note,
        "uname": {"release": draft.release, "version": draft.build, "machine": draft.machine},
        "boot_id": BOOT_ID,
        "euid": 0,
        "absent": list[Json](sorted(draft.absent)),
        "denied": dict[str, Json](sorted(draft.denied.items())),
    }


def _probes(draft: Draft) -> dict[str, Json]:
    probes: dict[str, Json] = {
        "cpuid": {leaf: _registers(values) for leaf, values in draft.cpuid.items()},
        "msr": {f"{number:#x}": _msr(values) for number, values in draft.msr.items()},
        "sev": dict(draft.sev),
        "gpu": {bdf: _gpu(bar0, draft.knobs.get(bdf)) for bdf, bar0 in draft.gpu.items()},
        "versions": dict[str, Json](draft.versions),
    }
    if "/dev/kvm" in draft.files:
        probes["kvm"] = _kvm(draft)
    return {name: value for name, value in probes.items() if value}


def _gpu(bar0: dict[int, int], knobs: dict[int, int] | None) -> Json:
    found: dict[str, Json] = {"bar0": {f"{at:#x}": f"{value:#x}" for at, value in bar0.items()}}
    if knobs is not None:
        found["knobs"] = {str(knob): value for knob, value in knobs.items()}
    return found


def _registers(values: tuple[int, int, int, int]) -> Json:
    names = ("eax", "ebx", "ecx", "edx")
    shown: dict[str, Json] = {
        name: f"{value:#010x}" for name, value in zip(names, values, strict=True)
    }
    return shown


def _msr(values: dict[int | None, int | str]) -> Json:
    common = values[None]
    if isinstance(common, str):
        return {"error": common}
    odd = {str(cpu): value for cpu, value in values.items() if cpu is not None}
    if not odd:
        return f"{common:#x}"
    shown: dict[str, Json] = {"default": f"{common:#x}"}
    return shown | {c: f"{v:#x}" if isinstance(v, int) else {"error": v} for c, v in odd.items()}


def _kvm(draft: Draft) -> dict[str, Json]:
    """KVM offers a VM type exactly where its module parameter stayed on."""
    types = 0b11
    for bit, name in ((2, "sev"), (3, "sev_es"), (4, "sev_snp")):
        if draft.text(f"/sys/module/kvm_amd/parameters/{name}") == "Y":
            types |= 1 << bit
    snp = bool(types & 1 << 4)
    return {
        "api_version": 12,
        "vm_types": f"{types:#x}",
        "sev_vmsa_features": "0x20",
        "policy_bits": f"{draft.policy_bits if snp else 0:#x}" if _tells_policy(draft) else None,
    }


def _tells_policy(draft: Draft) -> bool:
    """Kernels from about 6.19 on do (snp-host.md §0.4)."""
    major, minor, *_ = draft.release.split(".")
    return (int(major), int(minor)) >= (6, 19)
