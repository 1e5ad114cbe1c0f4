"""What probes answer, as JSON and back. What comes back from a stranger is checked."""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

from nodeagent.model.cpu import CpuidRegs, CpuValues
from nodeagent.model.host import Kvm, PspFailure, Uname
from nodeagent.model.seen import Seen, Unreadable
from nodeagent.model.words import CcMode
from nodeagent.sim.wire import WireError

_MOST_LINES = 1 << 18
Json = Any
"""It stops here: what is made of it has a type."""


class Greeting(NamedTuple):
    """How the server answers a hello: how fast its time is, and what its machine is."""

    rate: float
    where: str
    note: str


def greeting(value: Json) -> Greeting:
    if not isinstance(value, dict):
        raise WireError("sent no greeting")
    rate = value.get("rate")
    if not isinstance(rate, float) or not 0 < rate < float("inf"):
        raise WireError("sent no rate")
    return Greeting(rate, text(value.get("where")), text(value.get("note")))


def put(value: Json | Unreadable) -> Json:
    """A number, text, or nothing, or in its place why it could not be read."""
    return [value.where, value.why] if isinstance(value, Unreadable) else value


def put_log(log: tuple[str, Iterator[str]]) -> Json:
    """Its first lines, should it be endless."""
    return [log[0], list(islice(log[1], _MOST_LINES))]


def put_knobs(found: Mapping[int, int | Unreadable]) -> Json:
    return [[knob, put(value)] for knob, value in found.items()]


def put_cpus(found: Mapping[int, Seen[CpuValues]]) -> Json:
    return [[index, _put_cpu_values(seen)] for index, seen in found.items()]


def _put_cpu_values(seen: Seen[CpuValues]) -> Json:
    if not isinstance(seen, CpuValues):
        return put(seen)
    by_value = [[value, list(cpus)] for value, cpus in seen.by_value.items()]
    return {"by_value": by_value, "unreadable": [[cpu, *put(gap)] for cpu, gap in seen.unreadable]}


def unreadable(value: Json) -> Unreadable:
    where, why = _list(value, 2)
    return Unreadable(text(where), text(why))


def text(value: Json) -> str:
    if not isinstance(value, str):
        raise WireError("sent what is no text")
    return value


def number(value: Json) -> int:
    if type(value) is not int:
        raise WireError("sent what is no number")
    return value


def flag(value: Json) -> bool:
    if type(value) is not bool:
        raise WireError("sent what is neither true nor false")
    return value


def texts(value: Json) -> tuple[str, ...]:
    return tuple(text(each) for each in _list(value))


def numbers(value: Json) -> tuple[int, ...]:
    return tuple(number(each) for each in _list(value))


def uname(value: Json) -> Uname:
    return Uname(*(text(each) for each in _list(value, 3)))


def cpuid(value: Json) -> CpuidRegs:
    return CpuidRegs(*(number(each) for each in _list(value, 4)))


def psp_failure(value: Json) -> PspFailure:
    name, firmware = _list(value, 2)
    return PspFailure(text(name), None if firmware is None else number(firmware))


def kvm(value: Json) -> Kvm:
    api, *rest = _list(value, 4)
    return Kvm(number(api), *(_seen_number(each) for each in rest))


def log(value: Json) -> tuple[str, Iterator[str]]:
    origin, lines = _list(value, 2)
    return text(origin), iter(texts(lines))


def versions(value: Json) -> dict[str, str]:
    if not isinstance(value, dict):
        raise WireError("sent no table of versions")
    return {name: text(each) for name, each in value.items()}


def knobs(value: Json) -> dict[int, int | Unreadable]:
    pairs = [_list(each, 2) for each in _list(value)]
    return {
        number(knob): unreadable(each) if isinstance(each, list) else number(each)
        for knob, each in pairs
    }


def cpus(value: Json) -> dict[int, Seen[CpuValues]]:
    pairs = [_list(each, 2) for each in _list(value)]
    return {number(index): _cpu_values(seen) for index, seen in pairs}


def _cpu_values(value: Json) -> Seen[CpuValues]:
    if not isinstance(value, dict):
        return None if value is None else unreadable(value)
    by_value = [_list(each, 2) for each in _list(value.get("by_value"))]
    gaps = [_list(each, 3) for each in _list(value.get("unreadable"))]
    return CpuValues(
        {number(each): tuple(number(cpu) for cpu in _list(who)) for each, who in by_value},
        tuple((number(cpu), unreadable(gap)) for cpu, *gap in gaps),
    )


def _seen_number(value: Json) -> Seen[int]:
    if isinstance(value, list):
        return unreadable(value)
    return None if value is None else number(value)


def _list(value: Json, size: int | None = None) -> list[Json]:
    if not isinstance(value, list) or (size is not None and len(value) != size):
        raise WireError("sent a list of another shape")
    return value


def modes(value: Json) -> dict[str, CcMode | None]:
    if not isinstance(value, dict):
        raise WireError("modes are told by device")
    return {bdf: None if each is None else CcMode(text(each)) for bdf, each in value.items()}
