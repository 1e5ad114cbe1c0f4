"""What the shipped manifests ask of a cluster, read as files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

import nodeagent
from nodeagent.config import Config
from nodeagent.facts import cdi, kata
from tests.hosts.kubernetes import CONFIG

ROOT = Path(__file__).parents[2]
DAEMONSET = ROOT / "daemonset"
COMPONENTS = sorted(path.name for path in (DAEMONSET / "components").iterdir())
# What uid 0 must not be handed, even to read: keys, tokens, passwords, and sockets that give root
# away. A mount of any of these, or of a folder above one, is refused.
SECRET = (
    "/etc/containerd/certs.d",
    "/etc/kubernetes/pki",
    "/etc/nodeagent",
    "/etc/rancher/k3s",
    "/etc/shadow",
    "/etc/ssl/private",
    "/etc/systemd/system/containerd.service.d",
    "/home",
    "/root",
    "/run/containerd/containerd.sock",
    "/run/secrets",
    "/run/user",
    "/var/lib/kubelet/pki",
    "/var/lib/kubelet/pods",
    "/var/lib/rancher/k3s/agent/client-kubelet.key",
    "/var/lib/rancher/k3s/server",
    "/var/log",
    "/var/run",
)

WRITTEN = {"/host/etc/kubernetes/node-feature-discovery/features.d"}
"""What the agent is there to write."""

Object = dict[str, Any]


def test_kustomize_applies_every_file_of_the_base() -> None:
    [kustomization] = _documents("base/kustomization.yaml")
    there = {path.name for path in (DAEMONSET / "base").glob("*.yaml")}

    assert set(kustomization["resources"]) == there - {"kustomization.yaml"}


def test_the_account_may_look_at_nodes_and_patch_them_and_list_classes_and_nothing_else() -> None:
    rules = _only("rbac.yaml", "ClusterRole")["rules"]

    granted = {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    on_nodes = {("", "nodes", verb) for verb in ("get", "watch", "patch")}
    on_classes = ("node.k8s.io", "runtimeclasses", "list")
    assert granted == {*on_nodes, ("", "nodes/status", "patch"), on_classes}


def test_no_pod_gets_the_token_without_asking() -> None:
    assert _only("rbac.yaml", "ServiceAccount")["automountServiceAccountToken"] is False
    assert _pod()["automountServiceAccountToken"] is True


def test_rights_policy_and_pod_are_about_one_account() -> None:
    account = {"name": _pod()["serviceAccountName"], "namespace": "nodeagent"}
    [subject] = _only("rbac.yaml", "ClusterRoleBinding")["subjects"]
    [condition] = _policy()["matchConditions"]

    assert subject == {"kind": "ServiceAccount", **account}
    user = f"system:serviceaccount:{account['namespace']}:{account['name']}"
    assert condition["expression"] == f'request.userInfo.username == "{user}"'


def test_the_policy_refuses_where_it_cannot_decide() -> None:
    binding = _only("policy.yaml", "ValidatingAdmissionPolicyBinding")["spec"]

    assert _policy()["failurePolicy"] == "Fail"
    assert binding["validationActions"] == ["Deny", "Audit"]
    assert binding.keys() == {"policyName", "validationActions"}, "no selector lets a node out"


def test_the_policy_sees_every_way_to_write_a_node() -> None:
    [rule] = _policy()["matchConstraints"]["resourceRules"]

    assert set(rule["operations"]) == {"CREATE", "UPDATE", "DELETE"}
    assert set(rule["resources"]) == {"nodes", "nodes/status"}


def test_every_refusal_says_why_and_is_a_plain_forbidden() -> None:
    for validation in _policy()["validations"]:
        assert validation["reason"] == "Forbidden"
        assert validation["message"].startswith("the agent ")


def test_the_policy_guards_the_prefix_that_the_agent_writes() -> None:
    text = (DAEMONSET / "base" / "policy.yaml").read_text()

    assert f'startsWith("{Config().prefix}")' in text
    assert f'"{Config().prefix}ConfidentialReady"' in text


def test_the_container_holds_no_privilege() -> None:
    assert _container()["securityContext"] == {
        "runAsUser": 0,
        "runAsGroup": 0,
        "privileged": False,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }


@pytest.mark.parametrize("shared", ["hostNetwork", "hostPID", "hostIPC"])
def test_the_pod_shares_no_namespace_with_the_host(shared: str) -> None:
    assert shared not in _pod()


@pytest.mark.parametrize("component", [None, *COMPONENTS])
def test_every_mount_is_read_only_and_so_is_what_is_mounted_below(component: str | None) -> None:
    for mount, volume in _mounts(component):
        if mount["mountPath"] in WRITTEN:
            continue
        assert mount["readOnly"] is True
        if "hostPath" in volume:
            assert mount["recursiveReadOnly"] == "IfPossible"


@pytest.mark.parametrize("component", [None, *COMPONENTS])
def test_no_mount_makes_anything_on_the_hosts_disk(component: str | None) -> None:
    """Without a type the runtime makes what is missing; /run is no disk."""
    made = {
        volume["hostPath"]["path"]: volume["hostPath"]["type"]
        for _, volume in _mounts(component)
        if "hostPath" in volume and volume["hostPath"]["type"] not in {"Directory", "File"}
    }

    created = dict.fromkeys(("/run/cdi", "/run/nodeagent"), "DirectoryOrCreate")
    assert made in ({}, created)


@pytest.mark.parametrize("component", [None, *COMPONENTS])
def test_no_mount_shows_keys_tokens_or_sockets(component: str | None) -> None:
    shown = {volume["hostPath"]["path"] for _, volume in _mounts(component) if "hostPath" in volume}

    for path in shown:
        above = path.rstrip("/") + "/"
        assert [secret for secret in SECRET if f"{secret}/".startswith(above)] == []
        assert [secret for secret in SECRET if above.startswith(f"{secret}/")] == []


@pytest.mark.parametrize("component", [None, *COMPONENTS])
def test_what_is_mounted_keeps_its_place_below_the_root_given_to_the_agent(
    component: str | None,
) -> None:
    args = _container()["args"]
    root = args[args.index("--root") + 1]

    for mount, volume in _mounts(component):
        if "hostPath" in volume:
            assert mount["mountPath"] == root + volume["hostPath"]["path"]


def test_the_files_that_the_runtime_level_reads_are_mounted() -> None:
    shown = {volume["hostPath"]["path"] for _, volume in _mounts(None) if "hostPath" in volume}

    for path in (f"{kata.DEPLOYED}/VERSION", *cdi.FOLDERS[:1], CONFIG, "/usr/bin/kubelet", "/proc"):
        assert any(f"{path}/".startswith(f"{each}/") for each in shown), path


@pytest.mark.parametrize("folder", ["/host/dev/pts", "/host/dev/shm"])
def test_the_hosts_terminals_and_shared_memory_are_covered(folder: str) -> None:
    [mount] = [mount for mount in _container()["volumeMounts"] if mount["mountPath"] == folder]

    assert "emptyDir" in _volumes()[mount["name"]]


def test_no_node_goes_unwatched() -> None:
    pod = _pod()

    assert pod["tolerations"] == [{"operator": "Exists"}]
    assert pod["priorityClassName"] == "system-node-critical"
    assert set(pod["nodeSelector"]) == {"kubernetes.io/os", "kubernetes.io/arch"}


def test_the_probes_ask_where_the_agent_answers() -> None:
    container = _container()
    args = container["args"]
    port = int(args[args.index("--health") + 1].rpartition(":")[2])

    assert [each["containerPort"] for each in container["ports"]] == [port]
    asked = {
        name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")
    }
    assert {get["port"] for get in asked.values()} == {"health"}
    assert {name: get["path"] for name, get in asked.items()} == {
        "startup": "/healthz",
        "liveness": "/healthz",
        "readiness": "/readyz",
    }


def test_the_agent_is_never_throttled() -> None:
    assert _container()["resources"]["limits"].keys() == {"memory"}


def test_the_image_is_of_this_version() -> None:
    assert _container()["image"] == f"nodeagent:{nodeagent.__version__}"


def test_the_examples_class_wants_a_node_that_is_ready_for_the_same_thing() -> None:
    [runtime_class] = _documents("examples/runtimeclass.yaml")
    [workload] = _documents("examples/workload.yaml")

    assert runtime_class["scheduling"]["nodeSelector"] == {
        "nodeagent.io/ready": "true",
        "nodeagent.io/profile": "snp-gpu",
    }
    assert workload["spec"]["runtimeClassName"] == runtime_class["metadata"]["name"]


def _documents(name: str) -> list[Object]:
    return list(yaml.safe_load_all((DAEMONSET / name).read_text()))


def _only(name: str, kind: str) -> Object:
    [found] = [each for each in _documents(f"base/{name}") if each["kind"] == kind]
    return found


def _policy() -> Object:
    spec: Object = _only("policy.yaml", "ValidatingAdmissionPolicy")["spec"]
    return spec


def _pod() -> Object:
    spec: Object = _only("daemonset.yaml", "DaemonSet")["spec"]["template"]["spec"]
    return spec


def _container() -> Object:
    [container] = _pod()["containers"]
    found: Object = container
    return found


def _volumes() -> dict[str, Object]:
    return {volume["name"]: volume for volume in _pod()["volumes"]}


def _mounts(component: str | None) -> list[tuple[Object, Object]]:
    """Every mount with its volume: those of the base, or those that a component adds."""
    pod = _pod()
    if component:
        [document] = _documents(f"components/{component}/kustomization.yaml")
        [patch] = document["patches"]
        pod = yaml.safe_load(patch["patch"])["spec"]["template"]["spec"]
    [container] = pod["containers"]
    volumes = {volume["name"]: volume for volume in pod.get("volumes", ())}
    added = [mount for mount in container.get("volumeMounts", ()) if "$patch" not in mount]
    return [(mount, volumes[mount["name"]]) for mount in added]


def test_the_right_to_make_pods_is_a_grant_of_its_own_and_comes_with_its_policy() -> None:
    role, binding = _documents("probe/rbac.yaml")
    [kustomization] = _documents("probe/kustomization.yaml")

    assert [(rule["resources"], rule["verbs"]) for rule in role["rules"]] == [
        (["pods"], ["get", "create", "delete"])
    ]
    assert (role["kind"], role["metadata"]["namespace"]) == ("Role", "nodeagent")
    assert binding["kind"] == "RoleBinding"
    assert kustomization["resources"] == ["rbac.yaml", "policy.yaml"]


def test_the_right_to_evict_is_a_grant_of_its_own() -> None:
    role, binding = _documents("manage-evict/rbac.yaml")

    assert [(rule["resources"], rule["verbs"]) for rule in role["rules"]] == [
        (["pods"], ["get"]),
        (["pods/eviction"], ["create"]),
    ]
    assert binding["subjects"] == [
        {"kind": "ServiceAccount", "name": "nodeagent-manage", "namespace": "nodeagent"}
    ]
    for path in (*DAEMONSET.glob("base/*.yaml"), *DAEMONSET.glob("manage/*.yaml")):
        assert "pods/eviction" not in path.read_text(), path
