"""Which device shall be in which mode, and every reason why that must not even begin."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from nodeagent import data
from nodeagent.errors import UsageError
from nodeagent.model.findings import Outcome
from nodeagent.model.pci import Devices, Gpu
from nodeagent.model.words import CcMode, Verdict
from nodeagent.plan.gpu import BlockedError

_CONFIDENTIAL = (CcMode.ON, CcMode.DEVTOOLS, CcMode.PPCIE)


class Wish(NamedTuple):
    """What somebody asks for. `only`: these GPUs and no others; `per_vm`: GPUs in one VM."""

    mode: CcMode
    only: tuple[str, ...] = ()
    per_vm: int | None = None
    force: bool = False


class Situation(NamedTuple):
    """What the look found, as far as a wish depends on it.

    `modes` has each device's mode, or the outcome that says why it has none. `enabled` is
    None where the profile does not ask for SNP.
    """

    devices: Devices
    modes: Mapping[str, CcMode | Outcome]
    lockdown: str
    enabled: tuple[Verdict, str] | None


class Wanted(NamedTuple):
    """The mode of each device, by address, and what is to be said with it."""

    modes: Mapping[str, CcMode]
    notes: tuple[str, ...] = ()


def wanted(wish: Wish, now: Situation) -> Wanted:
    """UsageError and BlockedError each with the one reason; nothing has been done by then."""
    chosen = _chosen(wish, now.devices)
    _demand_access(now)
    notes = [*_demand_capable(chosen, wish, now), *_demand_supported(chosen, wish)]
    if wish.mode is CcMode.PPCIE:
        _demand_switches(now.devices)
    notes += _demand_whole(chosen, wish, now)
    notes += _demand_host(wish, now)
    return Wanted(_modes(chosen, wish, now), tuple(notes))


def address(word: str) -> str:
    """`41:00.0` and `0000:41:00.0` are the same."""
    text = word.strip().lower()
    return f"0000:{text}" if text.count(":") == 1 else text


def _chosen(wish: Wish, devices: Devices) -> Sequence[Gpu]:
    if not wish.only:
        if not devices.gpus:
            raise BlockedError("there is no NVIDIA GPU on this host")
        return devices.gpus
    if wish.mode is CcMode.PPCIE:
        raise UsageError("--gpu does not go with ppcie", hint="ppcie is all GPUs and all switches")
    by_bdf = {each.bdf: each for each in devices.gpus}
    for bdf in map(address, wish.only):
        if bdf not in by_bdf:
            raise _no_gpu(bdf, by_bdf, devices)
    return [by_bdf[bdf] for bdf in dict.fromkeys(map(address, wish.only))]


def _no_gpu(bdf: str, by_bdf: Mapping[str, Gpu], devices: Devices) -> UsageError:
    what = "no GPU" if bdf not in {each.bdf for each in devices.switches} else "an NVSwitch"
    # All of them, and no guess: the nearest address is another GPU.
    return UsageError(f"{bdf} is {what}", hint=f"GPUs here: {', '.join(by_bdf) or 'none'}")


def _demand_access(now: Situation) -> None:
    if now.lockdown not in {"", "none"}:
        raise BlockedError(
            f"the kernel's lockdown ({now.lockdown}) forbids access to GPU registers in this boot",
            hint="Secure Boot turns it on; boot without lockdown to switch modes",
        )


def _demand_capable(chosen: Sequence[Gpu], wish: Wish, now: Situation) -> list[str]:
    """A device that is gone, locked or unlike its id is not touched, and not left out unsaid."""
    notes = []
    for gpu in chosen:
        if gpu.chip is None and not wish.only and wish.mode is CcMode.OFF:
            notes.append(f"{_foreign(gpu, now)}, and is left alone")
        elif gpu.chip is None:
            others = any(each.chip for each in chosen)
            raise BlockedError(
                f"will not change {_foreign(gpu, now)}",
                hint="name the GPUs that have one by --gpu" if others else None,
            )
        else:
            _demand_sound(now.modes.get(gpu.bdf))
            notes += _unlisted(gpu)
            if gpu.chip.c2c and wish.mode in {CcMode.ON, CcMode.DEVTOOLS}:
                name = gpu.chip.product or gpu.chip.name
                raise BlockedError(f"{gpu.bdf} ({name}) is tied to a Grace CPU: no mode but off")
    return notes


def _foreign(gpu: Gpu, now: Situation) -> str:
    """Too old for a confidential mode is not the same as too new to be known here."""
    standing = now.modes.get(gpu.bdf)
    if isinstance(standing, Outcome):
        return standing.seen
    return f"{gpu.bdf}: nothing is known of device id {gpu.pci.device:#06x}"


_CURABLE = frozenset({"GPU_MODE_INVALID", "GPU_BOOT_INCOMPLETE", "GPU_ASLEEP", "GPU_IN_USE"})
"""A switch cures the first, waits for the second, wakes the third, and itself refuses the last."""


def _demand_sound(standing: CcMode | Outcome | None) -> None:
    if isinstance(standing, Outcome) and standing.code not in _CURABLE:
        raise BlockedError(
            f"will not change {standing.seen}",
            hint=f"`nodeagent explain {standing.code}` says more" if standing.code else None,
        )


def _unlisted(gpu: Gpu) -> list[str]:
    """It works as its family does, which its BOOT_0 confirmed; NVIDIA does not name it."""
    if gpu.chip is None or gpu.chip.product is not None:
        return []
    return [
        f"{gpu.bdf} (device id {gpu.pci.device:#06x}) is in no list; it is taken as {gpu.chip.name}"
    ]


def _demand_supported(chosen: Sequence[Gpu], wish: Wish) -> list[str]:
    """One data table of mode, family and GPUs in one VM."""
    notes = []
    for family in dict.fromkeys(each.chip.family for each in chosen if each.chip):
        if wish.mode is CcMode.OFF:
            continue
        row = _support(family, wish)
        if "why" in row:
            raise BlockedError(row["why"], hint=row.get("hint"))
        notes += [row["note"]] if "note" in row else []
    return notes


def _support(family: str, wish: Wish) -> Mapping[str, str]:
    default = 8 if wish.mode is CcMode.PPCIE else 1
    vm = "several" if (wish.per_vm or default) > 1 else "one"
    for row in _table()["support"]:
        if (row["family"], row["mode"], row["vm"]) == (family, wish.mode, vm):
            found: Mapping[str, str] = row
            return found
    unsupported: Mapping[str, str] = _table()["unsupported"].get(
        wish.mode, {"why": f"nothing is known of mode {wish.mode} on {family}"}
    )
    return unsupported


def _demand_switches(devices: Devices) -> None:
    """Half of a board in protected PCIe is a board that no VM can use."""
    expected = _table()["switches"]["hopper"]
    found = len(devices.switches)
    if found != expected:
        raise BlockedError(
            f"protected PCIe takes all {expected} NVSwitches of the board; {found} are here",
            hint="without NVSwitches ask for on"
            if not found
            else "look for the missing one: lspci",
        )
    gpus = _table()["gpus"]["hopper"]
    if len(devices.gpus) != gpus:
        raise BlockedError(
            f"protected PCIe takes all {gpus} GPUs of the board; {len(devices.gpus)} are here",
            hint="look for the missing one: lspci",
        )


def _demand_whole(chosen: Sequence[Gpu], wish: Wish, now: Situation) -> list[str]:
    """A part of a board leaves protected PCIe only with all of it."""
    others = [each for each in now.devices.gpus if each not in chosen]
    protected = [bdf for bdf, mode in now.modes.items() if mode is CcMode.PPCIE]
    if wish.only and protected:
        raise BlockedError(
            f"{protected[0]} is in protected PCIe, which is left by all or none",
            hint="leave out --gpu",
        )
    unlike = [each.bdf for each in others if now.modes.get(each.bdf) is not wish.mode]
    if wish.only and unlike:
        return [f"{unlike[0]} stays in another mode: then the node is not ready"]
    return []


def _demand_host(wish: Wish, now: Situation) -> list[str]:
    """A GPU in a confidential mode works in a confidential VM alone: without one it is lost."""
    if wish.mode not in _CONFIDENTIAL or now.enabled is None:
        return []
    verdict, says = now.enabled
    if verdict is Verdict.UNKNOWN:
        return [f"whether this host can start a confidential VM cannot be told: {says}"]
    if verdict is not Verdict.FAIL:
        return []
    consequence = "the GPUs work for nobody until it can, or until they are switched off again"
    if wish.force:
        return [f"forced, though the host cannot start a confidential VM: {consequence}"]
    raise BlockedError(
        f"this host cannot start a confidential VM: {says}",
        hint=f"mend that first, or --force: {consequence}",
    )


def _modes(chosen: Sequence[Gpu], wish: Wish, now: Situation) -> Mapping[str, CcMode]:
    """Switches follow: protected with all GPUs, and off with any other mode of the node."""
    modes = {each.bdf: wish.mode for each in chosen if each.chip is not None}
    if not wish.only:
        switch = CcMode.PPCIE if wish.mode is CcMode.PPCIE else CcMode.OFF
        for each in now.devices.switches:
            if each.chip is not None:
                _demand_sound(now.modes.get(each.bdf))
                modes[each.bdf] = switch
    return modes


def attests_after_reboot(device: Gpu) -> bool:
    """Whether the part was seen to fail attestation after it left a confidential mode."""
    return f"{device.pci.device:#06x}" in _table()["reboot_before_attesting"]


def _table() -> Mapping[str, Any]:
    table: Mapping[str, Any] = data.load("modes.json")
    return table
