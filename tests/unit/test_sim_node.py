"""The shipped host through the model: what `check` says of it follows the devices' modes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeagent import data
from nodeagent.capture.archive import open_capture
from nodeagent.cli.looking import look
from nodeagent.facts import fabric, pci
from nodeagent.model.codes import Code
from nodeagent.model.findings import Judgement
from nodeagent.model.seen import Unreadable
from nodeagent.model.words import CcMode, Profile
from nodeagent.sim.clock import ManualClock
from nodeagent.sim.device import BOOT_S
from nodeagent.sim.machine import SimMachine
from nodeagent.sim.node import node
from tests.hosts import gpu_states, recipes, tree
from tests.hosts.make import SIMULATED
from tests.unit.recalled import recalled

ON, PPCIE = CcMode.ON, CcMode.PPCIE
GPU, SWITCH = "0000:23:00.0", "0000:c6:00.0"


@pytest.fixture
def machine() -> Iterator[SimMachine]:
    with recalled(data.path("hgx.tar.gz")) as base:
        yield node(base, ManualClock())


def _judged(machine: SimMachine, want: CcMode | None = None) -> Judgement:
    return look(machine, profile=Profile.SNP_GPU, want=want)[1]


def _root(judgement: Judgement) -> Code | None:
    return judgement.root.code if judgement.root else None


def _switch(machine: SimMachine, gpus: dict[int, int], switches: dict[int, int]) -> None:
    for place in machine.places.values():
        place.device.fsp.knobs.update(switches if place.device.chip.is_switch else gpus)
        place.device.reset()
    machine.clock.sleep(BOOT_S + 0.1)


def test_the_shipped_host_has_eight_gpus_and_four_switches(machine: SimMachine) -> None:
    names = [place.device.chip.name for place in machine.places.values()]

    assert (names.count("H100"), names.count("LS10"), len(names)) == (8, 4, 12)
    assert {place.driver for place in machine.places.values()} == {"vfio-pci"}


def test_the_shipped_host_is_small() -> None:
    assert SIMULATED.stat().st_size < 60_000


def test_a_new_node_lacks_the_mode_and_nothing_else(machine: SimMachine) -> None:
    judgement = _judged(machine)

    assert (_root(judgement), judgement.ready.exit_code) == (Code.GPU_MODE_OFF, 1)
    failed = [level for level, each in judgement.levels.items() if each.verdict == "fail"]
    assert failed == ["gpu"]
    assert _root(_judged(machine, ON)) is Code.GPU_MODE_UNWANTED


def test_knobs_alone_change_nothing(machine: SimMachine) -> None:
    for place in machine.places.values():
        place.device.fsp.knobs.update({8: 1, 10: 2})

    assert _root(_judged(machine)) is Code.GPU_MODE_OFF


@pytest.mark.parametrize(
    ("want", "gpus", "switches"),
    [(ON, {8: 1, 10: 2}, {}), (PPCIE, {45: 1, 10: 2}, {45: 1})],
)
def test_a_reset_with_the_knobs_set_makes_it_ready(
    machine: SimMachine, want: CcMode, gpus: dict[int, int], switches: dict[int, int]
) -> None:
    _switch(machine, gpus, switches)

    judgement = _judged(machine, want)

    assert (_root(judgement), judgement.ready.exit_code) == (None, 0)


def test_knobs_of_an_earlier_life_have_booted() -> None:
    with recalled(data.path("hgx.tar.gz")) as base:
        machine = node(base, ManualClock(), knobs={GPU: {8: 1, 10: 2}})

        assert machine.places[GPU].device.read(0x1182CC) == 1
        assert machine.places["0000:24:00.0"].device.read(0x1182CC) == 0


def test_configuration_space_is_the_captured_one(machine: SimMachine) -> None:
    with open_capture(data.path("hgx.tar.gz")) as base:
        for bdf in machine.places:
            path = f"{pci.DEVICES}/{bdf}/config"
            assert machine.files.read_bytes(path) == base.files.read_bytes(path)
            function = pci.read(machine.files, bdf)
            assert not isinstance(function, Unreadable)
            assert fabric.slot(machine.files, function, "hopper") == fabric.slot(
                base.files, function, "hopper"
            )


@pytest.mark.parametrize(
    ("host", "names"),
    [
        ("genoa-ready", {"H100-PCIe"}),
        ("genoa-rtx-pro-6000", {"RTX-PRO-6000"}),
        ("turin-hgx-b200", {"B200"}),
        ("genoa-l40s", set()),
        ("genoa-no-gpu", set()),
    ],
)
def test_any_captured_host_can_be_simulated(host: str, names: set[str], hosts: Path) -> None:
    with recalled(str(hosts / host)) as base:
        machine = node(base, ManualClock())

        assert {place.device.chip.name for place in machine.places.values()} == names
        _judged(machine)


def test_a_part_of_a_known_family_plays_with_its_own_ids(tmp_path: Path) -> None:
    draft = recipes.draft("genoa-ready")
    gpu_states.other_gpu(0x233F, 0x1234)(draft)
    tree.write(draft.tree(), tmp_path / "host")
    with open_capture(str(tmp_path / "host")) as base:
        [place] = node(base, ManualClock()).places.values()

    chip = place.device.chip
    assert (chip.device, chip.subsystem, chip.mode) == (0x233F, 0x1234, 0x1182CC)
    assert place.device.read(0) == 0x180000A1


@pytest.mark.parametrize("host", ["genoa-gpu-off-the-bus", "genoa-no-privileges"])
def test_where_no_whole_space_was_captured_one_is_made_for_the_same_addresses(
    host: str, hosts: Path
) -> None:
    with recalled(str(hosts / host)) as base:
        machine = node(base, ManualClock())
        [(bdf, place)] = machine.places.items()
        function = pci.read(machine.files, bdf)

    assert not isinstance(function, Unreadable)
    assert isinstance(function.bars, tuple)
    low, high = place.device.config.word(0x10), place.device.config.word(0x14)
    assert low & ~0xF | high << 32 == function.bars[0].start
    assert place.device.read(0) == 0x180000A1


def test_without_its_list_of_addresses_a_device_still_plays(tmp_path: Path) -> None:
    draft = recipes.draft("genoa-ready")
    draft.remove("/sys/devices/pci0000:40/0000:40:01.1/0000:41:00.0/resource")
    tree.write(draft.tree(), tmp_path / "host")
    with open_capture(str(tmp_path / "host")) as base:
        [place] = node(base, ManualClock()).places.values()

    assert place.device.read(0) == 0x180000A1


@pytest.mark.parametrize(
    ("host", "driver", "idles"),
    [
        ("genoa-gpu-on-nvidia", "nvidia", False),
        ("genoa-vfio-missing", None, False),
        ("genoa-gpu-d3hot", "vfio-pci", True),
    ],
)
def test_who_has_a_device_is_as_captured(
    host: str, driver: str | None, idles: bool, hosts: Path
) -> None:
    with recalled(str(hosts / host)) as base:
        [place] = node(base, ManualClock()).places.values()

    assert place.driver == driver
    assert (place.device.config.power_state == 3) is idles


@pytest.mark.parametrize("mode", ["integrity", "confidentiality"])
def test_lockdown_closes_registers_and_configuration_space(mode: str, hosts: Path) -> None:
    with recalled(str(hosts / f"genoa-lockdown-{mode}")) as base:
        machine = node(base, ManualClock())
        [bdf] = machine.places

        with pytest.raises(PermissionError), machine.bar0(bdf):
            pass
        with pytest.raises(PermissionError):
            machine.set_decode(bdf, on=True)
        with machine.probes.bar0(bdf) as registers:
            assert isinstance(registers, Unreadable)
            assert registers.why.startswith("EPERM")
        assert _root(_judged(machine)) is Code.LOCKDOWN
