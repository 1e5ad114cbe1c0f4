"""A fleet: each node's state, the order of what to fix, and what the table says of it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent import labels as words
from nodeagent.fleet.document import document, is_ready
from nodeagent.fleet.standing import Clock, Standing, State, aged, standing
from nodeagent.fleet.table import changes, ordered, text
from tests.unit.command import run

PREFIX = "nodeagent.io/"
NOW = 1_800_000_000.0  # 2027-01-15T08:00:00Z
CLOCK = Clock(NOW, 1080.0)
FRESH, OLD, AHEAD = "2027-01-15T07:58:00Z", "2027-01-15T05:00:00Z", "2027-01-15T09:00:00Z"
PASSES = ("True", "AllChecksPassed", "every check passes")
BROKEN = ("False", "IommuPassthroughOrOff", "iommu=pt is set; to do: remove it")
BROKEN_REPORT = {
    "version": 1,
    "verdict": "not-ready",
    "root": {"code": "IOMMU_PASSTHROUGH_OR_OFF", "seen": "iommu=pt", "do": "remove iommu=pt"},
}


def node(
    name: str = "a",
    said: tuple[str, str, str] | None = PASSES,
    *,
    beat: str | None = FRESH,
    labels: dict[str, str] | None = None,
    report: object = None,
    annotations: dict[str, str] | None = None,
) -> dict[str, Any]:
    """As the API server tells it; `labels` and `annotations` without the prefix where ours."""
    notes = dict(annotations or {})
    if report is not None:
        notes[f"{PREFIX}report"] = json.dumps(report)
    conditions: list[dict[str, Any]] = [
        {"type": "Ready", "status": "True", "reason": "KubeletReady"}
    ]
    if said:
        keys = ("status", "reason", "message")
        ours = {"type": f"{PREFIX}ConfidentialReady", **dict(zip(keys, said, strict=True))}
        conditions.append(ours | ({"lastHeartbeatTime": beat} if beat else {}))
    return {
        "metadata": {"name": name, "labels": labels or {}, "annotations": notes},
        "status": {"conditions": conditions},
    }


READY = {f"{PREFIX}ready": "true", f"{PREFIX}profile": "snp-gpu"}
SWITCHING = ("False", "Switching", "to on: waits until vfio-manager-x is gone")
BY_NFD = {"nfd.node.kubernetes.io/feature-labels": f"a.b/c,{PREFIX}profile,{PREFIX}ready"}


def seen(raw: dict[str, Any]) -> Standing:
    return aged(standing(raw, PREFIX), CLOCK)


@pytest.mark.parametrize(
    ("raw", "state", "root"),
    [
        (node(labels=READY), State.READY, ""),
        (node(labels=READY, beat=OLD), State.STALE, ""),
        (node(labels=READY, beat=AHEAD), State.STALE, ""),
        (node(labels=READY, beat=None), State.STALE, ""),
        (node(labels=READY, beat="yesterday"), State.STALE, ""),
        (node(), State.NOT_READY, ""),
        (node(said=BROKEN, report=BROKEN_REPORT), State.NOT_READY, "IOMMU_PASSTHROUGH_OR_OFF"),
        (node(said=BROKEN), State.NOT_READY, "IommuPassthroughOrOff"),
        (node(said=BROKEN, labels=READY), State.NOT_READY, "IommuPassthroughOrOff"),
        (
            node(said=("False", "BiosSmeeOff", ""), report=BROKEN_REPORT),
            State.NOT_READY,
            "BiosSmeeOff",
        ),
        (node(said=("Unknown", "CannotTell", "?"), labels=READY), State.CANNOT_TELL, "CannotTell"),
        (node(said=SWITCHING, report=BROKEN_REPORT), State.SWITCHING, ""),
        (node(said=("False", "Blocked", "by a budget")), State.BLOCKED, ""),
        (node(said=SWITCHING, beat=OLD), State.STALE, ""),
        (node(said=None), State.NO_AGENT, ""),
        (node(said=None, labels=READY), State.NO_AGENT, ""),
        (node(said=None, labels=READY, annotations=BY_NFD), State.READY, ""),
        (node(said=None, labels={}, annotations=BY_NFD), State.NOT_READY, ""),
    ],
)
def test_a_node_is_what_its_agent_last_said(raw: dict[str, Any], state: State, root: str) -> None:
    found = seen(raw)
    assert (found.state, found.root) == (state, root)


@pytest.mark.parametrize(("late_s", "state"), [(1080, State.READY), (1081, State.STALE)])
def test_three_missed_heartbeats_make_it_stale(late_s: int, state: State) -> None:
    found = standing(node(labels=READY), PREFIX)
    assert found.beat is not None
    assert aged(found, Clock(found.beat + late_s, 1080.0)).state is state


def test_it_reads_the_keys_that_the_agent_writes() -> None:
    assert words.report_key(PREFIX) == f"{PREFIX}report"
    assert words.condition_type(PREFIX) == f"{PREFIX}ConfidentialReady"
    assert words.last_switch_key(PREFIX) == f"{PREFIX}last-switch"
    assert {f"{PREFIX}{name}" for name in ("ready", "profile", "simulated")} <= words.names(PREFIX)
    assert {f"{PREFIX}{n}" for n in ("gpu.cc-mode", "gpu.chip", "gpu.count")} <= words.names(PREFIX)


def test_another_prefix_is_another_agent() -> None:
    assert standing(node(labels=READY), "example.com/").state is State.NO_AGENT


@pytest.mark.parametrize(
    ("name", "state"),
    [("gpu-7", "ready"), ("gpu-10", "ready"), ("cpu-1", "no agent"), ("gpu-2", "not ready")],
)
def test_json_tells_each_node(name: str, state: str) -> None:
    told = {each["name"]: each["state"] for each in document(_fleet())["nodes"]}
    assert told[name] == state


def _fleet() -> list[Standing]:
    gpu = {f"{PREFIX}gpu.chip": "H100", f"{PREFIX}gpu.count": "8", f"{PREFIX}gpu.cc-mode": "on"}
    tcb = {f"{PREFIX}tcb.snp": "23"}
    done = {
        f"{PREFIX}last-switch": json.dumps(
            {
                "version": 1,
                "from": "off",
                "to": "on",
                "asked_by": "kubectl-label",
                "result": "done",
                "started": "2027-01-15T04:58:00Z",
                "seconds": 120,
            }
        )
    }
    off = {f"{PREFIX}gpu.chip": "H100", f"{PREFIX}gpu.count": "8", f"{PREFIX}gpu.cc-mode": "off"}
    wants = {"nvidia.com/cc.mode": "on"}
    nodes = [
        node("gpu-10", labels=READY | gpu | tcb, annotations=done),
        node("gpu-7", labels=READY | gpu | {f"{PREFIX}tcb.snp": "22"}),
        node("gpu-3", BROKEN, report=BROKEN_REPORT, labels=gpu | tcb),
        node("gpu-2", BROKEN, report=BROKEN_REPORT),
        node("gpu-4", ("False", "BiosSmeeOff", "SMEE is off")),
        node("gpu-5", SWITCHING, labels=off | wants),
        node("gpu-6", beat=OLD),
        node("cpu-1", None),
    ]
    return ordered(map(seen, nodes))


def test_what_concerns_the_most_nodes_comes_first_and_ready_ones_last() -> None:
    names = [each.name for each in _fleet()]
    assert names == ["gpu-2", "gpu-3", "gpu-4", "gpu-6", "cpu-1", "gpu-5", "gpu-7", "gpu-10"]


TABLE = """\
2 of 8 nodes are ready; 3 not ready, 1 stale, 1 no agent, 1 switching
fix first: IOMMU_PASSTHROUGH_OR_OFF on 2 nodes: remove iommu=pt
TCB: 23 on 2, 22 on 1
GPUs: H100 on 4

