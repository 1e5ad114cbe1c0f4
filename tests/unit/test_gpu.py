"""GPUs and switches: what each register value means, and what is never claimed."""

from typing import NamedTuple

import pytest

from nodeagent.checks.gpu import Mode, mode_of
from nodeagent.checks.judge import judge
from nodeagent.facts.gpu import chip_of
from nodeagent.host.gpu.status import FAMILIES, read_status
from nodeagent.model.fabric import Security, Slot
from nodeagent.model.facts import Facts
from nodeagent.model.findings import Outcome
from nodeagent.model.pci import (
    Asleep,
    Devices,
    Gpu,
    GpuStatus,
    Held,
    Holder,
    PciFunction,
    Sighting,
    Status,
)
from nodeagent.model.seen import Seen, Unreadable
from nodeagent.model.words import CcMode, Level, Profile, Verdict
from tests.conftest import HOSTS
from tests.unit.looks import facts_of

GH100, GB100, GB202, LS10 = 0x180000A1, 0x1A0000A1, 0x1B2000A1, 0x007000A1


class Fields(NamedTuple):
    """Registers kept in a dictionary: a device that answers 0 wherever nothing is said."""

    values: dict[int, int]

    def read(self, offset: int) -> int | Unreadable:
        return self.values.get(offset, 0)


def _function(device: int, pci_class: int = 0x030200, bdf: str = "0000:41:00.0") -> PciFunction:
    return PciFunction(
        bdf=bdf,
        vendor=0x10DE,
        device=device,
        pci_class=pci_class,
        subsystem=None,
        driver="vfio-pci",
        override=None,
        group=41,
        power_state="D0",
        runtime_status="active",
        bars=(),
        command=2,
        is_vf=False,
    )


def _gpu(
    device: int,
    status: Status,
    *,
    pci_class: int = 0x030200,
    bdf: str = "0000:41:00.0",
    holders: Seen[tuple[Holder, ...]] = (),
    remembered: Sighting | None = None,
) -> Gpu:
    function = _function(device, pci_class, bdf)
    return Gpu(function, chip_of(function), holders, (), status, remembered)


def _status(device: int, **registers: int) -> GpuStatus:
    family = chip_of(_function(device, 0x068000 if device == 0x22A3 else 0x030200))
    assert family
    at = FAMILIES[family.family]
    places = {"boot0": 0, "boot": at.boot, "mode": at.mode, "recovery": at.recovery}
    return read_status(
        Fields({places[name]: value for name, value in registers.items()}), family.family
    )


@pytest.mark.parametrize(
    ("device", "boot0", "mode", "expected"),
    [
        (0x2331, GH100, 0x0, "off"),
        (0x2331, GH100, 0x1, "on"),
        (0x2331, GH100, 0x3, "devtools"),
        (0x2331, GH100, 0x20, "ppcie"),
        (0x2335, GH100, 0x181, "on"),  # the power-efficiency bits are none of ours
        (0x2331, GH100, 0x2, "GPU_MODE_INVALID"),
        (0x2331, GH100, 0x21, "GPU_MODE_INVALID"),
        (0x2331, GH100, 0x41, "GPU_MODE_INVALID"),  # a multi-GPU mode that nobody defined
        (0x2901, GB100, 0x5, "on"),
        (0x2901, GB100, 0x20, "off"),  # bit 5 is Hopper's
        (0x2BB5, GB202, 0x3, "devtools"),
        (0x2331, GH100, 0xBADF5108, "NO_ACCESS"),
        (0x2331, GB100, 0x1, "NO_ACCESS"),  # BOOT_0 of another architecture
    ],
)
def test_a_mode_register_means(device: int, boot0: int, mode: int, expected: str) -> None:
    found = mode_of(_gpu(device, _status(device, boot0=boot0, boot=0xFF, mode=mode)), "none")

    assert _word(found) == expected


