"""What the command line and modprobe.d ask for; of two values the later one counts."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from nodeagent.model.facts import Facts
from nodeagent.model.seen import Unreadable
from nodeagent.model.text import printable

CMDLINE = "/proc/cmdline"


class Option(NamedTuple):
    """`name` as the kernel compares it: `module.name` or a core option, with _ for -."""

    name: str
    value: str
    where: str
    seen: str

    @property
    def module(self) -> str:
        return self.name.partition(".")[0] if "." in self.name else ""


def words(facts: Facts) -> tuple[str, ...]:
    found = facts.kernel.cmdline
    return found if isinstance(found, tuple) else ()


def asked(facts: Facts) -> Iterator[Option]:
    """Every option in the order in which it takes effect: modprobe appends the command line."""
    for option in facts.kernel.options:
        name = f"{option.module}.{option.name}"
        yield Option(name, option.value, option.where, f"{option.where} has: {option.line}")
    for word in words(facts):
        name, _, value = word.partition("=")
        seen = f"the kernel command line has {word}"
        yield Option(name.replace("-", "_"), value, CMDLINE, seen)


def in_force(facts: Facts) -> Mapping[str, Option]:
    """The last word on each option, as far as it can be read: see `closed`."""
    return {option.name: _safe(option) for option in asked(facts)}


def _safe(option: Option) -> Option:
    return option._replace(seen=printable(option.seen))


def closed(facts: Facts) -> Unreadable | None:
    """What may hold a later word on a module's option and cannot be read."""
    found = facts.kernel.cmdline
    if found is None:
        return Unreadable(CMDLINE, "is absent")
    return found if isinstance(found, Unreadable) else facts.kernel.options_closed


def truth(value: str) -> bool | None:
    """As the kernel's kstrtobool reads it: by the first character, or two after an `o`."""
    start = value.lower()[:2]
    if start[:1] in {"y", "t", "1"} or start == "on":
        return True
    if start[:1] in {"n", "f", "0"} or start == "of":
        return False
    return None
