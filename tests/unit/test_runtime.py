"""What starts pods: which word of the kubelet's counts, which version, which device node."""

from pathlib import Path

import pytest

from nodeagent.capture.archive import open_capture
from nodeagent.checks.judge import judge
from nodeagent.facts import documents, units
from nodeagent.facts.kubelet import duration, flags, layer
from nodeagent.facts.look import look
from nodeagent.model.codes import Code
from nodeagent.model.findings import Finding, Judgement
from nodeagent.model.policy import Policy
from nodeagent.model.runtime import Kubelet, Layer, NodeSays, at_least, release
from nodeagent.model.seen import Unreadable
from nodeagent.model.words import Level, Profile, Verdict
from tests.hosts import kubernetes as kube
from tests.hosts.base import genoa_ready
from tests.hosts.draft import Delta, Draft
from tests.unit.looks import Veiled, drafted, judged

GIB = 1 << 30
HIDDEN = Unreadable("/hidden", "EACCES: Permission denied")


def _host(folder: Path, *deltas: Delta) -> Path:
    draft = genoa_ready()
    for delta in (kube.node, *deltas):
        delta(draft)
    return drafted(draft, folder / "host")


def _named(judgement: Judgement, check: str) -> Finding:
    return next(each for each in judgement.findings if each.check == check)


def _judge(
    host: Path, *, node: NodeSays | None = None, guest_bytes: int | None = None, hidden: str = ""
) -> Judgement:
    with open_capture(str(host)) as machine:
        veiled = Veiled(machine, hidden=lambda path: bool(hidden) and path.startswith(hidden))
        facts = look(veiled, node=node)
    policy = Policy(guest_bytes=guest_bytes)
    return judge(facts, profile=Profile.SNP_GPU, want=None, policy=policy)


# Go durations and the kubelet's layers.


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("20m", 1200),
        ("20m0s", 1200),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("0", 0),
        ("0s", 0),
        ("300ms", 0.3),
        ("2µs", 2e-6),
        ("-1m", -60),
        ("+5s", 5),
        (".5m", 30),
    ],
)
def test_a_duration_is_spelled_as_go_spells_it(text: str, seconds: float) -> None:
    assert duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "-", "20", "20 m", "m", "1d", "1.2.3s", ".s", "20m ", "1e3s", "9" * 30 + "s", "٣m"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        duration(text)


def _layer(**settings: object) -> Layer:
    return layer(settings, "/x")


@pytest.mark.parametrize(
    ("layers", "gate", "timeout"),
    [
        ((), None, None),
        ((_layer(featureGates={"A": "true"}),), True, None),
        ((_layer(featureGates={"A": "true"}), _layer(featureGates={"B": "true"})), True, None),
        ((_layer(featureGates={"A": "true"}), _layer(featureGates={"A": "false"})), False, None),
        ((_layer(featureGates={"A": "true"}), _layer(featureGates={"A": None})), None, None),
        ((_layer(featureGates={"A": "true"}), _layer(featureGates=None)), None, None),
        ((_layer(runtimeRequestTimeout="4m"), _layer(runtimeRequestTimeout="20m")), None, 1200),
        ((_layer(runtimeRequestTimeout="20m"), _layer(port="10250")), None, 1200),
        ((_layer(runtimeRequestTimeout="20m"), _layer(runtimeRequestTimeout=None)), None, 120),
        ((_layer(runtimeRequestTimeout="20m"), _layer(runtimeRequestTimeout="0s")), None, 120),
    ],
)
def test_objects_merge_and_scalars_replace(
    layers: tuple[Layer, ...], gate: bool | None, timeout: float | None
) -> None:
    kubelet = Kubelet("kubelet", True, None, layers)
    said, limit = kubelet.gate("A"), kubelet.timeout()

    assert not isinstance(said, Unreadable)
    assert not isinstance(limit, Unreadable)
    assert (said.value if said else None) == gate
    assert (limit.value if limit else None) == timeout


