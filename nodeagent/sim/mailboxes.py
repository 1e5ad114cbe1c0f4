"""The two ways to an FSP, as a device's registers show them (gpu-cc.md §5.3, §5.4, §13.4)."""

from collections.abc import Callable

from nodeagent.sim.faults import Faults

Answer = Callable[[tuple[int, ...]], tuple[int, ...]]

_CHANNELS = 8
_CHANNEL_WORDS = 256
_HEAD, _TAIL, _ANSWER_HEAD, _ANSWER_TAIL = 0x8F2C00, 0x8F2C04, 0x8F2C80, 0x8F2C84
_CONTROL, _DATA = 0x8F2AC0, 0x8F2AC4
_READS_ON, _WRITES_ON = 1 << 25, 1 << 24


class EmemBox:
    """EMEM with a control and a data register a channel, and queues of one packet."""

    def __init__(self, answer: Answer, faults: Faults) -> None:
        self._answer = answer
        self._faults = faults
        self._plain: dict[int, tuple[int, int]] = {}
        for channel in range(_CHANNELS):
            at = 8 * channel
            for register in (_HEAD, _TAIL, _ANSWER_HEAD, _ANSWER_TAIL, _CONTROL, _DATA):
                self._plain[register + at] = (register, channel)
        self.reset()

    def reset(self) -> None:
        self._words = [0] * (_CHANNELS * _CHANNEL_WORDS)
        self._value = dict.fromkeys(self._plain, 0)

    def has(self, offset: int) -> bool:
        return offset in self._plain

    def read(self, offset: int) -> int:
        register, channel = self._plain[offset]
        if register != _DATA:
            return self._value[offset]
        control = _CONTROL + 8 * channel
        word = self._words[self._position(control)]
        if self._value[control] & _READS_ON:
            self._step(control)
        return word

    def write(self, offset: int, value: int) -> None:
        register, channel = self._plain[offset]
        if register == _DATA:
            control = _CONTROL + 8 * channel
            self._words[self._position(control)] = value
            if self._value[control] & _WRITES_ON:
                self._step(control)
            return
        self._value[offset] = value
        if register == _HEAD and value != self._value[_TAIL + 8 * channel]:
            self._take(channel)

    def _position(self, control: int) -> int:
        return (self._value[control] & 0xFFFF) // 4 % len(self._words)

    def _step(self, control: int) -> None:
        value = self._value[control]
        self._value[control] = value & ~0xFFFF | (value + 4) & 0xFFFF

    def _take(self, channel: int) -> None:
        """Writing the head interrupts the FSP: it takes the packet and answers at the base."""
        if self._faults.stuck_queue:
            return
        at, base = 8 * channel, 4 * _CHANNEL_WORDS * channel
        head, tail = self._value[_HEAD + at], self._value[_TAIL + at]
        size = (tail - head) // 4 + 1
        sent = (
            tuple(self._words[head // 4 : head // 4 + size]) if 0 < size <= _CHANNEL_WORDS else ()
        )
        self._value[_HEAD + at] = tail
        if self._faults.lost_answers:
            self._faults.lost_answers -= 1
            return
        answer = self._answer(sent)
        self._words[base // 4 : base // 4 + len(answer)] = answer
        self._value[_ANSWER_TAIL + at] = base + 4 * (len(answer) - 1)
        self._value[_ANSWER_HEAD + at] = base


_FSP = 0x8F1E00
_PORTS = 4
_SIZE, _TRIGGER = 0xFFFFF, 1 << 20
_READY, _ERROR, _CREDIT = 1 << 24, 1 << 25, 1 << 26


class MnocBox:
    """Per port a box that receives and one that sends: a size, then words one by one."""

    def __init__(self, answer: Answer, faults: Faults) -> None:
        self._answer = answer
        self._faults = faults
        self._at = {
            _FSP + start + 12 * port: (what, port)
            for port in range(_PORTS)
            for what, start in (("take", 0x184), ("put", 0x188), ("give", 0x104), ("get", 0x108))
        }
        self.reset()

    def reset(self) -> None:
        self._wanted = [0] * _PORTS
        self._taken: list[list[int]] = [[] for _ in range(_PORTS)]
        self._given: list[list[int]] = [[] for _ in range(_PORTS)]
        self._size = [0] * _PORTS

    def has(self, offset: int) -> bool:
        return offset in self._at

    def read(self, offset: int) -> int:
        what, port = self._at[offset]
        match what:
            case "take":
                return 0 if self._faults.stuck_queue else _READY | _CREDIT
            case "give":
                return self._size[port] | _READY if self._given[port] else 0
            case "get":
                return self._given[port].pop(0) if self._given[port] else 0
            case _:
                return 0

    def write(self, offset: int, value: int) -> None:
        what, port = self._at[offset]
        if what == "take" and value & _TRIGGER:
            self._wanted[port], self._taken[port] = -(-(value & _SIZE) // 4), []
        elif what == "put" and len(self._taken[port]) < self._wanted[port]:
            self._taken[port].append(value)
            if len(self._taken[port]) == self._wanted[port]:
                self._process(port)

    def _process(self, port: int) -> None:
        sent, self._taken[port], self._wanted[port] = tuple(self._taken[port]), [], 0
        if self._faults.stuck_queue:
            return
        if self._faults.lost_answers:
            self._faults.lost_answers -= 1
            return
        self._given[port] = list(self._answer(sent))
        self._size[port] = 4 * len(self._given[port])
