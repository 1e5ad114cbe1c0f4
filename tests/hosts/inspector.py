"""The same host as an unprivileged inspector pod sees it: uid 0, no capability, mounts only."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from tests.hosts import tree
from tests.hosts.tree import Tree

if TYPE_CHECKING:
    from tests.hosts.tree import Json

_CONFIG = re.compile(r"^/sys/devices/.*/config$")
_FDS = re.compile(r"^(/proc/\d+/fd)/")
_NODES = re.compile(r"^/dev/(cpu/\d+/(msr|cpuid)|sev|kvm|kmsg)$")

# Without CAP_SYS_ADMIN the kernel ends a read of configuration space here.
_PLAIN_CONFIG = 64


def inspect_as(host: Path, out: Path) -> None:
    """Write to `out` what the inspector would have captured on `host`."""
    tree.write(inspect(tree.read(host)), out)


def inspect(seen: Tree) -> Tree:
    """Take away what needs a capability; BAR0 stays, for uid 0 may map it read-only."""
    denied: dict[str, Json] = {path: "EPERM" for path in seen.files if _NODES.match(path)}
    denied |= {found[1]: "EACCES" for path in seen.links if (found := _FDS.match(path))}
    before = seen.host.get("denied")
    if isinstance(before, dict):
        denied |= before
    return Tree(
        files={path: _visible(path, data) for path, data in seen.files.items()},
        links={path: to for path, to in seen.links.items() if not _FDS.match(path)},
        host={**seen.host, "denied": dict(sorted(denied.items()))},
        probes={name: value for name, value in seen.probes.items() if name in ("gpu", "versions")},
    )


def _visible(path: str, data: bytes) -> bytes:
    if _NODES.match(path):
        return b""  # the node is there, its content (the kernel log) is not
    return data[:_PLAIN_CONFIG] if _CONFIG.match(path) else data
