"""One device's FSP: its knobs read, and written so that they are believed (gpu-cc.md §7, §8)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from nodeagent.errors import AgentError, HostError
from nodeagent.host.gpu import messages
from nodeagent.host.gpu.emem import Emem
from nodeagent.host.gpu.mnoc import Mnoc
from nodeagent.model.knobs import (
    ALLOWED_BY,
    ASKED,
    Configured,
    Knob,
    Line,
    Write,
    needed,
    telling,
    way_out,
    writes,
)
from nodeagent.model.words import CcMode
from nodeagent.seams import Bar0, Clock


class RefusedError(AgentError):
    """The device would not do it: nothing was written, and nothing would change by trying again."""


class HalfwayError(HostError):
    """Some knobs were written and then it failed: the same request again is the way out."""


class Transport(Protocol):
    """A mailbox of the FSP."""

    def open(self) -> None: ...

    def ask(self, words: Sequence[int]) -> tuple[int, ...]: ...


class Fsp:
    """Knobs of one device, while its lock is held."""

    def __init__(self, transport: Transport, line: Line, *, firmware: str = "") -> None:
        """`firmware` is the FSP's version, for what is said of an error."""
        self._transport = transport
        self._line = line
        self._firmware = firmware
        transport.open()

    def read(self, knob: int) -> int:
        return messages.value(self._ask(messages.read_knob(knob)))

    def write(self, knob: int, value: int) -> None:
        """And read back: an answer without an error is not yet a knob that holds."""
        self._ask(messages.write_knob(knob, value))
        found = self.read(knob)
        if found != value:
            raise HostError(f"knob {knob} reads {found} after {value} was written to it")

    def configured(self) -> Configured:
        """What the next reset brings. It takes messages, and so writes to the mailbox."""
        return Configured(self._line, self._read(telling(self._line)))

    def stage(self, want: CcMode) -> tuple[Write, ...]:
        """Write what differs from `want`; answers what was written.

        Whether all of it may be written is asked before any of it is.
        """
        now = Configured(self._line, self._read(ASKED[self._line]))
        known = {**now.values, **self._read(needed(self._line))}
        now = Configured(self._line, known)
        try:
            todo = writes(now, want)
        except ValueError as error:
            raise RefusedError(
                f"this device cannot be {want}", hint=way_out(self._line, want)
            ) from error
        _demand_allowed(todo, known)
        self._write_all(todo)
        return todo

    def _write_all(self, todo: Sequence[Write]) -> None:
        for done, write in enumerate(todo):
            try:
                self.write(write.knob, write.value)
            except HostError as error:
                if not done:
                    raise
                told = ", ".join(f"{each.knob}={each.value}" for each in todo[:done])
                raise HalfwayError(
                    f"knobs {told} are written, and knob {write.knob} is not",
                    hint="ask for the same mode again; a reset before that finds no half mode",
                ) from error

    def _read(self, knobs: Iterable[int]) -> dict[int, int]:
        """Without those that this firmware does not know, which is no fault of it (§7.6)."""
        found = {}
        for knob in knobs:
            try:
                found[int(knob)] = self.read(knob)
            except messages.FspError as error:
                if error.code != messages.INVALID_KNOB or knob not in _MAY_BE_UNKNOWN:
                    raise
        return found

    def _ask(self, request: messages.Request) -> messages.Words:
        answer = self._transport.ask(request.words)
        return messages.payload(request, answer, firmware=self._firmware)


_MAY_BE_UNKNOWN = frozenset({Knob.PPCIE, Knob.PPCIE_IN_BAND, Knob.K2, Knob.K4, Knob.K34})


def open_fsp(regs: Bar0, clock: Clock, line: Line, *, firmware: str = "") -> Fsp:
    """The mailbox of its line: EMEM for Hopper GPUs and switches, MNOC for Blackwell."""
    transport = Mnoc(regs, clock) if line is Line.BLACKWELL else Emem(regs, clock)
    return Fsp(transport, line, firmware=firmware)


def _demand_allowed(todo: Iterable[Write], known: Mapping[int, int]) -> None:
    """A BMC may have taken the right to change a mode from the host (§7.5)."""
    for write in todo:
        permission = ALLOWED_BY.get(write.knob)
        if permission is not None and known.get(permission) == 0:
            raise RefusedError(
                f"knob {write.knob} may not be changed from the host: "
                f"{permission.name} (knob {permission}) is 0",
                hint="allow in-band control of the mode in the BMC",
            )
