"""Configuration space as hardware, kernels and strangers may show it."""

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.facts import config_space, fabric
from nodeagent.facts.config_space import Pcie, Space
from nodeagent.facts.gpu import chip_of
from nodeagent.host.root import Root
from nodeagent.model.fabric import Acs, Aperture, Bridge, Security
from nodeagent.model.pci import PciFunction
from nodeagent.model.seen import Unreadable
from tests.hosts import pci
from tests.unit.looks import Bytes

PORT = pci.Device("0000:40:01.1", "pci0000:40", pci.AMD, 0x14AB, 0x060400)
PORT_SPACE = pci.port_config(PORT, bus=0x41, last=0x41, kind=pci.ROOT_PORT)
CARD = pci.Device("0000:41:00.0", "pci0000:40/0000:40:01.1", pci.NVIDIA, 0x2331, 0x030200)
CARD_SPACE = pci.gpu_config(CARD)
FOLDER = "/sys/bus/pci/devices/0000:40:01.1"


HOME = "../../../devices/pci0000:40/0000:40:01.1/0000:41:00.0"


class Place:
    """A root in which a card sits below its port, and what either shows can be changed."""

    def __init__(self, folder: Path) -> None:
        self._sys = folder / "sys"
        self._card = self._sys / "bus/pci/devices/0000:41:00.0"
        self._port = self._sys / "bus/pci/devices/0000:40:01.1"
        self._card.parent.mkdir(parents=True)
        (self._sys / "devices/pci0000:40/0000:40:01.1/0000:41:00.0").mkdir(parents=True)
        self._port.symlink_to("../../../devices/pci0000:40/0000:40:01.1")
        self._card.symlink_to(HOME)
        self.files = Root(str(folder))

    def linked(self, target: str) -> Root:
        self._card.unlink()
        self._card.symlink_to(target)
        return self.files

    def card(self, space: bytes) -> Root:
        (self._card / "config").write_bytes(space)
        return self.files

    def port(self, space: bytes) -> Root:
        (self._port / "config").write_bytes(space)
        return self.files


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("host"))


def _poked(space: bytes, *changes: tuple[int, bytes]) -> bytes:
    changed = bytearray(space)
    for offset, data in changes:
        changed[offset : offset + len(data)] = data
    return bytes(changed)


def _opened(content: bytes) -> Space | Unreadable:
    return config_space.space("config", Bytes(content))


def _space(content: bytes) -> Space:
    space = _opened(content)
    assert isinstance(space, Space)
    return space


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "has 0 bytes"),
        (PORT_SPACE[:63], "has 63 bytes"),
        (b"\xff" * 4096, "reads as all ones"),
    ],
)
def test_what_is_no_configuration_space_is_unreadable(content: bytes, why: str) -> None:
    space = _opened(content)

    assert isinstance(space, Unreadable)
    assert why in space.why


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (PORT_SPACE, 0x58),
        # A status register without the bit has no list, whatever its pointer says.
        (_poked(PORT_SPACE, (0x06, bytes(2))), None),
        (_poked(PORT_SPACE, (0x34, bytes(1))), None),
        # The lowest two bits of a pointer are to be ignored.
        (_poked(PORT_SPACE, (0x34, b"\x5b")), 0x58),
        # A pointer into the header ends the list.
        (_poked(PORT_SPACE, (0x34, b"\x3c")), None),
        (CARD_SPACE, 0x78),
    ],
)
def test_a_capability_is_found_or_absent(content: bytes, found: int | None) -> None:
    assert _space(content).standard(0x10) == found


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (PORT_SPACE[:64], "is shown only before 0x58"),
        (PORT_SPACE[:0x59], "is shown only before 0x58"),
        # Two that name each other, and one that names itself.
        (_poked(PORT_SPACE, (0x34, b"\x60"), (0x60, b"\x01\x70\x70"), (0x70, b"\x05\x60")), "0x60"),
        (_poked(PORT_SPACE, (0x34, b"\x60"), (0x60, b"\x01\x60")), "comes back to 0x60"),
    ],
)
def test_a_list_that_cannot_be_followed_is_unreadable(content: bytes, why: str) -> None:
    found = _space(content).standard(0x10)

    assert isinstance(found, Unreadable)
    assert why in found.why


def _extended(*entries: tuple[int, int, int]) -> bytes:
    """Offset, id, and offset of the next."""
    words = [(at, struct.pack("<I", kind | 1 << 16 | to << 20)) for at, kind, to in entries]
    return _poked(PORT_SPACE, (0x100, bytes(8)), *words)