def test_a_layer_that_cannot_be_read_hides_the_weaker_ones_only() -> None:
    weak, strong = _layer(featureGates={"A": "true"}), _layer(featureGates={"B": "true"})
    kubelet = Kubelet("kubelet", True, None, (weak, HIDDEN, strong))

    assert kubelet.gate("A") == HIDDEN
    assert not isinstance(kubelet.gate("B"), Unreadable)
    assert kubelet.timeout() == HIDDEN


@pytest.mark.parametrize(
    "settings",
    [
        {"featureGates": ["A"]},
        {"featureGates": {"A": "maybe"}},
        {"runtimeRequestTimeout": "soon"},
        {"runtimeRequestTimeout": "1200"},
    ],
)
def test_settings_that_the_kubelet_would_refuse_are_no_settings(
    settings: dict[str, object],
) -> None:
    with pytest.raises(ValueError, match="has "):
        layer(settings, "/x")


def test_flags_are_split_as_the_kubelet_splits_them() -> None:
    words = ("--config=/a", "--feature-gates", "A=true", "--feature_gates=B=false", "--v=2", "-x")

    assert flags(words) == {
        "config": ("/a",),
        "feature-gates": ("A=true", "B=false"),
        "v": ("2",),
    }


@pytest.mark.parametrize(
    ("drop_in", "code"),
    [
        ("featureGates: {AllAlpha: true}\nruntimeRequestTimeout: 20m", None),
        ("featureGates: {AllBeta: false}", Code.KUBELET_NOT_PREPARED),
        ("featureGates: {KubeletPodResourcesGet: false}", Code.KUBELET_NOT_PREPARED),
        ("a: &a 1\nb: *a", Code.NO_ACCESS),
        ("[" * 60, Code.NO_ACCESS),
        ("", None),
    ],
)
def test_a_drop_in_counts(drop_in: str, code: Code | None, tmp_path: Path) -> None:
    def delta(draft: Draft) -> None:
        kube.drop_in_prepares(draft)
        draft.put("/etc/kubernetes/kubelet.conf.d/99-last.conf", drop_in)

    assert _named(judged(_host(tmp_path, delta)), "runtime.settings").code is code


def test_a_drop_in_folder_is_walked_in_order_and_downwards(tmp_path: Path) -> None:
    """k3s keeps a copy of a configuration that it was given in a folder of the drop-ins."""

    def delta(draft: Draft) -> None:
        kube.drop_in_prepares(draft)
        folder = "/etc/kubernetes/kubelet.conf.d"
        draft.put(f"{folder}/60-more/a.conf", "runtimeRequestTimeout: 5m")
        draft.put(f"{folder}/10-early.conf", "runtimeRequestTimeout: 1m")
        draft.put(f"{folder}/README", "runtimeRequestTimeout: 1m")

    found = _named(judged(_host(tmp_path, delta)), "runtime.settings")

    assert found.outcome.seen.startswith("runtimeRequestTimeout is 5m in ")
    assert found.outcome.where.endswith("/60-more/a.conf")


# Units.


def _command(tmp_path: Path, **files: str) -> object:
    draft = genoa_ready()
    draft.absent |= {"/etc/default"}
    for path, text in files.items():
        draft.put(path, text)
    with open_capture(str(drafted(draft, tmp_path / "host"))) as machine:
        return units.command(machine.files, "x.service")


