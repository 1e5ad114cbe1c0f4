"""What the credentials of an agent that switches can do, and nothing beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.controlplane import words
from tests.controlplane.operator import DEPLOY
from tests.controlplane.test_policy import (
    FOREIGN_METADATA,
    FOREIGN_SPEC,
    FOREIGN_STATUS,
    OURS,
    THEIR_TAINT,
    THEIRS,
)
from tests.real.api import MERGE, STRATEGIC, ApiError

if TYPE_CHECKING:
    from tests.real.api import Api, Object
    from tests.real.plane import ControlPlane

pytestmark = pytest.mark.timeout(600)

VFIO = f"{DEPLOY}vfio-manager"
OUR_TAINT = {"key": f"{words.PREFIX}not-ready", "effect": "NoSchedule"}
OTHERS = "paused-for-driver-upgrade"
OTHER_WORDS = ("paused-for-cc-mode-change", "paused-for-mig-change", OTHERS)


@pytest.fixture
def agent(plane: ControlPlane, node: str) -> Api:
    theirs = {"labels": {THEIRS: "1", VFIO: "true"}, "annotations": {THEIRS: "1"}}
    change = {"metadata": theirs, "spec": {"taints": [THEIR_TAINT]}}
    plane.api.patch(words.node_path(node), change)
    return plane.api_as(plane.node_token(words.MANAGE, words.NAMESPACE, node))


def _labels(**change: str | None) -> Object:
    return {"metadata": {"labels": change}}


def _cordon(*, on: bool, noted: bool) -> Object:
    note = {words.CORDONED: "2026-11-25T12:00:00Z" if noted else None}
    return {"metadata": {"annotations": note}, "spec": {"unschedulable": on or None}}


def _refused() -> pytest.RaisesExc[ApiError]:
    return pytest.RaisesExc(ApiError, match=r"ValidatingAdmissionPolicy .*the agent may")


@pytest.mark.parametrize("what", [each for each in FOREIGN_METADATA if each != "a label of nvidia"])
@pytest.mark.parametrize("through", ["", "/status"])
def test_foreign_metadata_is_refused(agent: Api, node: str, what: str, through: str) -> None:
    with _refused():
        agent.patch(words.node_path(node) + through, FOREIGN_METADATA[what], STRATEGIC)


@pytest.mark.parametrize("what", FOREIGN_SPEC)
def test_foreign_spec_is_refused(agent: Api, node: str, what: str) -> None:
    """A cordon that says nothing of us is among it."""
    with _refused():
        agent.patch(words.node_path(node), FOREIGN_SPEC[what], MERGE)


@pytest.mark.parametrize("what", FOREIGN_STATUS)
def test_foreign_status_is_refused(agent: Api, node: str, what: str) -> None:
    with _refused():
        agent.patch(f"{words.node_path(node)}/status", FOREIGN_STATUS[what], STRATEGIC)


@pytest.mark.parametrize("key", [words.CC_MODE, "nvidia.com/cc.capable", f"{DEPLOY}cc-manager"])
def test_what_is_asked_of_the_node_and_who_else_may_act_is_not_ours(
    agent: Api, node: str, key: str
) -> None:
    with _refused():
        agent.patch(words.node_path(node), _labels(**{key: "true"}))


@pytest.mark.parametrize("key", [words.CC_STATE, words.CC_READY])
def test_the_states_of_the_devices_are_ours_to_tell(agent: Api, node: str, key: str) -> None:
    for value in ("on", None):
        agent.patch(words.node_path(node), _labels(**{key: value}))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("true", words.TOKEN),
        (OTHERS, f"{OTHERS}_{words.TOKEN}"),
        (words.TOKEN, "true"),
        (f"{OTHERS}_{words.TOKEN}", OTHERS),
        (f"{words.TOKEN}_{OTHERS}", OTHERS),
    ],
)
def test_our_token_comes_and_goes(
    plane: ControlPlane, agent: Api, node: str, before: str, after: str
) -> None:
    plane.api.patch(words.node_path(node), _labels(**{VFIO: before}))

    agent.patch(words.node_path(node), _labels(**{VFIO: after}))

    assert plane.node(node)["metadata"]["labels"][VFIO] == after


@pytest.mark.parametrize("other", OTHER_WORDS)
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("{}", "true"),
        ("pre-installed_{}", "pre-installed"),
        ("{}_" + words.TOKEN, words.TOKEN),
        (words.TOKEN + "_{}", words.TOKEN),
    ],
)
def test_one_word_of_another_program_goes(  # noqa: PLR0917
    plane: ControlPlane, agent: Api, node: str, before: str, after: str, other: str
) -> None:
    plane.api.patch(words.node_path(node), _labels(**{VFIO: before.format(other)}))

    agent.patch(words.node_path(node), _labels(**{VFIO: after}))

    assert plane.node(node)["metadata"]["labels"][VFIO] == after


@pytest.mark.parametrize("name", ["cc-manager", "driver", "a-later-one"])
def test_the_word_of_another_on_what_is_no_operand_of_theirs_stays(
    plane: ControlPlane, agent: Api, node: str, name: str
) -> None:
    plane.api.patch(words.node_path(node), _labels(**{f"{DEPLOY}{name}": OTHERS}))

    with _refused():
        agent.patch(words.node_path(node), _labels(**{f"{DEPLOY}{name}": "true"}))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("true", "false"),
        ("true", None),
        ("true", OTHERS),
        (OTHERS, words.TOKEN),
        (OTHERS, "false"),
        (OTHERS, None),
        (f"x-{OTHERS}", "true"),
        (f"x_{OTHERS}", "true"),
        ("paused-for-lunch", "true"),
        (f"{OTHER_WORDS[0]}_{OTHER_WORDS[1]}", "true"),
        ("false", "true"),
        (f"{OTHERS}_{words.TOKEN}", "true"),
        (words.TOKEN, "false"),
    ],
)
def test_nothing_else_of_an_operands_label_is_ours(
    plane: ControlPlane, agent: Api, node: str, before: str, after: str | None
) -> None:
    plane.api.patch(words.node_path(node), _labels(**{VFIO: before}))

    with _refused():
        agent.patch(words.node_path(node), _labels(**{VFIO: after}))


def test_a_cordon_with_our_note_comes_and_goes(plane: ControlPlane, agent: Api, node: str) -> None:
    agent.patch(words.node_path(node), _cordon(on=True, noted=True))
    assert plane.node(node)["spec"]["unschedulable"] is True

    agent.patch(words.node_path(node), _cordon(on=False, noted=False))
    assert "unschedulable" not in plane.node(node)["spec"]


def test_the_cordon_of_another_is_not_lifted(plane: ControlPlane, agent: Api, node: str) -> None:
    plane.api.patch(words.node_path(node), {"spec": {"unschedulable": True}})

    for change in (_cordon(on=False, noted=False), _cordon(on=False, noted=True)):
        with _refused():
            agent.patch(words.node_path(node), change)


def test_our_taint_comes_and_goes_beside_theirs(plane: ControlPlane, agent: Api, node: str) -> None:
    agent.patch(words.node_path(node), {"spec": {"taints": [THEIR_TAINT, OUR_TAINT]}})
    assert OUR_TAINT in plane.node(node)["spec"]["taints"]

    agent.patch(words.node_path(node), {"spec": {"taints": [THEIR_TAINT]}})
    assert plane.node(node)["spec"]["taints"] == [THEIR_TAINT]


def test_the_own_condition_is_allowed(agent: Api, node: str) -> None:
    agent.patch(f"{words.node_path(node)}/status", {"status": {"conditions": [OURS]}}, STRATEGIC)


@pytest.mark.parametrize("through", ["", "/status"])
def test_another_node_is_refused(plane: ControlPlane, agent: Api, through: str) -> None:
    plane.add_node("another-one")
    try:
        with _refused():
            agent.patch(words.node_path("another-one") + through, _labels(**{words.SNP: "true"}))
    finally:
        plane.remove_node("another-one")


def test_a_token_of_no_node_is_refused(plane: ControlPlane, node: str) -> None:
    nobody = plane.api_as(plane.unbound_token(words.MANAGE, words.NAMESPACE))
    with _refused():
        nobody.patch(words.node_path(node), _labels(**{words.SNP: "true"}))


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/nodes",
        "/api/v1/pods",
        "/api/v1/secrets",
        f"/api/v1/namespaces/{words.NAMESPACE}/pods",
        "/api/v1/namespaces/gpu-operator/secrets",
        "/api/v1/namespaces/default/events",
    ],
)
def test_nothing_else_can_be_read(agent: Api, path: str) -> None:
    with pytest.raises(ApiError, match="forbidden"):
        agent.get(path)
