"""What a switch of modes goes by: each device as it is, what we owe it, and the steps there are.

Steps are dataclasses: as tuples, two kinds of step on one device would be equal.
"""

from dataclasses import dataclass
from typing import NamedTuple

from nodeagent.model.knobs import Configured, Line
from nodeagent.model.pci import Holder
from nodeagent.model.seen import Seen, Unreadable
from nodeagent.model.words import CcMode


class Target(NamedTuple):
    """One GPU or switch. What a sleeping device would say is None: it was not asked.

    `active` is Unreadable where the register's bits are no mode; `configured` is None where the
    firmware was not asked.
    """

    bdf: str
    family: str
    line: Line
    device: int
    driver: Seen[str]
    override: Seen[str]
    holders: Seen[tuple[Holder, ...]]
    awake: bool | Unreadable
    decodes: bool | Unreadable
    control: Seen[str]
    reset_method: Seen[str] = None
    booted: Seen[bool] = None
    active: Seen[CcMode] = None
    configured: Configured | Unreadable | None = None
    nodes: tuple[str, ...] = ()
    """What a process opens to use it through VFIO."""
    bar0: int | None = None
    """Where the kernel has its registers; None where that could not be read."""
    staged: bool = False
    """Knobs were written since its last reset: what it booted with may be less than they say."""


class Debt(NamedTuple):
    """What was taken from a device, as it was before: None for what was not touched."""

    driver: str | None = None
    override: str | None = None
    control: str | None = None
    decode: bool | None = None
    reset_method: str | None = None
    removed: bool | None = None
    """Taken out of the kernel's tree: whoever takes it when it comes back was not asked for."""


@dataclass(frozen=True, slots=True)
class Wake:
    bdf: str

    def __str__(self) -> str:
        return f"keep {self.bdf} awake"


@dataclass(frozen=True, slots=True)
class Unbind:
    bdf: str
    driver: str

    def __str__(self) -> str:
        return f"take {self.bdf} away from {self.driver}"


@dataclass(frozen=True, slots=True)
class Decode:
    """Let the device answer in its memory window."""

    bdf: str

    def __str__(self) -> str:
        return f"let {self.bdf} decode memory"


@dataclass(frozen=True, slots=True)
class Await:
    bdf: str

    def __str__(self) -> str:
        return f"wait for {self.bdf} to boot"


@dataclass(frozen=True, slots=True)
class Stage:
    bdf: str
    mode: CcMode

    def __str__(self) -> str:
        return f"stage {self.mode} on {self.bdf} (only knobs that differ)"


@dataclass(frozen=True, slots=True)
class Reset:
    """By the first method that works, or by this one alone."""

    bdf: str
    method: str = ""

    def __str__(self) -> str:
        return f"reset {self.bdf}" + (f" by {self.method}" if self.method else "")


@dataclass(frozen=True, slots=True)
class Remove:
    bdf: str

    def __str__(self) -> str:
        return f"take {self.bdf} out of the kernel's tree"


@dataclass(frozen=True, slots=True)
class Rescan:
    bdf: str

    def __str__(self) -> str:
        return f"let the kernel look for {self.bdf} anew"


@dataclass(frozen=True, slots=True)
class Override:
    """Say which driver may take the device; empty takes that back."""

    bdf: str
    driver: str

    def __str__(self) -> str:
        return f"let {self.driver or 'any driver'} take {self.bdf}"


@dataclass(frozen=True, slots=True)
class Bind:
    bdf: str
    driver: str

    def __str__(self) -> str:
        return f"give {self.bdf} back to {self.driver}"


@dataclass(frozen=True, slots=True)
class Rest:
    """Give back power management and memory decode as they were; then nothing is owed."""

    bdf: str

    def __str__(self) -> str:
        return f"let {self.bdf} rest as before"


Step = Wake | Unbind | Decode | Await | Stage | Reset | Remove | Rescan | Override | Bind | Rest
