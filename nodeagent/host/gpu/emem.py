"""The FSP's mailbox in EMEM: Hopper GPUs and third-generation NVSwitches (gpu-cc.md §5.3, §6.1).

A channel is a buffer in EMEM, reached through one control and one data register, and two queues
of one packet each: the host moves QUEUE to hand one over, the FSP moves MSGQ to answer. Empty is
head equal to tail; a tail points at the last word, not behind it.
"""

from collections.abc import Callable, Sequence

from nodeagent.host.gpu.reads import alive
from nodeagent.host.gpu.waiting import StuckError, wait_for
from nodeagent.seams import Bar0, Clock

_QUEUE_HEAD, _QUEUE_TAIL = 0x8F2C00, 0x8F2C04
_MSGQ_HEAD, _MSGQ_TAIL = 0x8F2C80, 0x8F2C84
_EMEMC, _EMEMD = 0x8F2AC0, 0x8F2AC4
_STRIDE = 8  # from a channel's registers to the next one's
_BUFFER = 0x400  # bytes of EMEM a channel
_AUTO_INCREMENT = 0x03000000  # EMEMC: AINCW and AINCR
_WORD = 4
_MOST = _BUFFER // _WORD

CHANNEL = 2
"""0 is the kernel driver's, 1 that of diagnostics."""

SENT_S, SENT_STEP_S = 1.0, 0.001
ANSWERED_S, ANSWERED_STEP_S = 5.0, 0.010


class Emem:
    """One channel, for as long as nobody else uses it: the device's lock is held outside."""

    def __init__(self, regs: Bar0, clock: Clock, *, channel: int = CHANNEL) -> None:
        at = channel * _STRIDE
        self._regs, self._clock = regs, clock
        self._base = channel * _BUFFER
        self._head, self._tail = _QUEUE_HEAD + at, _QUEUE_TAIL + at
        self._answer_head, self._answer_tail = _MSGQ_HEAD + at, _MSGQ_TAIL + at
        self._control, self._data = _EMEMC + at, _EMEMD + at
        self.resynchronised = False

    def ask(self, words: Sequence[int]) -> tuple[int, ...]:
        """Send one packet and take the answer; a queue that was left half used is mended once."""
        if not 0 < len(words) <= _MOST:
            raise ValueError(f"a packet of {len(words)} words does not fit a channel")
        try:
            self._send(words)
            return self._receive()
        except StuckError:
            self._resynchronise()
            raise

    def open(self) -> None:
        """Whoever used the channel before may have died in between: take or drop what is left."""
        if self._is_sent() and not self._is_answered():
            return
        wait_for(self._is_answered, self._clock, timeout_s=ANSWERED_S, step_s=ANSWERED_STEP_S)
        self._resynchronise()

    def _send(self, words: Sequence[int]) -> None:
        self._wait(self._is_free, SENT_S, SENT_STEP_S, "take the message before this one")
        self._regs.write(self._control, self._base | _AUTO_INCREMENT)
        for word in words:
            self._regs.write(self._data, word)
        self._regs.write(self._tail, self._base + _WORD * (len(words) - 1))
        self._regs.write(self._head, self._base)  # last: this interrupts the FSP

    def _receive(self) -> tuple[int, ...]:
        self._wait(self._is_answered, ANSWERED_S, ANSWERED_STEP_S, "answer")
        head, tail = self._at(self._answer_head), self._at(self._answer_tail)
        size = (tail - head) // _WORD + 1
        if not 0 < size <= _MOST:
            raise StuckError(f"the FSP answers from {head:#x} to {tail:#x}")
        self._regs.write(self._control, self._base | _AUTO_INCREMENT)
        words = tuple(self._regs.read(self._data) for _ in range(size))
        self._regs.write(self._answer_tail, head)  # taken, before anybody looks at what it says
        return words

    def _is_free(self) -> bool:
        """An answer that nobody asked for is dropped: it would be taken for ours."""
        if self._is_answered():
            self._regs.write(self._answer_tail, self._at(self._answer_head))
        return self._is_sent()

    def _is_sent(self) -> bool:
        return self._at(self._head) == self._at(self._tail)

    def _is_answered(self) -> bool:
        return self._at(self._answer_head) != self._at(self._answer_tail)

    def _at(self, pointer: int) -> int:
        return alive(self._regs, pointer)

    def _wait(self, is_so: Callable[[], bool], timeout_s: float, step_s: float, what: str) -> None:
        if wait_for(is_so, self._clock, timeout_s=timeout_s, step_s=step_s):
            return
        head, tail = self._at(self._head), self._at(self._tail)
        raise StuckError(
            f"the FSP did not {what} within {timeout_s:g} s (queue head {head:#x}, tail {tail:#x})"
        )

    def _resynchronise(self) -> None:
        """All four to the channel's base, which is empty; heads after tails, for they interrupt."""
        for register in (self._tail, self._head, self._answer_tail, self._answer_head):
            self._regs.write(register, self._base)
        self.resynchronised = True
