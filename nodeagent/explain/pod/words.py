"""The words of an answer: what keeps a pod away, and how it stands on a node and in the cluster."""

from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """What keeps a pod away."""

    CLASS = "class"
    GATE = "gate"
    NAME = "name"
    SELECTOR = "selector"
    AFFINITY = "affinity"
    HANDLER = "handler"
    TAINT = "taint"
    CORDON = "cordon"
    RESOURCE = "resource"
    OVERHEAD = "overhead"


class Verdict(StrEnum):
    """Of a pod on one node, or in the whole cluster."""

    FITS = "fits"
    REFUSED = "refused"
    UNKNOWN = "unknown"

    @property
    def exit_code(self) -> int:
        return {"fits": 0, "refused": 1, "unknown": 4}[self.value]


class Reason(NamedTuple):
    """`subject` is what is asked for, `said` how this node answers it."""

    kind: Kind
    subject: str
    said: str
    key: str = ""
    """The label or the resource that it is about."""
    origin: str = ""
    """Who asks for it, where it is not the pod itself."""


SCHEDULER = frozenset(Kind) - {Kind.HANDLER}
"""Kinds that the scheduler or the API server goes by; a missing handler only shows at the start."""
