"""Words that leave the process: verdicts, levels, profiles, modes, who must act."""

from enum import StrEnum


class Verdict(StrEnum):
    PASS = "pass"  # noqa: S105 - a verdict, no secret
    FAIL = "fail"
    WARN = "warn"
    UNKNOWN = "unknown"
    SKIP = "skip"


class Ready(StrEnum):
    """The answer for the whole node; its exit codes are a promise."""

    YES = "ready"
    NO = "not-ready"
    CANNOT_TELL = "cannot-tell"

    @property
    def exit_code(self) -> int:
        return {Ready.YES: 0, Ready.NO: 1, Ready.CANNOT_TELL: 4}[self]


class Level(StrEnum):
    """The questions, in the order in which they are answered."""

    CAPABLE = "capable"
    ENABLED = "enabled"
    PASSTHROUGH = "passthrough"
    GPU = "gpu"
    COMPLIANT = "compliant"
    RUNTIME = "runtime"


class Profile(StrEnum):
    """What `ready` has to mean on this pool of nodes."""

    SNP_GPU = "snp-gpu"
    SNP = "snp"
    GPU = "gpu"

    @property
    def required(self) -> frozenset[Level]:
        snp = {Level.CAPABLE, Level.ENABLED}
        return {
            Profile.SNP_GPU: frozenset(snp | {Level.PASSTHROUGH, Level.GPU, Level.RUNTIME}),
            Profile.SNP: frozenset(snp),
            Profile.GPU: frozenset({Level.GPU}),
        }[self]


class CcMode(StrEnum):
    ON = "on"
    OFF = "off"
    DEVTOOLS = "devtools"
    PPCIE = "ppcie"


class Who(StrEnum):
    BIOS = "bios"
    FIRMWARE = "firmware"
    KERNEL = "kernel"
    HOST = "host"
    GPU = "gpu"
    CLUSTER = "cluster"
    HARDWARE = "hardware"


class Restart(StrEnum):
    """What has to happen before a fix counts."""

    NONE = "none"
    RELOAD = "module-reload"
    REBOOT = "reboot"
    POWER_CYCLE = "power-cycle"


class Confidence(StrEnum):
    HIGH = "high"
    MEDIUM = "medium"


class Generation(StrEnum):
    """EPYC generations by the name their users know (spec: snp-host.md §1.1)."""

    NAPLES = "naples"
    ROME = "rome"
    MILAN = "milan"
    GENOA = "genoa"
    BERGAMO_SIENA = "bergamo-siena"
    TURIN = "turin"
    VENICE = "venice"
    UNKNOWN = "unknown"
