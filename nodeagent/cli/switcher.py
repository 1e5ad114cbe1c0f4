"""What `run` needs where it may switch: the devices' standing, and the switch itself."""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from nodeagent.agent import asking, waking
from nodeagent.agent import switch as switching
from nodeagent.agent.authority import claimed
from nodeagent.agent.duty import Cluster, Duty, Terms
from nodeagent.agent.slots import Rollout, Slots
from nodeagent.agent.witness import EVERY_S
from nodeagent.cli import guests, planning
from nodeagent.cli.switching import devices_of, situation
from nodeagent.debts import Debts
from nodeagent.errors import AgentError, UsageError
from nodeagent.facts import switching as targets
from nodeagent.kube import operands
from nodeagent.kube.evict import Evictions
from nodeagent.kube.leases import Leases
from nodeagent.model.cluster import DeviceStanding, Guest
from nodeagent.model.findings import Outcome
from nodeagent.model.knobs import Configured, writes
from nodeagent.model.seen import NotAsked, Unreadable
from nodeagent.model.words import CcMode
from nodeagent.plan.gpu import BlockedError
from nodeagent.plan.wanted import Wish, wanted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from nodeagent.agent.asking import Answers
    from nodeagent.agent.converge import May, Told
    from nodeagent.cli.options import Chosen
    from nodeagent.kube.client import Api
    from nodeagent.model.facts import Facts
    from nodeagent.model.findings import Judgement
    from nodeagent.model.switching import Debt, Target
    from nodeagent.plan.wanted import Situation
    from nodeagent.seams import Machine


_FRESH_S = 5.0


class _Seen(NamedTuple):
    at: float
    now: Situation


class Devices:
    """Those of this host, which we may switch.

    Their firmware is asked what the next reset brings at the start, after each switch, and of a
    device that was in use as soon as it is free: nobody changes that without a reset, and a
    reset we would see.
    """

    def __init__(self, chosen: Chosen, stopped: Callable[[], bool]) -> None:
        self._chosen = chosen
        self._stopped = stopped
        self._answers: dict[str, Configured | Unreadable] = {}
        self._is_due = True
        self._seen: _Seen | None = None
        self._witness = guests.witness(chosen)
        self._has_kubelet: bool | Unreadable = True

    @contextlib.contextmanager
    def awake(self) -> Iterator[tuple[Machine, Answers]]:
        """For a look, with what the firmware said; asked only where that is due."""
        if not self._is_due:
            with self._chosen.awake() as machine:
                yield machine, self._told()
            return
        chosen = self._chosen
        with (
            chosen.changing() as machine,
            asking.asked(machine, chosen.state, wake=chosen.may_wake) as found,
        ):
            self._answers = dict(found)
            self._is_due = False
            yield machine, self._told()

    def _told(self) -> Answers:
        """A device that somebody uses is not asked: that is no doubt about it (design.md §2)."""
        return {bdf: each for bdf, each in self._answers.items() if not isinstance(each, NotAsked)}

    def standing(
        self, machine: Machine, facts: Facts, judgement: Judgement, want: CcMode | None
    ) -> DeviceStanding:
        """Of this look: what is not as wanted, why it must not be switched, and who uses it."""
        try:
            devices = devices_of(facts)
        except AgentError as error:
            return DeviceStanding(refused=str(error), holders=Unreadable("the GPUs", str(error)))
        found = targets.targets(machine, devices)
        self._saw(found)
        holders = _holders(found)
        if want is None:
            return DeviceStanding(holders=holders)
        now = situation(facts, judgement)
        self._seen = _Seen(time.monotonic(), now)
        modes, refused = _modes(want, now)
        debts = Debts(self._chosen.state)
        staged, owed = debts.staged(), debts.all()
        told = {each.bdf: each.configured for each in (*devices.gpus, *devices.switches)}
        unsettled = tuple(
            bdf
            for bdf, mode in sorted(modes.items())
            if _is_unsettled(now.modes.get(bdf), told.get(bdf), mode)
            or bdf in staged
            or _is_taken(owed.get(bdf))
        )
        if not unsettled or refused:
            return DeviceStanding(unsettled, refused, holders)
        self._has_kubelet = guests.has_kubelet(self._chosen, facts)
        return DeviceStanding(unsettled, refused, holders, self.guests(EVERY_S))

    def guests(self, within_s: float) -> tuple[Guest, ...] | Unreadable:
        """To whom the kubelet gave a device, of an answer not older than that."""
        if self._witness is None:
            return ()
        return self._witness.guests(installed=self._has_kubelet, within_s=within_s)

    def _saw(self, found: Sequence[Target]) -> None:
        """A device that was not asked, and could be by now."""
        free = {each.bdf for each in found if each.holders == ()}
        left = {bdf for bdf, each in self._answers.items() if isinstance(each, NotAsked)}
        self._is_due = self._is_due or bool(free & left) or bool(free - self._answers.keys())

    def switch(self, want: CcMode, told: Told, may: May) -> Sequence[switching.DeviceEnd]:
        """As `apply` does it, and nobody is asked."""
        self._is_due = True
        chosen = replace(self._chosen, config=replace(self._chosen.config, mode=want))
        with chosen.changing() as machine:
            there = frozenset(each.bdf for each in asking.targets(machine))
            with switching.workplace(machine, chosen.state, there, command="run") as at:
                try:
                    if chosen.may_wake:
                        waking.rouse(machine, at.debts, at.mine)
                    now = self._situation(chosen, machine, at)
                    return switching.switch(
                        at,
                        wanted(Wish(want), now).modes,
                        now,
                        on_failure=switching.OnFailure(chosen.config.on_failure),
                        told=told,
                        stopped=self._stopped,
                        may=may,
                    )
                finally:
                    waking.give_back(machine, at.debts, frozenset(at.mine))

    def _situation(self, chosen: Chosen, machine: Machine, at: switching.Workplace) -> Situation:
        """Of the look of a moment ago: the devices are looked at anew before each step anyway."""
        if self._seen is not None and time.monotonic() - self._seen.at < _FRESH_S:
            return self._seen.now
        asks = Wish(chosen.mode or CcMode.OFF)
        return planning.make(chosen, machine, {}, asks=asks, debts=at.debts).now