def test_a_unit_is_what_its_drop_ins_make_of_it(tmp_path: Path) -> None:
    etc, usr = "/etc/systemd/system/x.service", "/usr/lib/systemd/system/x.service"
    command = _command(
        tmp_path,
        **{
            usr: "[Service]\nExecStart=/bin/x --old\n[Install]\nExecStart=/bin/never",
            f"{usr}.d/20-b.conf": "[Service]\nEnvironment=A=packaged",
            f"{usr}.d/10-a.conf": "[Service]\nExecStart=\nExecStart=-/bin/x $A ${B} $C \\\n --end",
            f"{etc}.d/20-b.conf": '[Service]\nEnvironment="A=--one --two" "B=b c"\n'
            "EnvironmentFile=-/etc/default/x\nEnvironmentFile=-/etc/default/missing",
            "/etc/default/x": '# a comment\nB="d e"\n',
        },
    )

    assert command == units.Command(("/bin/x", "--one", "--two", "d e", "--end"), usr)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[Service]\nRestart=always", None),
        ("[Service]\nExecStart=/bin/x 'open", Unreadable),
        ("[Service]\nExecStart=/bin/x\nEnvironment='open", Unreadable),
    ],
)
def test_a_unit_that_starts_nothing_or_cannot_be_split(
    text: str, expected: type | None, tmp_path: Path
) -> None:
    command = _command(tmp_path, **{"/etc/systemd/system/x.service": text})

    assert command is None if expected is None else isinstance(command, expected)


# Documents of strangers.


@pytest.mark.parametrize(
    "raw",
    [
        b"a: &a [x]\nb: [*a, *a]",
        b"[" * 100_000,
        b"- " * 5000,
        b'{"a":' * 5000,
        b'{"a": ' + b"9" * 5000 + b"}",
        b"\xff\xfe\0",
        b"a: b: c",
        b'{"a"',
    ],
)
def test_no_yaml_of_a_stranger_does_harm(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"is no|is nested|uses YAML aliases"):
        documents.yaml(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"a = " + b"[" * 100_000,
        b"a = " + b"{b = " * 5000,
        b"a" + b".a" * 60_000 + b" = 1",
        b"a = " + b"9" * 5000,
        b"\xff",
        b"a = ",
    ],
)
def test_no_toml_of_a_stranger_does_harm(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"is no TOML|dots"):
        documents.toml(raw)


def test_scalars_are_text_or_nothing() -> None:
    raw = b"a: true\nb: 010\nc: 2020-01-01\nd: ~\ne: '~'\nf: !!python/name:os.system x\n"

    assert documents.yaml(raw) == {
        "a": "true",
        "b": "010",
        "c": "2020-01-01",
        "d": None,
        "e": "~",
        "f": "x",
    }
    assert documents.yaml(b'{"a": true, "b": [1, null]}') == {"a": "true", "b": ["1", None]}
    assert documents.yaml(b"") == {}


def test_a_file_that_is_cut_is_no_document(tmp_path: Path) -> None:
    """What was cut off might have been the setting."""
    text = kube.PREPARED + "#" * documents.LIMIT
    judgement = judged(_host(tmp_path, kube.configure(text)))

    assert _named(judgement, "runtime.settings").verdict is Verdict.UNKNOWN


# Versions.


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("v1.35.2", (1, 35, 2)),
        ("v1.35.2+k3s1", (1, 35, 2)),
        ("2.3.0-k3s1", (2, 3, 0)),
        ("1:10.0.2+ds-2ubuntu1", (10, 0, 2)),
        ("3.29.0-rc0", (3, 29, 0)),
        ("9.2", (9, 2)),
        ("v1.x", None),
        ("4", None),
        ("", None),
        (None, None),
        ("x" * 100, None),
        ("1." + "9" * 50, None),
        ("١.٢", None),
    ],
)
def test_a_release_is_its_leading_numbers(text: str | None, numbers: tuple[int, ...]) -> None:
    assert release(text) == numbers


def test_releases_compare_by_number() -> None:
    assert at_least((1, 32), (1, 32, 0))
    assert at_least((10, 0), (9, 2))
    assert not at_least((3, 28, 9), (3, 29))


def test_a_version_that_cannot_be_read_never_gates(tmp_path: Path) -> None:
    def delta(draft: Draft) -> None:
        draft.versions = {}
        draft.remove("/opt/kata/VERSION")
        draft.remove("/opt/kata/versions.yaml")

    judgement = judged(_host(tmp_path, delta))

    assert judgement.levels[Level.RUNTIME].verdict is Verdict.PASS
    for check in ("runtime.kubelet", "runtime.kata_version", "runtime.qemu"):
        assert _named(judgement, check).verdict is Verdict.SKIP