def _word(found: Mode | Outcome) -> str | None:
    if isinstance(found, Mode):
        return found.mode.value
    return found.code.value if found.code else None


@pytest.mark.parametrize(
    ("device", "registers", "expected"),
    [
        (0x2331, {"boot0": 0xFFFFFFFF}, "GPU_GONE"),
        (0x2331, {"boot0": 0xBADF1234}, "GPU_GONE"),
        (0x2331, {"boot0": 0xBADF0200}, "GPU_SECURITY_FAULT"),
        (0x2331, {"boot0": 0xBAD00200}, "GPU_SECURITY_FAULT"),
        (0x2331, {"boot0": 0, "boot": 0xFF}, "GPU_RECOVERY"),
        (0x2331, {"boot0": GH100, "boot": 0xFF, "recovery": 1 << 30}, "GPU_RECOVERY"),
        (0x2901, {"boot0": GB100, "boot": 0xFF, "recovery": 2}, "GPU_RECOVERY"),
        (0x2901, {"boot0": GB100, "boot": 0xFF, "recovery": 1, "mode": 1}, "on"),
        (0x2331, {"boot0": GH100, "boot": 0x0}, "GPU_BOOT_INCOMPLETE"),
        (0x2901, {"boot0": 0xFFFFFFFF}, "GPU_BOOT_INCOMPLETE"),
        (0x2331, {"boot0": GH100, "boot": 0xBADF5040}, "GPU_BOOT_INCOMPLETE"),
    ],
)
def test_an_unusual_device_is_named(device: int, registers: dict[str, int], expected: str) -> None:
    assert _word(mode_of(_gpu(device, _status(device, **registers)), "none")) == expected


def test_where_holders_are_unknown_a_silent_device_is_not_called_gone() -> None:
    hidden = Unreadable("/proc/1/fd", "EACCES: Permission denied")
    found = mode_of(_gpu(0x2331, _status(0x2331, boot0=0xFFFFFFFF), holders=hidden), "none")

    assert isinstance(found, Outcome)
    assert found.verdict is Verdict.UNKNOWN


def test_a_held_device_keeps_its_last_proven_mode() -> None:
    held = Held((Holder(7, "qemu", "/dev/vfio/41"),))
    seen = Sighting(CcMode.ON, "2026-11-20T08:12:00Z")

    known = mode_of(_gpu(0x2331, held, remembered=seen), "none")
    unknown = mode_of(_gpu(0x2331, held), "none")

    assert known == Mode(CcMode.ON, "on, in use, seen 08:12")
    assert _word(unknown) == "GPU_IN_USE"


@pytest.mark.parametrize(
    ("lockdown", "why", "code"),
    [
        ("integrity", "EPERM: Operation not permitted", "LOCKDOWN"),
        ("none", "EPERM: Operation not permitted", "NO_ACCESS"),
        ("integrity", "EACCES: Permission denied", "NO_ACCESS"),
    ],
)
def test_closed_registers_are_unknown_and_name_lockdown(lockdown: str, why: str, code: str) -> None:
    found = mode_of(_gpu(0x2331, Unreadable("resource0", why)), lockdown)

    assert isinstance(found, Outcome)
    assert (found.verdict, _word(found)) == (Verdict.UNKNOWN, code)


def test_a_part_without_confidential_mode_fails() -> None:
    found = mode_of(_gpu(0x20B0, Unreadable("x", "y")), "none")

    assert _word(found) == "GPU_NOT_CAPABLE"


def test_a_part_newer_than_what_is_known_is_unknown_not_failed() -> None:
    found = mode_of(_gpu(0x4000, Unreadable("x", "y")), "none")

    assert isinstance(found, Outcome)
    assert (found.verdict, _word(found)) == (Verdict.UNKNOWN, "GPU_NOT_KNOWN")


