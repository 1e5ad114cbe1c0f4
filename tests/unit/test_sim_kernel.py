"""The kernel's rules as the model keeps them: drivers, resets, what goes and comes, who sleeps."""

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeagent import data
from nodeagent.errors import StuckWriteError
from nodeagent.facts import iommu, pci
from nodeagent.model.seen import Unreadable
from nodeagent.sim.chips import H100_PCIE
from nodeagent.sim.clock import ManualClock
from nodeagent.sim.device import RESET_S, Device
from nodeagent.sim.machine import Place, SimMachine
from nodeagent.sim.node import node
from tests.unit.recalled import recalled

BDF = "0000:41:00.0"
FOLDER = f"{pci.DEVICES}/{BDF}"
DRIVERS = "/sys/bus/pci/drivers"


@pytest.fixture
def place() -> Place:
    return Place(Device(H100_PCIE, ManualClock()), 41, idles=False)


@pytest.fixture
def machine(place: Place, hosts: Path) -> Iterator[SimMachine]:
    with recalled(str(hosts / "genoa-ready")) as base:
        yield SimMachine(base, {BDF: place}, ManualClock())


@pytest.fixture
def told(place: Place, hosts: Path) -> Iterator[SimMachine]:
    """The same where vfio-pci was told to take such devices."""
    place.override = ""
    with recalled(str(hosts / "genoa-ready")) as base:
        yield SimMachine(base, {BDF: place}, ManualClock(), ids={"vfio-pci": {0x2331}})


def _fails(number: int) -> "pytest.RaisesExc[OSError]":
    return pytest.raises(OSError, check=lambda error: error.errno == number)


def _names(machine: SimMachine, path: str) -> tuple[str, ...]:
    names = machine.files.names(path)
    assert isinstance(names, tuple)
    return names


# Drivers


@pytest.mark.parametrize(
    ("override", "driver", "takes"),
    [
        ("vfio-pci", "vfio-pci", True),
        ("vfio-pci", "nvidia", False),
        ("nvidia", "nvidia", True),
        ("", "nvidia", True),
        ("", "vfio-pci", False),
        ("", "i915", False),
    ],
)
def test_an_override_names_the_only_driver(
    machine: SimMachine, place: Place, override: str, driver: str, takes: bool
) -> None:
    place.driver = None
    place.override = override

    if takes:
        machine.write(BDF, f"{DRIVERS}/{driver}/bind", BDF)
    else:
        with _fails(errno.ENODEV):
            machine.write(BDF, f"{DRIVERS}/{driver}/bind", BDF)

    assert (place.driver == driver) is takes


@pytest.mark.parametrize(
    ("written", "shown"), [("nvidia\n", "nvidia"), ("\n", "(null)"), ("", "(null)")]
)
def test_an_override_is_read_as_written(machine: SimMachine, written: str, shown: str) -> None:
    machine.write(BDF, f"{FOLDER}/driver_override", written)

    assert machine.files.read(f"{FOLDER}/driver_override") == shown


def test_a_driver_takes_without_an_override_what_it_was_told_to(
    told: SimMachine, place: Place
) -> None:
    told.write(BDF, f"{FOLDER}/driver/unbind", BDF)

    told.write(BDF, f"{DRIVERS}/vfio-pci/bind", BDF)

    assert place.driver == "vfio-pci"


@pytest.mark.parametrize(
    ("override", "driver"), [("", "nvidia"), ("vfio-pci", "vfio-pci"), ("i915", None)]
)
def test_a_probe_asks_the_drivers_that_may(
    machine: SimMachine, place: Place, override: str, driver: str | None
) -> None:
    place.driver, place.override = None, override

    machine.write(BDF, "/sys/bus/pci/drivers_probe", BDF)

    assert place.driver == driver


def test_a_bound_device_is_not_bound_again(machine: SimMachine, place: Place) -> None:
    place.override = ""

    with _fails(errno.ENODEV):
        machine.write(BDF, f"{DRIVERS}/nvidia/bind", BDF)


