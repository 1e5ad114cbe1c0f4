"""Wakes idle devices for a look, and lets them sleep again (design: sleeping GPUs)."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from nodeagent import locks
from nodeagent.agent.together import side_by_side
from nodeagent.debts import Debts
from nodeagent.errors import AgentError
from nodeagent.facts import switching
from nodeagent.model.seen import Unreadable
from nodeagent.model.switching import Await, Step, Target
from nodeagent.plan import gpu as plan
from nodeagent.seams import Changeable
from nodeagent.steps import devices

log = logging.getLogger(__name__)
_MOST_WAVES = 12


@contextmanager
def awake(machine: Changeable, folder: Path) -> Iterator[None]:
    """For the length of the block every idle device can be read whose lock is to be had.

    What a program that died took from a device is given back as well. Where nothing can be
    written, what sleeps goes on sleeping: the look then says that it could not look.
    """
    debts = Debts(folder)
    with ExitStack() as stack:
        mine = _begin(machine, debts, stack)
        try:
            yield
        finally:
            give_back(machine, debts, mine)


def _begin(machine: Changeable, debts: Debts, stack: ExitStack) -> frozenset[str]:
    """Lock and wake; the devices that are ours until the end of `stack`."""
    try:
        targets = _targets(machine)
        sleepers = {step.bdf for step in plan.waking(targets)}
        owed = debts.all().keys()
        if not sleepers and not owed:
            return frozenset()
        mine = stack.enter_context(locks.free(debts.folder, {*sleepers, *owed}, command=locks.LOOK))
        stack.enter_context(machine.hands(mine))
    except AgentError as error:
        log.debug("nothing is woken: %s", error)
        return frozenset()
    if owed:
        give_back(machine, debts, frozenset(mine))  # first: a device may have to be found again
    rouse(machine, debts, mine)
    return frozenset(mine)


def rouse(machine: Changeable, debts: Debts, mine: Mapping[str, int]) -> None:
    """Wake what may be woken of the devices whose lock we have, and wait until it answers."""
    tried: set[Step] = set()
    for _ in range(_MOST_WAVES):
        targets = [each for each in _targets(machine) if each.bdf in mine]
        steps = [step for step in (*plan.waking(targets), *_booting(targets)) if step not in tried]
        if not steps:
            return
        tried |= set(steps)
        _do_all(steps, targets, machine, debts)


def _booting(targets: Sequence[Target]) -> list[Step]:
    """A device that was switched on a moment ago says nothing yet."""
    awake = [each for each in targets if each.awake is True and each.decodes is True]
    return [Await(each.bdf) for each in awake if each.booted is False and not each.holders]


def give_back(machine: Changeable, debts: Debts, mine: frozenset[str]) -> None:
    """Whatever is owed of these devices; what fails stays owed, for the next command."""
    try:
        _give_back(machine, debts, mine)
    except AgentError as error:
        log.debug("what is owed stays owed: %s", error)


def _give_back(machine: Changeable, debts: Debts, mine: frozenset[str]) -> None:
    tried: set[Step] = set()
    for _ in range(_MOST_WAVES):
        ours = mine - frozenset(machine.stuck)
        owed = {bdf: debt for bdf, debt in debts.all().items() if bdf in ours} if ours else {}
        if not owed:
            return
        targets = _targets(machine)
        steps = [step for step in plan.wave(targets, {}, owed) if step not in tried]
        if not steps:
            return
        tried |= set(steps)
        _do_all(steps, targets, machine, debts)


def _do_all(
    steps: Sequence[Step], targets: Sequence[Target], machine: Changeable, debts: Debts
) -> None:
    by_bdf = {each.bdf: each for each in targets}

    def do(step: Step) -> None:
        try:
            devices.do(step, by_bdf.get(step.bdf), machine, debts)
        except AgentError as error:
            log.debug("cannot %s: %s", step, error)

    side_by_side([lambda step=step: do(step) for step in steps])  # type: ignore[misc]


def _targets(machine: Changeable) -> Sequence[Target]:
    found = switching.read(machine, machine.stuck)
    return () if isinstance(found, Unreadable) else found
