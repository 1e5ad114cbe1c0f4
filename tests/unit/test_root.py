"""A root is a stranger's tree: no path leaves it, sizes are bounded, nothing waits."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeagent.errors import HostError
from nodeagent.host.root import OpenFile, Root
from nodeagent.model.seen import Unreadable

SECRET = "outside"  # noqa: S105 - what a path must never reach


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    """A root in a folder beside which a secret lies."""
    (tmp_path / "secret").write_text(SECRET)
    (tmp_path / "host/etc").mkdir(parents=True)
    (tmp_path / "host/etc/name").write_bytes(b"inside\n\0")
    opened = Root(str(tmp_path / "host"))
    yield opened
    opened.close()


def _inside(root: Root) -> Path:
    return Path(root.folder)


def test_a_file_is_read_without_its_newline(root: Root) -> None:
    assert root.read("/etc/name") == "inside"
    assert root.read_bytes("/etc/name") == b"inside\n\0"


def test_a_file_is_read_here_and_there(root: Root) -> None:
    with root.parts("/etc/name") as found:
        assert isinstance(found, OpenFile)
        assert found.read(2, 3) == b"sid"
        assert found.read(6, 99) == b"\n\0"
        assert found.read(99, 1) == b""
    assert isinstance(found.read(0, 1), Unreadable)


def test_parts_of_what_is_no_file_are_absent_or_unreadable(root: Root) -> None:
    os.mkfifo(_inside(root) / "etc/pipe")

    with root.parts("/etc/missing") as missing, root.parts("/etc/pipe") as pipe:
        assert missing is None
        assert isinstance(pipe, Unreadable)


def test_absent_and_unreadable_are_different_answers(root: Root) -> None:
    assert root.read("/etc/missing") is None
    assert root.read("/missing/folder/file") is None
    assert root.read("/etc/name/below") is None
    assert isinstance(root.read("/etc"), Unreadable)
    assert root.has("/etc/missing") is False
    assert root.names("/missing") is None


@pytest.mark.parametrize(
    "target", ["{top}/secret", "../../secret", "../../../../../../../../{top}/secret", "/../secret"]
)
def test_no_link_leads_out(root: Root, tmp_path: Path, target: str) -> None:
    link = _inside(root) / "etc/link"
    link.symlink_to(target.format(top=str(tmp_path)))

    assert root.read("/etc/link") != SECRET
    assert root.names("/etc/link") is None


@pytest.mark.parametrize("path", ["/../secret", "/etc/../../secret", "../secret"])
def test_no_path_leads_out(root: Root, path: str) -> None:
    assert root.read(path) is None


def test_a_folder_that_is_a_link_out_is_empty_here(root: Root, tmp_path: Path) -> None:
    (_inside(root) / "var").symlink_to(tmp_path)

    assert root.names("/var") is None
    assert root.read("/var/secret") is None


def test_links_within_are_followed_as_if_the_root_were_slash(root: Root) -> None:
    inside = _inside(root)
    (inside / "usr/lib").mkdir(parents=True)
    (inside / "usr/lib/release").write_text("12")
    (inside / "lib").symlink_to("/usr/lib")
    (inside / "etc/release").symlink_to("../lib/release")

    assert root.read("/etc/release") == "12"
    assert root.read("/lib/release") == "12"
    assert root.names("/lib") == ("release",)
    assert root.link("/etc/release") == "../lib/release"


def test_a_circle_of_links_ends(root: Root) -> None:
    (_inside(root) / "a").symlink_to("b")
    (_inside(root) / "b").symlink_to("a")

    answer = root.read("/a")
    assert isinstance(answer, Unreadable)
    assert answer.why.startswith("ELOOP")


def test_a_link_through_many_components_ends(root: Root) -> None:
    (_inside(root) / "deep").symlink_to("/".join(["etc/.."] * 500) + "/etc/name")

    assert root.read("/deep") == "inside"


def test_a_fifo_does_not_hold_us_up(root: Root) -> None:
    os.mkfifo(_inside(root) / "etc/pipe")

    assert root.read("/etc/pipe") == Unreadable("/etc/pipe", "is no regular file")


def test_a_large_file_is_cut(root: Root) -> None:
    (_inside(root) / "large").write_bytes(b"x" * 100_000)

    answer = root.read("/large", limit=4096)
    assert isinstance(answer, str)
    assert len(answer) == 4096


def test_bytes_need_not_be_text(root: Root) -> None:
    (_inside(root) / "odd").write_bytes(b"\xff\xfe\0ok")

    answer = root.read("/odd")
    assert isinstance(answer, str)
    assert answer.endswith("ok")


def test_a_device_that_went_is_noticed_after_forget(root: Root) -> None:
    folder = _inside(root) / "sys/dev"
    folder.mkdir(parents=True)
    (folder / "vendor").write_text("0x10de")
    assert root.read("/sys/dev/vendor") == "0x10de"

    (folder / "vendor").unlink()
    folder.rmdir()
    root.forget()

    assert root.read("/sys/dev/vendor") is None


def test_a_root_that_is_none_says_which(tmp_path: Path) -> None:
    with pytest.raises(HostError, match=r"cannot open the root .*missing: No such file"):
        Root(str(tmp_path / "missing"))


def test_many_folders_do_not_exhaust_descriptors(root: Root) -> None:
    for number in range(2000):
        (_inside(root) / f"many/{number}").mkdir(parents=True)
        (_inside(root) / f"many/{number}/x").write_text(str(number))

    before = len(os.listdir("/proc/self/fd"))

    assert [root.read(f"/many/{number}/x") for number in range(2000)] == [
        str(number) for number in range(2000)
    ]
    assert len(os.listdir("/proc/self/fd")) - before < 600


@pytest.mark.parametrize("path", ["/etc/na\0me", "/\ud800/x", "/etc/\ud800", "/\0"])
def test_what_can_be_no_name_is_absent(root: Root, path: str) -> None:
    assert root.read(path) is None
    assert root.names(path) is None
    assert root.link(path) is None
    assert root.has(path) is False
    assert root.tail(path, 10) is None
    with root.parts(path) as parts:
        assert parts is None
