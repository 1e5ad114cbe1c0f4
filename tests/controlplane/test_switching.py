"""Modes switched through a real API server: an agent that is the authority, on a served machine."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest

from tests.controlplane import words
from tests.controlplane.operator import DEPLOY
from tests.controlplane.switching import PATIENCE_S, Site
from tests.real.wait import throughout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.real.plane import ControlPlane

pytestmark = pytest.mark.timeout(600)

STAYS_S = 3.0
GPU = "0000:23:00.0"


@pytest.fixture
def site(plane: ControlPlane, node: str, tmp_path: Path) -> Iterator[Site]:
    with Site(plane, node, tmp_path) as site:
        yield site


def test_a_label_switches_the_node_and_gives_everything_back(site: Site) -> None:
    site.start()
    site.until(lambda: site.labels.get(words.CC_STATE) == "off")

    site.ask("on")

    site.until_ready()
    assert set(site.modes().values()) == {"on"}
    site.demand_whole()
    last = site.last_switch()
    assert (last["from"], last["to"], last["result"]) == ("off", "on", "done")


def test_out_of_the_box_nothing_is_switched(site: Site) -> None:
    """Not the authority: it says what is wrong, and writes nothing of NVIDIA's."""
    site.ask("on")
    site.start(authority=False)
    site.until(lambda: site.condition().get("reason") == "GpuModeUnwanted")

    throughout(lambda: set(site.modes().values()) == {"off"}, for_s=STAYS_S)
    assert not {words.CC_STATE, words.CC_READY} & site.labels.keys()


def test_a_removed_label_asks_for_nothing(site: Site) -> None:
    site.start()
    site.ask("on")
    site.until_ready()

    site.ask(None)

    throughout(lambda: set(site.modes().values()) == {"on"}, for_s=STAYS_S)
    site.until_ready()


def test_garbage_changes_nothing_and_is_named(site: Site) -> None:
    site.start()
    site.ask("on")
    site.until_ready()

    site.ask("onn")

    site.until(lambda: "onn" in site.condition().get("message", ""))
    assert site.condition()["status"] == "True"
    assert "on" in site.condition()["message"].partition("onn")[2]
    assert (site.labels[words.CC_READY], site.labels[words.CC_STATE]) == ("true", "on")
    assert "ModeNotUnderstood" in {each["reason"] for each in site.events()}
    site.demand_whole()


def test_who_asked_and_how_long_it_took_is_told(site: Site) -> None:
    site.start()
    site.until(lambda: site.labels.get(words.CC_STATE) == "off")
    by = "?fieldManager=the-gitops-tool"
    change = {"metadata": {"labels": {words.CC_MODE: "on"}}}
    site.plane.api.patch(words.node_path(site.node) + by, change)
    site.until_ready()

    assert "the-gitops-tool" in site.last_switch()["asked_by"]
    assert 0 <= site.last_switch()["seconds"] < PATIENCE_S
    said = {each["reason"]: each["message"] for each in site.events()}
    assert "the-gitops-tool" in said["SwitchStarted"]
    assert "switched to on in" in said["SwitchDone"]


def test_while_it_goes_on_the_condition_counts_devices(
    plane: ControlPlane, node: str, tmp_path: Path
) -> None:
    with Site(plane, node, tmp_path, rate=1.0) as site:
        site.start()
        site.until(lambda: site.labels.get(words.CC_STATE) == "off")
        site.ask("on")
        site.until(lambda: "booting" in site.condition().get("message", ""))
        assert site.condition()["reason"] == "Switching"
        assert re.search(r"from off to on: .*\b(8|12) booting", site.condition()["message"])
        site.until_ready()