def test_only_its_own_driver_lets_go_of_it(machine: SimMachine, place: Place) -> None:
    with _fails(errno.ENODEV):
        machine.write(BDF, f"{DRIVERS}/nvidia/unbind", BDF)
    machine.write(BDF, f"{DRIVERS}/vfio-pci/unbind", BDF)

    assert place.driver is None
    assert machine.files.link(f"{FOLDER}/driver") is None


def test_a_held_device_is_not_let_go(machine: SimMachine, place: Place) -> None:
    machine.hold(BDF, 4242, "qemu-system-x86")

    with pytest.raises(StuckWriteError):
        machine.write(BDF, f"{FOLDER}/driver/unbind", BDF)

    assert place.driver == "vfio-pci"
    assert machine.harm == [f"{BDF} was unbound while it was held"]


def test_nodes_come_and_go_with_vfio(machine: SimMachine) -> None:
    nodes = (f"{FOLDER}/vfio-dev", "/dev/vfio/41", "/dev/vfio/devices/vfio0")
    assert [machine.files.has(each) for each in nodes] == [True] * 3
    assert machine.files.names("/dev/vfio/devices") == ("vfio0",)

    machine.write(BDF, f"{FOLDER}/driver/unbind", BDF)

    assert [machine.files.has(each) for each in nodes] == [False] * 3
    assert machine.files.names("/dev/vfio/devices") == ()
    assert machine.files.has("/dev/vfio/vfio") is True


def test_vfio_gives_out_the_lowest_free_number_at_every_bind() -> None:
    first, second = "0000:23:00.0", "0000:24:00.0"
    with recalled(data.path("hgx.tar.gz")) as base:
        machine = node(base, ManualClock())
        for bdf in (first, second):
            machine.write(bdf, f"{pci.DEVICES}/{bdf}/driver/unbind", bdf)
        for bdf in (second, first):
            machine.write(bdf, f"{DRIVERS}/vfio-pci/bind", bdf)

        assert machine.files.names(f"{pci.DEVICES}/{second}/vfio-dev") == ("vfio0",)
        assert machine.files.names(f"{pci.DEVICES}/{first}/vfio-dev") == ("vfio1",)


def test_a_drivers_folder_names_its_devices(machine: SimMachine) -> None:
    own = f"{DRIVERS}/vfio-pci"
    assert BDF in _names(machine, own)
    assert str(machine.files.link(f"{own}/{BDF}")).endswith(BDF)

    machine.write(BDF, f"{FOLDER}/driver/unbind", BDF)

    assert BDF not in _names(machine, own)
    assert machine.files.link(f"{own}/{BDF}") is None


# Resets


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ("flr", "flr"),
        ("bus", "bus"),
        ("bus flr", "bus flr"),
        ("flr flr", "flr"),
        ("default", "flr bus"),
        ("", ""),
    ],
)
def test_ways_to_reset_are_read_as_written(machine: SimMachine, asked: str, shown: str) -> None:
    machine.write(BDF, f"{FOLDER}/reset_method", asked)

    assert machine.files.read(f"{FOLDER}/reset_method") == shown


def test_an_unknown_way_is_refused_and_changes_nothing(machine: SimMachine) -> None:
    with _fails(errno.EINVAL):
        machine.write(BDF, f"{FOLDER}/reset_method", "flr warp")

    assert machine.files.read(f"{FOLDER}/reset_method") == "flr bus"


@pytest.mark.parametrize(("ways", "cured"), [("flr bus", False), ("bus", True), ("bus flr", True)])
def test_a_reset_goes_the_first_way(
    machine: SimMachine, place: Place, ways: str, cured: bool
) -> None:
    place.device.faults.wedged = True
    machine.write(BDF, f"{FOLDER}/reset_method", ways)

    machine.write(BDF, f"{FOLDER}/reset", "1")

    assert place.device.faults.wedged is not cured
    assert (place.device.resets, machine.harm) == (1, [])


