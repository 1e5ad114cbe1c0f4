"""CRI-O in the place of containerd; versions that only RPM knows, or Kata's own list."""

from pathlib import Path

import pytest

from nodeagent.capture.archive import open_capture
from nodeagent.checks.judge import judge
from nodeagent.facts.look import look
from nodeagent.model.findings import Finding, Judgement
from nodeagent.model.policy import Policy
from nodeagent.model.words import Profile, Verdict
from tests.hosts import kubernetes as kube
from tests.hosts.base import genoa_ready
from tests.hosts.draft import Delta, Draft
from tests.unit.looks import Veiled, drafted, judged

GIB = 1 << 30


def _named(judgement: Judgement, check: str) -> Finding:
    return next(each for each in judgement.findings if each.check == check)


def _judge(host: Path, *, guest_bytes: int | None = None, hidden: str = "") -> Judgement:
    with open_capture(str(host)) as machine:
        veiled = Veiled(machine, hidden=lambda path: bool(hidden) and path.startswith(hidden))
        facts = look(veiled)
    policy = Policy(guest_bytes=guest_bytes)
    return judge(facts, profile=Profile.SNP_GPU, want=None, policy=policy)


def _host(folder: Path, *deltas: Delta) -> Path:
    draft = genoa_ready()
    for delta in deltas:
        delta(draft)
    return drafted(draft, folder / "host")


def _put(path: str, text: str) -> Delta:
    return lambda draft: draft.put(path, text)


_LATER = "/etc/crio/crio.conf.d/99-site.conf"


@pytest.mark.parametrize(
    ("deltas", "verdict"),
    [
        ((), Verdict.PASS),
        ((kube.without(kube.CRIO_KATA),), Verdict.FAIL),
        # A later file replaces a handler as a whole, and one that is broken may have another.
        ((_put(_LATER, f"[crio.runtime.runtimes.{kube.HANDLER}]\n"),), Verdict.PASS),
        ((_put(_LATER, f'[crio.runtime.runtimes.{kube.HANDLER}]\nruntime_config_path = "/no"'),),
         Verdict.FAIL),
        ((kube.without(kube.CRIO_KATA), _put(_LATER, "[crio")), Verdict.UNKNOWN),
        ((kube.without(kube.CRIO_KATA), _put("/etc/crio/crio.conf", "x = ")), Verdict.UNKNOWN),
        # The running one was given another folder.
        ((lambda draft: kube.run(draft, kube.CONTAINERD_PID, "crio", "crio", "-d", "/srv"),
          _put("/srv/a", "")), Verdict.FAIL),
        ((lambda draft: kube.run(draft, kube.CONTAINERD_PID, "crio", "crio", "--config-dir=/srv"),
          _put("/srv/a", f"[crio.runtime.runtimes.{kube.HANDLER}]")), Verdict.PASS),
    ],
)  # fmt: skip
def test_handlers_of_crio_are_read_from_its_files(
    deltas: tuple[Delta, ...], verdict: Verdict, tmp_path: Path
) -> None:
    judgement = judged(_host(tmp_path, kube.crio, *deltas))

    assert _named(judgement, "runtime.handler").verdict is verdict
    checks = {each.check for each in judgement.findings}
    assert not checks & {"runtime.containerd", "runtime.snapshotter"}


def _endpoint(name: str) -> Delta:
    flags = (f"--container-runtime-endpoint=unix:///run/{name}/{name}.sock",)
    return lambda draft: kube.run(draft, kube.KUBELET_PID, "kubelet", "kubelet", *flags)


def _both(draft: Draft) -> None:
    """containerd with all it needs runs, and CRI-O is installed beside it, without a handler."""
    draft.put("/etc/crio/crio.conf", "")


@pytest.mark.parametrize(
    ("deltas", "verdict"),
    [
        ((_both,), Verdict.PASS),
        ((_both, _endpoint("containerd")), Verdict.PASS),
        ((_both, _endpoint("crio")), Verdict.FAIL),
        ((_both, lambda draft: kube.end(draft, kube.CONTAINERD_PID)), Verdict.FAIL),
    ],
)
def test_the_kubelet_tells_which_runtime_counts(
    deltas: tuple[Delta, ...], verdict: Verdict, tmp_path: Path
) -> None:
    assert _named(judged(_host(tmp_path, kube.node, *deltas)), "runtime.handler").verdict is verdict


def test_crio_that_is_hidden_is_not_blamed(hosts: Path) -> None:
    for hidden in ("/etc/crio", f"/proc/{kube.CONTAINERD_PID}"):
        judgement = _judge(hosts / "genoa-crio-no-handler", hidden=hidden)
        assert _named(judgement, "runtime.handler").verdict is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("locked", "verdict"), [("unlimited", Verdict.PASS), ("8388608", Verdict.FAIL)]
)
def test_locked_memory_of_crio_counts(locked: str, verdict: Verdict, tmp_path: Path) -> None:
    judgement = _judge(_host(tmp_path, kube.crio, kube.lock(locked)), guest_bytes=GIB)

    found = _named(judgement, "runtime.limits")
    assert found.verdict is verdict
    assert found.outcome.seen.startswith("CRI-O may lock")


def test_versions_by_rpm_are_said_to_be_unread(hosts: Path) -> None:
    found = _named(judged(hosts / "genoa-rhel-kubelet"), "runtime.kubelet")

    assert found.verdict is Verdict.SKIP
    assert found.outcome.seen.endswith("its version is not known: RPM's database is not read")


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("assets: {hypervisor: {qemu: {version: v9.1.0}}}", Verdict.FAIL),
        ("assets:\n hypervisor:\n  qemu:\n   version: v9.1.0", Verdict.FAIL),
        ("assets:\n  hypervisor:\n    qemu:\n      version: v9.1.0\n", Verdict.FAIL),
        ("assets:\n  hypervisor:\n    qemu:\n      version: 'v10.2.1' # new\n", Verdict.PASS),
        ("assets:\n  hypervisor:\n    qemu:\n      version: v10.2.1 # new\n", Verdict.PASS),
        ("assets:\n  hypervisor:\n    qemu:\n      tag: x\n", Verdict.SKIP),
        ("assets:\n  hypervisor:\n    qemu:\n  other:\n      version: v9.1.0\n", Verdict.SKIP),
    ],
)
def test_katas_list_of_versions_is_read_however_it_is_written(
    text: str, verdict: Verdict, tmp_path: Path
) -> None:
    def delta(draft: Draft) -> None:
        draft.put("/opt/kata/versions.yaml", text)

    assert _named(judged(_host(tmp_path, kube.node, delta)), "runtime.qemu").verdict is verdict
