"""Brings devices to a mode: look, take the next steps side by side, look again."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from nodeagent.agent.together import Together, side_by_side
from nodeagent.debts import Debts
from nodeagent.errors import AgentError, HostError, StuckWriteError
from nodeagent.facts import holders, switching
from nodeagent.model.knobs import Configured
from nodeagent.model.seen import Unreadable
from nodeagent.model.switching import Await, Bind, Debt, Reset, Step, Target
from nodeagent.model.words import CcMode
from nodeagent.plan import gpu as plan
from nodeagent.seams import Changeable
from nodeagent.steps import devices


class StillNeededError(AgentError):
    """A step was done, and the next look finds it undone: doing it again would be a guess."""


class Told(NamedTuple):
    """Whom to tell when a step begins, and how it ended."""

    begins: Callable[[Step], None] = lambda _step: None
    ended: Callable[[Step, AgentError | None], None] = lambda _step, _error: None


SILENT = Told()
May = Callable[[Sequence[Step]], bool]
"""Asked right before each wave: whether whoever let us begin lets us go on."""


def always(_wave: Sequence[Step]) -> bool:
    return True


class Outcome(NamedTuple):
    """The devices whose mode was proven, and why each of the others has not the one it should.

    `before`: the mode in which each was first seen. A stop leaves devices in neither.
    """

    proven: Mapping[str, CcMode]
    failed: Mapping[str, AgentError]
    before: Mapping[str, CcMode]
    changed: Collection[str] = ()

    @property
    def is_done(self) -> bool:
        return not self.failed


def converge(  # noqa: PLR0913 - each is a thing of its own
    machine: Changeable,
    want: Mapping[str, CcMode],
    debts: Debts,
    *,
    mine: Collection[str] | None = None,
    told: Told = SILENT,
    stopped: Callable[[], bool] = lambda: False,
    may: May = always,
    all_or_none: bool = False,
    is_rollback: bool = False,
    together: Together = side_by_side,
) -> Outcome:
    """Safe to kill at any instruction and to run again; what is owed is given back in any case.

    A device that fails is left out, and gets back what was taken from it; where it is all or
    none, nothing is given back yet: first all are to be brought back, by a call that
    `is_rollback`, which begins whoever stands in its way. `mine`: the devices whose lock we
    have, if not those of `want` alone. Once `stopped`, or where a wave `may` not be done,
    nothing more is switched.
    """
    owners = frozenset(mine if mine is not None else want)
    run = _Run(machine, want, debts, owners=owners, told=told, together=together)
    run.look()
    blocked = plan.obstacles(run.targets, want)
    if blocked and not is_rollback:
        raise next(iter(blocked.values()))
    run.failed |= blocked
    ends = False
    while True:
        if all_or_none and run.failed and not (ends or stopped()):
            return run.outcome
        ends = ends or stopped()
        if not ends:
            run.ask()
            ends = not may(run.next_wave())
        if not run.step(back_only=ends):
            break
        run.look()
    if not ends:
        run.close()
    return run.outcome


def _chains(steps: Sequence[Step]) -> list[Sequence[Step]]:
    """Side by side, but for drivers, which number devices as they come: /dev/vfio/devices/vfio0
    must be the one that it was, since CDI files name it."""
    binds = [step for step in steps if isinstance(step, Bind)]
    others = [[step] for step in steps if not isinstance(step, Bind)]
    return [*others, sorted(binds, key=lambda step: step.bdf)] if binds else list(others)


def _with_holders(
    stuck: StuckWriteError, target: Target | None, machine: Changeable
) -> StuckWriteError:
    """Who has its nodes open by now: whom the kernel waits for. The device is not looked at."""
    held = holders.read(machine.files).by_node
    nodes = [node for node in held if node.startswith("/dev/nvidia")]
    nodes += target.nodes if target else ()
    named = dict.fromkeys(str(each) for node in nodes for each in held.get(node, ()))
    return StuckWriteError(stuck.path, stuck.after_s, held_by=", ".join(named))


class _Run:
    """What one call keeps between two waves; none of it is needed to go on after a crash."""

    def __init__(  # noqa: PLR0913 - as above
        self,
        machine: Changeable,
        want: Mapping[str, CcMode],
        debts: Debts,
        *,
        owners: frozenset[str],
        told: Told,
        together: Together,
    ) -> None:
        self._machine, self._want, self._debts = machine, want, debts
        self._owners, self._told, self._together = owners, told, together
        self._tried: set[Step] = set()
        self._given_up: set[str] = set()
        self.targets: Sequence[Target] = ()
        self.proven: dict[str, CcMode] = {}
        self.failed: dict[str, AgentError] = {}
        self.before: dict[str, CcMode] = {}
        self.changed: set[str] = set()

    @property
    def outcome(self) -> Outcome:
        return Outcome(self.proven, self.failed, self.before, frozenset(self.changed))

    @property
    def left(self) -> Mapping[str, CcMode]:
        done = self.proven.keys() | self.failed.keys()
        return {bdf: mode for bdf, mode in self._want.items() if bdf not in done}

    def look(self) -> None:
        found = switching.read(self._machine, self._machine.stuck)
        if isinstance(found, Unreadable):
            raise HostError(f"the GPUs cannot be looked at: {found}")
        staged = self._debts.staged()
        self.targets = [each._replace(staged=each.bdf in staged) for each in found]
        for each in found:
            if each.bdf in self._want and isinstance(each.active, CcMode):
                self.before.setdefault(each.bdf, each.active)

    def ask(self) -> None:
        """Ask the firmware, and take in whose mode is proven and who cannot be switched."""
        self.targets = self._with_firmware(self.targets)
        # What was proven once is given back, and sleeps: then nobody could prove it again.
        self.proven |= {
            bdf: mode for bdf, mode in self.left.items() if plan.is_so(self.targets, bdf, mode)
        }
        self.failed |= plan.obstacles(self.targets, self.left)

    def _with_firmware(self, found: Sequence[Target]) -> Sequence[Target]:
        """Asked only where the answer decides: questions are many small writes."""
        asked = {each.bdf for each in found if plan.must_ask(each, self.left.get(each.bdf))}
        calls = [(lambda each=each: self._asked(each)) for each in found if each.bdf in asked]
        answers = {each.bdf: each for each in self._together(calls)}
        return [answers.get(each.bdf, each) for each in found]

    def _asked(self, target: Target) -> Target:
        return switching.asked(target, self._configured)

    def _configured(self, target: Target) -> Configured:
        return devices.configured(self._machine, target)

    def next_wave(self, *, back_only: bool = False) -> Sequence[Step]:
        return plan.wave(self.targets, {} if back_only else self.left, self._owed())

    def step(self, *, back_only: bool) -> bool:
        """Do the next wave; False where there is none. Or only give back what is owed."""
        steps = self.next_wave(back_only=back_only)
        if not steps:
            return False
        by_bdf = {each.bdf: each for each in self.targets}
        calls = [(lambda chain=chain: self._do_all(chain, by_bdf)) for chain in _chains(steps)]
        done = [pair for pairs in self._together(calls) for pair in pairs]
        for step, error in done:
            self._tried.add(step)
            if isinstance(step, Reset):
                self._tried.discard(Await(step.bdf))  # what it waits for then is another boot
            if error is not None:
                self._note(step, error)
        return True

    def _do_all(
        self, chain: Sequence[Step], by_bdf: Mapping[str, Target]
    ) -> list[tuple[Step, AgentError | None]]:
        return [(step, self._do(step, by_bdf.get(step.bdf))) for step in chain]

    def _owed(self) -> Mapping[str, Debt]:
        owed = self._debts.all()
        mine = self._owners - self._given_up - frozenset(self._machine.stuck)
        return {bdf: debt for bdf, debt in owed.items() if bdf in mine}

    def _do(self, step: Step, target: Target | None) -> AgentError | None:
        if step in self._tried:
            return StillNeededError(f"already tried to {step}, and it is still needed")
        self._told.begins(step)
        self.changed.add(step.bdf)
        error: AgentError | None = None
        try:
            devices.do(step, target, self._machine, self._debts)
        except StuckWriteError as stuck:
            error = _with_holders(stuck, target, self._machine)
        except AgentError as failure:
            error = failure
        self._told.ended(step, error)
        return error

    def _note(self, step: Step, error: AgentError) -> None:
        """A device that failed gets back what is owed; if that fails too, it is left alone."""
        if step.bdf in self.failed or step.bdf not in self.left:
            self._given_up.add(step.bdf)
        if isinstance(error, StuckWriteError):
            self._given_up.add(step.bdf)
        self.failed.setdefault(step.bdf, error)
        self.proven.pop(step.bdf, None)

    def close(self) -> None:
        """Whoever is left has no step left to do: it is not there any more."""
        for bdf in self.left:
            self.failed[bdf] = HostError(f"{bdf} is no longer there", hint="look at its power")