def test_a_held_gpu_is_waited_for_and_nothing_is_taken_from_the_node(site: Site) -> None:
    site.machine.machine.hold(GPU, 4242, "qemu-system-x86")
    site.start()
    site.until(lambda: site.labels.get(f"{words.PREFIX}profile") == "snp-gpu")
    site.ask("on")
    site.until(lambda: site.condition().get("reason") == "Blocked")

    assert "qemu-system-x86 (pid 4242" in site.condition()["message"]
    throughout(site.is_untouched, for_s=STAYS_S)
    assert set(site.modes().values()) == {"off"}
    assert words.CC_READY not in site.labels  # nobody new shall be placed here meanwhile

    site.machine.machine.release(GPU)
    site.until_ready()
    site.demand_whole()


def test_a_vm_that_comes_before_the_first_step_ends_it_and_all_is_given_back(site: Site) -> None:
    """The operands are paused by then: they do not go, and a VM comes in that time."""
    site.operator.stuck.add("vfio-manager")
    site.start(switch_deadline_s=4)
    site.until(lambda: site.labels.get(words.CC_STATE) == "off")
    site.ask("on")
    site.until(lambda: words.TOKEN in site.labels[f"{DEPLOY}vfio-manager"])
    site.machine.machine.hold(GPU, 4242, "qemu-system-x86")
    site.operator.stuck.clear()

    site.until(lambda: words.LAST_SWITCH in site.annotations and site.is_untouched())
    assert site.last_switch()["result"] == "blocked"
    assert set(site.modes().values()) == {"off"}
    site.machine.machine.release(GPU)
    site.demand_whole()


def test_tokens_of_others_stay_as_they_are(site: Site) -> None:
    theirs = f"{DEPLOY}sandbox-validator"
    site.label({theirs: "paused-for-driver-upgrade"})
    site.start()
    site.ask("on")

    site.until_settled_in("on")

    assert site.labels[theirs] == "paused-for-driver-upgrade"


def test_where_others_leave_no_room_for_our_token_they_are_named(site: Site) -> None:
    full = "paused-for-cc-mode-change_paused-for-driver-upgrade"
    site.label({f"{DEPLOY}sandbox-validator": full})
    site.start(switch_deadline_s=3)
    site.until(lambda: site.labels.get(words.CC_STATE) == "off")
    site.ask("on")

    site.until(lambda: full in site.condition().get("message", ""))
    site.until(lambda: words.LAST_SWITCH in site.annotations and site.is_untouched())
    assert site.labels[f"{DEPLOY}sandbox-validator"] == full
    assert set(site.modes().values()) == {"off"}


def test_a_cordon_that_was_there_before_stays(site: Site) -> None:
    site.plane.api.patch(words.node_path(site.node), {"spec": {"unschedulable": True}})
    site.start()
    site.ask("on")

    site.until_settled_in("on")

    assert site.shown["spec"]["unschedulable"] is True
    assert words.CORDONED not in site.annotations


def test_beside_cc_manager_it_writes_nothing_of_nvidias(site: Site) -> None:
    site.label({f"{DEPLOY}cc-manager": "true", words.CC_MODE: "on", words.CC_READY: "false"})
    site.until(lambda: "cc-manager" in site.operator.running)
    before = site.nvidias()
    site.start()
    site.until(lambda: "cc-manager" in site.condition().get("message", ""))

    throughout(
        lambda: (
            before.items()
            == {k: v for k, v in site.labels.items() if k.startswith("nvidia.com/")}.items()
        ),
        for_s=STAYS_S,
    )
    assert set(site.modes().values()) == {"off"}
    assert "nvidia-cc-manager-" in site.condition()["message"]


def test_where_cc_manager_is_taken_off_the_node_it_takes_over(site: Site) -> None:
    """And its label of before, which somebody else owns, does not stay to lie."""
    site.label({f"{DEPLOY}cc-manager": "false", words.CC_READY: "true", words.CC_STATE: "on"})
    site.start()
    site.until(lambda: site.labels.get(words.CC_STATE) == "off")
    assert site.labels[words.CC_READY] == "false"

    site.ask("on")
    site.until_ready()


