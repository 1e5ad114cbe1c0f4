"""The gate: when a probe pod is made, what its end means, and what ready waits for."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from nodeagent.agent.duty import Cluster
from nodeagent.agent.probing import Probing, Terms, read, written
from nodeagent.checks.probe import gated
from nodeagent.config import checked, parse
from nodeagent.errors import ClusterError, UsageError
from nodeagent.kube.client import Api
from nodeagent.kube.node import NodeView, view
from nodeagent.kube.nodes import NodeClient
from nodeagent.kube.probes import ProbePods, body, manifest, name_of
from nodeagent.labels import COMPAT_MODE, COMPAT_READY, PREFIX, desired
from nodeagent.model.codes import Code
from nodeagent.model.findings import Judgement
from nodeagent.model.probe import FAILED, LATE, PASSED, Gate, Probe, ProbePod
from nodeagent.model.words import Ready
from nodeagent.plan.probe import End, Moment, Remove, Start, Step, next_step, result
from tests.unit.looks import judged

NOW = 1_000_000.0
GATE = Gate("/x", deadline_s=600, valid_s=3600, again_s=300)
RUNS = ProbePod("u", NOW - 10)
DONE = RUNS._replace(ended=True)
BROKEN = RUNS._replace(ended=False, why="exit code 1")
REFUSED = RUNS._replace(ended=False, why="OutOfpods", is_refused=True)


def _last(**change: Any) -> Probe:  # noqa: ANN401
    return Probe("b1", "on")._replace(**change)


BEGUN = _last(began=NOW - 100)


def _moment(last: Probe | None = None, pod: ProbePod | None = None, **change: Any) -> Moment:  # noqa: ANN401
    fit = Moment(NOW, "b1", "on", True, False, 0.0, last, pod)
    return fit._replace(**change)


def _kind(step: Step | None) -> str:
    return f"{step.note.result} ended" if isinstance(step, End) else type(step).__name__.lower()


@pytest.mark.parametrize(
    ("moment", "does"),
    [
        (_moment(), "start"),
        (_moment(is_fit=False), "nonetype"),
        (_moment(is_busy=True), "nonetype"),
        (_moment(BEGUN), "start"),  # noted, and died before there was a pod
        (_moment(BEGUN, RUNS), "nonetype"),
        (_moment(BEGUN, RUNS, is_fit=False), "nonetype"),  # it may be why
        (_moment(BEGUN, RUNS, is_busy=True), "remove"),
        (_moment(BEGUN, RUNS._replace(is_leaving=True), is_busy=True), "nonetype"),
        (_moment(BEGUN, DONE), "passed ended"),
        (_moment(BEGUN, BROKEN), "failed ended"),
        (_moment(BEGUN, REFUSED), "nonetype"),
        (_moment(BEGUN, REFUSED._replace(created=NOW - 60)), "remove"),
        (_moment(_last(began=NOW - 600), REFUSED), "late ended"),
        (_moment(_last(began=NOW - 600), RUNS), "late ended"),
        (_moment(_last(began=NOW - 600), None), "late ended"),
        (_moment(_last(began=NOW + 600), RUNS), "late ended"),  # a clock was set back
        (_moment(_last(result=PASSED, at=NOW - 5)), "nonetype"),
        (_moment(_last(result=PASSED, at=NOW - 5), RUNS), "remove"),  # died before it could
        (_moment(_last(result=PASSED, at=NOW - 3000)), "start"),
        (_moment(_last(result=FAILED, at=NOW - 5)), "nonetype"),
        (_moment(_last(result=FAILED, at=NOW - 301)), "start"),
        (_moment(_last(result=LATE, at=NOW - 301)), "start"),
        (_moment(_last(result=PASSED, at=NOW - 5), boot_id="b2"), "start"),
        (_moment(_last(result=PASSED, at=NOW - 5), mode="ppcie"), "start"),
        (_moment(_last(result=PASSED, at=NOW - 5), mode=""), "nonetype"),
        (_moment(_last(result=PASSED, at=NOW - 5), switched=NOW - 1), "start"),
        (_moment(BEGUN, RUNS, switched=NOW - 1), "remove"),
        (_moment(BEGUN, RUNS, boot_id="b2"), "remove"),
    ],
)
def test_what_is_done_next(moment: Moment, does: str) -> None:
    assert _kind(next_step(moment, GATE)) == does


@pytest.mark.parametrize(
    ("moment", "counts"),
    [
        (_moment(), ""),
        (_moment(BEGUN), ""),
        (_moment(_last(result=PASSED, at=NOW - 3599)), PASSED),
        (_moment(_last(result=PASSED, at=NOW - 3600)), ""),
        (_moment(_last(result=PASSED, at=NOW + 3600)), ""),
        (_moment(_last(result=PASSED, at=NOW - 3000, began=NOW - 1)), PASSED),
        (_moment(_last(result=FAILED, at=NOW - 3000, began=NOW - 1)), FAILED),
        (_moment(_last(result=PASSED, at=NOW - 5), boot_id="b2"), ""),
        (_moment(_last(result=PASSED, at=NOW - 5), mode="ppcie"), ""),
        (_moment(_last(result=PASSED, at=NOW - 5), switched=NOW), ""),
        (_moment(_last(result=LATE, at=NOW - 5)), LATE),
    ],
)
def test_what_counts(moment: Moment, counts: str) -> None:
    assert result(moment, GATE) == counts


def test_without_a_term_a_pass_counts_while_boot_and_mode_last() -> None:
    for_ever = GATE._replace(valid_s=0)
    moment = _moment(_last(result=PASSED, at=NOW - 1e6))

    assert result(moment, for_ever) == PASSED
    assert next_step(moment, for_ever) is None


def test_a_renewal_keeps_what_passed_until_it_ends() -> None:
    step = next_step(_moment(_last(result=PASSED, at=NOW - 3000)), GATE)
    assert isinstance(step, Start)
    assert result(_moment(step.note), GATE) == PASSED

    ended = next_step(_moment(step.note, BROKEN), GATE)
    assert isinstance(ended, End)
    assert result(_moment(ended.note), GATE) == FAILED
    assert ended.note.why == "exit code 1"


def test_exactly_the_pod_that_was_seen_is_taken_away() -> None:
    assert next_step(_moment(BEGUN, RUNS, is_busy=True), GATE) == Remove("u")


@pytest.mark.parametrize(
    "note",
    [BEGUN, _last(result=FAILED, at=NOW, why='a "quoted" Grüße'), _last(result=PASSED, at=1.0)],
)
def test_what_is_written_is_read_back(note: Probe) -> None:
    assert read(written(note)) == note


@pytest.mark.parametrize(
    "text",
    ["", "x", "[]", '{"version":2}', '{"version":1,"result":"passed"}', "[" * 100_000],
    ids=range(6),
)
def test_what_we_did_not_write_counts_for_nothing(text: str) -> None:
    assert read(text) is None


# What is judged by it.


def _ready(hosts: Path) -> Judgement:
    return judged(hosts / "genoa-ready")


@pytest.mark.parametrize(
    ("how", "code"),
    [("", Code.PROBE_PENDING), (FAILED, Code.PROBE_FAILED), (LATE, Code.PROBE_LATE)],
)
def test_what_is_ready_otherwise_waits_for_it(hosts: Path, how: str, code: Code) -> None:
    found = gated(_ready(hosts), how, "exit code 1")

    assert found.ready is Ready.NO
    assert found.root
    assert (found.root.code, found.todo) == (code, (found.root,))
    assert "exit code 1" in found.root.outcome.seen


def test_with_a_pass_nothing_else_changes(hosts: Path) -> None:
    before = _ready(hosts)
    after = gated(before, PASSED, "")

    assert (after.ready, after.root, after.levels) == (Ready.YES, None, before.levels)


def test_what_is_not_ready_otherwise_keeps_its_root(hosts: Path) -> None:
    before = judged(hosts / "genoa-gpu-off")
    after = gated(before, FAILED, "")

    assert (after.ready, after.root, after.todo) == (before.ready, before.root, before.todo)


@pytest.mark.parametrize(("how", "is_ready"), [(PASSED, True), ("", False), (FAILED, False)])
def test_katas_classes_wait_for_it_too(hosts: Path, how: str, is_ready: bool) -> None:
    found = gated(_ready(hosts), how, "")
    shown = desired(
        found, simulated=False, publish_simulated=False, boot_id="b1", is_authority=True
    )

    assert (shown.labels.get(COMPAT_READY) == "true") == is_ready
    assert (shown.labels.get(f"{PREFIX}ready") == "true") == is_ready
    assert not {COMPAT_READY, f"{PREFIX}ready"} & shown.unsure
    assert shown.labels[COMPAT_MODE] == "on"


# What it goes by of a Node.

SWITCHED = {"version": 1, "started": "2026-11-25T12:00:00Z", "seconds": 5, "result": "done"}
AT = datetime(2026, 11, 25, 13, 0, 0, 700_000, tzinfo=UTC)
NOTE = Probe("b1", "on", None, PASSED, AT.timestamp() - 600)


class Away:
    """No server is asked to judge."""

    def ask(self, name: str) -> NodeView | None:
        raise ClusterError(name)

    def wrote(self, view: NodeView) -> NodeView:
        raise ClusterError(view.name)


def _probing() -> Probing:
    api = Api(None)
    client = NodeClient(api, condition_type="x")
    cluster = Cluster("n", Away(), client, lambda _said: None, "b1")
    return Probing(Terms(GATE, {}, PREFIX), cluster, ProbePods(api, "ns"), now=lambda: AT)


def _node(note: Probe = NOTE, /, **annotations: str) -> NodeView:
    told = {f"{PREFIX}{name}": text for name, text in annotations.items()}
    told[f"{PREFIX}probe"] = written(note)
    return view({"metadata": {"name": "n", "uid": "u", "annotations": told}}, "x")


def test_a_pass_of_this_boot_and_mode_counts_after_a_restart(hosts: Path) -> None:
    assert _probing().judged(_ready(hosts), _node(), is_busy=False).ready is Ready.YES


@pytest.mark.parametrize(
    ("seconds", "ready"), [(5, Ready.YES), (3000, Ready.YES), (3001, Ready.NO), (3500, Ready.NO)]
)
def test_a_pass_counts_from_the_end_of_the_last_switch(
    hosts: Path, seconds: int, ready: Ready
) -> None:
    node = _node(**{"last-switch": json.dumps({**SWITCHED, "seconds": seconds})})

    assert _probing().judged(_ready(hosts), node, is_busy=False).ready is ready


def test_a_switch_that_is_noted_has_not_ended_yet(hosts: Path) -> None:
    """Its last steps come after the labels: what passed before it would count until then."""
    found = _probing().judged(_ready(hosts), _node(switch="{}"), is_busy=True)

    assert found.ready is Ready.NO


def test_a_mode_that_was_another_in_between_takes_the_pass_away(hosts: Path) -> None:
    probing, ready = _probing(), _ready(hosts)
    other = replace(ready, values=ready.values._replace(cc_mode="ppcie"))
    probing.judged(other, _node(), is_busy=False)

    assert probing.judged(ready, _node(), is_busy=False).ready is Ready.NO


def test_what_begins_in_the_second_of_a_drift_counts(hosts: Path) -> None:
    probing, ready = _probing(), _ready(hosts)
    other = replace(ready, values=ready.values._replace(cc_mode="ppcie"))
    probing.judged(other, _node(), is_busy=False)
    after = NOTE._replace(mode="ppcie", at=AT.timestamp())

    assert probing.judged(other, _node(after), is_busy=False).ready is Ready.YES


def test_while_the_server_is_away_what_was_known_counts(hosts: Path) -> None:
    probing, ready = _probing(), _ready(hosts)
    assert probing.judged(ready, None, is_busy=False).ready is Ready.NO

    probing.judged(ready, _node(), is_busy=False)
    assert probing.judged(ready, None, is_busy=False).ready is Ready.YES


# The pod.

POD = """
kind: Pod
metadata:
  name: mine
  namespace: kube-system
  finalizers: [example.com/never]
  labels: {app: probe}
