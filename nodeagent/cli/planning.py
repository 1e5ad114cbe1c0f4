"""From a look to a plan, and a plan as text: what `plan` prints and `apply` shows first."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

from nodeagent.cli import guests
from nodeagent.cli.check import serialise
from nodeagent.cli.gpus import opened
from nodeagent.cli.looking import look
from nodeagent.cli.switching import devices_of, situation, wish
from nodeagent.errors import UsageError
from nodeagent.facts import switching
from nodeagent.model.pci import Known
from nodeagent.plan.preview import foreseen
from nodeagent.plan.wanted import address, wanted
from nodeagent.report import plan as report

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from nodeagent.agent.asking import Answers
    from nodeagent.cli.options import Chosen
    from nodeagent.debts import Debts
    from nodeagent.model.switching import Step, Target
    from nodeagent.model.words import CcMode
    from nodeagent.plan.preview import Wave
    from nodeagent.plan.wanted import Situation, Wanted, Wish
    from nodeagent.seams import Machine


class Plan(NamedTuple):
    """A mode, what it takes, and what the look found."""

    mode: CcMode
    wanted: Wanted
    now: Situation
    waves: tuple[Wave, ...]


@contextlib.contextmanager
def looked(
    chosen: Chosen, gpus: tuple[str, ...], per_vm: int | None, *, force: bool, ask: bool
) -> Iterator[Plan]:
    """A plan from a look of its own; the devices are awake for the length of the block."""
    asks = wish(chosen, gpus, per_vm, force=force)
    with opened(chosen, ask=ask) as (machine, answers):
        yield make(chosen, machine, answers, asks=asks, debts=_debts(chosen))


def make(
    chosen: Chosen,
    machine: Machine,
    answers: Answers,
    *,
    asks: Wish,
    debts: Debts | None,
) -> Plan:
    """UsageError and BlockedError with the one reason why it must not begin."""
    from nodeagent.plan import gpu as planner  # noqa: PLC0415

    facts, judgement = look(
        machine,
        profile=chosen.profile,
        want=chosen.mode,
        policy=chosen.policy,
        known=Known(asked=answers),
    )
    now = situation(facts, judgement)
    found = wanted(asks, now)
    devices = devices_of(facts)
    told = {each.bdf: each.configured for each in (*devices.gpus, *devices.switches)}
    staged = debts.staged() if debts else frozenset()
    targets = [
        each._replace(staged=each.bdf in staged, configured=told[each.bdf])
        for each in switching.targets(machine, devices)
    ]
    found = found._replace(notes=(*found.notes, *_already(targets, found.modes)))
    blocked = planner.obstacles(targets, found.modes)
    if blocked:
        raise next(iter(blocked.values()))
    if not asks.only and any(now.modes.get(bdf) is not mode for bdf, mode in found.modes.items()):
        guests.demand_none(chosen, facts)
    owed = debts.all() if debts else {}
    mine = {bdf: debt for bdf, debt in owed.items() if bdf in found.modes}
    return Plan(asks.mode, found, now, foreseen(targets, found.modes, mine))


def _already(targets: Sequence[Target], modes: Mapping[str, CcMode]) -> list[str]:
    """The plan has every step that may be needed; often none is."""
    unasked = [each for each in targets if each.bdf in modes and each.configured is None]
    so = [each.bdf for each in unasked if each.active is modes[each.bdf] and not each.staged]
    if not so:
        return []
    whose = "it" if len(so) == 1 else "them"
    return [f"{len(so)} in the mode already: nothing is done to {whose} if the firmware agrees"]


def _debts(chosen: Chosen) -> Debts | None:
    from nodeagent.debts import Debts  # noqa: PLC0415

    return None if chosen.capture is not None else Debts(chosen.state)


def told(plan: Plan, output: str, *, verbose: bool) -> str:
    waves: list[tuple[tuple[Step, ...], tuple[str, ...]]] = [
        (wave.steps, wave.why) for wave in plan.waves
    ]
    if output != "table":
        found = report.document(plan.mode, plan.wanted.modes, waves, plan.wanted.notes)
        return serialise(found, output)
    names = report.Names(frozenset(each.bdf for each in plan.now.devices.switches))
    bring = _bring(plan, names)
    if not plan.wanted.modes:
        return report.text("nothing to do: no device here has modes", [], plan.wanted.notes)
    if not plan.waves:
        return report.text(f"nothing to do: {bring} already", [], plan.wanted.notes)
    lines = report.lines(waves, names)
    return report.text(f"PLAN: {bring}{_from(plan)}", lines, plan.wanted.notes, verbose=verbose)


def _bring(plan: Plan, names: report.Names) -> str:
    """`8 GPUs to on, 4 NVSwitches to off`."""
    by_mode: dict[CcMode, list[str]] = {}
    for bdf, mode in sorted(plan.wanted.modes.items()):
        by_mode.setdefault(mode, []).append(bdf)
    return ", ".join(f"{names.of(bdfs)} to {mode}" for mode, bdfs in by_mode.items())


def _from(plan: Plan) -> str:
    """`, now off`, where that is one word for all."""
    modes = {str(plan.now.modes.get(bdf)) for bdf in plan.wanted.modes}
    known = {each for each in modes if each in {"on", "off", "devtools", "ppcie"}}
    return f", now {known.pop()}" if len(modes) == len(known) == 1 else ""


def recovery(chosen: Chosen, word: str, output: str) -> str:
    """What `apply --recover` would try, in order."""
    from nodeagent.agent.recover import examine, intended  # noqa: PLC0415

    bdf = address(word)
    with chosen.awake() as machine:
        health = examine(machine, bdf)
    if health is None:
        raise UsageError(f"{bdf} is no GPU or NVSwitch here", hint="`nodeagent gpus` lists them")
    rungs = intended(health)
    if output != "table":
        found = [
            {
                "rung": each.rung.value,
                "not_here": each.not_here,
                "steps": [str(step) for step in each.steps],
            }
            for each in rungs
        ]
        return serialise({"version": 1, "recover": bdf, "rungs": found}, output)
    lines = [f"RECOVER {bdf}: the next one only where the one before did not help"]
    for number, each in enumerate(rungs, 1):
        says = f"not here: {each.not_here}" if each.not_here else ", ".join(map(str, each.steps))
        lines += report.wrapped(f"{each.rung}: {says}", f"{number:>3}. ", "     ")
    lines.append("  4. else: power cycle the node")
    return "\n".join(lines)
