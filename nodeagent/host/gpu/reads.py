"""Reads that are believed: what a dead device or bus answers becomes an error."""

from nodeagent.errors import HostError
from nodeagent.model.pci import is_dead
from nodeagent.seams import Bar0

ALL_ONES = 0xFFFFFFFF


class DeadReadError(HostError):
    """A register did not answer: nothing of what it should say is known."""

    def __init__(self, offset: int, value: int) -> None:
        what = "as all ones" if value == ALL_ONES else f"as a bus error, {value:#010x}"
        super().__init__(
            f"register {offset:#x} reads {what}",
            hint="the device may sleep, be in reset or have fallen off the bus",
        )
        self.value = value


def alive(regs: Bar0, offset: int) -> int:
    value = regs.read(offset)
    if is_dead(value):
        raise DeadReadError(offset, value)
    return value