spec:
  nodeName: another
  restartPolicy: Always
  serviceAccountName: nodeagent-manage
  runtimeClassName: probe
  containers: [{name: c, image: example.com/attest}]
"""


def test_the_sites_pod_is_bound_to_the_node_and_gets_no_more_than_it_needs(tmp_path: Path) -> None:
    file = tmp_path / "pod.yaml"
    file.write_text(POD)
    made = body(manifest(str(file)), "probe-n-b1", "n", {"own/probe": "true"}, deadline_s=90.5)

    labels = {"app": "probe", "own/probe": "true"}
    assert made["metadata"] == {"name": "probe-n-b1", "labels": labels}
    assert made["spec"] == {
        "nodeName": "n",
        "restartPolicy": "Never",
        "serviceAccountName": "default",
        "automountServiceAccountToken": False,
        "activeDeadlineSeconds": 90,
        "tolerations": [{"operator": "Exists"}],
        "runtimeClassName": "probe",
        "containers": [{"name": "c", "image": "example.com/attest"}],
    }


def test_a_pods_name_is_of_its_node_and_boot_and_not_too_long() -> None:
    assert name_of("gpu-1.example.com", "0123456789ab") == "probe-gpu-1.example.com-01234567"
    assert len(name_of("n" * 253, "0123456789ab")) <= 253


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "kind: Secret",
        "kind: Pod",
        "kind: Pod\nspec: {containers: 1}",
        "a: [",
        "a\n---\nb",
    ],
)
def test_a_file_that_is_no_pod_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "pod.yaml"
    file.write_text(text)
    with pytest.raises(UsageError, match=r"probe's manifest .*pod\.yaml"):
        manifest(str(file))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        manifest(str(tmp_path / "none.yaml"))


# The setting.


def test_a_gate_is_read_with_its_defaults() -> None:
    found = parse(b"gate:\n  pod: /etc/probe.yaml\n  valid_s: 86400\n", "c.yaml")

    assert found.gate == Gate("/etc/probe.yaml", 600.0, 86400.0, 600.0)
    assert parse(b"", "c.yaml").gate is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gate: yes", "c.yaml:1: must be keys"),
        ("gate:\n  deadline_s: 5", "c.yaml:2: gate: pod is missing"),
        ("gate:\n  pod: /x\n  deadline: 5", "c.yaml:3: unknown key 'deadline'"),
        ("gate:\n  pod: /x\n  deadline_s: 0", "c.yaml:3: gate: deadline_s must be"),
        ("gate:\n  pod: ''", "c.yaml:2: gate: pod must be"),
    ],
)
def test_a_slip_in_the_gate_is_named_with_its_line(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text.encode(), "c.yaml")
    assert said in str(caught.value)


def test_a_gate_needs_an_api_server() -> None:
    config = parse(b"gate: {pod: /x}\nannounce: false\nsink: features.d", "c.yaml")
    with pytest.raises(UsageError, match="gate needs an API server"):
        checked(config)
