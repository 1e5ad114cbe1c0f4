"""Asks devices' firmware what their next reset brings: many small writes to their mailboxes."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from nodeagent import locks
from nodeagent.agent.together import side_by_side
from nodeagent.agent.waking import give_back, rouse
from nodeagent.debts import Debts
from nodeagent.errors import HostError
from nodeagent.facts import switching
from nodeagent.model.knobs import Configured
from nodeagent.model.seen import NotAsked, Unreadable
from nodeagent.model.switching import Target
from nodeagent.seams import Changeable
from nodeagent.steps import devices

Answers = Mapping[str, Configured | Unreadable]


@contextmanager
def asked(machine: Changeable, folder: Path, *, wake: bool) -> Iterator[Answers]:
    """What every idle device answers, awake for the length of the block.

    A device that somebody holds, that sleeps and may not be woken, or that another program
    changes, is Unreadable with the reason.
    """
    debts = Debts(folder)
    bdfs = {each.bdf for each in targets(machine)}
    with locks.free(folder, bdfs, command=locks.LOOK) as mine, machine.hands(mine):
        try:
            if wake:
                rouse(machine, debts, mine)
            yield answers(machine, mine)
        finally:
            give_back(machine, debts, frozenset(mine))


def answers(machine: Changeable, mine: Mapping[str, int]) -> Answers:
    """Of every device, in the state in which it is."""
    found = targets(machine)
    calls = [(lambda each=each: _answer(machine, each, mine)) for each in found]
    return dict(zip((each.bdf for each in found), side_by_side(calls), strict=True))


def _answer(
    machine: Changeable, target: Target, mine: Mapping[str, int]
) -> Configured | Unreadable:
    firmware = f"{target.bdf}: its firmware"
    if target.bdf not in mine:
        return NotAsked(firmware, "is not asked while another program changes the device")
    if isinstance(target.holders, Unreadable):
        return NotAsked(firmware, f"is not asked while somebody may use it: {target.holders}")
    if target.holders:
        return NotAsked(firmware, f"is not asked while it is in use by {target.holders[0]}")
    if target.awake is not True or target.decodes is not True:
        return NotAsked(firmware, "is not asked while it sleeps")
    if target.booted is not True:
        return NotAsked(firmware, "does not answer before it has booted")
    asked = switching.asked(target, lambda each: devices.configured(machine, each))
    if isinstance(asked.configured, Configured | Unreadable):
        return asked.configured
    return Unreadable(firmware, "did not answer")


def targets(machine: Changeable) -> tuple[Target, ...]:
    found = switching.read(machine, machine.stuck)
    if isinstance(found, Unreadable):
        raise HostError(f"the GPUs cannot be looked at: {found}")
    return found


def with_answers(found: tuple[Target, ...], answers: Answers) -> tuple[Target, ...]:
    return tuple(each._replace(configured=answers.get(each.bdf)) for each in found)