def test_of_a_packaged_kubelet_the_database_has_the_version(tmp_path: Path) -> None:
    def delta(draft: Draft) -> None:
        draft.versions = {}
        entry = "Package: kubelet\nStatus: {} ok {}\nVersion: 1.31.2-1.1\n"
        draft.put("/var/lib/dpkg/status", entry.format("install", "installed"))

    assert _named(judged(_host(tmp_path, delta)), "runtime.kubelet").code is Code.KUBELET_TOO_OLD


def test_a_package_that_was_removed_has_no_version(tmp_path: Path) -> None:
    def delta(draft: Draft) -> None:
        draft.versions = {}
        entry = "Package: kubelet\nStatus: deinstall ok config-files\nVersion: 1.31.2-1.1\n"
        draft.put("/var/lib/dpkg/status", entry)

    assert _named(judged(_host(tmp_path, delta)), "runtime.kubelet").verdict is Verdict.SKIP


# The Node.


def _says(*handlers: str, kubelet: str = "v1.35.2") -> NodeSays:
    return NodeSays(kubelet, "containerd://2.3.0", ("", "runc", *handlers))


def test_the_kubelet_that_runs_outweighs_the_one_that_is_installed(hosts: Path) -> None:
    host = hosts / "genoa-kubelet-ready"

    found = _named(_judge(host, node=_says(kube.HANDLER, kubelet="v1.31.0")), "runtime.kubelet")

    assert found.code is Code.KUBELET_TOO_OLD


@pytest.mark.parametrize(
    ("handlers", "hidden", "verdict"),
    [
        ((kube.HANDLER,), "", Verdict.PASS),
        ((kube.HANDLER,), "/etc/containerd", Verdict.PASS),
        ((f"{kube.HANDLER}-b",), "/etc/containerd", Verdict.PASS),
        ((), "", Verdict.FAIL),
        (("nvidia",), "/etc/containerd", Verdict.FAIL),
        (("custom",), "/etc/containerd", Verdict.UNKNOWN),
    ],
)
def test_the_handlers_that_containerd_runs_with_decide(
    handlers: tuple[str, ...], hidden: str, verdict: Verdict, hosts: Path
) -> None:
    host = hosts / "genoa-kubelet-ready"

    found = _named(_judge(host, node=_says(*handlers), hidden=hidden), "runtime.handler")

    assert found.verdict is verdict


def test_a_handler_that_was_not_loaded_yet_is_named(hosts: Path) -> None:
    found = _named(_judge(hosts / "genoa-kubelet-ready", node=_says()), "runtime.handler")

    assert found.outcome.seen.endswith("the Node does not show it: restart containerd")


def test_without_containerds_files_a_node_that_knows_no_kata_proves_that_there_is_none(
    hosts: Path,
) -> None:
    host, hidden = hosts / "genoa-kata-missing", "/etc/containerd"

    assert _named(_judge(host, hidden=hidden), "runtime.kata").verdict is Verdict.UNKNOWN
    found = _named(_judge(host, node=_says(), hidden=hidden), "runtime.kata")
    assert found.code is Code.KATA_MISSING


# Handlers and Kata.


def test_a_second_installation_of_kata_is_found_by_its_handler(tmp_path: Path) -> None:
    def delta(draft: Draft) -> None:
        for path in [path for path in draft.files if path.startswith("/opt/kata/")]:
            draft.files[path.replace("/opt/kata/", "/opt/kata-b/")] = draft.files.pop(path)
        draft.links.pop(f"{kube.SHARE}/configuration-qemu-nvidia-gpu-snp.toml")
        text = draft.files[kube.KATA_TOML].decode()
        text = text.replace("/opt/kata/", "/opt/kata-b/").replace(kube.HANDLER, "site-gpu")
        draft.put(kube.KATA_TOML, text)
        draft.absent |= {"/opt/kata", "/opt/kata-b/share/defaults/kata-containers/runtime-rs"}

    judgement = judged(_host(tmp_path, delta))

    assert judgement.levels[Level.RUNTIME].verdict is Verdict.PASS
    assert _named(judgement, "runtime.kata").outcome.seen.startswith("Kata in /opt/kata-b")
    assert "site-gpu" in _named(judgement, "runtime.handler").outcome.seen