NODE    VERDICT    FIRST TO FIX              MODE       LAST SWITCH  TCB  GPUS
gpu-2   not ready  IOMMU_PASSTHROUGH_OR_OFF
gpu-3   not ready  IOMMU_PASSTHROUGH_OR_OFF  on                      23   8×H100
gpu-4   not ready  BiosSmeeOff
gpu-6   stale      last heartbeat 3h ago
cpu-1   no agent
gpu-5   switching  to on: waits until vfio…  off to on                    8×H100
gpu-7   ready                                on                      22   8×H100
gpu-10  ready                                on         done 3h ago  23   8×H100"""


def test_the_table_leads_with_what_to_fix() -> None:
    assert text(_fleet(), CLOCK) == TABLE


def test_no_line_is_wider_than_the_terminal() -> None:
    long = [
        seen(
            node("n" * 60, ("False", "X" * 60, "m" * 900), labels={"nvidia.com/cc.mode": "y" * 63})
        )
    ]
    assert max(map(len, text(long, CLOCK).split("\n"))) <= 80


@pytest.mark.parametrize(
    ("nodes", "ready"),
    [
        ([node(labels=READY)], True),
        ([node(labels=READY), node("b", None)], False),
        ([node(labels=READY), node("b", labels=READY, beat=OLD)], False),
        ([], False),
    ],
)
def test_a_fleet_is_ready_when_every_node_is(nodes: list[dict[str, Any]], ready: bool) -> None:
    assert is_ready([seen(each) for each in nodes]) is ready


def test_a_change_is_one_line_and_a_heartbeat_is_none() -> None:
    before = _named(node("a"), node("b"), node("c", None), node("d", SWITCHING))
    later = (*SWITCHING[:2], "to on: switches the devices")
    after = _named(
        node("a", labels=READY), node("b", beat="2027-01-15T07:59:00Z"), node("d", later)
    )

    assert changes(before, before) == []
    assert changes(before, after) == [
        "a: ready (was not ready)",
        "c: not there (was no agent)",
        f"d: switching, {later[2]} (was switching, {SWITCHING[2]})",
    ]


def _named(*nodes: dict[str, Any]) -> dict[str, Standing]:
    return {each.name: each for each in map(seen, nodes)}


ODD: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(ODD, ODD, ODD, ODD)
def test_odd_nodes_are_shown_all_the_same(one: Any, two: Any, three: Any, four: Any) -> None:  # noqa: ANN401
    kind = f"{PREFIX}ConfidentialReady"
    raw = {
        "metadata": {
            "name": "a",
            "labels": {f"{PREFIX}ready": one, "nvidia.com/cc.mode": two},
            "annotations": {
                f"{PREFIX}report": json.dumps(three),
                f"{PREFIX}last-switch": json.dumps({"version": 1, "started": one, "seconds": four}),
            },
        },
        "status": {"conditions": [one, {"type": kind, "lastHeartbeatTime": two, "reason": three}]},
    }
    found = [seen(raw), seen({"metadata": one, "status": two})]
    assert "2 nodes are ready" in text(ordered(found), CLOCK)
    assert json.dumps(document(found))


@pytest.mark.parametrize(
    "seconds", ["-1", "1e999", "-1e999", "NaN", "9" * 400, "true", '"7"', "null"]
)
def test_an_odd_length_of_a_switch_is_left_out(seconds: str) -> None:
    told = f'{{"version":1,"result":"done","started":"{OLD}","seconds":{seconds}}}'
    found = seen(node(labels=READY, annotations={f"{PREFIX}last-switch": told}))
    assert found.last_switch is not None
    assert found.last_switch.seconds is None
    assert "done 3h ago" in text([found], CLOCK)


@pytest.mark.parametrize(
    ("words", "said", "hint"),
    [
        ("fleet --watch -o json", "--watch shows the table and its changes", "leave out -o"),
        ("fleet --every 5", "--every is of --watch", "give both"),
        ("fleet --kubeconfig /nowhere/at-all", "cannot use the kubeconfig", "it must be there"),
        ("fleet --config /nowhere/at-all", "there is no configuration file", ""),
        ("withdraw --yes", "which nodes?", "give --node NAME, or --all"),
        ("withdraw --yes --all --node a", "which nodes?", "give --node NAME, or --all"),
        ("withdraw --all", "nobody is there to say yes", "add --yes"),
    ],
)
def test_bad_words_are_one_line_and_a_way_out(
    words: str, said: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(*words.split())

    told = capsys.readouterr()
    assert code == (3 if "kubeconfig" in words else 2)
    assert said in told.err
    assert hint in told.err
    assert told.out == ""
