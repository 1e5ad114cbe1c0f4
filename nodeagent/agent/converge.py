"""Brings devices to a mode: look, take the next steps, look again."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from nodeagent.debts import Debts
from nodeagent.errors import AgentError, HostError
from nodeagent.facts import switching
from nodeagent.model.seen import Unreadable
from nodeagent.model.switching import Step, Target
from nodeagent.model.words import CcMode
from nodeagent.plan import gpu as plan
from nodeagent.seams import Changeable
from nodeagent.steps import devices

Told = Callable[[Step], None]


class StillNeededError(AgentError):
    """A step was done, and the next look finds it undone: doing it again would be a guess."""


class Outcome(NamedTuple):
    """The devices whose mode was proven, and why each of the others has not the one it should."""

    proven: Mapping[str, CcMode]
    failed: Mapping[str, HostError]

    @property
    def is_done(self) -> bool:
        return not self.failed


def converge(
    machine: Changeable, want: Mapping[str, CcMode], debts: Debts, told: Told = lambda _: None
) -> Outcome:
    """Safe to kill at any instruction and to run again; what is owed is given back in any case.

    A device that fails is left out, and gets back what was taken from it.
    """
    plan.demand(_look(machine), want)
    failed: dict[str, HostError] = {}
    proven: dict[str, CcMode] = {}
    tried: set[Step] = set()
    while True:
        targets = _look(machine)
        # What was proven once is given back, and sleeps: then nobody could prove it again.
        proven |= {bdf: mode for bdf, mode in want.items() if plan.is_so(targets, bdf, mode)}
        left = {bdf: want[bdf] for bdf in want.keys() - proven.keys() - failed.keys()}
        steps = plan.wave(targets, left, debts.all())
        if not steps:
            return Outcome(proven, failed)
        by_bdf = {each.bdf: each for each in targets}
        for step in steps:
            if step in tried:
                raise StillNeededError(f"already tried to {step}, and it is still needed")
            tried.add(step)
            told(step)
            try:
                devices.do(step, by_bdf[step.bdf], machine, debts)
            except HostError as error:
                failed[step.bdf] = error


def _look(machine: Changeable) -> Sequence[Target]:
    found = switching.read(machine, lambda bdf, line: devices.configured(machine, bdf, line))
    if isinstance(found, Unreadable):
        raise HostError(f"the GPUs cannot be looked at: {found}")
    return found
