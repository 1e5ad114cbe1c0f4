"""Where only parts of a host are mounted, nothing between them is the host's."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeagent.host.mounts import parts_of
from nodeagent.host.root import Root
from nodeagent.model.seen import Unreadable


def _table(*points: str) -> str:
    """mountinfo as the kernel writes it: the mount point is its fifth word."""
    return "".join(
        f"{20 + n} 1 8:1 /x {point} ro,relatime - ext4 /dev/sda1 rw\n"
        for n, point in enumerate(points)
    )


@pytest.mark.parametrize(
    ("points", "parts"),
    [
        ((), None),
        (("/", "/proc"), None),
        (("/", "/hosted/etc"), None),
        (("/", "/host", "/host/proc"), None),
        (("/", "/host/proc", "/host/etc/modprobe.d"), {"proc", "etc/modprobe.d"}),
        (("/", r"/host/a\040b\134c"), {r"a b\c"}),
    ],
)
def test_what_of_a_host_is_mounted(points: tuple[str, ...], parts: set[str] | None) -> None:
    assert parts_of("/host", _table(*points)) == parts


def test_only_mounts_beneath_the_root_make_parts() -> None:
    assert parts_of("/", _table("/", "/proc")) is None
    assert parts_of("/mnt/a", _table("/", "/mnt", "/mnt/b/proc")) is None


PARTS = frozenset({"proc", "etc/modprobe.d", "var/lib/kubelet/config.yaml"})
NOT_HERE = "is not mounted here"


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    """A pod's folder: three mounts, what the runtime made to hang them up, and a file of ours."""
    for folder in ("proc/1", "etc/modprobe.d", "var/lib/kubelet", "usr/lib"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "etc/modprobe.d/vfio.conf").write_text("options vfio-pci ids=10de:2331")
    (tmp_path / "etc/modprobe.d/linked.conf").symlink_to("/usr/lib/linked.conf")
    (tmp_path / "etc/hostname").write_text("the container's own")
    (tmp_path / "var/lib/kubelet/config.yaml").write_text("kind: KubeletConfiguration")
    opened = Root(str(tmp_path), parts=PARTS)
    yield opened
    opened.close()


def test_what_lies_beneath_a_mount_was_looked_at(root: Root) -> None:
    assert root.read("/etc/modprobe.d/vfio.conf") == "options vfio-pci ids=10de:2331"
    assert root.read("/var/lib/kubelet/config.yaml") == "kind: KubeletConfiguration"
    assert root.names("/etc/modprobe.d") == ("linked.conf", "vfio.conf")
    assert root.read("/etc/modprobe.d/other.conf") is None
    assert root.has("/proc/2") is False


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/etc/hostname", f"/etc/hostname {NOT_HERE}"),
        ("/etc/containerd/config.toml", f"/etc/containerd {NOT_HERE}"),
        ("/var/lib/kubelet/pki/key", f"/var/lib/kubelet/pki {NOT_HERE}"),
        ("/opt/kata/VERSION", f"/opt {NOT_HERE}"),
        ("/etc/modprobe.d/linked.conf", f"/usr {NOT_HERE}"),
        ("/etc/modprobe.d/../hostname", f"/etc/hostname {NOT_HERE}"),
    ],
)
def test_what_lies_between_mounts_is_unreadable(root: Root, path: str, why: str) -> None:
    assert root.read(path) == Unreadable(path, why)
    assert isinstance(root.tail(path, 10), Unreadable)


@pytest.mark.parametrize("folder", ["/", "/etc", "/var/lib", "/var/lib/kubelet", "/opt"])
def test_a_folder_that_only_leads_to_a_mount_is_not_listed(root: Root, folder: str) -> None:
    assert isinstance(root.names(folder), Unreadable)


def test_a_folder_that_leads_to_a_mount_is_there(root: Root) -> None:
    """The mount's own source lies in it on the host."""
    assert root.has("/var/lib/kubelet") is True
    assert root.has("/etc/modprobe.d") is True
    assert root.has("/etc/hostname") == Unreadable("/etc/hostname", f"/etc/hostname {NOT_HERE}")
    assert isinstance(root.link("/etc"), Unreadable)