def test_of_two_agents_on_one_node_one_works_and_the_other_takes_over(site: Site) -> None:
    first = site.start()
    site.until(lambda: site.labels.get(words.CC_STATE) == "off")
    other = site.start()
    site.until(lambda: "another nodeagent (pid" in other.tail())

    site.ask("on")
    site.until_ready()
    throughout(lambda: site.labels.get(words.CC_READY) == "true", for_s=2 * STAYS_S)
    assert site.started_switches() == 1

    first.kill()
    site.ask("off")
    site.until_settled_in("off")


def test_a_gpu_that_fails_is_named_and_not_tried_again(site: Site) -> None:
    site.start()
    site.until(lambda: site.labels.get(words.CC_STATE) == "off")
    site.machine.machine.set_fault(GPU, "never_boots", True)

    site.ask("on")

    site.until(lambda: site.labels.get(words.CC_STATE) == "failed" and site.is_untouched())
    assert words.CC_READY not in site.labels
    assert site.last_switch()["result"] == "failed"
    assert GPU in site.last_switch()["why"]
    throughout(lambda: site.started_switches() == 1, for_s=STAYS_S)


def test_a_mode_changed_behind_our_back_is_no_longer_called_ready(site: Site) -> None:
    site.start()
    site.ask("on")
    site.until_ready()

    assert site.machine.run("apply", "--mode", "off", "--yes").returncode == 0

    site.until(lambda: words.CC_READY not in site.labels or site.started_switches() > 1)
    site.until_ready()  # and brought back, since that is what is asked for


def test_a_node_made_anew_in_the_middle_of_a_switch_is_begun_afresh(
    plane: ControlPlane, node: str, tmp_path: Path
) -> None:
    """Its old token is for the old Node, and so is what was noted there."""
    with Site(plane, node, tmp_path, rate=1.0) as site:
        site.start()
        site.until(lambda: site.labels.get(words.CC_STATE) == "off")
        site.ask("on")
        site.until(lambda: words.TOKEN in site.labels[f"{DEPLOY}vfio-manager"])

        site.make_node_anew({words.CC_MODE: "on"})

        site.until_ready()
        site.demand_whole()


def test_with_the_api_server_away_nothing_is_switched_and_then_it_is(site: Site) -> None:
    agent = site.start()
    site.until(lambda: site.labels.get(words.CC_STATE) == "off")
    site.ask("on")
    site.plane.stop_apiserver()
    try:
        time.sleep(STAYS_S)
        assert agent.code() is None
        modes = set(site.modes().values())
        assert modes in ({"off"}, {"on"})  # the label may have come in time, or not at all
    finally:
        site.plane.start_apiserver()
    site.until_ready()
    site.demand_whole()


KATA = {
    "kata-qemu-nvidia-gpu": {words.CC_READY: "false"},
    "kata-qemu-nvidia-gpu-snp": {words.CC_READY: "true"},
    "kata-qemu-nvidia-gpu-tdx": {words.CC_READY: "true"},
}
"""What Kata 4.1's GPU classes select of cc-manager's labels (kubernetes.md §1.6)."""
CC_MANAGER = {"on": "true", "ppcie": "true", "off": "false", "devtools": "", "failed": ""}
"""What cc-manager leaves in cc.ready.state after each (kubernetes.md §1.1)."""


def test_katas_classes_select_the_same_nodes_as_with_cc_manager(site: Site) -> None:
    site.start()
    for mode in ("on", "ppcie", "devtools", "off", "failed"):
        if mode == "failed":
            site.machine.machine.set_fault(GPU, "never_boots", True)
        site.ask("on" if mode == "failed" else mode)
        site.until(lambda mode=mode: site.labels.get(words.CC_STATE) == mode)  # type: ignore[misc]
        site.until_settled()

        theirs = {words.CC_READY: CC_MANAGER[mode], words.CC_STATE: mode}
        for name, selector in KATA.items():
            assert _selects(selector, site.labels) is _selects(selector, theirs), (mode, name)


