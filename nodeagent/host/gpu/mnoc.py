"""The FSP's mailbox behind MNOC: Blackwell GPUs (gpu-cc.md §5.4, §6.4).

Named as the device sees it: RECEIVEMBOX takes what we send, SENDMBOX has what it answers.
"""

from collections.abc import Callable, Sequence

from nodeagent.errors import HostError
from nodeagent.host.gpu.reads import alive
from nodeagent.host.gpu.waiting import StuckError, wait_for
from nodeagent.seams import Bar0, Clock

_FSP = 0x8F1E00
_RECEIVE_INFO, _RECEIVE_DATA = _FSP + 0x184, _FSP + 0x188
_SEND_INFO, _SEND_DATA = _FSP + 0x104, _FSP + 0x108
_STRIDE = 12  # from a port's registers to the next one's

_SIZE = 0xFFFFF  # bytes, 19:0
_TRIGGER = 1 << 20
_READY = 1 << 24
_ERROR = 1 << 25
_CREDIT = 1 << 26
_KEPT = 1 << 30  # the interrupt enable is the kernel driver's

PORT = 0
_MOST_BYTES = 4160  # what port 0 takes
_CREDIT_BYTES = 64
_WORD = 4
STEP_S = 0.001
READY_S, CREDIT_S, ANSWERED_S = 5.0, 1.0, 5.0


class MailboxError(HostError):
    """The mailbox reports an error: what was sent or read is not to be trusted."""


class Mnoc:
    """One port, for as long as nobody else uses it: the device's lock is held outside."""

    def __init__(self, regs: Bar0, clock: Clock, *, port: int = PORT) -> None:
        at = port * _STRIDE
        self._regs, self._clock = regs, clock
        self._receive, self._receive_data = _RECEIVE_INFO + at, _RECEIVE_DATA + at
        self._sent, self._sent_data = _SEND_INFO + at, _SEND_DATA + at

    def open(self) -> None:
        """An answer that nobody took is read away: it would be taken for ours."""
        if self._info(self._sent) & _READY:
            self._take()

    def ask(self, words: Sequence[int]) -> tuple[int, ...]:
        """Send one message and take the answer."""
        if not 0 < len(words) * _WORD <= _MOST_BYTES:
            raise ValueError(f"a message of {len(words)} words does not fit the mailbox")
        self._send(words)
        self._wait(lambda: self._has(self._sent, _READY), ANSWERED_S, "answer")
        return self._take()

    def _send(self, words: Sequence[int]) -> None:
        self._demand_no_error(self._receive)
        self._wait(lambda: self._has(self._receive, _READY), READY_S, "take a message")
        kept = self._info(self._receive) & _KEPT
        self._regs.write(self._receive, kept | len(words) * _WORD | _TRIGGER)
        for number, word in enumerate(words):
            if number * _WORD % _CREDIT_BYTES == 0:
                self._wait(lambda: self._has(self._receive, _CREDIT), CREDIT_S, "give credit")
            self._regs.write(self._receive_data, word)
        self._demand_no_error(self._receive)

    def _take(self) -> tuple[int, ...]:
        size = self._info(self._sent) & _SIZE
        if not _WORD <= size <= _MOST_BYTES:
            raise MailboxError(f"the FSP's mailbox offers {size} bytes")
        words = tuple(self._regs.read(self._sent_data) for _ in range(-(-size // _WORD)))
        self._demand_no_error(self._sent)
        return words

    def _info(self, register: int) -> int:
        return alive(self._regs, register)

    def _has(self, register: int, bit: int) -> bool:
        return bool(self._info(register) & bit)

    def _demand_no_error(self, register: int) -> None:
        info = self._info(register)
        if info & _ERROR:
            raise MailboxError(f"the FSP's mailbox at {register:#x} reports an error: {info:#010x}")

    def _wait(self, is_so: Callable[[], bool], timeout_s: float, what: str) -> None:
        if wait_for(is_so, self._clock, timeout_s=timeout_s, step_s=STEP_S):
            return
        for register in (self._receive, self._sent):
            self._demand_no_error(register)
        raise StuckError(f"the FSP did not {what} within {timeout_s:g} s")