def _modes(want: CcMode, now: Situation) -> tuple[Mapping[str, CcMode], str]:
    """Where it is refused: whether there would be anything to do, by the GPUs alone."""
    try:
        return wanted(Wish(want), now).modes, ""
    except (BlockedError, UsageError) as error:
        hint = f": {error.hint}" if error.hint else ""
        return {each.bdf: want for each in now.devices.gpus}, f"{error}{hint}"


def _is_unsettled(
    seen: CcMode | Outcome | None, told: Configured | Unreadable | None, want: CcMode
) -> bool:
    if isinstance(seen, CcMode) and seen is not want:
        return True
    if isinstance(seen, Outcome) and seen.code == "GPU_MODE_INVALID":
        return True
    return isinstance(told, Configured) and bool(writes(told, want))


def _is_taken(debt: Debt | None) -> bool:
    """Not what a look owes, which wakes it alone."""
    return debt is not None and bool(debt.driver or debt.removed)


def _holders(found: Sequence[Target]) -> tuple[str, ...] | Unreadable:
    named: list[str] = []
    for each in found:
        if isinstance(each.holders, Unreadable):
            return each.holders
        named += [f"{holder} ({each.bdf})" for holder in each.holders or ()]
    return tuple(named)


@contextlib.contextmanager
def on_duty(chosen: Chosen, devices: Devices, api: Api, cluster: Cluster) -> Iterator[Duty]:
    """The authority over this host's devices, or one that says who is it instead."""
    config, node = chosen.config, cluster.name
    with claimed(chosen.state) as claim:
        terms = Terms(
            node,
            config.prefix,
            claim,
            deadline_s=config.switch_deadline_s,
            again_s=config.switch_again_s,
        )
        if config.holders == "evict":
            evictions = Evictions(api, node, unmanaged=config.evict_unmanaged)
            cluster = cluster._replace(evictions=evictions)
        yield Duty(
            terms,
            cluster,
            devices,
            pods=lambda: operands.read(api, config.operator_namespace, node),
            slots=Slots(
                Leases(api, config.namespace),
                Rollout(config.slots, config.soak_s, config.failures, config.windows),
                holder=f"{node}_{cluster.boot_id}",
                prefix=config.prefix,
            ),
        )