def test_without_a_way_there_is_no_reset(machine: SimMachine, place: Place) -> None:
    machine.write(BDF, f"{FOLDER}/reset_method", "")

    assert machine.files.has(f"{FOLDER}/reset") is False
    with _fails(errno.ENOTTY):
        machine.write(BDF, f"{FOLDER}/reset", "1")
    assert place.device.resets == 0


def test_what_is_lost_is_not_reset(machine: SimMachine, place: Place) -> None:
    place.device.faults.lost = True

    with _fails(errno.ENOTTY):
        machine.write(BDF, f"{FOLDER}/reset", "1")


def test_a_bus_with_another_device_on_it_is_not_reset(hosts: Path) -> None:
    clock = ManualClock()
    places = {bdf: Place(Device(H100_PCIE, clock), 41) for bdf in (BDF, "0000:41:00.1")}
    with recalled(str(hosts / "genoa-ready")) as base:
        machine = SimMachine(base, places, clock)
        machine.write(BDF, f"{FOLDER}/reset_method", "bus")

        with _fails(errno.ENOTTY):
            machine.write(BDF, f"{FOLDER}/reset", "1")
        machine.write(BDF, f"{pci.DEVICES}/0000:41:00.1/remove", "1")
        machine.write(BDF, f"{FOLDER}/reset", "1")


def test_an_audio_function_keeps_the_bus_from_its_reset(hosts: Path) -> None:
    with recalled(str(hosts / "genoa-rtx-pro-6000")) as base:
        machine = node(base, ManualClock())
        machine.write(BDF, f"{FOLDER}/reset_method", "bus")

        with _fails(errno.ENOTTY):
            machine.write(BDF, f"{FOLDER}/reset", "1")
        machine.write(BDF, f"{FOLDER}/reset_method", "default")
        machine.write(BDF, f"{FOLDER}/reset", "1")


def test_harm_is_written_down(machine: SimMachine, place: Place) -> None:
    machine.hold(BDF, 4242, "qemu-system-x86")
    machine.write(BDF, f"{FOLDER}/reset", "1")
    machine.release(BDF)
    place.driver = "nvidia"
    machine.write(BDF, f"{FOLDER}/reset", "1")

    assert machine.harm == [f"{BDF} was reset while it was held", f"{BDF} was reset under nvidia"]


@pytest.mark.parametrize(
    ("name", "text"),
    [("reset", "0"), ("remove", "yes"), ("power/control", "off"), ("enable", "1"), ("", "1")],
)
def test_what_an_attribute_does_not_take_is_refused(
    machine: SimMachine, name: str, text: str
) -> None:
    with _fails(errno.EINVAL):
        machine.write(BDF, f"{FOLDER}/{name}", text)


@pytest.mark.parametrize("path", [f"{pci.DEVICES}/0000:ff:00.0/reset", "/etc/passwd", ""])
def test_where_no_device_is_nothing_is_written(machine: SimMachine, path: str) -> None:
    with _fails(errno.ENODEV):
        machine.write(BDF, path, "1")


# What goes and comes


def test_a_removed_device_is_gone_everywhere(machine: SimMachine) -> None:
    machine.write(BDF, f"{FOLDER}/remove", "1")

    assert BDF not in _names(machine, pci.DEVICES)
    assert pci.nvidia_functions(machine.files) == ()
    assert machine.files.link(FOLDER) is None
    assert machine.files.read(f"{FOLDER}/vendor") is None
    assert machine.files.has("/dev/vfio/41") is False
    assert machine.files.has("/sys/kernel/iommu_groups/41") is False
    assert machine.files.names("/sys/kernel/iommu_groups/41/devices") is None
    assert machine.files.names("/sys/kernel/iommu_groups/40/devices") is not None
    groups = iommu.read(machine.files, ()).groups
    assert groups is None or isinstance(groups, Unreadable) or 41 not in groups
    with machine.probes.bar0(BDF) as registers:
        assert isinstance(registers, Unreadable)
    with _fails(errno.ENODEV), machine.bar0(BDF):
        pass
    with _fails(errno.ENODEV):
        machine.write(BDF, f"{FOLDER}/reset", "1")
    with _fails(errno.ENODEV):
        machine.set_decode(BDF, on=True)


