"""Which steps come when: nothing runs ahead of the rest of the node, and nothing is guessed."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from nodeagent.debts import Debts
from nodeagent.errors import HostError
from nodeagent.model.knobs import Configured, Line
from nodeagent.model.pci import Holder
from nodeagent.model.seen import Unreadable
from nodeagent.model.switching import Bind, Debt, Override, Reset, Rest, Stage, Target, Unbind, Wake
from nodeagent.model.words import CcMode
from nodeagent.plan.gpu import is_so, obstacles, waking, wave

ONE, OTHER = "0000:41:00.0", "0000:61:00.0"
ON, OFF = CcMode.ON, CcMode.OFF
STAGED = {8: 1, 6: 0, 10: 2, 45: 0}
FRESH = {8: 0, 6: 0, 10: 0, 45: 0}


def target(bdf: str = ONE, **more: Any) -> Target:  # noqa: ANN401 - any field of its own type
    """Unbound, awake and booted with everything off, unless said otherwise."""
    plain = Target(
        bdf=bdf,
        family="hopper",
        line=Line.HOPPER,
        device=0x2330,
        driver=None,
        override="vfio-pci",
        holders=(),
        awake=True,
        decodes=True,
        control="on",
        booted=True,
        active=OFF,
        configured=knobs(FRESH),
    )
    return plain._replace(**more)


def knobs(values: dict[int, int]) -> Configured:
    return Configured(Line.HOPPER, values)


def test_nothing_is_reset_before_everything_is_staged() -> None:
    staged, fresh = target(ONE, configured=knobs(STAGED)), target(OTHER)
    want = {ONE: ON, OTHER: ON}

    assert wave([staged, fresh], want, {}) == (Stage(OTHER, ON),)
    both = [staged, target(OTHER, configured=knobs(STAGED))]
    assert wave(both, want, {}) == (Reset(ONE), Reset(OTHER))


def test_a_device_that_is_done_need_not_wait_for_another_ones_boot() -> None:
    done = target(ONE, active=ON, configured=knobs(STAGED))
    owed = {ONE: Debt(driver="vfio-pci", override="vfio-pci")}

    steps = wave([done, target(OTHER, configured=knobs(STAGED))], {ONE: ON, OTHER: ON}, owed)

    assert steps == (Bind(ONE, "vfio-pci"), Reset(OTHER))


def test_a_device_that_nobody_named_is_not_switched_and_gets_back_what_is_owed() -> None:
    owed = {OTHER: Debt(control="auto")}

    assert wave([target(ONE), target(OTHER)], {}, owed) == (Rest(OTHER),)


@pytest.mark.parametrize(
    ("more", "so"),
    [
        ({"active": ON, "configured": knobs(STAGED)}, True),
        ({"active": OFF, "configured": knobs(STAGED)}, False),
        ({"active": ON, "configured": knobs(FRESH)}, False),
        ({"active": ON, "configured": knobs(STAGED | {10: 0})}, False),
        ({"active": ON, "configured": None}, False),
        ({"active": ON, "configured": knobs(STAGED), "booted": False}, False),
        ({"active": Unreadable("x", "y"), "configured": knobs(STAGED)}, False),
    ],
)
def test_a_mode_is_believed_only_where_register_and_knobs_agree(
    more: dict[str, Any], so: bool
) -> None:
    assert is_so([target(**more)], ONE, ON) is so


def test_firmware_that_denies_the_mode_it_runs_in_is_no_traceback() -> None:
    """It runs protected PCIe, and answers for the knob of it as firmware without one would."""
    odd = target(active=CcMode.PPCIE, configured=knobs({8: 0, 6: 0, 10: 2}))

    assert is_so([odd], ONE, CcMode.PPCIE) is False
    assert "cannot be ppcie" in str(obstacles([odd], {ONE: CcMode.PPCIE})[ONE])


GAP = Unreadable("there", "EPERM")


@pytest.mark.parametrize(
    "more",
    [{"driver": GAP}, {"override": GAP}, {"holders": GAP}, {"awake": GAP}, {"configured": GAP}],
)
def test_what_cannot_be_looked_at_is_not_changed(more: dict[str, Any]) -> None:
    found = obstacles([target(**more)], {ONE: ON})

    assert re.search(f"will not change {ONE}: .*EPERM", str(found[ONE]))


@pytest.mark.parametrize("driver", ["vfio-pci", "nvidia", None])
def test_what_is_held_is_not_even_woken(driver: str | None) -> None:
    held = target(holders=(Holder(7, "qemu", "/dev/vfio/41"),), driver=driver, awake=False)

    assert "in use by qemu" in str(obstacles([held], {ONE: ON})[ONE])
    assert waking([held]) == ()


@pytest.mark.parametrize(
    ("more", "first"),
    [
        ({"awake": False, "driver": "vfio-pci"}, Wake(ONE)),
        ({"driver": "nvidia", "override": None}, Unbind(ONE, "nvidia")),
    ],
)
def test_a_sleeping_device_is_woken_before_it_is_unbound(
    more: dict[str, Any], first: object
) -> None:
    assert wave([target(**more)], {ONE: ON}, {}) == (first,)


@pytest.mark.parametrize(
    ("override", "owed", "steps"),
    [
        ("vfio-pci", Debt("vfio-pci", "vfio-pci"), Bind(ONE, "vfio-pci")),
        ("", Debt("vfio-pci", ""), Override(ONE, "vfio-pci")),
        ("vfio-pci", Debt("nvidia", ""), Override(ONE, "nvidia")),
        ("", Debt("nvidia", ""), Bind(ONE, "nvidia")),
    ],
)
def test_a_driver_comes_back_by_its_name(override: str, owed: Debt, steps: object) -> None:
    assert wave([target(override=override)], {}, {ONE: owed}) == (steps,)


def test_what_was_owed_first_is_what_is_given_back(tmp_path: Path) -> None:
    debts = Debts(tmp_path / "run")
    debts.owe(ONE, control="auto")
    debts.owe(ONE, control="on", driver="vfio-pci")

    assert debts.all() == {ONE: Debt(driver="vfio-pci", control="auto")}
    debts.settle(ONE)
    assert debts.all() == {}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"version": 2, "owed": {}}',
        '{"version": 1, "owed": []}',
        '{"version": 1, "owed": {"driver": 5}}',
        json.dumps({"version": 1, "owed": Debt(decode=True)._asdict() | {"control": 1}}),
        "[" * 100_000,
    ],
)
def test_a_file_that_is_none_of_ours_is_not_guessed_from(text: str, tmp_path: Path) -> None:
    (tmp_path / f"{ONE}.owed").write_text(text)

    with pytest.raises(HostError, match="is not as this program writes it"):
        Debts(tmp_path).all()