def _level(
    want: CcMode | None, *modes: int, switches: tuple[int, ...] = ()
) -> tuple[Verdict, str | None]:
    """The gpu level of the ready host with these mode registers instead of its own."""
    gpus = tuple(
        _gpu(0x2330, _status(0x2330, boot0=GH100, boot=0xFF, mode=mode), bdf=f"0000:4{slot}:00.0")
        for slot, mode in enumerate(modes)
    )
    nvswitches = tuple(
        _gpu(
            0x22A3,
            _status(0x22A3, boot0=LS10, boot=0xFF, mode=mode),
            pci_class=0x068000,
            bdf=f"0000:8{slot}:00.0",
        )
        for slot, mode in enumerate(switches)
    )
    facts: Facts = facts_of(HOSTS / "genoa-ready")
    devices = Devices(gpus, nvswitches, (), vfio=True)
    found = judge(facts._replace(devices=devices), profile=Profile.GPU, want=want)
    return found.levels[Level.GPU].verdict, found.root.code if found.root else None


ON, OFF, DEVTOOLS, PPCIE = 0x1, 0x0, 0x3, 0x20


@pytest.mark.parametrize(
    ("want", "modes", "switches", "verdict", "code"),
    [
        (None, (ON, ON), (), "pass", None),
        (None, (PPCIE, PPCIE), (1, 1), "pass", None),
        (None, (OFF, OFF), (), "fail", "GPU_MODE_OFF"),
        (None, (DEVTOOLS,), (), "fail", "GPU_MODE_DEVTOOLS"),
        (None, (ON, OFF), (), "fail", "GPU_MODE_MIXED"),
        (None, (PPCIE, PPCIE), (1, 0), "fail", "SWITCH_MODE_MISMATCH"),
        (None, (ON, ON), (1,), "fail", "SWITCH_MODE_MISMATCH"),
        (CcMode.ON, (ON, ON), (0,), "pass", None),
        (CcMode.ON, (ON, OFF), (), "fail", "GPU_MODE_UNWANTED"),
        (CcMode.PPCIE, (ON, ON), (), "fail", "GPU_MODE_UNWANTED"),
        (CcMode.OFF, (OFF, OFF), (), "fail", "WANTED_MODE_NEVER_READY"),
        (CcMode.DEVTOOLS, (DEVTOOLS,), (), "fail", "WANTED_MODE_NEVER_READY"),
    ],
)
def test_all_devices_share_the_wanted_confidential_mode(
    want: CcMode | None,
    modes: tuple[int, ...],
    switches: tuple[int, ...],
    verdict: str,
    code: str | None,
) -> None:
    assert _level(want, *modes, switches=switches) == (verdict, code)


@pytest.mark.parametrize(
    ("boot1", "expected"),
    [
        (0x0, "on"),
        (0x00010000, "GPU_VIRTUAL"),
        (0x00020000, "GPU_VIRTUAL"),
        (0x00000005, "on"),
        (0xBADF1100, "on"),  # a bus error is no answer, though its bits look like one
    ],
)
def test_a_virtual_gpu_is_named(boot1: int, expected: str) -> None:
    status = _status(0x2331, boot0=GH100, boot=0xFF, mode=0x1)._replace(boot1=boot1)

    assert _word(mode_of(_gpu(0x2331, status), "none")) == expected


@pytest.mark.parametrize(
    ("value", "version"),
    [(0x0210, (2, 16)), (0x0, None), (0xFFFFF105, (1, 5))],
)
def test_the_fsp_says_its_version(value: int, version: tuple[int, int] | None) -> None:
    registers = Fields({0x0: GH100, 0x8F0334: value})

    assert read_status(registers, "hopper").fsp == version


@pytest.mark.parametrize("value", [0xBADF5108, 0xFFFFFFFF])
def test_an_error_in_place_of_the_fsps_version_is_no_version(value: int) -> None:
    """Seen on an H100 in CC mode (gpu-cc.md §5.1)."""
    found = read_status(Fields({0x0: GH100, 0x8F0334: value}), "hopper").fsp

    assert isinstance(found, Unreadable)