def _selects(selector: dict[str, str], labels: dict[str, str]) -> bool:
    return all(labels.get(key) == value for key, value in selector.items())


def test_when_nfds_labels_flap_operands_that_come_back_are_paused_again(
    plane: ControlPlane, node: str, tmp_path: Path
) -> None:
    """Then the operator takes all its labels off the Node, and puts them back as `true`."""
    with Site(plane, node, tmp_path, rate=1.0) as site:
        site.start()
        site.until(lambda: site.labels.get(words.CC_STATE) == "off")
        site.ask("on")
        site.until(lambda: words.TOKEN in site.labels[f"{DEPLOY}vfio-manager"])
        for _ in range(3):
            site.label(dict.fromkeys(site.operator.labels))
            time.sleep(0.2)
            site.label(site.operator.labels)
            time.sleep(0.5)

        site.until_ready()
        site.demand_whole()


def test_a_vm_that_has_a_gpu_for_hours_keeps_it_over_restarts(site: Site) -> None:
    """The node is in the mode, and says so; then another is asked for, and nothing is touched."""
    first = site.start()
    site.ask("on")
    site.until_ready()
    site.machine.machine.hold(GPU, 4242, "qemu-system-x86")
    first.kill()
    second = site.start()
    site.until(lambda: "in use" in second.tail() or site.labels.get(words.CC_READY) == "true")
    throughout(lambda: site.labels.get(words.CC_READY) == "true", for_s=2 * STAYS_S)

    site.ask("off")
    site.until(lambda: site.condition().get("reason") == "Blocked")
    second.kill()
    site.start()
    throughout(site.is_untouched, for_s=STAYS_S)
    assert set(site.modes().values()) == {"on"}
    site.machine.machine.release(GPU)
    site.until_settled_in("off")


def test_a_token_that_expires_is_read_anew(site: Site) -> None:
    """The file changes within the hour; the one in memory is refused by then."""
    agent = site.start()
    site.ask("on")
    site.until_ready()
    site.spoil_token()
    site.ask("off")
    site.until(lambda: "401" in agent.tail())

    site.renew_token()

    site.until_settled_in("off")


def test_a_label_nobody_may_set_is_taken_away_and_the_node_is_right_again(site: Site) -> None:
    site.start()
    site.until(lambda: site.labels.get(words.CC_STATE) == "off")

    site.label({words.CC_READY: "true", words.READY: "true"})

    site.until(lambda: site.labels.get(words.CC_READY) == "false")
    assert words.READY not in site.labels


@pytest.mark.parametrize(
    ("right", "said"),
    [
        ("nodeagent-manage-events", "telling Events is off"),
        ("nodeagent-manage-operands", "the operands' pods cannot be seen"),
    ],
)
def test_a_right_that_is_missing_is_named_and_what_needs_it_is_off(
    site: Site, right: str, said: str
) -> None:
    with site.without(right):
        agent = site.start(switch_deadline_s=3)
        site.until(lambda: site.labels.get(words.CC_STATE) == "off")
        site.ask("on")
        site.until(lambda: said in agent.log.read_text())

        if right == "nodeagent-manage-events":
            site.until_ready()
        else:
            site.until(lambda: words.LAST_SWITCH in site.annotations and site.is_untouched())
            assert set(site.modes().values()) == {"off"}
        site.demand_whole()


def test_without_the_right_to_slots_nothing_begins_and_labels_stay_true(site: Site) -> None:
    with site.without("nodeagent-manage-slots"):
        site.start(slots=1)
        site.until(lambda: site.labels.get(words.CC_STATE) == "off")
        site.ask("on")

        site.until(lambda: "the fleet cannot be asked" in site.condition().get("message", ""))
        throughout(site.is_untouched, for_s=STAYS_S)
        assert set(site.modes().values()) == {"off"}