def test_a_group_keeps_those_who_stay(hosts: Path) -> None:
    group = "/sys/kernel/iommu_groups/41"
    with recalled(str(hosts / "genoa-rtx-pro-6000")) as base:
        machine = node(base, ManualClock())
        assert _names(machine, f"{group}/devices") == (BDF, "0000:41:00.1")

        machine.write(BDF, f"{FOLDER}/remove", "1")

        assert _names(machine, f"{group}/devices") == ("0000:41:00.1",)
        assert machine.files.read(f"{group}/type") == "DMA-FQ"
        assert "41" in _names(machine, "/sys/kernel/iommu_groups")


def test_a_scan_is_asked_for_by_a_one(machine: SimMachine, place: Place) -> None:
    machine.write(BDF, f"{FOLDER}/remove", "1")

    with _fails(errno.EINVAL):
        machine.write(BDF, "/sys/bus/pci/rescan", "0")
    assert place.removed


def test_registers_that_were_mapped_before_a_removal_read_as_ones(machine: SimMachine) -> None:
    with machine.bar0(BDF) as regs:
        machine.write(BDF, f"{FOLDER}/remove", "1")
        regs.write(0x1458, 1)

        assert regs.read(0) == 0xFFFFFFFF


def test_a_scan_finds_it_as_new(machine: SimMachine, place: Place) -> None:
    machine.write(BDF, f"{FOLDER}/reset_method", "bus")
    machine.write(BDF, f"{FOLDER}/remove", "1")

    machine.write(BDF, "/sys/bus/pci/rescan", "1")

    assert BDF in _names(machine, pci.DEVICES)
    assert (place.override, place.control, place.methods) == ("", "on", ("flr", "bus"))
    assert place.driver == "nvidia"


@pytest.mark.parametrize(("loaded", "driver"), [({"vfio-pci"}, None), ({"nouveau"}, None)])
def test_a_device_that_is_found_goes_to_nobody_who_was_not_told(
    machine: SimMachine, place: Place, loaded: set[str], driver: str | None
) -> None:
    machine.drivers.clear()
    machine.drivers.update(loaded)
    machine.write(BDF, f"{FOLDER}/remove", "1")
    machine.write(BDF, "/sys/bus/pci/rescan", "1")

    assert place.driver == driver
    assert not place.device.config.decodes_memory


def test_who_was_told_takes_what_is_found(told: SimMachine, place: Place) -> None:
    told.write(BDF, f"{FOLDER}/remove", "1")
    told.write(BDF, "/sys/bus/pci/rescan", "1")

    assert place.driver == "vfio-pci"


def test_a_scan_finds_nothing_that_does_not_answer(machine: SimMachine, place: Place) -> None:
    place.device.faults.lost = True
    machine.write(BDF, f"{FOLDER}/remove", "1")

    machine.write(BDF, "/sys/bus/pci/rescan", "1")

    assert place.removed


def test_a_held_device_is_not_removed(machine: SimMachine, place: Place) -> None:
    machine.hold(BDF, 4242, "qemu-system-x86")

    with pytest.raises(StuckWriteError):
        machine.write(BDF, f"{FOLDER}/remove", "1")

    assert not place.removed


def test_the_whole_ladder_cures_what_no_reset_does(machine: SimMachine, place: Place) -> None:
    place.device.faults.stale = True
    for ways in ("flr", "bus"):
        machine.write(BDF, f"{FOLDER}/reset_method", ways)
        machine.write(BDF, f"{FOLDER}/reset", "1")
        with machine.bar0(BDF) as regs:
            assert regs.read(0) == 0xFFFFFFFF
    machine.write(BDF, f"{FOLDER}/remove", "1")
    machine.write(BDF, "/sys/bus/pci/rescan", "1")

    with machine.bar0(BDF) as regs:
        assert regs.read(0) == 0x180000A1