def test_old_names_of_the_cri_plugin_are_read_too(tmp_path: Path) -> None:
    def delta(draft: Draft) -> None:
        for path in ("/etc/containerd/config.toml", kube.KATA_TOML):
            text = draft.files[path].decode().replace("version = 3", "version = 2")
            draft.put(
                path, text.replace("io.containerd.cri.v1.runtime", "io.containerd.grpc.v1.cri")
            )

    assert _named(judged(_host(tmp_path, delta)), "runtime.handler").verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("imports", "verdict"),
    [
        ('["conf.d/kata-deploy.toml"]', Verdict.PASS),
        ('["/etc/containerd/conf.d/kata*"]', Verdict.PASS),
        ('["/etc/containerd/config.toml", "/etc/containerd/conf.d/*.toml"]', Verdict.PASS),
        ('["/etc/*/conf.d/x.toml"]', Verdict.UNKNOWN),
        ("[]", Verdict.FAIL),
        ("[1]", Verdict.FAIL),
    ],
)
def test_containerds_imports_are_followed(imports: str, verdict: Verdict, tmp_path: Path) -> None:
    def delta(draft: Draft) -> None:
        draft.put("/etc/containerd/config.toml", f"version = 3\nimports = {imports}\n")

    assert _named(judged(_host(tmp_path, delta)), "runtime.handler").verdict is verdict


def test_without_a_file_of_its_own_containerd_imports_its_folder(tmp_path: Path) -> None:
    host = _host(tmp_path, kube.without("/etc/containerd/config.toml"))

    assert _named(judged(host), "runtime.handler").verdict is Verdict.PASS


def test_a_handler_without_snapshotter_and_an_old_containerd_are_warnings(tmp_path: Path) -> None:
    def delta(draft: Draft) -> None:
        kube.of_version(containerd="2.1.5")(draft)
        text = draft.files[kube.KATA_TOML].decode().replace('snapshotter = "nydus"', "")
        draft.put(kube.KATA_TOML, text)

    judgement = judged(_host(tmp_path, delta))

    assert judgement.levels[Level.RUNTIME].verdict is Verdict.PASS
    assert _named(judgement, "runtime.snapshotter").verdict is Verdict.WARN
    assert _named(judgement, "runtime.containerd").code is Code.RUNTIME_TOO_OLD


@pytest.mark.parametrize(
    ("version", "verdict"),
    [("4.1.0", Verdict.PASS), ("4.0.0", Verdict.FAIL), ("3.30.1", Verdict.FAIL)],
)
def test_a_published_hole_in_kata_counts_beside_the_floors(
    version: str, verdict: Verdict, tmp_path: Path
) -> None:
    judgement = judged(_host(tmp_path, kube.kata_of(version)))

    assert _named(judgement, "kata.advisory").verdict is verdict
    assert judgement.levels[Level.RUNTIME].verdict is Verdict.PASS


# CDI.


@pytest.mark.parametrize(
    ("nodes", "code"),
    [
        (("/dev/vfio/devices/vfio0",), None),
        (("/dev/vfio/vfio", "/dev/vfio/41"), None),
        (("/dev/vfio/devices/vfio1", "/dev/vfio/devices/vfio0"), None),
        (("/dev/vfio/vfio", "/dev/vfio/38"), Code.CDI_STALE),
        (("/dev/vfio/devices/vfio1",), Code.CDI_STALE),
        (("/dev/vfio/vfio",), Code.CDI_MISSING),
        ((), Code.CDI_MISSING),
    ],
)
def test_a_spec_names_the_gpus_node_of_today(
    nodes: tuple[str, ...], code: Code | None, tmp_path: Path
) -> None:
    judgement = judged(_host(tmp_path, kube.name_nodes(*nodes)))

    assert _named(judgement, "runtime.cdi").code is code


