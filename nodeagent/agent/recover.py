"""Brings back one device that does not answer, rung by rung, and looks after each."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from nodeagent.agent.converge import SILENT, Told
from nodeagent.agent.switch import Workplace
from nodeagent.agent.waking import give_back, rouse
from nodeagent.checks.gpu import Mode, mode_of
from nodeagent.errors import AgentError, HostError, StuckWriteError
from nodeagent.facts import bus, gpu, pci, switching
from nodeagent.model.codes import Code
from nodeagent.model.findings import Outcome
from nodeagent.model.pci import Devices, Sibling
from nodeagent.model.seen import Unreadable
from nodeagent.model.switching import Decode, Step, Target, Unbind
from nodeagent.plan import recover as plan
from nodeagent.plan.gpu import BlockedError
from nodeagent.plan.recover import Attempt
from nodeagent.seams import Machine
from nodeagent.steps import devices

_CURABLE = frozenset({Code.GPU_GONE, Code.GPU_BOOT_INCOMPLETE})
_HOPELESS = {
    Code.GPU_SECURITY_FAULT: "no reset clears a security fault: power cycle the node",
    Code.GPU_RECOVERY: "its firmware must be flashed anew, with its vendor's tool",
}


class Health(NamedTuple):
    """One device as it is, and what is the matter with it; None where it answers well."""

    target: Target
    siblings: Sequence[Sibling] | Unreadable
    trouble: Outcome | None


def examine(machine: Machine, bdf: str) -> Health | None:
    """None where there is no such device."""
    with machine.look():
        found = gpu.read(machine, pci.nvidia_functions(machine.files), boot_id=None)
        if isinstance(found, Unreadable):
            raise HostError(f"the GPUs cannot be looked at: {found}")
        targets = {each.bdf: each for each in switching.targets(machine, found)}
    if bdf not in targets:
        return None
    return Health(targets[bdf], bus.siblings(machine, bdf), _trouble(found, bdf))


def _trouble(found: Devices, bdf: str) -> Outcome | None:
    [device] = [each for each in (*found.gpus, *found.switches) if each.bdf == bdf]
    mode = mode_of(device, "")
    return None if isinstance(mode, Mode) or mode.code is Code.GPU_MODE_INVALID else mode


def intended(health: Health) -> tuple[Attempt, ...]:
    """What `recover` would try, in order; BlockedError where it would try nothing."""
    if health.trouble is None:
        raise BlockedError(f"{health.target.bdf} answers well: there is nothing to recover")
    if health.trouble.code in _HOPELESS:
        raise BlockedError(health.trouble.seen, hint=_HOPELESS[health.trouble.code])
    # What cannot be read is not changed; who holds it is named where it would be tried.
    if health.trouble.code not in _CURABLE | {Code.GPU_IN_USE}:
        raise BlockedError(
            f"will not reset {health.trouble.seen}",
            hint=f"`nodeagent explain {health.trouble.code}` says more",
        )
    return _attempts(health)


def _attempts(health: Health) -> tuple[Attempt, ...]:
    return plan.attempts(health.target, plan.demand_free(health.target, health.siblings))


def recover(
    at: Workplace, bdf: str, *, told: Told = SILENT, stopped: Callable[[], bool] = lambda: False
) -> Attempt:
    """The rung that helped. HostError where none did; what was taken is given back either way."""
    rouse(at.machine, at.debts, at.mine)
    try:
        return _climb(at, bdf, told, stopped)
    finally:
        give_back(at.machine, at.debts, frozenset(at.mine))


def _climb(at: Workplace, bdf: str, told: Told, stopped: Callable[[], bool]) -> Attempt:
    health = _must(examine(at.machine, bdf), bdf)
    for number, attempt in enumerate(intended(health)):
        if stopped():
            raise HostError(f"{bdf} was not brought back: stopped", hint="the same command again")
        if attempt.not_here:
            continue
        now = examine(at.machine, bdf)
        again = _attempts(now)[number] if now else attempt  # by who has it open now
        all(_do(step, at, bdf, told) for step in again.steps)  # a rung ends where a step fails
        after = examine(at.machine, bdf)
        if after is not None and after.trouble is None:
            return attempt
    raise HostError(f"{bdf} does not come back", hint="power cycle the node")


def _must(health: Health | None, bdf: str) -> Health:
    if health is None:
        raise HostError(f"{bdf} is no GPU or NVSwitch here")
    return health


def _do(step: Step, at: Workplace, bdf: str, told: Told) -> bool:
    """Whether it was done: nothing is reset under a driver that could not be unbound."""
    health = examine(at.machine, bdf)
    target = health.target if health else None
    if target is not None and _is_done(step, target):
        return True
    told.begins(step)
    error: AgentError | None = None
    try:
        devices.do(step, target, at.machine, at.debts)
    except StuckWriteError:
        raise
    except AgentError as failure:
        error = failure
    told.ended(step, error)
    return error is None


def _is_done(step: Step, target: Target) -> bool:
    match step:
        case Unbind():
            return target.driver is None
        case Decode():
            return target.decodes is True
        case _:
            return False
