"""What is ours on a Node, and that its patch takes back all of it and nothing else."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.fleet import ours as module
from nodeagent.fleet.ours import ours
from nodeagent.kube.node import MANAGER
from nodeagent.labels import COMPAT, condition_type, cordon_key, switch_key
from nodeagent.model import pause

PREFIX = "nodeagent.io/"
DEPLOY = "nvidia.com/gpu.deploy."
COMPAT_KEYS = ("nvidia.com/cc.mode.state", "nvidia.com/cc.ready.state")
TOKENS = ("true", "false", "pre-installed", "paused-for-mig-change", pause.TOKEN)


def node(
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
    *,
    taints: list[dict[str, str]] | None = None,
    unschedulable: bool = False,
    conditions: list[dict[str, str]] | None = None,
    managers: dict[str, list[str]] | None = None,
) -> dict[str, Any]:
    """`managers`: which labels each has written."""
    spec: dict[str, Any] = {"taints": taints or []}
    if unschedulable:
        spec["unschedulable"] = True
    managed = [
        {"manager": name, "fieldsV1": {"f:metadata": {"f:labels": {f"f:{k}": {} for k in keys}}}}
        for name, keys in (managers or {}).items()
    ]
    return {
        "metadata": {
            "name": "a",
            "uid": "u",
            "labels": labels or {},
            "annotations": annotations or {},
            "managedFields": managed,
        },
        "spec": spec,
        "status": {"conditions": conditions or []},
    }


def patched(raw: dict[str, Any]) -> dict[str, Any]:
    """As the API server does it (RFC 6902), for the operations that we use."""
    result = copy.deepcopy(raw)
    for each in ours(raw, PREFIX).operations():
        *folders, last = (
            part.replace("~1", "/").replace("~0", "~") for part in str(each["path"]).split("/")[1:]
        )
        place: Any = result
        for folder in folders:
            place = place[folder]
        key = int(last) if isinstance(place, list) else last
        match each["op"]:
            case "test":
                assert place[key] == each["value"], each
            case "remove":
                del place[key]
            case "replace":
                assert key in place
                place[key] = each["value"]
    return result


keys = st.sampled_from(
    [
        *(
            f"{PREFIX}ready",
            f"{PREFIX}gpu.cc-mode",
            "nodeagent.io.example.com/ready",
            "example.com/a~b",
        ),
        *(f"{DEPLOY}vfio-manager", f"{DEPLOY}cc-manager", "nvidia.com/cc.mode", *COMPAT_KEYS),
    ]
)
values = st.lists(st.sampled_from(TOKENS), min_size=1, max_size=3).map("_".join)
labels = st.dictionaries(keys, values)
notes = st.dictionaries(
    st.sampled_from([f"{PREFIX}report", f"{PREFIX}cordoned-by-us", "example.com/cordoned-by-us"]),
    st.text(max_size=5),
)
taints = st.lists(
    st.fixed_dictionaries(
        {
            "key": st.sampled_from([f"{PREFIX}not-ready", "example.com/not-ready"]),
            "effect": st.sampled_from(["NoSchedule", "NoExecute"]),
        }
    ),
    max_size=4,
)
nodes = st.builds(
    node,
    labels,
    notes,
    taints=taints,
    unschedulable=st.booleans(),
    managers=st.dictionaries(st.sampled_from([MANAGER, "cc-manager"]), st.lists(keys)),
)


def _is_ours(key: str, raw: dict[str, Any]) -> bool:
    """Said a second time, in other words."""
    writers = {
        each["manager"]
        for each in raw["metadata"]["managedFields"]
        if f"f:{key}" in each["fieldsV1"]["f:metadata"]["f:labels"]
    }
    return key.startswith(PREFIX) or (key in COMPAT_KEYS and writers == {MANAGER})


@given(nodes)
def test_all_of_ours_goes_and_all_else_stays(raw: dict[str, Any]) -> None:
    after = patched(raw)

    was, now = raw["metadata"]["labels"], after["metadata"]["labels"]
    assert now == {
        key: pause.restore(value) if key.startswith(DEPLOY) else value
        for key, value in was.items()
        if not _is_ours(key, raw)
    }
    notes = raw["metadata"]["annotations"]
    theirs = {key: text for key, text in notes.items() if not key.startswith(PREFIX)}
    assert after["metadata"]["annotations"] == theirs
    our_taint = {"key": f"{PREFIX}not-ready", "effect": "NoSchedule"}
    assert after["spec"]["taints"] == [each for each in raw["spec"]["taints"] if each != our_taint]
    is_theirs = "unschedulable" in raw["spec"] and f"{PREFIX}cordoned-by-us" not in notes
    assert ("unschedulable" in after["spec"]) is is_theirs


@given(nodes)
def test_the_second_time_there_is_nothing_to_do(raw: dict[str, Any]) -> None:
    found = ours(patched(raw), PREFIX)
    assert (bool(found), found.operations(), found.lines()) == (False, [], [])


@given(nodes)
def test_what_is_shown_is_what_is_done(raw: dict[str, Any]) -> None:
    found = ours(raw, PREFIX)
    done = [each for each in found.operations() if each["op"] != "test"]
    assert len(found.lines()) == len(done)
    assert bool(found) is bool(done)


def test_the_condition_alone_is_something_of_ours() -> None:
    theirs = {"type": "example.com/ConfidentialReady"}
    mine = {"type": condition_type(PREFIX), "reason": "Switching"}
    found = ours(node(conditions=[theirs, mine]), PREFIX)

    assert (found.condition, found.is_switching) == (condition_type(PREFIX), True)
    assert bool(found)
    assert not ours(node(conditions=[theirs]), PREFIX)


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"metadata": None},
        {"metadata": {"labels": [], "managedFields": {}}, "spec": {"taints": 7}},
    ],
)
def test_an_odd_node_has_nothing_of_ours(raw: dict[str, Any]) -> None:
    assert not ours(raw, PREFIX)


@pytest.mark.parametrize(
    ("writers", "is_ours"),
    [([MANAGER], True), (["cc-manager"], False), ([MANAGER, "cc-manager"], False), ([], False)],
)
def test_cc_managers_labels_are_ours_where_we_alone_wrote_them(
    writers: list[str], is_ours: bool
) -> None:
    key = COMPAT_KEYS[0]
    found = ours(node({key: "on"}, managers={name: [key] for name in writers}), PREFIX)
    assert (key in found.labels) is is_ours


def test_labels_that_nfd_writes_again_are_named() -> None:
    listed = {"nfd.node.kubernetes.io/feature-labels": f"cpu-model.id,{PREFIX}ready"}
    assert ours(node({f"{PREFIX}ready": "true"}, listed), PREFIX).by_nfd == (f"{PREFIX}ready",)


def test_the_words_are_those_that_the_agent_writes() -> None:
    assert module.MANAGER == MANAGER
    assert set(COMPAT_KEYS) == COMPAT
    assert cordon_key(PREFIX) == f"{PREFIX}cordoned-by-us"
    assert switch_key(PREFIX) == f"{PREFIX}switch"
