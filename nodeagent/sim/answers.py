"""What a served machine answers: one question of a client at a time."""

import errno
from collections.abc import Callable, Mapping
from contextlib import suppress

from nodeagent.errors import HostError, StuckWriteError
from nodeagent.model.host import PspFailure
from nodeagent.model.seen import Seen, Unreadable
from nodeagent.seams import Bar0
from nodeagent.sim import values, wire
from nodeagent.sim.bus import DEVICES
from nodeagent.sim.faults import set_fault
from nodeagent.sim.machine import SimMachine, why_closed
from nodeagent.sim.state import State
from nodeagent.sim.values import Json, flag, number, text
from nodeagent.sim.wire import READ_WORD, WRITE_WORD, Line, WireError

Answer = tuple[bytes, bytes]

_DONE: Answer = (wire.VALUE, b"true")
_ABSENT: Answer = (wire.ABSENT, b"")
_LARGEST_FILE = 64 << 20


class Answers:
    """One for all connections; each is served by a thread of its own."""

    def __init__(self, machine: SimMachine, state: State, rate: float) -> None:
        self._machine = machine
        self._state = state
        self._rate = rate
        self._devices = sorted(machine.places)
        self._open: dict[int, Bar0] = {}
        self._knobs = [dict(machine.places[bdf].device.fsp.knobs) for bdf in self._devices]
        files, probes = machine.files, machine.probes
        self._calls: Mapping[str, tuple[int, Callable[..., Answer]]] = {
            "hello": (1, self._hello),
            "read": (2, lambda path, limit: _bytes(files.read_bytes(text(path), _limit(limit)))),
            "part": (3, self._part),
            "names": (1, lambda path: _seen(files.names(text(path)), list)),
            "link": (1, lambda path: _seen(files.link(text(path)))),
            "has": (1, lambda path: _seen(files.has(text(path)))),
            "knobs": (1, lambda bdf: _seen(probes.knobs(text(bdf)), values.put_knobs)),
            "uname": (0, lambda: _seen(probes.uname(), list)),
            "cpuid": (2, lambda leaf, sub: _seen(probes.cpuid(number(leaf), number(sub)), list)),
            "msrs": (2, self._msrs),
            "sev": (1, self._sev),
            "kvm": (0, lambda: _seen(probes.kvm(), lambda kvm: [values.put(each) for each in kvm])),
            "log": (0, lambda: _seen(probes.log_lines(), values.put_log)),
            "versions": (0, lambda: _seen(probes.versions(), dict)),
            "registers": (1, self._see_registers),
            "register": (2, self._see_register),
            "bar0": (1, self._bar0),
            "write": (3, self._write),
            "decode": (2, self._decode),
            "hold": (3, self._hold),
            "release": (1, self._release),
            "fault": (3, self._fault),
            "power_cycle": (0, self._power_cycle),
            "modes": (0, self._modes),
            "harm": (0, lambda: _value(list(machine.harm))),
        }
        """How many words follow a name, and what answers it."""

    def to(self, line: Line) -> None:
        """Until the other side hangs up, or breaks the protocol: then it is told so."""
        try:
            while self._one(line):
                line.drop_fds()
        except WireError as error:
            with suppress(WireError):
                line.send(*_error(refused=str(error)))

    def _one(self, line: Line) -> bool:
        kind, payload = line.receive()
        if not kind:
            return False
        try:
            answer = self._answer(kind, payload)
        except StuckWriteError as error:
            answer = _error(stuck=str(error))
        except OSError as error:
            answer = _error(errno=error.errno or errno.EIO, text=error.strerror or str(error))
        except HostError as error:
            answer = _error(host=str(error), hint=error.hint)
        except ValueError as error:
            answer = _error(errno=errno.EINVAL, text=str(error))
        if len(answer[1]) > wire.ANSWERED_LIMIT:
            answer = _error(errno=errno.EFBIG, text="more than one answer can hold")
        line.send(*answer)
        return True

    def _answer(self, kind: bytes, payload: bytes) -> Answer:
        if kind == wire.READ and len(payload) == READ_WORD.size:
            device, offset = READ_WORD.unpack(payload)
            value = self._registers(device).read(offset)
            return wire.WORD, wire.ONE_WORD.pack(value)
        if kind == wire.WRITE and len(payload) == WRITE_WORD.size:
            device, offset, value = WRITE_WORD.unpack(payload)
            self._registers(device).write(offset, value)
            self._keep_knobs(device)
            return wire.WORD, wire.ONE_WORD.pack(value)
        if kind != wire.CALL:
            raise WireError("sent a frame that nobody knows")
        return self._call(wire.load(payload))

    def _call(self, asked: Json) -> Answer:
        name, *words = asked if isinstance(asked, list) and asked else [None]
        count, call = self._calls.get(name, _UNKNOWN) if isinstance(name, str) else _UNKNOWN
        if count != len(words):
            raise WireError("asked what nobody knows")
        return call(*words)

    # Registers.

    def _registers(self, device: int) -> Bar0:
        registers = self._open.get(device)
        if registers is None:
            raise WireError("used registers that nobody opened")
        return registers

    def _keep_knobs(self, device: int) -> None:
        knobs = self._machine.places[self._devices[device]].device.fsp.knobs
        if knobs != self._knobs[device]:
            self._knobs[device] = dict(knobs)
            self._state.save(self._machine)

    def _bar0(self, bdf: Json) -> Answer:
        registers = self._machine.registers(text(bdf))
        device = self._devices.index(bdf)
        self._open.setdefault(device, registers)
        return _value(device)

    def _see_registers(self, bdf: Json) -> Answer:
        """A device of the model's by its number; null for one of the base's."""
        if text(bdf) not in self._machine.places:
            with self._machine.probes.bar0(bdf) as found:
                return _unreadable(found) if isinstance(found, Unreadable) else _value(None)
        try:
            return self._bar0(bdf)
        except OSError as error:
            return _unreadable(why_closed(bdf, error))

    def _see_register(self, bdf: Json, offset: Json) -> Answer:
        with self._machine.probes.bar0(text(bdf)) as found:
            seen = found if isinstance(found, Unreadable) else found.read(number(offset))
        return _seen(seen)

    # Files and probes.

    def _hello(self, version: Json) -> Answer:
        if version != wire.VERSION:
            raise HostError(
                f"it speaks version {wire.VERSION} of the protocol, and we speak {version!r:.20}",
                hint="both must be of the same nodeagent",
            )
        source = self._machine.source
        return _value({"rate": float(self._rate), "where": source.where, "note": source.note})

    def _part(self, path: Json, offset: Json, size: Json) -> Answer:
        with self._machine.files.parts(text(path)) as found:
            if found is None or isinstance(found, Unreadable):
                return _bytes(found)
            return _bytes(found.read(_limit(offset), _limit(size)))

    def _msrs(self, cpus: Json, indexes: Json) -> Answer:
        found = self._machine.probes.msrs(values.numbers(cpus), values.numbers(indexes))
        return _value(values.put_cpus(found))

    def _sev(self, command: Json) -> Answer:
        found = self._machine.probes.sev(number(command))
        return _seen(found, list) if isinstance(found, PspFailure) else _bytes(found)

    # Changes.

    def _write(self, bdf: Json, path: Json, content: Json) -> Answer:
        try:
            self._machine.write(text(bdf), text(path), text(content))
        finally:
            self._state.save(self._machine)
        return _DONE

    def _decode(self, bdf: Json, on: Json) -> Answer:
        self._machine.set_decode(text(bdf), on=flag(on))
        self._state.save(self._machine)
        return _DONE

    def _hold(self, bdf: Json, pid: Json, command: Json) -> Answer:
        self._machine.hold(text(bdf), number(pid), text(command))
        return _DONE

    def _release(self, bdf: Json) -> Answer:
        self._machine.release(text(bdf))
        return _DONE

    def _fault(self, bdf: Json, name: Json, value: Json) -> Answer:
        place = self._machine.places.get(text(bdf))
        if place is None:
            raise HostError(f"{DEVICES}/{bdf} is no device of the model's")
        try:
            set_fault(place.device.faults, text(name), value)
        except ValueError as error:
            raise HostError(str(error)) from error
        return _DONE

    def _modes(self) -> Answer:
        places = self._machine.places
        return _value({bdf: places[bdf].device.booted_mode for bdf in self._devices})

    def _power_cycle(self) -> Answer:
        self._machine.bus.power_cycle()
        self._state.save(self._machine)
        return _DONE


def _nobody(*_words: Json) -> Answer:
    raise WireError("asked what nobody knows")


_UNKNOWN: tuple[int, Callable[..., Answer]] = (-1, _nobody)


def _limit(value: Json) -> int:
    found = number(value)
    if not 0 <= found <= _LARGEST_FILE:
        raise WireError("asked for more than a file can have")
    return found


def _value(value: Json) -> Answer:
    return wire.VALUE, wire.dump(value)


def _seen(seen: Seen[Json], shape: Callable[[Json], Json] = lambda value: value) -> Answer:
    if isinstance(seen, Unreadable):
        return _unreadable(seen)
    return _ABSENT if seen is None else _value(shape(seen))


def _bytes(seen: Seen[bytes]) -> Answer:
    return (wire.BYTES, seen) if isinstance(seen, bytes) else _seen(seen)


def _unreadable(gap: Unreadable) -> Answer:
    return wire.UNREADABLE, wire.dump(values.put(gap))


def _error(**what: Json) -> Answer:
    return wire.ERROR, wire.dump(what)
