"""Whether a GPU can do CC: its architecture, its product, this very unit, each with its reason."""

from pathlib import Path

import pytest

from nodeagent.capture.archive import open_capture
from nodeagent.facts import capability
from nodeagent.facts.capability import Capability
from nodeagent.model.seen import Unreadable
from tests.hosts import gpu_states
from tests.hosts.base import genoa_ready
from tests.hosts.draft import GPU, Delta, Draft
from tests.unit.looks import HOSTS, drafted, facts_of


def ability(host: Path, at: int = 0) -> Capability:
    devices = facts_of(host).devices
    assert not isinstance(devices, Unreadable)
    with open_capture(str(host)) as machine:
        return capability.read(machine, (*devices.gpus, *devices.switches)[at])


def _chip(device: int, subsystem: int) -> Delta:
    return gpu_states.other_gpu(device, subsystem)


def _as(device: int) -> Delta:
    """The registers of an H100 behind another device id."""

    def delta(draft: Draft) -> None:
        registers = dict(draft.gpu[GPU])
        gpu_states.other_gpu(device, 0x1626)(draft)
        draft.gpu[GPU] = registers

    return delta


def _fuse(offset: int, value: int) -> Delta:
    def delta(draft: Draft) -> None:
        draft.gpu[GPU][offset] = value

    return delta


FUSES = "fuses 0x824e04=0x1, 0x824e08=0x1, 0x824e0c=0x0"
NO_FUSES = "its fuses cannot be read: --ask-firmware asks its firmware"
AGREES = "gh100 by device id 0x2331; BOOT_0 0x180000a1 agrees"
H100 = "H100 is one that NVIDIA supports"
FIRMWARE = "only its firmware knows: --ask-firmware"


@pytest.mark.parametrize(
    ("delta", "able"),
    [
        (None, Capability((True, AGREES), (True, H100), (True, FUSES))),
        (_fuse(0x824E04, 0xBADF5108), Capability((True, AGREES), (True, H100), (None, NO_FUSES))),
        (_fuse(0x824E0C, 0xFFFFFFFF), Capability((True, AGREES), (True, H100), (None, NO_FUSES))),
        (
            _fuse(0x824E04, 0),
            Capability(
                (True, AGREES),
                (True, H100),
                (False, "fuses 0x824e04=0x0, 0x824e08=0x1, 0x824e0c=0x0"),
            ),
        ),
        (
            _fuse(0x824E0C, 1),
            Capability(
                (True, AGREES),
                (True, H100),
                (False, "fuses 0x824e04=0x1, 0x824e08=0x1, 0x824e0c=0x1"),
            ),
        ),
        (
            _fuse(0, 0x1A0000A1),
            Capability(
                (None, "gh100 by device id 0x2331, which BOOT_0 0x1a0000a1 contradicts"),
                (True, H100),
                (None, "BOOT_0 tells of no GH100, so where its fuses are is not known"),
            ),
        ),
        (
            gpu_states.rtx_pro_6000,
            Capability(
                (True, "gb202 by device id 0x2bb5; BOOT_0 0x1b2000a1 agrees"),
                (True, "RTX-PRO-6000-SE is one that NVIDIA supports"),
                (None, FIRMWARE),
            ),
        ),
        (
            _as(0x2340),
            Capability(
                (True, "gh100 by device id 0x2340; BOOT_0 0x180000a1 agrees"),
                (None, "0x2340 is not in NVIDIA's statements; it may work as its chip does"),
                (True, FUSES),
            ),
        ),
        (
            _as(0x2309),
            Capability(
                (True, "gh100 by device id 0x2309; BOOT_0 0x180000a1 agrees"),
                (None, "H20 is not in NVIDIA's statements; it may work as its chip does"),
                (True, FUSES),
            ),
        ),
        (
            _as(0x2322),
            Capability(
                (True, "gh100 by device id 0x2322; BOOT_0 0x180000a1 agrees"),
                (True, "H800 is one that NVIDIA supports"),
                (True, FUSES),
            ),
        ),
        (
            _as(0x2342),
            Capability(
                (True, "gh100 by device id 0x2342; BOOT_0 0x180000a1 agrees"),
                (False, "GH200 is tied to a Grace CPU"),
                (True, FUSES),
            ),
        ),
        (
            gpu_states.asleep_d3hot,
            Capability(
                (True, "gh100 by device id 0x2331; BOOT_0 does not tell"),
                (True, H100),
                (None, "its fuses were not read"),
            ),
        ),
        (
            gpu_states.gone,
            Capability(
                (True, "gh100 by device id 0x2331; BOOT_0 does not tell"),
                (True, H100),
                (None, NO_FUSES),
            ),
        ),
        (
            _chip(0x26B9, 0x1851),
            Capability(
                (False, "device id 0x26b9 is in no range of chips that can"),
                (False, "none of NVIDIA's confidential products"),
                (False, "nothing to ask"),
            ),
        ),
        (
            _chip(0x3340, 0x2201),
            Capability(
                (None, "device id 0x3340 is newer than what is known"),
                (None, "not among the products that are known here"),
                (None, "nothing to ask"),
            ),
        ),
        (
            gpu_states.configured(1),
            Capability((True, AGREES), (True, H100), (True, "its firmware answers for its knobs")),
        ),
    ],
)
def test_whether_a_gpu_can_has_three_answers_each_with_its_reason(
    delta: Delta | None, able: Capability, tmp_path: Path
) -> None:
    draft = genoa_ready()
    if delta is not None:
        delta(draft)

    assert ability(drafted(draft, tmp_path / "host")) == able


def test_closed_registers_say_why_this_unit_is_not_known() -> None:
    able = ability(HOSTS / "genoa-lockdown-integrity")

    assert able.architecture == (True, "gh100 by device id 0x2331; BOOT_0 does not tell")
    assert able.unit == (None, "its fuses were not read")


def test_a_switch_is_a_product_for_protected_pcie() -> None:
    able = ability(HOSTS / "genoa-hgx-h100", at=-1)

    assert able == Capability(
        (True, "ls10 by device id 0x22a3; BOOT_0 0x007000a1 agrees"),
        (True, "a third-generation NVSwitch, for protected PCIe"),
        (None, FIRMWARE),
    )


def test_an_unreadable_answer_of_its_firmware_is_the_reason(tmp_path: Path) -> None:
    draft = genoa_ready()
    host = drafted(draft, tmp_path / "host")
    devices = facts_of(host).devices
    assert not isinstance(devices, Unreadable)
    silent = devices.gpus[0]._replace(configured=Unreadable("fsp", "error 0x202"))
    with open_capture(str(host)) as machine:
        assert capability.read(machine, silent).unit == (None, "error 0x202")
