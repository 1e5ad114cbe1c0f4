"""An agent inside the test's own process, that can be ended at any write it makes.

Everything around it is real: the API server, the operands' model through it, and the GPU model
behind its socket. A process that is killed does nothing any more, so once it is ended, every
further write raises as well, whatever cleans up.
"""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nodeagent.agent.bell import Bell
from nodeagent.agent.cycle import Settings
from nodeagent.cli.options import Chosen
from nodeagent.cli.run import agent, live_boot_id
from nodeagent.config import Config
from nodeagent.kube.client import Api
from nodeagent.kube.failures import UnreachableError
from nodeagent.sim.remote import RemoteBar0, RemoteMachine
from nodeagent.steps import devices

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import pytest

    from nodeagent.agent.cycle import Cycle, Done

PATIENCE_S = 60.0


class Killed(BaseException):
    """Nothing of ours may catch it."""


class Fuse:
    """Counts what is written, and ends the agent at one of them. `marks` says what each was."""

    def __init__(self, at: int | None = None) -> None:
        self.at = at
        self.marks: list[str] = []
        self._is_dead = False
        self._lock = threading.Lock()

    def touch(self, what: str) -> None:
        """What other threads write is not counted, since it comes at any time."""
        with self._lock:
            if not self._is_dead and _is_counted():
                self._is_dead = self.at == len(self.marks)
                self.marks.append(what)
            if self._is_dead:
                raise Killed if _is_counted() else UnreachableError("the agent is dead")

    def pass_by(self) -> None:
        """A write that is not worth an end of its own: of a dead agent it is not made, either."""
        if self._is_dead:
            raise Killed


def _is_counted() -> bool:
    return threading.current_thread().name != "narrator"


def install(patch: pytest.MonkeyPatch, fuse: Callable[[], Fuse]) -> None:
    """Every write of an agent in this process tells the fuse of the moment."""
    ask, do = Api.ask, devices.do

    def asked(api: Api, method: str, path: str, what: str, **more: Any) -> Any:  # noqa: ANN401
        if method == "GET":
            return ask(api, method, path, what, **more)
        fuse().touch(f"before {method} {path.partition('?')[0]} {_short(more.get('body'))}")
        answer = ask(api, method, path, what, **more)
        fuse().touch(f"after {method} {path.partition('?')[0]}")
        return answer

    def done(step: Any, *rest: Any) -> None:  # noqa: ANN401
        fuse().touch(f"before {step}")
        do(step, *rest)
        fuse().touch(f"after {step}")

    patch.setattr(Api, "ask", asked)
    patch.setattr(devices, "do", done)
    for owner, name in (
        (RemoteMachine, "write"),
        (RemoteMachine, "set_decode"),
        (RemoteBar0, "write"),
    ):
        patch.setattr(owner, name, _guarded(getattr(owner, name), fuse))


def _guarded(write: Callable[..., Any], fuse: Callable[[], Fuse]) -> Callable[..., Any]:
    def guarded(*words: Any, **more: Any) -> Any:  # noqa: ANN401
        fuse().pass_by()
        return write(*words, **more)

    return guarded


def _short(body: object) -> str:
    return str(body)[:160]


@contextmanager
def started(
    node: str, socket: Path, kubeconfig: Path, run_dir: Path, config: Config
) -> Iterator[Cycle]:
    """One life of the agent, from its first cycle on."""
    chosen = Chosen(None, None, replace(config, authority=True), sim=str(socket))
    settings = Settings(node, chosen.profile, chosen.mode, live_boot_id(), publish_simulated=True)
    run_dir.mkdir(exist_ok=True)
    with ExitStack() as stack:
        bell = stack.enter_context(Bell())
        yield stack.enter_context(
            agent(chosen, settings, bell, kubeconfig=str(kubeconfig), run_dir=str(run_dir))
        )


def until(cycle: Cycle, is_so: Callable[[], bool]) -> None:
    """Cycle after cycle as the loop does it, until it is so."""
    end = time.monotonic() + PATIENCE_S
    while True:
        done: Done = cycle()
        if is_so():
            return
        assert time.monotonic() < end, f"it never came: {done.line}"
        time.sleep(min(done.retry_s if done.retry_s is not None else 0.05, 0.05))
