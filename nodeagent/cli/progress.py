"""How far a switch is: a line a device that moves on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from nodeagent.agent.converge import Told
from nodeagent.cli.output import terminal_size
from nodeagent.model.switching import (
    Await,
    Bind,
    Decode,
    Override,
    Remove,
    Rescan,
    Reset,
    Rest,
    Stage,
    Unbind,
    Wake,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import TextIO

    from nodeagent.errors import AgentError
    from nodeagent.model.switching import Step

_DOING = {
    Wake: "waking",
    Unbind: "taking from its driver",
    Decode: "opening its memory",
    Stage: "staging",
    Reset: "resetting",
    Await: "booting",
    Override: "choosing its driver",
    Bind: "giving back to its driver",
    Rest: "letting rest",
    Remove: "removing",
    Rescan: "rescanning",
}
_ORDER = (Wake, Unbind, Decode, Stage, Reset, Await, Bind, Rest)
_BAR = 16
_EVERY_S = 0.1


@contextmanager
def shown(bdfs: Sequence[str], stream: TextIO | None = None) -> Iterator[Told]:
    """Told of steps by whichever thread does them."""
    out = stream or sys.stdout
    rows = terminal_size()[1] if stream is None else 0
    if rows > len(bdfs) + 2:
        with Bars(bdfs, out).moving() as told:
            yield told
    else:
        yield Lines(out).told


def _write(out: TextIO, text: str) -> None:
    """A reader that went away (head, less) ends no switch."""
    with suppress(OSError, ValueError):
        out.write(text)
        out.flush()


class Lines:
    """One line a step, when it begins; one more where it fails."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._lock = threading.Lock()
        self.told = Told(self._begins, self._ended)

    def _begins(self, step: Step) -> None:
        self._say(str(step))

    def _ended(self, step: Step, error: AgentError | None) -> None:
        if error is not None:
            self._say(f"failed to {step}: {error}")

    def _say(self, text: str) -> None:
        with self._lock:
            _write(self._out, f"{time.strftime('%H:%M:%S')} {text}\n")


class Bars:
    """Drawn in place, ten times a second, since boots take their time without telling."""

    def __init__(self, bdfs: Sequence[str], out: TextIO) -> None:
        self._out = out
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self._state = dict.fromkeys(sorted(bdfs), (0, "waiting"))
        self._drawn = False
        self.told = Told(self._begins, self._ended)

    @contextmanager
    def moving(self) -> Iterator[Told]:
        ended = threading.Event()
        mover = threading.Thread(target=self._move, args=(ended,), daemon=True)
        mover.start()
        try:
            yield self.told
        finally:
            ended.set()
            mover.join()
            self._draw()

    def _move(self, ended: threading.Event) -> None:
        while not ended.wait(_EVERY_S):
            self._draw()

    def _begins(self, step: Step) -> None:
        kind = type(step)
        with self._lock:
            before = self._state.get(step.bdf, (0, ""))[0]
            at = _ORDER.index(kind) + 1 if kind in _ORDER else before
            self._state[step.bdf] = (max(at, before), _DOING[kind])

    def _ended(self, step: Step, error: AgentError | None) -> None:
        with self._lock:
            at = self._state[step.bdf][0]
            if error is not None:
                self._state[step.bdf] = (at, "failed")
            elif isinstance(step, Rest):
                self._state[step.bdf] = (len(_ORDER), "at rest")

    def _draw(self) -> None:
        with self._lock:
            up = f"\033[{len(self._state)}A" if self._drawn else ""
            lines = [self._line(bdf, *state) for bdf, state in self._state.items()]
            self._drawn = True
            _write(self._out, up + "".join(f"\033[2K{line}\n" for line in lines))

    def _line(self, bdf: str, at: int, doing: str) -> str:
        full = round(_BAR * at / len(_ORDER))
        passed = time.monotonic() - self._began
        return f"  {bdf}  [{'#' * full}{'.' * (_BAR - full)}]  {doing:<26} {passed:5.1f} s"