@pytest.mark.parametrize(
    ("content", "acs"),
    [
        (_extended((0x100, 0x0D, 0)), 0x100),
        (_extended((0x100, 0x01, 0xFF8), (0xFF8, 0x0D, 0)), 0xFF8),
        (_extended((0x100, 0x01, 0)), None),
        (_extended(), None),
        # Found before the list goes wrong is found.
        (_extended((0x100, 0x0D, 0x200), (0x200, 0x01, 0x100)), 0x100),
    ],
)
def test_an_extended_capability_is_found_or_absent(content: bytes, acs: int | None) -> None:
    assert _space(content).extended().first(0x0D) == acs


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (PORT_SPACE[:256], "is shown only before 0x100"),
        (PORT_SPACE[:64], "is shown only before 0x100"),
        (_extended((0x100, 0x01, 0x300))[:0x300], "is shown only before 0x300"),
        (_extended((0x100, 0x01, 0x200), (0x200, 0x02, 0x100)), "comes back to 0x100"),
        (_extended((0x100, 0x01, 0x100)), "comes back to 0x100"),
        (_poked(PORT_SPACE, (0x100, b"\xff" * 4)), "reads as all ones at 0x100"),
    ],
)
def test_an_extended_list_that_was_not_seen_whole_proves_no_absence(
    content: bytes, why: str
) -> None:
    found = _space(content).extended().first(0x0D)

    assert isinstance(found, Unreadable)
    assert why in found.why


def test_a_port_shows_type_and_link() -> None:
    found = _space(PORT_SPACE).pcie()

    assert isinstance(found, Pcie)
    assert (found.port, *found.link) == (4, 16, 16, 32.0, 32.0)


@pytest.mark.parametrize(
    ("status", "width", "speed"),
    [(0x0085, 8, 32.0), (0x0011, 1, 2.5), (0x0000, None, None), (0x000F, None, None)],
)
def test_a_link_that_is_down_or_odd_has_no_width(
    status: int, width: int | None, speed: float | None
) -> None:
    found = _space(_poked(PORT_SPACE, (0x6A, status.to_bytes(2, "little")))).pcie()

    assert isinstance(found, Pcie)
    assert (found.link.width, found.link.speed) == (width, speed)


def test_a_bridge_is_read_whole(place: Place) -> None:
    found = fabric.bridge(place.port(PORT_SPACE), PORT.bdf)

    assert isinstance(found, Bridge)
    assert (found.vendor, found.device, found.port) == (pci.AMD, 0x14AB, 4)
    assert (found.buses, found.acs) == ((0x41, 0x41), Acs(0x5F, 0x1D))
    assert found.should_isolate


def test_an_unprivileged_look_at_a_bridge_keeps_what_is_hidden_apart_from_absent(
    place: Place,
) -> None:
    found = fabric.bridge(place.port(PORT_SPACE[:64]), PORT.bdf)

    assert isinstance(found, Bridge)
    assert isinstance(found.port, Unreadable)
    assert isinstance(found.acs, Unreadable)
    assert not found.should_isolate


def test_a_function_that_is_no_bridge_is_not_read_as_one(place: Place) -> None:
    assert isinstance(fabric.bridge(place.port(CARD_SPACE), PORT.bdf), Unreadable)
    assert isinstance(fabric.bridge(place.files, "0000:99:00.0"), Unreadable)


@pytest.mark.parametrize(
    ("can", "on", "missing"),
    [(0x5F, 0x1D, 0), (0x5F, 0x00, 0x1D), (0x5F, 0x1C, 0x01), (0x01, 0x01, 0), (0x00, 0x00, 0)],
)
def test_what_a_port_cannot_switch_is_wired_on(can: int, on: int, missing: int) -> None:
    assert Acs(can, on).missing == missing


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("32.0 GT/s PCIe", 32.0),
        ("2.5 GT/s PCIe", 2.5),
        ("8 GT/s", 8.0),
        ("Unknown", None),
        ("Unknown speed", None),
    ],
)
def test_a_speed_as_the_kernel_words_it(text: str, found: float | None) -> None:
    assert fabric.speed(text) == found


@pytest.mark.parametrize("text", ["", "fast", "32.0", "-1 GT/s", "9" * 90 + " GT/s", "3.x GT/s"])
def test_a_speed_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        fabric.speed(text)


def _lines(*spans: tuple[int, int, int], before: int = 13) -> str:
    return pci.as_lines([(0, 0, 0)] * before + list(spans)).strip()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            _lines((0, 0, 0), (0xE0000000, 0xE0FFFFFF, 0x200), (1 << 40, 1 << 41, 0x102201)),
            (Aperture(0xE0000000, 0xE0FFFFFF, False), Aperture(1 << 40, 1 << 41, True)),
        ),
        # A kernel without SR-IOV has six lines fewer before the windows.
        (
            _lines((0xE0000000, 0xE0FFFFFF, 0x200), before=8),
            (Aperture(0xE0000000, 0xE0FFFFFF, False),),
        ),
        # Ports, a window without address, and one that ends before it starts.
        (_lines((0x1000, 0x1FFF, 0x101), (0, 0xFFFFF, 0x200), (9, 8, 0x200)), ()),
        ("", ()),
    ],
)
def test_the_windows_of_a_bridge_follow_its_bars(text: str, found: tuple[Aperture, ...]) -> None:
    assert fabric.windows(text) == found


