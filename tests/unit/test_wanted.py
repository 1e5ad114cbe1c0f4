"""What ends a switch before it begins: each reason by itself, and said once."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from nodeagent import data
from nodeagent.cli.switching import situation
from nodeagent.errors import AgentError, UsageError
from nodeagent.facts.gpu import chip_of
from nodeagent.model.pci import Devices, Gpu
from nodeagent.model.words import CcMode, Verdict
from nodeagent.plan.gpu import BlockedError
from nodeagent.plan.wanted import Situation, Wish, attests_after_reboot, wanted
from tests.hosts import base, gpu_states, hgx, pci
from tests.hosts.draft import GPU
from tests.unit.looks import HOSTS, drafted, facts_of, judged

ON, OFF, DEVTOOLS, PPCIE = CcMode.ON, CcMode.OFF, CcMode.DEVTOOLS, CcMode.PPCIE
OTHER = gpu_states.SECOND


def situation_of(host: Path) -> Situation:
    return situation(facts_of(host), judged(host))


@cache
def now(name: str) -> Situation:
    return situation_of(HOSTS / name)


def reason(wish: Wish, there: Situation) -> AgentError:
    with pytest.raises((BlockedError, UsageError)) as stop:
        wanted(wish, there)
    assert isinstance(stop.value, AgentError)
    assert "\n" not in str(stop.value)
    return stop.value


# Captured hosts

GRACE = "0000:41:00.0 (GH200) is tied to a Grace CPU: no mode but off"
HOPPER_ALONE = "protected PCIe is a mode of Hopper GPUs with NVSwitches alone"


@pytest.mark.parametrize(
    ("host", "wish", "said", "hint"),
    [
        ("genoa-no-gpu", Wish(ON), "there is no NVIDIA GPU on this host", None),
        ("genoa-no-gpu", Wish(OFF), "there is no NVIDIA GPU on this host", None),
        ("genoa-lockdown-integrity", Wish(ON), "lockdown (integrity) forbids", "boot without"),
        ("genoa-lockdown-confidentiality", Wish(OFF, force=True), "lockdown (conf", "boot without"),
        ("genoa-iommu-pt", Wish(ON), "cannot start a confidential VM: the kernel", "--force: the"),
        ("genoa-smee-off", Wish(DEVTOOLS), "cannot start a confidential VM", "(BIOS_|--force)"),
        ("gh200", Wish(ON), GRACE, None),
        ("gh200", Wish(DEVTOOLS, force=True), GRACE, None),
        ("genoa-l40s", Wish(ON), "0x26b9 is no part with a confidential mode", None),
        ("genoa-l40s", Wish(OFF, (GPU,)), "0x26b9 is no part with a confidential mode", None),
        ("genoa-gpu-unlisted", Wish(ON), "0x3340 is newer than what is known", None),
        ("genoa-rtx-pro-6000", Wish(PPCIE), HOPPER_ALONE, "ask for on"),
        ("turin-hgx-b200", Wish(PPCIE), HOPPER_ALONE, "ask for on"),
        ("genoa-ready", Wish(PPCIE), "all 4 NVSwitches of the board; 0 are here", "ask for on"),
        ("genoa-hgx-h100", Wish(OFF, (hgx.FIRST_GPU,)), "is left by all or none", "leave out"),
        ("genoa-hgx-h100", Wish(ON, (hgx.FIRST_GPU,)), "is left by all or none", "leave out"),
    ],
)
def test_a_host_is_not_switched(host: str, wish: Wish, said: str, hint: str | None) -> None:
    found = reason(wish, now(host))

    assert isinstance(found, BlockedError)
    assert said in str(found)
    assert re.search(hint, found.hint or "") if hint else found.hint is None


@pytest.mark.parametrize("mode", CcMode)
@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("genoa-gpu-gone", "GPU_GONE"),
        ("genoa-gpu-off-the-bus", "GPU_GONE"),
        ("genoa-gpu-security-fault", "GPU_SECURITY_FAULT"),
        ("genoa-gpu-recovery", "GPU_RECOVERY"),
        ("genoa-gpu-virtual", "GPU_VIRTUAL"),
    ],
)
def test_a_device_that_is_not_well_is_not_touched(host: str, code: str, mode: CcMode) -> None:
    found = reason(Wish(mode), now(host))

    assert str(found).startswith(f"will not change {GPU}: ")
    assert found.hint == f"`nodeagent explain {code}` says more"


def test_a_device_that_its_boot_0_contradicts_is_not_touched(tmp_path: Path) -> None:
    draft = base.genoa_ready()
    pci.registers(draft, boot_0=0x1A0000A1)

    found = reason(Wish(OFF), situation_of(drafted(draft, tmp_path / "host")))

    assert "BOOT_0 reads 0x1a0000a1, which is no hopper part" in str(found)


def test_a_board_with_a_broken_switch_is_not_half_switched() -> None:
    for mode in (ON, OFF, PPCIE):
        found = reason(Wish(mode), now("genoa-hgx-h100-switch-gone"))

        assert f"will not change {hgx.LAST_SWITCH}: BOOT_0 reads 0xffffffff" in str(found)


@pytest.mark.parametrize(
    "host", ["genoa-gpu-invalid", "genoa-gpu-boot-incomplete", "genoa-gpu-d3hot", "genoa-gpu-held"]
)
def test_what_a_switch_cures_or_refuses_by_itself_is_no_reason(host: str) -> None:
    """A half mode is cured, a boot waited for, a sleeper woken; who holds it is looked at last."""
    assert wanted(Wish(ON), now(host)).modes == {GPU: ON}


# Who is switched


def test_a_node_is_switched_whole_and_its_switches_follow() -> None:
    board = now("genoa-hgx-h100")
    gpus = {each.bdf for each in board.devices.gpus}
    switches = {each.bdf for each in board.devices.switches}

    for mode, follow in ((ON, OFF), (OFF, OFF), (DEVTOOLS, OFF), (PPCIE, PPCIE)):
        modes = wanted(Wish(mode), board).modes
        assert modes == dict.fromkeys(gpus, mode) | dict.fromkeys(switches, follow)


def test_named_gpus_alone_are_switched_and_the_rest_of_the_node_is_named() -> None:
    board = now("genoa-hgx-h100-cc")
    found = wanted(Wish(OFF, ("23:00.0", hgx.FIRST_GPU)), board)

    assert found.modes == {hgx.FIRST_GPU: OFF}
    assert found.notes == ("0000:24:00.0 stays in another mode: then the node is not ready",)
    assert wanted(Wish(ON, (hgx.FIRST_GPU,)), board).notes == ()
    two = ("24:00.0", hgx.FIRST_GPU, "0000:24:00.0")
    assert wanted(Wish(OFF, two), board).modes == {"0000:24:00.0": OFF, hgx.FIRST_GPU: OFF}


def test_protected_pcie_takes_no_single_gpu() -> None:
    found = reason(Wish(PPCIE, (hgx.FIRST_GPU,)), now("genoa-hgx-h100"))

    assert isinstance(found, UsageError)
    assert str(found) == "--gpu does not go with ppcie"


@pytest.mark.parametrize(
    ("word", "said", "hint"),
    [
        (hgx.LAST_SWITCH, f"{hgx.LAST_SWITCH} is an NVSwitch", "GPUs here: 0000:23:00.0, "),
        ("0000:23:00.1", "0000:23:00.1 is no GPU", "GPUs here: 0000:23:00.0, "),
        ("E4:00.1", "0000:e4:00.1 is no GPU", "GPUs here: 0000:23:00.0, "),
        ("gpu", "gpu is no GPU", "GPUs here: 0000:23:00.0, 0000:24:00.0, 0000:63:00.0, "),
    ],
)
def test_an_address_that_is_no_gpus_names_those_there_are(word: str, said: str, hint: str) -> None:
    found = reason(Wish(ON, (hgx.FIRST_GPU, word)), now("genoa-hgx-h100-cc"))

    assert isinstance(found, UsageError)
    assert str(found) == said
    assert found.hint
    assert found.hint.startswith(hint)
    assert found.hint.endswith(", 0000:e4:00.0")  # and none is guessed: it would be another GPU


@pytest.mark.parametrize(
    ("lost", "left", "hint"),
    [
        ((hgx.LAST_SWITCH,), 3, "look for the missing one: lspci"),
        (("0000:c3:00.0", "0000:c4:00.0", "0000:c5:00.0"), 1, "look for the missing one: lspci"),
    ],
)
def test_protected_pcie_takes_every_switch_of_the_board(
    lost: tuple[str, ...], left: int, hint: str
) -> None:
    board = now("genoa-hgx-h100")
    switches = tuple(each for each in board.devices.switches if each.bdf not in lost)
    found = reason(Wish(PPCIE), board._replace(devices=board.devices._replace(switches=switches)))

    assert str(found) == f"protected PCIe takes all 4 NVSwitches of the board; {left} are here"
    assert found.hint == hint


# One GPU of any kind


def gpu(device: int, subsystem: int | None = None, bdf: str = GPU) -> Gpu:
    """As the captured one, but of another kind."""
    [captured] = now("genoa-ready").devices.gpus
    function = captured.pci._replace(
        bdf=bdf, device=device, subsystem=(0x10DE, subsystem) if subsystem else None
    )
    return captured._replace(pci=function, chip=chip_of(function))


def there(*gpus: Gpu, switches: int = 0, enabled: tuple[Verdict, str] | None = None) -> Situation:
    """All of them in mode off, on a host that nobody asks for SNP."""
    board = now("genoa-hgx-h100").devices.switches[:switches]
    return Situation(
        Devices(gpus, board, (), vfio=True),
        {each.bdf: OFF for each in (*gpus, *board)},
        "none",
        enabled,
    )


def eight(device: int) -> list[Gpu]:
    return [gpu(device, bdf=f"0000:{bus:02x}:00.0") for bus in range(0x41, 0x49)]


def test_protected_pcie_takes_every_gpu_of_the_board() -> None:
    """One that fell off the bus is not listed, and is missing all the same."""
    seven = there(*eight(0x2330)[1:], switches=4)

    assert "takes all 8 GPUs of the board; 7 are here" in str(reason(Wish(PPCIE), seven))


@pytest.mark.parametrize(
    ("device", "subsystem"),
    [
        (0x2342, 0x16EB),
        (0x2342, None),
        (0x2348, 0x18D2),
        (0x2941, 0x20D5),  # a GB200 that NVIDIA's own tool takes for one without C2C
        (0x2941, 0xFFFF),
        (0x29BC, 0x2045),
        (0x31C2, 0x21F1),
    ],
)
def test_a_gpu_of_a_grace_cpu_has_no_mode_but_off(device: int, subsystem: int | None) -> None:
    superchip = there(gpu(device, subsystem))

    for mode in (ON, DEVTOOLS):
        assert "tied to a Grace CPU: no mode but off" in str(reason(Wish(mode), superchip))
    assert wanted(Wish(OFF), superchip).modes == {GPU: OFF}


def test_a_module_that_comes_with_grace_and_without_is_told_apart() -> None:
    assert wanted(Wish(ON), there(gpu(0x31C2, 0x20E5))).modes == {GPU: ON}


def test_a_gpu_without_confidential_mode_beside_others_is_left_alone_by_off_alone() -> None:
    both = there(gpu(0x2331), gpu(0x26B9, bdf=OTHER))
    without = f"{OTHER}: nothing is known of device id 0x26b9"

    refused = reason(Wish(ON), both)
    found = wanted(Wish(OFF), both)

    assert str(refused) == f"will not change {without}"
    assert refused.hint == "name the GPUs that have one by --gpu"
    assert found.modes == {GPU: OFF}
    assert found.notes == (f"{without}, and is left alone",)
    assert wanted(Wish(ON, (GPU,)), both).modes == {GPU: ON}


def test_an_unlisted_id_of_a_known_range_works_as_its_family_with_a_note() -> None:
    found = wanted(Wish(ON), there(gpu(0x2340)))

    assert found.modes == {GPU: ON}
    assert found.notes == (f"{GPU} (device id 0x2340) is in no list; it is taken as gh100",)
    assert wanted(Wish(ON), there(gpu(0x2331))).notes == ()


# The data table: mode, family, GPUs in one VM (gpu-cc.md §0.1)


class Row(NamedTuple):
    """`said`: why it is refused; None where it is supported. `note`: part of what is noted."""

    family: str
    mode: CcMode
    per_vm: int | None
    said: str | None
    note: str = ""


KINDS = {"hopper": 0x2330, "gb100": 0x2901, "gb202": 0x2BB5}
NVLE, NO_LINK = "driver 590.48.01 or newer", "several GPUs without NVLink in one VM"
TABLE = (
    Row("hopper", ON, None, None),
    Row("hopper", ON, 1, None),
    Row("hopper", ON, 2, "several Hopper GPUs in one VM do not work in mode on"),
    Row("hopper", DEVTOOLS, None, None),
    Row("hopper", DEVTOOLS, 8, "several Hopper GPUs in one VM do not work in mode devtools"),
    Row("hopper", PPCIE, None, None),
    Row("hopper", PPCIE, 8, None),
    Row("hopper", PPCIE, 1, "protected PCIe gives all GPUs and switches to one VM"),
    Row("gb100", ON, None, None),
    Row("gb100", ON, 2, None, NVLE),
    Row("gb100", DEVTOOLS, 1, None),
    Row("gb100", DEVTOOLS, 8, None, NVLE),
    Row("gb100", PPCIE, None, HOPPER_ALONE),
    Row("gb100", PPCIE, 1, HOPPER_ALONE),
    Row("gb202", ON, None, None),
    Row("gb202", ON, 2, NO_LINK),
    Row("gb202", DEVTOOLS, 1, None),
    Row("gb202", DEVTOOLS, 2, NO_LINK),
    Row("gb202", PPCIE, 8, HOPPER_ALONE),
    Row("hopper", OFF, 8, None),
    Row("gb100", OFF, 1, None),
    Row("gb202", OFF, 8, None),
)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.family}-{row.mode}-{row.per_vm}")
def test_a_mode_is_supported_by_family_and_gpus_per_vm(row: Row) -> None:
    switches = 4 if row.mode is PPCIE else 0
    board = there(*eight(KINDS[row.family]), switches=switches)
    wish = Wish(row.mode, per_vm=row.per_vm)

    if row.said is not None:
        assert str(reason(wish, board)).startswith(row.said)
        assert reason(wish, board).hint
        return
    found = wanted(wish, board)
    assert found.modes[GPU] is row.mode
    assert [note for note in found.notes if not row.note or row.note not in note] == []
    assert bool(found.notes) is bool(row.note)


def test_every_row_of_the_data_is_asked_for() -> None:
    asked = {(row.family, row.mode.value, _vm(row)) for row in TABLE}
    rows = {(row["family"], row["mode"], row["vm"]) for row in data.load("modes.json")["support"]}

    assert rows <= asked
    assert len(rows) == len(data.load("modes.json")["support"])


def _vm(row: Row) -> str:
    default = 8 if row.mode is PPCIE else 1
    return "several" if (row.per_vm or default) > 1 else "one"


def test_a_note_that_is_true_of_eight_gpus_is_said_once() -> None:
    eight = there(*(gpu(0x2901, bdf=f"0000:{bus:02x}:00.0") for bus in range(8)))

    assert len(wanted(Wish(ON, per_vm=8), eight).notes) == 1


@pytest.mark.parametrize(
    ("device", "after"), [(0x2BB5, True), (0x2BB1, False), (0x2331, False), (0x2901, False)]
)
def test_the_parts_that_attest_only_after_a_boot_are_those_seen_to(
    device: int, after: bool
) -> None:
    assert attests_after_reboot(gpu(device)) is after


# The host

CANNOT, UNTOLD, CAN = (
    (Verdict.FAIL, "iommu=pt"),
    (Verdict.UNKNOWN, "no msr"),
    (Verdict.PASS, ""),
)


@pytest.mark.parametrize("mode", [ON, DEVTOOLS])
def test_a_host_that_cannot_start_confidential_vms_gets_no_confidential_gpu(mode: CcMode) -> None:
    host = there(gpu(0x2331), enabled=CANNOT)

    assert str(reason(Wish(mode), host)) == "this host cannot start a confidential VM: iommu=pt"
    [note] = wanted(Wish(mode, force=True), host).notes
    assert note.startswith("forced, though the host cannot start a confidential VM: the GPUs work")


def test_a_host_that_cannot_start_confidential_vms_gets_no_protected_pcie() -> None:
    board = there(*eight(0x2330), switches=4, enabled=CANNOT)

    assert "iommu=pt" in str(reason(Wish(PPCIE), board))
    assert wanted(Wish(PPCIE, force=True), board).modes[GPU] is PPCIE


@pytest.mark.parametrize("enabled", [CANNOT, UNTOLD, CAN, None])
@pytest.mark.parametrize("force", [False, True])
def test_off_is_refused_by_no_host(enabled: tuple[Verdict, str] | None, force: bool) -> None:
    found = wanted(Wish(OFF, force=force), there(gpu(0x2331), enabled=enabled))

    assert found == ({GPU: OFF}, ())


@pytest.mark.parametrize("force", [False, True])
def test_what_cannot_be_told_of_a_host_is_a_note(force: bool) -> None:
    found = wanted(Wish(ON, force=force), there(gpu(0x2331), enabled=UNTOLD))

    assert found.modes == {GPU: ON}
    assert found.notes == ("whether this host can start a confidential VM cannot be told: no msr",)


@pytest.mark.parametrize("enabled", [CAN, None])
def test_a_host_that_can_or_is_not_asked_is_not_spoken_of(
    enabled: tuple[Verdict, str] | None,
) -> None:
    assert wanted(Wish(ON, force=True), there(gpu(0x2331), enabled=enabled)).notes == ()


def _all_refusals() -> Iterator[str]:
    yield from (row["why"] for row in data.load("modes.json")["support"] if "why" in row)
    yield from (row["why"] for row in data.load("modes.json")["unsupported"].values())


def test_every_reason_of_the_data_fits_a_line() -> None:
    assert [why for why in _all_refusals() if len(f"nodeagent: {why}") > 80] == []
