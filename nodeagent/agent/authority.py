"""Who may change the devices of this node: us, if we are told to, and nobody else does."""

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from nodeagent.errors import ClusterError, HostError
from nodeagent.model.cluster import Pods

CC_MANAGER = "nvidia.com/gpu.deploy.cc-manager"
_UPGRADE = "nvidia.com/gpu-driver-upgrade-state"
_MIG = "nvidia.com/mig.config.state"
_REBOOTING = "weave.works/kured-reboot-in-progress"
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


class Claim:
    """One authority a node: pod and service share this lock, which dies with its process."""

    def __init__(self, lock: int) -> None:
        self._lock = lock
        self._is_ours = False

    @property
    def other(self) -> str:
        """Who has it, empty where we have it; tried again each time, since the other may end."""
        if not self._is_ours:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                pid = os.pread(self._lock, 32, 0).decode(errors="replace").strip()
                return f"another nodeagent (pid {pid or 'unknown'}) looks after this node"
            self._is_ours = True
            with suppress(OSError):  # for a message alone
                os.ftruncate(self._lock, 0)
                os.pwrite(self._lock, str(os.getpid()).encode(), 0)
        return ""


@contextmanager
def claimed(folder: Path) -> Iterator[Claim]:
    try:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        lock = os.open(folder / "authority", _FLAGS, 0o644)
    except OSError as error:
        raise HostError(
            f"cannot claim to be the authority: {folder}", hint="run as root, with /run writable"
        ) from error
    try:
        yield Claim(lock)
    finally:
        os.close(lock)


def stands_down(labels: Mapping[str, str], pods: Callable[[], Pods]) -> str:
    """Why the mode is not ours: NVIDIA's manager is here, or may be; empty where it is not.

    An admin takes it off a node by its deploy label, with any value but `true` (kubernetes.md §2).
    """
    if labels.get(CC_MANAGER) != "true":
        return ""
    try:
        there = pods().get(CC_MANAGER)
    except ClusterError as error:
        return f"whether NVIDIA's cc-manager runs here cannot be told: {error}"
    if there:
        return f"NVIDIA's cc-manager ({there[0].name}) switches here"
    why = "its pod is missing" if there is not None else "no DaemonSet of it is deployed"
    return f"{CC_MANAGER}=true, and {why}: set it to false to let nodeagent switch"


def maintained(labels: Mapping[str, str], annotations: Mapping[str, str]) -> str:
    """Who works on this node already (kubernetes.md §1.4); empty where nobody says so."""
    upgrade = labels.get(_UPGRADE, "")
    if upgrade not in {"", "upgrade-done"}:
        return f"a driver upgrade is under way: {_UPGRADE}={upgrade}"
    if labels.get(_MIG) in {"pending", "rebooting"}:
        return f"MIG is being configured: {_MIG}={labels[_MIG]}"
    if _REBOOTING in annotations:
        return "kured is rebooting the node"
    return ""
