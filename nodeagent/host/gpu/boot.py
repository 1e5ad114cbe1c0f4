"""Waits for a device's boot, and says what it showed if that does not come (gpu-cc.md §9.4)."""

from collections.abc import Callable

from nodeagent.host.gpu.status import FAMILIES
from nodeagent.host.gpu.waiting import StuckError, wait_for
from nodeagent.model.modes import BOOTED
from nodeagent.seams import Bar0, Clock

STEP_S = 0.010
TIMEOUT_S = {"hopper": 10.0, "ls10": 10.0, "gb100": 25.0, "gb202": 25.0}
"""Twice what NVIDIA's tool gives them: memory training alone may take 3 s. Blackwell: and 15 s
until its BARs answer at all."""

_FSP_STATUS = (0x8F0320, 0x8F0324, 0x8F0328, 0x8F032C)


FIREWALL_S, FIREWALL_STEP_S = 15.0, 0.010


def await_open(is_closed: Callable[[], bool], clock: Clock) -> None:
    """Until the BARs answer; configuration space says whether they do, registers could not."""
    if not wait_for(lambda: not is_closed(), clock, timeout_s=FIREWALL_S, step_s=FIREWALL_STEP_S):
        raise StuckError(
            f"its BARs are still behind their firewall after {FIREWALL_S:g} s",
            hint="look at its power",
        )


def await_boot(regs: Bar0, family: str, clock: Clock) -> None:
    """Until the FSP says that the boot is complete; StuckError with its status if it does not.

    All ones and bus errors are no answer yet: so a device in its reset reads.
    """
    at, timeout_s = FAMILIES[family].boot, TIMEOUT_S[family]
    if wait_for(lambda: regs.read(at) == BOOTED, clock, timeout_s=timeout_s, step_s=STEP_S):
        return
    status = ", ".join(f"{offset:#x}={regs.read(offset):#x}" for offset in (0, at, *_FSP_STATUS))
    raise StuckError(f"it did not boot within {timeout_s:g} s: {status}", hint="look at its power")
