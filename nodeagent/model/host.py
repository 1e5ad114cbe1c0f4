"""What kernel, firmware and log show of a host."""

from collections.abc import Mapping
from typing import NamedTuple

from nodeagent.model.seen import Seen, Unreadable

Version = tuple[int, int]

KVM_ASKS_PSP: Version = (6, 16)
"""From about here kvm_amd initialises SNP itself, so its `Y` is proof (snp-host.md §3.3)."""

KVM_ENABLES_SNP: Version = (7, 1)
"""From here SYSCFG[24] is set when kvm_amd loads, not at boot (snp-host.md §0.4)."""


class Uname(NamedTuple):
    """The kernel, as uname(2) names it."""

    release: str
    version: str
    machine: str


class LogEvent(NamedTuple):
    """One line of this boot's kernel log that means something to us."""

    kind: str
    line: str
    fields: Mapping[str, str]


class KernelLog(NamedTuple):
    """This boot's telling lines. Absence proves something only where the log is `whole`."""

    events: tuple[LogEvent, ...]
    whole: bool
    origin: str

    def of(self, *kinds: str) -> tuple[LogEvent, ...]:
        return tuple(event for event in self.events if event.kind in kinds)

    def since_init(self, *kinds: str) -> tuple[LogEvent, ...]:
        """Those after SNP last came up: reloading kvm_amd is a new INIT, which may cure it."""
        start = max((n for n, each in enumerate(self.events) if each.kind == "snp_api"), default=-1)
        return tuple(each for each in self.events[start + 1 :] if each.kind in kinds)

    def first(self, *kinds: str) -> LogEvent | None:
        return next((event for event in self.events if event.kind in kinds), None)


class ModuleOption(NamedTuple):
    """One option set for a module, with the place that sets it."""

    module: str
    name: str
    value: str
    where: str
    line: str


POLICY_DEMANDS = {
    "single-socket": 20,
    "mem-aes-256-xts": 22,
    "rapl-dis": 23,
    "ciphertext-hiding": 24,
    "page-swap-disable": 25,
}
"""Bits of an SNP guest's policy by which its owner demands something of the host.

linux/psp-sev.h, SNP_POLICY_MASK_*. The others permit (SMT, migration, debugging, CXL).
"""


class Kvm(NamedTuple):
    """What /dev/kvm says of itself; a number that this kernel does not know is absent."""

    api: int
    vm_types: Seen[int] = None
    sev_vmsa_features: Seen[int] = None
    policy_bits: Seen[int] = None


class Kernel(NamedTuple):
    """`parameters` holds `module.name`; a module that is not loaded has none.

    `takes` are the names of all the parameters that a module shows, by module.
    """

    release: Seen[str]
    config: Seen[Mapping[str, str]]
    cmdline: Seen[tuple[str, ...]]
    options: tuple[ModuleOption, ...]
    options_closed: Unreadable | None
    loaded: Mapping[str, Seen[bool]]
    parameters: Mapping[str, Seen[str]]
    takes: Mapping[str, Seen[tuple[str, ...]]]
    misc_capacity: Seen[Mapping[str, int]]
    misc_current: Seen[Mapping[str, int]]
    installed: Seen[tuple[str, ...]]
    max_pfn: Seen[int]
    efi: Seen[bool]
    lockdown: Seen[str]
    kvm: Seen[Kvm]

    @property
    def version(self) -> Version | None:
        return parse_version(self.release) if isinstance(self.release, str) else None

    def parameter(self, name: str) -> Seen[str]:
        return self.parameters.get(name)

    def is_loaded(self, module: str) -> Seen[bool]:
        return self.loaded.get(module)


def parse_version(release: str) -> Version | None:
    """`6.17.0-8-generic` → (6, 17); None where it does not begin with two numbers."""
    major, _, rest = release.partition(".")
    digits = ""
    for char in rest:
        if not char.isdecimal():
            break
        digits += char
    if not (major.isdecimal() and digits and len(major) < 6 and len(digits) < 6):
        return None
    return int(major), int(digits)


class PspFailure(NamedTuple):
    """The PSP's driver answered with an error. `firmware` None: the PSP was never asked."""

    errno: str
    firmware: int | None

    def __str__(self) -> str:
        if self.firmware is None:
            return self.errno
        return f"{self.errno}, firmware error {self.firmware:#x}"


class PlatformStatus(NamedTuple):
    """SEV_PLATFORM_STATUS (snp-host.md §4.2)."""

    api: Version
    build: int
    state: int
    es: bool
    guests: int


class SnpStatus(NamedTuple):
    """SNP_PLATFORM_STATUS (snp-host.md §4.2); TCB versions are raw, undecoded.

    `chip_id_masked`: guests' reports do not name the chip. `chip_key_masked`: the chip's key
    does not sign them.
    """

    api: Version
    build: int
    state: int
    rmp_initialised: bool
    alias_check: bool
    chip_id_masked: bool
    chip_key_masked: bool
    vlek_loaded: bool
    rapl_disabled: bool
    hiding_enabled: bool
    guests: int
    current_tcb: int
    reported_tcb: int

    @property
    def running(self) -> bool:
        return self.state == 1 and self.rmp_initialised


class NotAsked(NamedTuple):
    """A question that would not have been safe, or not have meant anything (§0.3).

    `blind`: nobody could tell whether it was safe.
    """

    why: str
    blind: bool = False


class Psp(NamedTuple):
    """What the security processor says of itself, and whether its device is there."""

    device: Seen[bool]
    platform: Seen[PlatformStatus | PspFailure]
    snp: Seen[SnpStatus | PspFailure | NotAsked]
