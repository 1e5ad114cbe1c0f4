"""What a switch in a cluster goes by, and the steps it takes beside those of the devices."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from nodeagent.model.seen import Unreadable
from nodeagent.model.words import CcMode


class Pod(NamedTuple):
    """One of an operand, on this node. `is_ready`: its Ready condition is True."""

    name: str
    uid: str
    is_ready: bool


class Guest(NamedTuple):
    """A pod to which the kubelet gave something of NVIDIA's, and by what name.

    The rest is known only where pods may be evicted. `may_go`: it may be asked to, else `why`
    not. `refused`: what stood against it when it was asked; `is_due`: it may be asked again.
    """

    namespace: str
    name: str
    resources: tuple[str, ...]
    uid: str = ""
    may_go: bool = False
    why: str = ""
    is_leaving: bool = False
    refused: str = ""
    is_due: bool = True

    def __str__(self) -> str:
        more = f" and {len(self.resources) - 1} more" if self.resources[1:] else ""
        return f"pod {self.namespace}/{self.name} ({''.join(self.resources[:1])}{more})"


Pods = Mapping[str, tuple[Pod, ...]]
"""By deploy label, the pods of whatever DaemonSet selects it; no entry where none does."""


@dataclass(frozen=True, slots=True)
class Note:
    """What an annotation keeps of a switch, over restarts and reboots, until all is given back.

    `allocatable`: what the kubelet offered before, by resource. `paused`: deploy labels that we
    paused. `started`: RFC 3339. `failed`: why it is not tried again.
    """

    want: CcMode
    was: str
    started: str
    asked_by: str = ""
    allocatable: Mapping[str, int] = field(default_factory=dict)
    paused: tuple[str, ...] = ()
    failed: str = ""


class DeviceStanding(NamedTuple):
    """Of one look: what a switch to the wanted mode goes by.

    `unsettled`: devices that are not as wanted, or that we owe something. `refused`: why the
    host or its devices must not be switched. `holders`: who has one open, in words. `guests`:
    to whom the kubelet gave one.
    """

    unsettled: tuple[str, ...] = ()
    refused: str = ""
    holders: tuple[str, ...] | Unreadable = ()
    guests: tuple[Guest, ...] | Unreadable = ()


class Standing(NamedTuple):
    """One moment of the node, as far as a switch depends on it.

    `refused`: why nothing may be switched, by the node or by its devices. `deploy`: labels of
    operands. `is_late`: it has been tried for as long as the configuration allows.
    """

    want: CcMode | None
    unsettled: tuple[str, ...]
    refused: str
    holders: tuple[str, ...] | Unreadable
    deploy: Mapping[str, str]
    pods: Pods | Unreadable
    allocatable: Mapping[str, int]
    is_unschedulable: bool
    is_cordoned_by_us: bool
    note: Note | None
    is_late: bool = False
    waits_for_turn: str | None = ""
    """Why the fleet lets us wait; empty where it is our turn, None where we have not asked."""
    guests: tuple[Guest, ...] | Unreadable = ()


@dataclass(frozen=True, slots=True)
class Begin:
    """Note what is there before anything is taken from the node."""

    note: Note

    def __str__(self) -> str:
        return f"note that a switch to {self.note.want} begins"


@dataclass(frozen=True, slots=True)
class Queue:
    """Ask the fleet for our turn. `says`: why we had to wait the last time."""

    want: CcMode
    says: str = ""

    def __str__(self) -> str:
        return f"waiting for its turn: {self.says}" if self.says else "ask the fleet for a turn"


@dataclass(frozen=True, slots=True)
class Cordon:
    def __str__(self) -> str:
        return "cordon the node"


@dataclass(frozen=True, slots=True)
class Evict:
    guest: Guest

    def __str__(self) -> str:
        return f"ask {self.guest} to go"


@dataclass(frozen=True, slots=True)
class Relabel:
    """Pause an operand, or give it back: one label from one value to another."""

    key: str
    was: str
    value: str

    def __str__(self) -> str:
        return f"set {self.key} from {self.was} to {self.value}"


@dataclass(frozen=True, slots=True)
class Switch:
    want: CcMode

    def __str__(self) -> str:
        return f"switch the devices to {self.want}"


@dataclass(frozen=True, slots=True)
class Uncordon:
    def __str__(self) -> str:
        return "uncordon the node"


@dataclass(frozen=True, slots=True)
class Finish:
    """Tell how it ended, and forget it. `why`: what stood against it to the end."""

    note: Note
    result: str
    why: str = ""

    def __str__(self) -> str:
        return f"note that the switch to {self.note.want} ended: {self.result}"


Step = Queue | Begin | Cordon | Evict | Relabel | Switch | Uncordon | Finish


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing can be done now; time or somebody else must. `is_blocked`: a person may have to."""

    says: str
    is_blocked: bool = False