def test_a_spec_may_be_json_and_name_the_hosts_path(tmp_path: Path) -> None:
    def delta(draft: Draft) -> None:
        draft.remove(kube.SPEC)
        draft.put(
            "/etc/cdi/site.json",
            '{"cdiVersion": "0.6.0", "kind": "nvidia.com/GH100_H100_PCIE", "devices": [{"name": '
            '"0", "containerEdits": {"deviceNodes": [{"path": "/dev/vfio/0", "hostPath": '
            '"/dev/vfio/41"}]}}]}',
        )

    assert _named(judged(_host(tmp_path, delta)), "runtime.cdi").verdict is Verdict.PASS


def test_a_gpu_whose_own_node_is_hidden_is_not_taken_for_renumbered(hosts: Path) -> None:
    hidden = "/sys/bus/pci/devices/0000:41:00.0/vfio-dev"
    judgement = _judge(hosts / "genoa-kubelet-ready", hidden=hidden)

    assert _named(judgement, "runtime.cdi").verdict is Verdict.UNKNOWN


def test_containerd_that_is_not_seen_may_have_another_configuration(hosts: Path) -> None:
    hidden = f"/proc/{kube.CONTAINERD_PID}/comm"
    judgement = _judge(hosts / "genoa-handler-missing", hidden=hidden)

    assert _named(judgement, "runtime.handler").verdict is Verdict.UNKNOWN


# Limits.


@pytest.mark.parametrize(
    ("locked", "guest", "verdict"),
    [
        ("unlimited", 512 * GIB, Verdict.PASS),
        (str(64 * GIB), 64 * GIB, Verdict.PASS),
        (str(64 * GIB), 65 * GIB, Verdict.FAIL),
        ("8388608", None, None),
        ("some", 64 * GIB, Verdict.UNKNOWN),
    ],
)
def test_locked_memory_is_judged_against_a_configured_guest_only(
    locked: str, guest: int | None, verdict: Verdict | None, tmp_path: Path
) -> None:
    judgement = _judge(_host(tmp_path, kube.lock(locked)), guest_bytes=guest)
    found = [each for each in judgement.findings if each.check == "runtime.limits"]

    assert [each.verdict for each in found] == ([verdict] if verdict else [])


# Whether the level counts.


def test_a_host_without_kubelet_is_ready_without_the_level(hosts: Path) -> None:
    judged_here = judged(hosts / "genoa-ready").levels[Level.RUNTIME]

    assert (judged_here.verdict, judged_here.required) == (Verdict.SKIP, False)


def test_whether_there_is_a_kubelet_may_not_be_known(hosts: Path) -> None:
    level = _judge(hosts / "genoa-ready", hidden="/usr/bin/kubelet").levels[Level.RUNTIME]

    assert (level.verdict, level.required) == (Verdict.UNKNOWN, True)


@pytest.mark.parametrize("profile", [Profile.SNP, Profile.GPU])
def test_other_profiles_do_not_wait_for_kata(profile: Profile, hosts: Path) -> None:
    judgement = judged(hosts / "genoa-kata-missing", profile=profile)

    assert judgement.ready.exit_code == 0
    assert judgement.levels[Level.RUNTIME].verdict is Verdict.FAIL


def test_a_proc_that_hides_processes_proves_nothing(tmp_path: Path) -> None:
    """Mounted with hidepid, it shows each only its own."""

    def delta(draft: Draft) -> None:
        kube.stopped(draft)
        for path in [path for path in draft.files if path.startswith("/proc/1/")]:
            del draft.files[path]
        draft.links.pop("/proc/1/fd/0")
        draft.put("/proc/77/comm", "ours")

    found = _named(judged(_host(tmp_path, delta)), "runtime.settings")

    assert found.verdict is Verdict.UNKNOWN
