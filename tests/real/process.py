"""A program that runs beside the tests and never outlives them."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


# Whoever was to be followed into death may have died before the kernel was told to.
_UNLESS_ORPHANED = 'test "$PPID" = "$1" && shift && exec "$@"'


class Process:
    """One program, its log, and its end.

    The kernel kills it when the thread that started it is gone, however that came about: start it
    from the main thread. A session of its own keeps a Ctrl-C meant for pytest away from it.
    """

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.log = log
        with log.open("ab") as output:
            self._child = subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig", "KILL", "--"),
                    *("sh", "-c", _UNLESS_ORPHANED, "sh", str(os.getpid()), *command),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._child.pid

    def code(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._child.poll()

    def wait(self, within_s: float) -> int:
        return self._child.wait(within_s)

    def signal(self, number: signal.Signals) -> None:
        if self.code() is None:
            self._child.send_signal(number)

    def kill(self) -> None:
        """With everything it started that stayed in its session."""
        if self.code() is None:
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()

    def end(self, *, within_s: float = 10.0) -> None:
        """Ask first: a part that is killed cannot say in its log why it was slow."""
        self.signal(signal.SIGTERM)
        try:
            self._child.wait(within_s)
        except subprocess.TimeoutExpired:
            self.kill()

    def tail(self, lines: int = 20) -> str:
        """The end of its log, for the message of a test that failed."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
