"""k3s and RKE2: which kubelet-arg counts, and that the token beside it goes nowhere."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.capture.archive import open_capture
from nodeagent.facts import documents
from nodeagent.facts.look import look
from nodeagent.model import rancher
from nodeagent.model.findings import Finding
from nodeagent.model.words import Verdict
from tests.hosts import kubernetes as kube
from tests.hosts.base import genoa_ready
from tests.hosts.draft import Delta, Draft
from tests.unit.captures import captured_host, replayed, written
from tests.unit.looks import drafted, judged, thorough

GATE = "feature-gates=RuntimeClassInImageCriApi=true"
SLOW = "runtime-request-timeout=20m"
TOKENED = [
    "genoa-k3s-config",
    "genoa-k3s-replaced",
    "genoa-k3s-unit",
    "genoa-k3s-flag-overrides",
    "genoa-rke2-stopped",
]


def _host(folder: Path, *deltas: Delta) -> Path:
    draft = genoa_ready()
    for delta in (kube.k3s_unprepared, *deltas):
        delta(draft)
    return drafted(draft, folder / "host")


def _settings(host: Path) -> Finding:
    return next(each for each in judged(host).findings if each.check == "runtime.settings")


def _files(**texts: str) -> Delta:
    """config.yaml under that name, drop-ins under theirs."""

    def delta(draft: Draft) -> None:
        for name, text in texts.items():
            path = kube.RANCHER if name == "config" else f"{kube.RANCHER}.d/{name}.yaml"
            draft.put(path, text)

    return delta


@pytest.mark.parametrize(
    ("files", "verdict"),
    [
        ({"config": f"kubelet-arg:\n- {GATE}\n- {SLOW}\n"}, Verdict.PASS),
        ({"config": f'"kubelet-arg": ["{GATE}", "{SLOW}"]\n'}, Verdict.PASS),
        ({"config": f"kubelet-arg:\n  - --{GATE}\n  - {SLOW}\n"}, Verdict.PASS),
        ({"config": f"kubelet-arg:\n- feature-gates+=A=true\n- {GATE}\n- {SLOW}\n"}, Verdict.PASS),
        ({"config": f"kubelet-arg+: {GATE}\n", "a": f"kubelet-arg+: {SLOW}\n"}, Verdict.PASS),
        ({"config": f"kubelet-arg: {GATE}\n", "a": f"kubelet-arg: {SLOW}\n"}, Verdict.FAIL),
        ({"b": f"kubelet-arg: {GATE}\n", "c": f"kubelet-arg+: [{SLOW}]\n"}, Verdict.PASS),
        ({"config": f"kubelet-arg: [{GATE}, {SLOW}]\n", "a": "kubelet-arg:\n"}, Verdict.FAIL),
        ({"config": "debug: true\n"}, Verdict.FAIL),
        ({"config": ""}, Verdict.FAIL),
        # What cannot be cut down, or is no list of words, proves nothing.
        ({"config": f"{{kubelet-arg: [{GATE}, {SLOW}], token: x}}\n"}, Verdict.UNKNOWN),
        ({"config": f"  kubelet-arg: [{GATE}, {SLOW}]\n"}, Verdict.UNKNOWN),
        ({"config": "a: &all [x]\nkubelet-arg: *all\n"}, Verdict.UNKNOWN),
        ({"config": "kubelet-arg:\n- a: b\n"}, Verdict.UNKNOWN),
        ({"config": "kubelet-arg: [feature-gates=A=maybe]\n"}, Verdict.UNKNOWN),
        ({"config": "x: y\n" * (rancher.LIMIT // 5)}, Verdict.FAIL),
        ({"config": "x: y\n" * (rancher.LIMIT // 5 + 1)}, Verdict.UNKNOWN),
    ],
)
def test_files_merge_as_k3s_merges_them(
    files: dict[str, str], verdict: Verdict, tmp_path: Path
) -> None:
    assert _settings(_host(tmp_path, _files(**files))).verdict is verdict


def _words(*words: str) -> Delta:
    return lambda draft: kube.run(draft, kube.KUBELET_PID, "k3s-server", *words)


_BOTH = ("--kubelet-arg", GATE, f"--kubelet-arg={SLOW}")


@pytest.mark.parametrize(
    ("deltas", "verdict"),
    [
        ((kube.start_k3s(f"--kubelet-arg={GATE}", f"--kubelet-arg={SLOW}"),), Verdict.PASS),
        ((_words("k3s", "server", *_BOTH),), Verdict.PASS),
        # The process' own words count more than the unit, which may have been changed since.
        ((kube.start_k3s(*_BOTH), _words("k3s", "server", "--debug", "--disable=x")), Verdict.FAIL),
        ((kube.start_k3s("--config=/srv/k3s.yaml"),), Verdict.UNKNOWN),
        ((kube.start_k3s("-c", kube.RANCHER, *_BOTH),), Verdict.PASS),
        # The manual and the code say different things about a list in both places.
        ((kube.start_k3s(*_BOTH), _files(config="kubelet-arg: v=2\n")), Verdict.PASS),
        ((kube.start_k3s(_BOTH[2]), _files(config=f"kubelet-arg: {GATE}\n")), Verdict.UNKNOWN),
        ((kube.start_k3s("'open"),), Verdict.UNKNOWN),
        # An agent's unit may lie beside a server's, and says nothing of it.
        ((kube.start_k3s(*_BOTH, unit="/etc/systemd/system/k3s-agent.service"),), Verdict.FAIL),
    ],
)
def test_the_command_line_counts_where_it_is_seen(
    deltas: tuple[Delta, ...], verdict: Verdict, tmp_path: Path
) -> None:
    assert _settings(_host(tmp_path, *deltas)).verdict is verdict


def test_a_configuration_elsewhere_by_the_units_environment_is_not_looked_at(
    tmp_path: Path,
) -> None:
    def delta(draft: Draft) -> None:
        text = "[Service]\nEnvironment=A=b K3S_CONFIG_FILE=/srv/k3s.yaml\n"
        draft.put(f"{kube.K3S_UNIT}.d/10-site.conf", text)

    found = _settings(_host(tmp_path, delta))

    assert found.outcome.where == "/srv/k3s.yaml"
    assert found.verdict is Verdict.UNKNOWN


def test_flags_that_are_not_seen_may_overrule_what_stands_in_a_drop_in(tmp_path: Path) -> None:
    """The drop-in says no, and the file that could say yes is hidden: that is no fail."""

    def delta(draft: Draft) -> None:
        folder = "/var/lib/rancher/k3s/agent/etc/kubelet.conf.d"
        draft.put(f"{folder}/60.conf", "featureGates: {RuntimeClassInImageCriApi: false}")
        draft.denied[kube.RANCHER] = "EACCES"
        draft.put(kube.RANCHER, "")

    assert _settings(_host(tmp_path, delta)).verdict is Verdict.UNKNOWN


# The token.


@pytest.mark.parametrize("name", TOKENED)
def test_the_token_is_neither_kept_nor_captured(name: str, hosts: Path, tmp_path: Path) -> None:
    planted = b"".join(path.read_bytes() for path in (hosts / name).rglob("*") if path.is_file())
    assert kube.TOKEN.encode() in planted, "nothing was planted"

    with open_capture(str(hosts / name)) as machine:
        assert kube.TOKEN not in repr(look(machine))
    out = written(captured_host(hosts / name), tmp_path / "out")
    for path in out.rglob("*"):
        if path.is_file() and not path.is_symlink():
            text = path.read_bytes()
            assert b"planted" not in text, path
            assert b"K3S_TOKEN" not in text, path
            assert b"node-label" not in text, path


def test_nor_is_one_that_still_stands_among_the_arguments(tmp_path: Path) -> None:
    host = _host(tmp_path, _words("k3s", "server", "--token", kube.TOKEN, *_BOTH))

    found = captured_host(host)
    out = written(found, tmp_path / "out")

    cmdline = out / f"root/proc/{kube.KUBELET_PID}/cmdline"
    assert cmdline.read_bytes().split(b"\0")[:2] == [b"k3s", b"server"]
    assert kube.TOKEN.encode() not in cmdline.read_bytes()
    assert replayed(found).runtime == found.facts.runtime


@pytest.mark.parametrize(
    "text",
    [
        "kubelet-arg:\n- a\n token: secret\n",
        "kubelet-arg:\n- a\n  token: secret\n",
        " token: secret\nkubelet-arg: a\n",
        "kubelet-arg: a\n# token: secret\n",
        "kubelet-arg: a\n  # token: secret\n",
        "token: |\n  secret\nkubelet-arg: a\n",
        "token: >\n\n  secret\n",
        "token:\n- secret\n",
        "? token\n: secret\n",
        "{token: secret, kubelet-arg: a}\n",
        "%YAML 1.2\n---\ntoken: secret\n",
        "kubelet-arg: a\n---\ntoken: secret\n",
        "--- {token: secret}\n",
        "'token': secret\n",
        "<<: *x\ntoken: secret\n",
        "\ufefftoken: secret\nkubelet-arg: a\n",
        "\ttoken: secret\n",
        "kubelet-arg-token: secret\n",
    ],
)
def test_no_way_to_write_a_token_takes_it_along(text: str) -> None:
    part = rancher.config_excerpt(text.encode())

    assert b"secret" not in part
    assert rancher.config_excerpt(part) in {part, rancher.NOT_PLAIN}
    assert part == rancher.NOT_PLAIN or b"token" not in part


@pytest.mark.parametrize(
    "text",
    [
        "[Service]\nExecStart=/bin/k3s server --token secret --kubelet-arg=a=b -c /x\n",
        "[Service]\nEnvironment=K3S_TOKEN=secret\nEnvironment='K3S_CONFIG_FILE=/x'\n",
        "[Service]\nExecStart=/bin/k3s server --token='secret\n",
        "[Service]\nExecStart=/bin/k3s secret\n# secret\n[Install]\nExecStart=secret\n",
        "[Service]\nExecStartPre=/bin/sh -c 'secret'\nExecStart=\nExecStart=/bin/k3s agent \\\n\n",
    ],
)
def test_of_a_unit_no_more_is_taken_than_the_kubelet_gets(text: str) -> None:
    part = rancher.unit_excerpt(text)

    assert "secret" not in part
    assert rancher.unit_excerpt(part) == part


_LINES = (
    *("kubelet-arg:", "- |", "kubelet-arg+:", "kubelet-arg: a=b", "'kubelet-arg': [a, 'b']", "- a"),
    *("  - c=d", "token: hidden", "token:", "- x", "  - x", "  x", "token: |", "]", "- k: v", "{}"),
    *("  inner: hidden", "token: >-", "'token': hidden", "# hidden", "  # hidden", "---", "..."),
    *("kubelet-arg: [", "  a,", "  b]", "token: [", "debug: true", "", "  ", "- - a", ": hidden"),
    *('token: "hidden', '  x"', "? kubelet-arg", "kubelet-arg: |", "&a x: hidden", "<<: hidden"),
)


@thorough
@given(lines=st.lists(st.sampled_from(_LINES), max_size=7))
def test_what_is_left_of_a_file_means_what_it_meant_and_holds_no_token(lines: list[str]) -> None:
    raw = "\n".join(lines).encode()
    part = rancher.config_excerpt(raw)
    try:
        whole = documents.table(documents.yaml(raw))
    except ValueError:
        return  # k3s does not start with it either
    assert b"hidden" not in part
    if part != rancher.NOT_PLAIN:
        kept = documents.table(documents.yaml(part))
        assert kept == {key: whole[key] for key in whole if key.startswith("kubelet-arg")}