@pytest.mark.parametrize(
    ("link", "found"),
    [
        ("../../../devices/pci0000:40/0000:40:01.1/0000:41:00.0", ("0000:40:01.1",)),
        ("../../../devices/pci0000:40/0000:41:00.0", ()),
        # A domain of its own below a bridge: its root bus is no bridge.
        ("../../devices/pci0000:00/0000:00:0e.0/pci10000:e0/0000:41:00.0", ("0000:00:0e.0",)),
    ],
)
def test_a_path_names_its_bridges(link: str, found: tuple[str, ...], tmp_path: Path) -> None:
    assert fabric.path(Place(tmp_path).linked(link), CARD.bdf) == found


@pytest.mark.parametrize(
    "link",
    [
        "../../../devices/pci0000:40/0000:42:00.0",
        "..",
        "/0000:40:01.1/0000:40:01.1/0000:41:00.0",
        "/".join(f"0000:{bus:02x}:00.0" for bus in range(0x41, -1, -1)),
        "/".join(f"0000:{bus:02x}:00.0" for bus in (*range(0x60, 0x80), 0x41)),
    ],
)
def test_a_link_that_is_no_path_of_bridges_is_unreadable(link: str, tmp_path: Path) -> None:
    assert isinstance(fabric.path(Place(tmp_path).linked(link), CARD.bdf), Unreadable)


def _function(device: int, power: str = "D0") -> PciFunction:
    return PciFunction(
        bdf="0000:41:00.0",
        vendor=pci.NVIDIA,
        device=device,
        pci_class=0x030200,
        subsystem=None,
        driver=None,
        override=None,
        group=None,
        power_state=power,
        runtime_status=None,
        bars=(),
        command=2,
        is_vf=False,
    )


def _dvsec(fault: int, general: int, *, vendor: int = pci.NVIDIA) -> bytes:
    """Another vendor's first, then NVIDIA's at the place where GB100 has it."""
    return _poked(
        CARD_SPACE,
        (0x100, struct.pack("<III", 0x23 | 1 << 16 | 0xAF0 << 20, 0x1234, 0)),
        (0xAF0, struct.pack("<III", 0x23 | 1 << 16, vendor, general)),
        (0xB04, struct.pack("<I", fault)),
    )


def _vsec(fault: int, state: int = 0) -> bytes:
    return _poked(CARD_SPACE, (0x2B4, struct.pack("<II", fault, state)))


@pytest.mark.parametrize(
    ("device", "content", "found"),
    [
        (0x2331, _vsec(0), Security(0, (), None)),
        (0x2331, _vsec(1 << 4 | 1 << 15), Security(0x8010, ("FSP_DCLS", "BOOTFSM"), None)),
        # On Hopper bits 22:16 are a position and no cause.
        (0x2331, _vsec(0x7F0000), Security(0, (), None)),
        (0x2901, _dvsec(0, 1 << 20), Security(0, (), True)),
        (0x2901, _dvsec(1 << 8, 0), Security(1 << 8, ("C2C_MISC",), False)),
        (0x2901, _dvsec(1 << 31, 0), Security(1 << 31, ("FUNCTION_LOCKDOWN",), False)),
        (0x2901, _dvsec(1 << 8, 0, vendor=0x1234), None),
        (0x2BB5, _vsec(1 << 24, 1 << 24), Security(1 << 24, ("GPC_FMON",), True)),
        (0x2BB5, _vsec(1 << 29), Security(1 << 29, ("bit 29",), False)),
        # A capability of another revision is another register file.
        (0x2331, _poked(_vsec(1), (0x2A8, b"\x01\x00\x02")), None),
        (0x20B0, _vsec(1), None),
    ],
)
def test_a_gpu_says_in_configuration_space_what_locked_it(
    device: int, content: bytes, found: Security | None, place: Place
) -> None:
    function = _function(device)
    chip = chip_of(function)
    slot = fabric.slot(place.card(content), function, chip.family if chip else None)

    assert slot.security == found


@pytest.mark.parametrize("content", [CARD_SPACE[:64], CARD_SPACE[:0x2B0], _vsec(0xFFFFFFFF)])
def test_a_fault_register_that_is_not_shown_is_unreadable(content: bytes, place: Place) -> None:
    slot = fabric.slot(place.card(content), _function(0x2331), "hopper")

    assert isinstance(slot.security, Unreadable)


@pytest.mark.parametrize("state", ["D3hot", "D3cold", "D1"])
def test_a_sleeping_device_is_not_asked_what_would_wake_it(state: str, place: Place) -> None:
    slot = fabric.slot(place.card(CARD_SPACE), _function(0x2331, state), "hopper")

    for found in (slot.security, slot.ats, *slot.link):
        assert isinstance(found, Unreadable)
        assert f"sleeps in {state}" in found.why
    assert slot.path == ("0000:40:01.1",)


@given(
    header=st.binary(min_size=64, max_size=64),
    rest=st.binary(max_size=600),
    family=st.sampled_from(["hopper", "gb100", "gb202", "ls10", None]),
)
def test_no_bytes_raise_or_run_for_long(
    header: bytes, rest: bytes, family: str | None, place: Place
) -> None:
    content = _poked(header[:6] + b"\x10\x00" + header[8:] + rest, (0x0E, b"\x01"))
    fabric.slot(place.card(content), _function(0x2331), family)
    found = fabric.bridge(place.port(content), PORT.bdf)

    assert isinstance(found, Bridge | Unreadable)