def test_power_brings_everything_back(machine: SimMachine, place: Place) -> None:
    machine.hold(BDF, 4242, "qemu-system-x86")
    place.device.faults.lost = True
    place.removed = True

    machine.bus.power_cycle()

    assert (place.removed, place.holders, place.device.faults.lost) == (False, {}, False)


# Who sleeps, and who is held


@pytest.mark.parametrize(
    ("driver", "control", "idles", "sleeps"),
    [
        ("vfio-pci", "auto", True, True),
        ("vfio-pci", "on", True, False),
        ("vfio-pci", "auto", False, False),
        ("nvidia", "auto", True, False),
        (None, "auto", True, False),
    ],
)
def test_who_sleeps(
    driver: str | None, control: str, idles: bool, sleeps: bool, hosts: Path
) -> None:
    place = Place(Device(H100_PCIE, ManualClock()), 41, driver, "", control, idles=idles)
    with recalled(str(hosts / "genoa-ready")) as base:
        machine = SimMachine(base, {BDF: place}, ManualClock())
        state = machine.files.read(f"{FOLDER}/power_state")
        status = machine.files.read(f"{FOLDER}/power/runtime_status")

    assert (state, status) == (("D3hot", "suspended") if sleeps else ("D0", "active"))


def test_a_sleeper_wakes_when_it_may_not_sleep_and_when_it_is_held(hosts: Path) -> None:
    place = Place(Device(H100_PCIE, ManualClock()), 41)
    with recalled(str(hosts / "genoa-ready")) as base:
        machine = SimMachine(base, {BDF: place}, ManualClock())
        power = f"{FOLDER}/power_state"
        assert machine.files.read(power) == "D3hot"

        machine.write(BDF, f"{FOLDER}/power/control", "on")
        assert machine.files.read(power) == "D0"
        machine.write(BDF, f"{FOLDER}/power/control", "auto")
        machine.hold(BDF, 4242, "qemu-system-x86")
        assert machine.files.read(power) == "D0"
        machine.release(BDF)
        assert machine.files.read(power) == "D3hot"


def test_what_no_driver_has_is_awake_and_decodes_nothing(hosts: Path) -> None:
    place = Place(Device(H100_PCIE, ManualClock()), 41)
    with recalled(str(hosts / "genoa-ready")) as base:
        machine = SimMachine(base, {BDF: place}, ManualClock())

        machine.write(BDF, f"{FOLDER}/driver/unbind", BDF)
        assert machine.files.read(f"{FOLDER}/power_state") == "D0"
        assert not place.device.config.decodes_memory
        machine.write(BDF, f"{DRIVERS}/vfio-pci/bind", BDF)
        assert machine.files.read(f"{FOLDER}/power_state") == "D3hot"
        assert place.device.config.decodes_memory


def test_who_holds_a_device_is_a_process_like_any_other(machine: SimMachine) -> None:
    machine.hold(BDF, 4242, "qemu-system-x86")

    assert "4242" in _names(machine, "/proc")
    assert machine.files.read("/proc/4242/comm") == "qemu-system-x86"
    assert machine.files.names("/proc/4242/fd") == ("7",)
    assert machine.files.link("/proc/4242/fd/7") == "/dev/vfio/41"


def test_a_reset_takes_its_time_and_the_kernel_waits_for_it(hosts: Path) -> None:
    clock = ManualClock()
    with recalled(str(hosts / "genoa-ready")) as base:
        machine = SimMachine(base, {BDF: Place(Device(H100_PCIE, clock), 41)}, clock)

        machine.write(BDF, f"{FOLDER}/reset", "1")

    assert clock.now() == pytest.approx(RESET_S)
