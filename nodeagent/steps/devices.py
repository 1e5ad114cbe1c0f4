"""Does one step to one device. The order of lines is the crash safety."""

from typing import assert_never

from nodeagent.debts import Debts
from nodeagent.errors import HostError
from nodeagent.facts import fabric
from nodeagent.host.gpu.boot import await_boot, await_open
from nodeagent.host.gpu.fsp import Fsp, RefusedError, open_fsp
from nodeagent.host.gpu.status import firmware_version
from nodeagent.host.gpu.waiting import StuckError
from nodeagent.model.knobs import Configured
from nodeagent.model.switching import (
    Await,
    Bind,
    Decode,
    Override,
    Remove,
    Rescan,
    Reset,
    Rest,
    Stage,
    Step,
    Target,
    Unbind,
    Wake,
)
from nodeagent.model.words import CcMode
from nodeagent.seams import Bar0, Changeable

_DEVICES = "/sys/bus/pci/devices"
_DRIVERS = "/sys/bus/pci/drivers"
_RESCAN = "/sys/bus/pci/rescan"


def do(step: Step, target: Target | None, machine: Changeable, debts: Debts) -> None:
    """`target` is the device as the last look saw it; HostError names what failed."""
    try:
        if target is not None:
            _do(step, target, machine, debts)
        elif isinstance(step, Rescan):  # the one step for a device that is not there
            machine.write(step.bdf, _RESCAN, "1")
    except OSError as error:
        raise HostError(f"cannot {step}") from error


def _do(  # noqa: C901 - a case for each step
    step: Step, target: Target, machine: Changeable, debts: Debts
) -> None:
    bdf = step.bdf
    match step:
        case Wake():
            control = target.control if isinstance(target.control, str) else "auto"
            debts.owe(bdf, control=control)  # first: a crash now costs nothing
            machine.write(bdf, f"{_DEVICES}/{bdf}/power/control", "on")
        case Unbind(driver=driver):
            override = target.override if isinstance(target.override, str) else ""
            debts.owe(bdf, driver=driver, override=override)
            machine.write(bdf, f"{_DEVICES}/{bdf}/driver/unbind", bdf)
        case Decode():
            debts.owe(bdf, decode=False)
            machine.set_decode(bdf, on=True)
        case Await():
            _await(target, machine)
        case Stage(mode=mode):
            debts.stage(bdf)  # first: whoever comes after us must know that a reset is due
            with machine.bar0(bdf) as regs:
                _stage(_fsp(regs, target, machine), mode, debts, bdf)
        case Reset(method=method):
            _reset(target, method, machine, debts)
            debts.unstage(bdf)
        case Remove():
            _owe_whole(target, debts)  # the kernel forgets all of it with the device
            machine.write(bdf, f"{_DEVICES}/{bdf}/remove", "1")
        case Rescan():
            machine.write(bdf, _RESCAN, "1")
        case Override(driver=driver):
            machine.write(bdf, f"{_DEVICES}/{bdf}/driver_override", driver or "\n")
        case Bind(driver=driver):
            machine.write(bdf, f"{_DRIVERS}/{driver}/bind", bdf)
        case Rest():
            _rest(target, machine, debts)
        case _:
            assert_never(step)


def _await(target: Target, machine: Changeable) -> None:
    """Until it has booted; and then it must be the device that it was (gpu-cc.md §10.2)."""
    try:
        await_open(lambda: _is_closed(machine, target), machine.clock)
        with machine.bar0(target.bdf) as regs:
            await_boot(regs, target.family, machine.clock)
    except StuckError as error:
        _demand_same(target, machine)  # or nothing could answer where it is looked for
        with machine.config(target.bdf) as parts:
            told = fabric.status(_config(target), parts, target.family)
        raise StuckError(f"{error}; configuration space: {told}", hint=error.hint) from None
    _demand_same(target, machine)


def _demand_same(target: Target, machine: Changeable) -> None:
    with machine.config(target.bdf) as parts:
        unlike = fabric.changed(_config(target), parts, target.device, target.bar0)
    if unlike:
        raise HostError(f"{target.bdf} shows {unlike}", hint="power cycle the node")


def _stage(fsp: Fsp, mode: CcMode, debts: Debts, bdf: str) -> None:
    try:
        fsp.stage(mode)
    except RefusedError:
        debts.unstage(bdf)  # nothing was written
        raise


def _owe_whole(target: Target, debts: Debts) -> None:
    texts = {"override": target.override, "control": target.control}
    owed = {name: text for name, text in texts.items() if isinstance(text, str)}
    debts.owe(target.bdf, removed=True, **{"override": "", **owed})


def _reset(target: Target, method: str, machine: Changeable, debts: Debts) -> None:
    """By one method alone where that is asked for; the list is as before when this returns."""
    bdf = target.bdf
    methods = f"{_DEVICES}/{bdf}/reset_method"
    if not method:
        machine.write(bdf, f"{_DEVICES}/{bdf}/reset", "1")
        return
    before = target.reset_method if isinstance(target.reset_method, str) else "default"
    debts.owe(bdf, reset_method=before)
    machine.write(bdf, methods, method)
    try:
        machine.write(bdf, f"{_DEVICES}/{bdf}/reset", "1")
    finally:
        machine.write(bdf, methods, before)


def _rest(target: Target, machine: Changeable, debts: Debts) -> None:
    """Power management comes last but one: asleep, a device takes no other write."""
    bdf, debt = target.bdf, debts.all()[target.bdf]
    if debt.reset_method is not None and debt.reset_method != target.reset_method:
        machine.write(bdf, f"{_DEVICES}/{bdf}/reset_method", debt.reset_method)
    if debt.decode is False and target.driver is None and target.decodes is True:
        machine.set_decode(bdf, on=False)
    if debt.control is not None and debt.control != target.control:
        machine.write(bdf, f"{_DEVICES}/{bdf}/power/control", debt.control)
    debts.settle(bdf)  # last: until then we still owe


def _is_closed(machine: Changeable, target: Target) -> bool:
    """Behind the firewall that Blackwell's BARs are kept by while it boots (gpu-cc.md §9.4)."""
    with machine.config(target.bdf) as parts:
        return fabric.is_closed(_config(target), parts, target.family) is True


def _config(target: Target) -> str:
    return f"{_DEVICES}/{target.bdf}/config"


def configured(machine: Changeable, target: Target) -> Configured:
    """What the firmware says that the next reset brings."""
    with machine.bar0(target.bdf) as regs:
        return _fsp(regs, target, machine).configured()


def _fsp(regs: Bar0, target: Target, machine: Changeable) -> Fsp:
    version = firmware_version(regs, target.family)
    firmware = f"{version}, device id {target.device:#06x}"
    return open_fsp(regs, machine.clock, target.line, firmware=firmware)
