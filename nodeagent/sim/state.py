"""What a served machine keeps in its folder: knobs, drivers, and what else outlives power."""

import json
import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple, TypeVar

from nodeagent.errors import HostError
from nodeagent.seams import Clock, Machine
from nodeagent.sim.fsp import factory_knobs
from nodeagent.sim.machine import SimMachine
from nodeagent.sim.node import node
from nodeagent.sim.place import METHODS, Place

T = TypeVar("T")

_VERSION = 1
_LIMIT = 1 << 20
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW


class Kept(NamedTuple):
    """Of one device. `knobs` are those that differ from a new device's."""

    knobs: Mapping[int, int]
    driver: str | None
    override: str
    control: str
    decode: bool
    resets: int
    methods: tuple[str, ...]


class State:
    """The file at `path`: written beside and renamed, and only where something is new."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._written = ""

    def start(self, base: Machine, clock: Clock) -> SimMachine:
        """The machine as it was left: its power went, and came back."""
        kept = self._load()
        machine = node(base, clock, knobs={bdf: each.knobs for bdf, each in kept.items()})
        strange = sorted(kept.keys() - machine.places.keys())
        if strange:
            raise self._damaged(f"{strange[0]} is no device of this host")
        for bdf, each in kept.items():
            _restore(machine.places[bdf], each)
        machine.bus.settle()
        return machine

    def save(self, machine: SimMachine) -> None:
        """HostError where it cannot be written: what is not kept must not seem so."""
        with self._lock:
            devices = {bdf: _put(_kept(place)) for bdf, place in machine.places.items()}
            text = json.dumps({"version": _VERSION, "devices": devices}, indent=1) + "\n"
            if text != self._written:
                self._write(text)
                self._written = text

    def _write(self, text: str) -> None:
        beside = f"{self._path}.new"
        try:
            with open(os.open(beside, _FLAGS, 0o600), "w", encoding="utf-8") as file:
                file.write(text)
            os.replace(beside, self._path)
        except OSError as error:
            with suppress(OSError):
                os.unlink(beside)
            raise HostError(f"cannot write {self._path}") from error

    def _load(self) -> dict[str, Kept]:
        try:
            with open(self._path, "rb") as file:
                raw = file.read(_LIMIT)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise HostError(f"cannot read {self._path}") from error
        try:
            devices = {_VERSION: json.loads(raw)["devices"]}[json.loads(raw)["version"]]
            return {bdf: _parsed(each) for bdf, each in devices.items()}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise self._damaged("it is not as this program writes it") from error

    def _damaged(self, why: str) -> HostError:
        return HostError(f"{self._path}: {why}", hint="remove the file to begin with new devices")


def _kept(place: Place) -> Kept:
    new, device = factory_knobs(), place.device
    return Kept(
        {knob: value for knob, value in dict(device.fsp.knobs).items() if new[knob] != value},
        place.driver,
        place.override,
        place.control,
        device.config.decodes_memory,
        device.resets,
        place.methods,
    )


def _restore(place: Place, kept: Kept) -> None:
    place.driver, place.override, place.control = kept.driver, kept.override, kept.control
    place.methods = kept.methods
    place.device.config.decodes_memory = kept.decode
    place.device.resets = kept.resets


def _put(kept: Kept) -> dict[str, object]:
    knobs = {str(knob): value for knob, value in kept.knobs.items()}
    return {**kept._asdict(), "knobs": knobs, "methods": list(kept.methods)}


def _parsed(value: Mapping[str, object]) -> Kept:
    """ValueError, or one of its like, for anything that we do not write."""
    if value.keys() != set(Kept._fields):
        raise ValueError("other keys")
    knobs, methods, driver = value["knobs"], value["methods"], value["driver"]
    if not isinstance(knobs, dict) or not isinstance(methods, list):
        raise TypeError("neither knobs nor methods")
    if not set(methods) <= set(METHODS) or not (driver is None or isinstance(driver, str)):
        raise ValueError("no such method or driver")
    return Kept(
        dict(_knob(name, each) for name, each in knobs.items()),
        driver or None,
        _of(str, value["override"]),
        _of(str, value["control"]),
        _of(bool, value["decode"]),
        _of(int, value["resets"]),
        tuple(methods),
    )


def _knob(name: str, value: object) -> tuple[int, int]:
    number = _of(int, value)
    if int(name) not in factory_knobs() or not 0 <= number <= 0xFFFF:
        raise ValueError(name)
    return int(name), number


def _of(kind: type[T], value: object) -> T:
    if type(value) is not kind:
        raise TypeError(f"{value!r:.40}")
    return value
