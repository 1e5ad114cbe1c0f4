"""A host of which only parts are mounted at a folder, by real mounts."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

_ASK = """\
import json, sys
from nodeagent.host.live import LiveMachine
from nodeagent.model.seen import Unreadable
files = LiveMachine(sys.argv[1]).files
def said(found): return found.why if isinstance(found, Unreadable) else found
print(json.dumps({path: said(files.names(path) if path.endswith("/") else files.read(path))
                  for path in sys.argv[2:]}))
"""


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A host's folders, and beside them the folder of a pod in which they are to be mounted."""
    for folder in ("host/etc/modprobe.d", "host/etc/containerd", "host/var/lib/kubelet/pki"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "host/etc/modprobe.d/a.conf").write_text("options kvm_amd sev=1")
    (tmp_path / "host/etc/containerd/config.toml").write_text("version = 3")
    (tmp_path / "host/var/lib/kubelet/config.yaml").write_text("old")
    (tmp_path / "pod/etc/modprobe.d").mkdir(parents=True)
    (tmp_path / "pod/etc/hostname").write_text("pod")
    (tmp_path / "pod/var/lib/kubelet").mkdir(parents=True)
    (tmp_path / "pod/var/lib/kubelet/config.yaml").touch()
    return tmp_path


def _seen(host: Path, script: str, *paths: str) -> dict[str, object]:
    """What the live seam says of each path after the script has mounted what it mounts."""
    command = f'set -e; (cd "$0"; {script}); exec "$@"'
    ask = [sys.executable, "-c", _ASK, str(host / "pod"), *paths]
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", command, str(host), *ask],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    found: dict[str, object] = json.loads(done.stdout)
    return found


_PARTS = (
    "mount --bind host/etc/modprobe.d pod/etc/modprobe.d;"
    "mount --bind host/var/lib/kubelet/config.yaml pod/var/lib/kubelet/config.yaml"
)


def test_only_what_was_mounted_counts_as_looked_at(host: Path) -> None:
    assert _seen(
        host,
        _PARTS,
        *("/etc/modprobe.d/", "/etc/modprobe.d/b.conf", "/var/lib/kubelet/config.yaml"),
        *("/etc/", "/etc/hostname", "/etc/containerd/config.toml", "/var/lib/kubelet/pki/"),
    ) == {
        "/etc/modprobe.d/": ["a.conf"],
        "/etc/modprobe.d/b.conf": None,
        "/var/lib/kubelet/config.yaml": "old",
        "/etc/": "/etc is not mounted here",
        "/etc/hostname": "/etc/hostname is not mounted here",
        "/etc/containerd/config.toml": "/etc/containerd is not mounted here",
        "/var/lib/kubelet/pki/": "/var/lib/kubelet/pki is not mounted here",
    }


def test_a_host_mounted_as_a_whole_is_looked_at_as_a_whole(host: Path) -> None:
    script = "mount --bind host pod"

    assert _seen(host, script, "/etc/containerd/config.toml", "/etc/hostname", "/etc/") == {
        "/etc/containerd/config.toml": "version = 3",
        "/etc/hostname": None,
        "/etc/": ["containerd", "modprobe.d"],
    }


def test_a_mounted_file_that_was_replaced_says_nothing_of_the_host(host: Path) -> None:
    """An editor renames a new file over it, and the mount goes on showing the old one."""
    path = "/var/lib/kubelet/config.yaml"
    script = f"{_PARTS}; echo new > new; mv new host{path}"

    assert _seen(host, script, path) == {
        path: f"{path} was replaced on the host after it was mounted"
    }


def test_a_mounted_file_that_was_written_in_place_is_read_anew(host: Path) -> None:
    path = "/var/lib/kubelet/config.yaml"

    assert _seen(host, f"{_PARTS}; echo new > host{path}", path) == {path: "new"}
