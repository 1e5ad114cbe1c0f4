"""The site's probe pod: what is asked of it, what the Node keeps of it, and how it stands."""

from typing import NamedTuple

PROBE = "probe.pod"
"""The check that judges by it."""
PASSED, FAILED, LATE = "passed", "failed", "late"


class Gate(NamedTuple):
    """`pod`: the file of its manifest. What passed counts for `valid_s`, or while the boot and the
    mode last; what did not is tried again `again_s` later.
    """

    pod: str
    deadline_s: float = 600.0
    valid_s: float = 0.0
    again_s: float = 600.0


class Probe(NamedTuple):
    """What the annotation keeps. `began`: of one that goes on, else empty; `result` and `at`: of
    the last that ended. Times in seconds since 1970.
    """

    boot_id: str
    mode: str
    began: float | None = None
    result: str = ""
    at: float = 0.0
    why: str = ""


class ProbePod(NamedTuple):
    """As the kubelet tells of it. `ended`: whether it exited well, None while it goes on.

    `is_refused`: it never ran, since the kubelet did not take it.
    """

    uid: str
    created: float
    ended: bool | None = None
    why: str = ""
    is_refused: bool = False
    is_leaving: bool = False
