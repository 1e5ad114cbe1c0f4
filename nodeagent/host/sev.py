"""Questions to the PSP through /dev/sev, each in a process that can be abandoned.

The driver answers one command at a time and waits up to `psp_cmd_timeout` (100 s) where no
signal reaches it; an agent must not wait with it. sev_child.py is that process.
"""

import json
import os
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nodeagent.host.root import ABSENT, Root, why
from nodeagent.model.host import PspFailure
from nodeagent.model.seen import Seen, Unreadable

if TYPE_CHECKING:
    import subprocess

PLATFORM_STATUS, SNP_PLATFORM_STATUS = 1, 9
ALLOWED = {PLATFORM_STATUS: 12, SNP_PLATFORM_STATUS: 32}
"""Reading commands and the bytes of their buffer. Nothing else is ever sent: SNP_COMMIT, for
one, does not look at how the device was opened (snp-host.md §0.3). The third harmless one,
SEV_GET_ID2, names the chip, which no judgement needs."""

DEVICE = "/dev/sev"
DEADLINE_S = 5.0
FRESH_S = 240.0
_CHILD = os.path.join(os.path.dirname(__file__), "sev_child.py")
_STILL_WAITING = "an earlier question still waits for the PSP"


@dataclass
class Psp:
    """Remembers answers, since the PSP is to be asked every few minutes at most.

    One for the life of a process, however often the host is opened anew.
    """

    deadline_s: float = DEADLINE_S
    _answers: dict[int, tuple[float, Seen[bytes | PspFailure]]] = field(default_factory=dict)
    _waiting: "subprocess.Popen[bytes] | None" = None

    def ask(self, root: Root, command: int) -> Seen[bytes | PspFailure]:
        if command not in ALLOWED:
            raise ValueError(f"the PSP is never asked command {command}")
        at, answer = self._answers.get(command, (0.0, None))
        if at and time.monotonic() - at < FRESH_S:
            return answer
        answer = self._ask(root, command)
        self._answers[command] = time.monotonic(), answer
        return answer

    def _ask(self, root: Root, command: int) -> Seen[bytes | PspFailure]:
        if self._waiting and self._waiting.poll() is None:
            return Unreadable(DEVICE, _STILL_WAITING)
        try:
            device = root.open(DEVICE, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            return None if error.errno in ABSENT else Unreadable(DEVICE, why(error))
        try:
            return self._wait(_start(device, command))
        finally:
            os.close(device)

    def _wait(self, child: "subprocess.Popen[bytes]") -> Seen[bytes | PspFailure]:
        import subprocess  # noqa: PLC0415 - only where there is a PSP to ask

        try:
            output, _ = child.communicate(timeout=self.deadline_s)
        except subprocess.TimeoutExpired:
            self._waiting = child
            if child.stdout:
                child.stdout.close()  # whatever it says later is not waited for
            return Unreadable(DEVICE, f"no answer within {self.deadline_s:g} s")
        return _parse(DEVICE, output)


def _start(device: int, command: int) -> "subprocess.Popen[bytes]":
    """A process that asks through the descriptor it inherits; the path is not walked again."""
    import subprocess  # noqa: PLC0415

    return subprocess.Popen(  # noqa: S603 - our own module, by our own interpreter
        # Isolated and by path: neither the working directory nor the environment of whoever
        # called us as root has a say in what it imports.
        [sys.executable, "-I", "-S", _CHILD, str(device), str(command), str(ALLOWED[command])],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pass_fds=(device,),
        env={"PATH": os.defpath},
        cwd="/",
    )


def _parse(device: str, output: bytes) -> Seen[bytes | PspFailure]:
    try:
        answer = json.loads(output)
        if "hex" in answer:
            return bytes.fromhex(answer["hex"])
        if "errno" in answer:
            return PspFailure(answer["errno"], answer["firmware"])
        return Unreadable(device, answer["cannot"])
    except (ValueError, KeyError, TypeError):
        return Unreadable(device, "the process that asks the PSP died")
