"""The process that asks a kubelet, against a server of gRPC's own."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nodeagent.host import podresources
from nodeagent.host.podresources import Answer
from nodeagent.model.cluster import Guest
from nodeagent.model.seen import Unreadable
from tests.real.podresources import Held, Kubelet, encoded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

VM = Held("vm", "team-a", ("nvidia.com/pgpu",))


@pytest.fixture
def kubelet(tmp_path: Path) -> Iterator[Kubelet]:
    with Kubelet(tmp_path / "kubelet.sock", pods=[Held("web"), VM]) as kubelet:
        yield kubelet


def ask(kubelet: Kubelet, deadline_s: float = 5.0) -> object:
    found = podresources.ask("/", str(kubelet.socket), deadline_s=deadline_s)
    return found.guests if isinstance(found, Answer) else found


def test_a_real_grpc_server_is_understood(kubelet: Kubelet) -> None:
    assert ask(kubelet) == (Guest("team-a", "vm", ("nvidia.com/pgpu",)),)


def test_an_answer_of_many_frames_is_read_to_its_end(kubelet: Kubelet) -> None:
    kubelet.pods = (*(Held(f"web-{number}" * 20) for number in range(10_000)), VM)
    assert len(encoded(kubelet.pods)) > 1 << 20

    assert ask(kubelet) == (Guest("team-a", "vm", ("nvidia.com/pgpu",)),)


def test_a_kubelet_that_hangs_is_given_up(kubelet: Kubelet) -> None:
    kubelet.hangs = True
    began = time.monotonic()

    found = ask(kubelet, deadline_s=0.5)

    assert isinstance(found, Unreadable)
    assert "no answer within 0.5 s" in found.why
    assert time.monotonic() - began < 10.0


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda kubelet: setattr(kubelet, "refuses", "rate limit exceeded"), "rate limit exceeded"),
        (lambda kubelet: setattr(kubelet, "raw", b"\xff" * 64), "is no protobuf message"),
        (lambda kubelet: setattr(kubelet, "raw", bytes(5 << 20)), "is larger than 4 MiB"),
    ],
)
def test_what_is_no_list_of_pods_is_said_in_words(
    kubelet: Kubelet, spoil: Callable[[Kubelet], None], says: str
) -> None:
    spoil(kubelet)

    found = ask(kubelet)

    assert isinstance(found, Unreadable)
    assert says in found.why


def test_names_that_a_terminal_would_obey_are_made_harmless(kubelet: Kubelet) -> None:
    kubelet.pods = (Held("\x1b[31m", "a\nb", ("nvidia.com/\x07",)),)

    assert ask(kubelet) == (Guest("a?b", "?[31m", ("nvidia.com/?",)),)


@pytest.mark.parametrize("raw", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0" * (1 << 20)])
def test_a_socket_that_speaks_something_else_is_no_kubelet(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "kubelet.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        thread = threading.Thread(target=_answer, args=(server, raw))
        thread.start()
        found = podresources.ask("/", str(path), deadline_s=5.0)
        thread.join()

    assert isinstance(found, Unreadable)


def _answer(server: socket.socket, raw: bytes) -> None:
    line, _ = server.accept()
    with line:
        line.recv(1 << 16)
        try:
            line.sendall(raw)
        except OSError:
            return


def test_a_link_at_the_sockets_place_does_not_lead_out_of_the_root(kubelet: Kubelet) -> None:
    root = kubelet.socket.parent / "root"
    (root / "var").mkdir(parents=True)
    (root / "var" / "kubelet.sock").symlink_to(kubelet.socket)

    assert isinstance(podresources.ask(str(root), "/var/kubelet.sock"), Unreadable)


@pytest.mark.parametrize("kind", ["none", "file", "dead"])
def test_where_no_kubelet_listens_it_is_absent_or_unreadable(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "kubelet.sock"
    if kind == "file":
        path.write_text("")
    elif kind == "dead":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))

    found = podresources.ask("/", str(path))

    assert found is None if kind == "none" else isinstance(found, Unreadable)


def test_nothing_is_left_running_of_a_question(kubelet: Kubelet) -> None:
    kubelet.hangs = True
    before = _children()

    ask(kubelet, deadline_s=0.2)

    assert _children() == before


def _children() -> set[str]:
    found = (task.read_text() for task in Path("/proc/self/task").glob("*/children"))
    return set(" ".join(found).split())
