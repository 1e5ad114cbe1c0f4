"""What the data files say of options and kernels, parsed once."""

from functools import cache
from typing import NamedTuple

from nodeagent import data
from nodeagent.model.host import Version, parse_version


class KnownOption(NamedTuple):
    """An option that means something here; `value` None: whatever it is set to."""

    name: str
    value: str | None
    says: str


class KnownOptions(NamedTuple):
    """`parameters`: what each module takes."""

    hazards: tuple[KnownOption, ...]
    notes: tuple[KnownOption, ...]
    parameters: dict[str, frozenset[str]]


class OldKernel(NamedTuple):
    """What a kernel older than `below` does to CPUs of that family, or a later one."""

    below: Version
    says: str
    family: int


class KnownKernels(NamedTuple):
    newest: Version
    cpu: tuple[OldKernel, ...]
    gpu: tuple[OldKernel, ...]


@cache
def options() -> KnownOptions:
    found = data.load("options.json")
    hazards, notes = (
        tuple(KnownOption(row["option"], row["value"], row["says"]) for row in found[kind])
        for kind in ("hazards", "notes")
    )
    takes = {name: frozenset(each) for name, each in found["parameters"].items() if name != "about"}
    return KnownOptions(hazards, notes, takes)


@cache
def kernels() -> KnownKernels:
    found = data.load("kernels.json")
    return KnownKernels(_version(found["newest"]), _kernels(found["cpu"]), _kernels(found["gpu"]))


def _kernels(rows: list[dict[str, str]]) -> tuple[OldKernel, ...]:
    return tuple(
        OldKernel(_version(row["below"]), row["says"], int(row.get("family", "0"), 16))
        for row in rows
    )


def _version(text: str) -> Version:
    version = parse_version(text)
    if version is None:
        raise ValueError(f"{text} is no version of a kernel")
    return version