def test_a_switch_has_no_such_version() -> None:
    assert read_status(Fields({0x8F0334: 0x210}), "ls10").fsp is None


FAULT = Security(0x8010, ("FSP_DCLS", "BOOTFSM"), None)
DARK = {"boot0": 0xFFFFFFFF}


def _with_security(device: int, security: Security, **registers: int) -> Mode | Outcome:
    gpu = _gpu(device, _status(device, **registers))
    return mode_of(gpu._replace(slot=Slot(security=security)), "none")


def test_a_security_fault_is_named_by_its_causes() -> None:
    found = _with_security(0x2331, FAULT, boot0=0xBADF0200)

    assert isinstance(found, Outcome)
    assert (found.code, found.verdict) == ("GPU_SECURITY_FAULT", Verdict.FAIL)
    assert "0x8010: FSP_DCLS, BOOTFSM" in found.seen


@pytest.mark.parametrize("status", [Unreadable("resource0", "EPERM"), Held(()), Asleep("D3hot")])
def test_a_security_fault_is_seen_where_registers_are_not(status: Status) -> None:
    gpu = _gpu(0x2331, status)._replace(slot=Slot(security=FAULT))

    assert _word(mode_of(gpu, "none")) == "GPU_SECURITY_FAULT"


@pytest.mark.parametrize(
    ("firewall", "expected"),
    [(True, "GPU_BOOT_INCOMPLETE"), (False, "GPU_GONE"), (None, "GPU_BOOT_INCOMPLETE")],
)
def test_behind_its_firewall_a_blackwell_is_not_gone(firewall: bool | None, expected: str) -> None:
    assert _word(_with_security(0x2901, Security(0, (), firewall), **DARK)) == expected


@pytest.mark.parametrize(
    ("device", "subsystem", "c2c"),
    [
        (0x2342, 0x16EB, True),
        (0x2342, None, True),
        (0x2941, 0x20D5, True),  # a GB200 that NVIDIA's own tool does not list
        (0x31C2, 0x21F1, True),
        (0x31C2, 0x20E6, False),
        (0x31C2, None, True),  # which of the two it is cannot be told: the careful answer
        (0x31C2, 0x9999, True),
        (0x29BC, 0x9999, True),
        (0x29BC, 0x1997, False),
        (0x31A1, 0x20E6, True),
        (0x2331, 0x1626, False),
    ],
)
def test_a_gpu_of_a_grace_cpu_is_known_by_its_ids(
    device: int, subsystem: int | None, c2c: bool
) -> None:
    function = _function(device)._replace(subsystem=(0x10DE, subsystem) if subsystem else None)
    chip = chip_of(function)

    assert chip
    assert chip.c2c is c2c


@pytest.mark.parametrize(
    ("device", "boot0", "mode", "code"),
    [
        (0x2342, GH100, 0x0, "GPU_C2C"),
        (0x2941, GB100, 0x0, "GPU_C2C"),
        # A bare-metal mode of its own: whether off is to stay is not ours to say.
        (0x2941, GB100, 0x100, "GPU_MODE_OFF"),
        # On Hopper the bit is another's.
        (0x2342, GH100, 0x100, "GPU_C2C"),
        # What a register proves is not talked away.
        (0x2342, GH100, 0x1, None),
    ],
)
def test_a_gpu_of_a_grace_cpu_has_no_mode_but_off(
    device: int, boot0: int, mode: int, code: str | None
) -> None:
    gpu = _gpu(device, _status(device, boot0=boot0, boot=0xFF, mode=mode))
    facts: Facts = facts_of(HOSTS / "genoa-ready")
    found = facts._replace(devices=Devices((gpu,), (), (), vfio=True))
    root = judge(found, profile=Profile.GPU, want=None).root

    assert (root.code if root else None) == code
