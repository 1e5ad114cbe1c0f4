"""The same host as a Kubernetes node that starts confidential GPU pods, and ways to miss that.

The kubelet's files are kubeadm's, containerd's and Kata's are kata-deploy's, shortened.
"""

from tests.hosts import cpus, hgx, kernels, sockets
from tests.hosts.draft import Delta, Draft

KUBELET_PID = 3101
CONTAINERD_PID = 2950
CONFIG = "/var/lib/kubelet/config.yaml"
KATA_TOML = "/etc/containerd/conf.d/kata-deploy.toml"
SPEC = "/run/cdi/nvidia.com-pgpu.yaml"
HANDLER = "kata-qemu-nvidia-gpu-snp"
SHARE = "/opt/kata/share/defaults/kata-containers"
SHIM_CONFIG = f"{SHARE}/runtimes/qemu-nvidia-gpu-snp/configuration-qemu-nvidia-gpu-snp.toml"

_KUBELET_UNIT = """\
[Unit]
Description=kubelet: The Kubernetes Node Agent
[Service]
ExecStart=/usr/bin/kubelet
Restart=always
"""
_KUBEADM = """\
[Service]
Environment="KUBELET_KUBECONFIG_ARGS=--kubeconfig=/etc/kubernetes/kubelet.conf"
Environment="KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml"
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
EnvironmentFile=-/etc/default/kubelet
ExecStart=
ExecStart=/usr/bin/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS \\
  $KUBELET_EXTRA_ARGS
"""
_FLAGS = (
    "/usr/bin/kubelet",
    "--kubeconfig=/etc/kubernetes/kubelet.conf",
    f"--config={CONFIG}",
    "--node-labels=node.kubernetes.io/pool=gpu",
)
PREPARED = "featureGates:\n  RuntimeClassInImageCriApi: true\nruntimeRequestTimeout: 20m\n"
_CONFIG = """\
apiVersion: kubelet.config.k8s.io/v1beta1
authentication:
  anonymous:
    enabled: false
  x509:
    clientCAFile: /etc/kubernetes/pki/ca.crt
authorization:
  mode: Webhook
cgroupDriver: systemd
clusterDNS:
- 10.96.0.10
kind: KubeletConfiguration
logging:
  flushFrequency: 0
rotateCertificates: true
"""
_CONTAINERD = """\
version = 3
imports = ["/etc/containerd/conf.d/*.toml"]
[plugins.'io.containerd.cri.v1.runtime'.containerd]
default_runtime_name = 'runc'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = 'io.containerd.runc.v2'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
SystemdCgroup = true
"""
_KATA = f"""\
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.{HANDLER}]
runtime_type = "io.containerd.{HANDLER}.v2"
runtime_path = "/opt/kata/bin/containerd-shim-kata-v2"
privileged_without_host_devices = true
pod_annotations = ["io.katacontainers.*"]
snapshotter = "nydus"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.{HANDLER}.options]
ConfigPath = "{SHIM_CONFIG}"
[plugins."io.containerd.cri.v1.images".runtime_platforms."{HANDLER}"]
snapshotter = "nydus"
[proxy_plugins."nydus"]
type = "snapshot"
address = "/run/nydus-snapshotter/containerd-nydus-grpc.sock"
"""
_SHIM = """\
[hypervisor.qemu]
path = "/opt/kata/bin/qemu-system-x86_64"
machine_type = "q35"
confidential_guest = true
sev_snp_guest = true
cold_plug_vfio = "root-port"
default_memory = 8192
[runtime]
create_container_timeout = 1200
"""
_VERSIONS = """\
---
description: |
  Versions of what is built with this release.

  <group>:
   version: "<version>"

assets:
  description: "Additional system elements"

  hypervisor:
    description: "Component used to create virtual machines"

    firecracker:
      uscan-url: >-
        https://example.com/tags
        .*/v?(\\d\\S+)\\.tar\\.gz
      version: "v1.12.1"

    qemu:
      description: "VMM that uses KVM"
      version: "v10.2.1"
      # Break the line *without* a blank.
      uscan-opts: "opts=uversionmangle=s/(\\\\d)[_\\\\.]?\\
        ((RC|rc)\\\\d*)$/$1~$2/ "

    qemu-snp-experimental:
      tag: "gpu-snp-20260107"

  kernel:
    version: "v6.18.5"  # LTS
externals:
  xurls:
    version: "v2.5.0"
"""
_LIMITS = """\
Limit                     Soft Limit           Hard Limit           Units
Max processes             unlimited            unlimited            processes
Max locked memory         {0:<20} {0:<20} bytes
Max address space         unlimited            unlimited            bytes
"""


def node(draft: Draft) -> None:
    """kubeadm, containerd 2.3, Kata 4.1 by kata-deploy, NVIDIA's sandbox device plugin."""
    draft.absent |= {"/etc/default", f"{SHARE}/runtime-rs"}
    draft.put("/usr/bin/kubelet", b"")
    draft.put("/usr/lib/systemd/system/kubelet.service", _KUBELET_UNIT)
    draft.put("/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf", _KUBEADM)
    draft.put("/var/lib/kubelet/kubeadm-flags.env", 'KUBELET_KUBEADM_ARGS="--v=2"')
    configure(_CONFIG + PREPARED)(draft)
    run(draft, KUBELET_PID, "kubelet", *_FLAGS)
    run(draft, CONTAINERD_PID, "containerd", "/usr/bin/containerd")
    draft.put("/proc/1/task/1/children", f"412 {CONTAINERD_PID} {KUBELET_PID}")
    lock("unlimited")(draft)
    draft.put("/etc/containerd/config.toml", _CONTAINERD)
    draft.put(KATA_TOML, _KATA)
    draft.put("/opt/kata/VERSION", "4.1.0")
    draft.put("/opt/kata/versions.yaml", _VERSIONS)
    draft.put("/opt/kata/bin/containerd-shim-kata-v2", b"")
    draft.put(SHIM_CONFIG, _SHIM)
    draft.link(f"{SHARE}/configuration-qemu-nvidia-gpu-snp.toml", SHIM_CONFIG)
    name_nodes("/dev/vfio/devices/vfio0")(draft)
    draft.versions = {"kubelet": "v1.35.2", "containerd": "2.3.0"}


def run(draft: Draft, pid: int, name: str, *words: str) -> None:
    draft.put(f"/proc/{pid}/comm", name)
    draft.put(f"/proc/{pid}/cmdline", "".join(f"{word}\0" for word in words).encode())


def end(draft: Draft, pid: int) -> None:
    draft.remove(f"/proc/{pid}")


def configure(text: str) -> Delta:
    return lambda draft: draft.put(CONFIG, text)


def name_nodes(*nodes: str) -> Delta:
    """The plugin's spec, as it was when it started."""
    devices = "".join(
        f"- name: '{n}'\n  containerEdits:\n    deviceNodes:\n    - path: {node}\n"
        for n, node in enumerate(nodes)
    )
    text = f"cdiVersion: 0.5.0\nkind: nvidia.com/pgpu\ndevices:\n{devices}"
    return lambda draft: draft.put(SPEC, text)


def lock(amount: str) -> Delta:
    return lambda draft: draft.put(f"/proc/{CONTAINERD_PID}/limits", _LIMITS.format(amount))


def of_version(**said: str) -> Delta:
    def delta(draft: Draft) -> None:
        draft.versions |= said

    return delta


def without(*paths: str) -> Delta:
    def delta(draft: Draft) -> None:
        for path in paths:
            draft.remove(path)

    return delta


unprepared = configure(_CONFIG)


def drop_in(draft: Draft) -> None:
    """The file is right, and a drop-in takes it back."""
    flags = (*_FLAGS, "--config-dir=/etc/kubernetes/kubelet.conf.d")
    run(draft, KUBELET_PID, "kubelet", *flags)
    draft.put("/etc/kubernetes/kubelet.conf.d/10-site.conf", "runtimeRequestTimeout: 30m")
    draft.put("/etc/kubernetes/kubelet.conf.d/20-old.conf", "runtimeRequestTimeout: 4m")


def drop_in_prepares(draft: Draft) -> None:
    """The file sets nothing, and a drop-in all of it."""
    configure(_CONFIG + "featureGates:\n  SomethingElse: true\n")(draft)
    run(draft, KUBELET_PID, "kubelet", *_FLAGS, "--config-dir", "/etc/kubernetes/kubelet.conf.d")
    draft.put("/etc/kubernetes/kubelet.conf.d/50-nvidia.conf", PREPARED)


def flags_override(draft: Draft) -> None:
    """A flag wins over the file."""
    run(draft, KUBELET_PID, "kubelet", *_FLAGS, "--feature-gates=RuntimeClassInImageCriApi=false")


def stopped(draft: Draft) -> None:
    """Not running: its unit says how it would start."""
    end(draft, KUBELET_PID)


def old_kubelet(draft: Draft) -> None:
    """1.33 has no KubeletPodResourcesGet unless it is asked for."""
    of_version(kubelet="v1.33.4")(draft)


def too_old(draft: Draft) -> None:
    of_version(kubelet="v1.31.9")(draft)
    gates = PREPARED.replace("true\n", "true\n  KubeletPodResourcesGet: true\n")
    configure(_CONFIG + gates)(draft)


def handler_missing(draft: Draft) -> None:
    draft.remove(KATA_TOML)


def handler_points_nowhere(draft: Draft) -> None:
    """Kata was installed anew under another layout, and its old containerd file stayed."""
    gone = "/opt/kata/share/defaults/kata-containers/configuration-qemu-nvidia-gpu-snp-old.toml"
    text = draft.files[KATA_TOML].decode().replace(SHIM_CONFIG, gone)
    draft.put(KATA_TOML, text)


def snapshotter_missing(draft: Draft) -> None:
    text = draft.files[KATA_TOML].decode().partition("[proxy_plugins")[0]
    draft.put(KATA_TOML, text)


def kata_missing(draft: Draft) -> None:
    draft.remove("/opt/kata")
    draft.remove(KATA_TOML)


def shim_missing(draft: Draft) -> None:
    """Kata, but only its plain shims."""
    draft.remove(f"{SHARE}/configuration-qemu-nvidia-gpu-snp.toml")
    draft.remove(f"{SHARE}/runtimes")
    draft.put(f"{SHARE}/configuration-qemu.toml", _SHIM)
    draft.remove(KATA_TOML)


def name_every_node(draft: Draft) -> None:
    """GPUs and NVSwitches, as they are numbered now."""
    name_nodes(*sorted(path for path in draft.files if path.startswith("/dev/vfio/devices/")))(
        draft
    )


def few_instances(draft: Draft) -> None:
    draft.put("/proc/sys/fs/inotify/max_user_instances", "128")


def kata_of(version: str) -> Delta:
    return lambda draft: draft.put("/opt/kata/VERSION", version)


def qemu_of(version: str) -> Delta:
    """A QEMU built by the site, and the distribution's beside it."""

    def delta(draft: Draft) -> None:
        draft.put("/opt/kata/versions.yaml", _VERSIONS.replace("v10.2.1", version))

    return delta


def packaged_qemu(draft: Draft) -> None:
    """Kata's configuration was turned to the distribution's QEMU."""
    draft.put(
        f"{SHIM_CONFIG.rpartition('/')[0]}/config.d/50-site.toml",
        '[hypervisor.qemu]\npath = "/usr/bin/qemu-system-x86_64"',
    )
    entry = "Package: qemu-system-x86\nStatus: install ok installed\nVersion: 1:8.2.2+ds-0ubuntu1\n"
    draft.put("/var/lib/dpkg/status", f"Package: base-files\nVersion: 13\n\n{entry}")


def old_distribution_qemu(draft: Draft) -> None:
    """Nobody starts it: Kata has its own."""
    entry = "Package: qemu-system-x86\nStatus: install ok installed\nVersion: 1:8.2.2+ds-0ubuntu1\n"
    draft.put("/var/lib/dpkg/status", f"{entry}\nPackage: zlib1g\nVersion: 1\n")


def spec_missing(draft: Draft) -> None:
    draft.remove(SPEC)
    draft.put("/run/cdi/vendor.com-nic.yaml", "cdiVersion: 0.5.0\nkind: vendor.com/nic\n")


spec_stale = name_nodes("/dev/vfio/devices/vfio3")
spec_of_group = name_nodes("/dev/vfio/41")


K3S_UNIT = "/etc/systemd/system/k3s.service"
_K3S_FLAGS = "--write-kubeconfig-mode=644"
RANCHER = "/etc/rancher/k3s/config.yaml"
TOKEN = "K10planted::server:planted-token-of-the-cluster"  # noqa: S105 - to be looked for
_K3S_CONFIG = f"""\
token: {TOKEN}
write-kubeconfig-mode: "0644"
{{}}
node-label:
  - pool=gpu
"""
_KUBELET_ARGS = """\
kubelet-arg:
  - feature-gates=RuntimeClassInImageCriApi=true
  - runtime-request-timeout=20m
"""


def k3s(draft: Draft) -> None:
    """k3s has kubelet and containerd within, and its own places for their settings."""
    _rancher(draft, "k3s")
    draft.put("/usr/local/bin/k3s", b"")
    # It writes over its own arguments: one of them could be the token.
    run(draft, KUBELET_PID, "k3s-server", "/usr/local/bin/k3s server")
    start_k3s(_K3S_FLAGS)(draft)
    draft.put(f"{_agent('k3s')}/kubelet.conf.d/50-nvidia.conf", PREPARED)
    draft.versions = {"kubelet": "v1.35.2+k3s1", "containerd": "2.3.0-k3s1"}


def _agent(product: str) -> str:
    return f"/var/lib/rancher/{product}/agent/etc"


def _rancher(draft: Draft, product: str) -> None:
    node(draft)
    for path in ("/usr/bin/kubelet", "/usr/lib/systemd", "/var/lib/kubelet/config.yaml"):
        draft.remove(path)
    draft.remove("/var/lib/kubelet/kubeadm-flags.env")
    end(draft, KUBELET_PID)
    end(draft, CONTAINERD_PID)
    agent = _agent(product)
    toml = f"{agent}/containerd/config.toml"
    run(draft, CONTAINERD_PID, "containerd", "containerd", "-c", toml)
    lock("unlimited")(draft)
    own = draft.files.pop("/etc/containerd/config.toml").decode()
    draft.put(toml, own.replace("/etc/containerd/conf.d", f"{agent}/containerd/config-v3.toml.d"))
    handlers = draft.files.pop(KATA_TOML)
    draft.put(f"{agent}/containerd/config-v3.toml.d/kata-deploy.toml", handlers)
    draft.absent |= {"/etc/containerd", "/usr/bin/containerd-shim-kata-v2", "/etc/rancher"}
    draft.put(f"{agent}/kubelet.conf.d/00-{product}-defaults.conf", "clusterDomain: cluster.local")


def start_k3s(*flags: str, unit: str = K3S_UNIT) -> Delta:
    """As the installer writes the unit."""
    quoted = "".join(f"\t'{flag}' \\\n" for flag in flags)
    text = (
        "[Unit]\nDescription=Lightweight Kubernetes\n[Service]\nType=notify\n"
        f"EnvironmentFile=-{unit}.env\nExecStart=/usr/local/bin/k3s \\\n    server \\\n{quoted}\n"
    )

    def delta(draft: Draft) -> None:
        draft.put(unit, text)
        draft.put(f"{unit}.env", f"K3S_TOKEN={TOKEN}")

    return delta


def k3s_unprepared(draft: Draft) -> None:
    """As its installer leaves it."""
    k3s(draft)
    draft.remove(f"{_agent('k3s')}/kubelet.conf.d/50-nvidia.conf")


def k3s_configured(draft: Draft) -> None:
    """By kubelet-arg in its own file, and more of it in a drop-in."""
    k3s_unprepared(draft)
    draft.put(RANCHER, _K3S_CONFIG.format("kubelet-arg: [runtime-request-timeout=20m]\n"))
    more = "kubelet-arg+:\n- feature-gates=RuntimeClassInImageCriApi=true\n"
    draft.put(f"{RANCHER}.d/50-nvidia.yaml", more)


def k3s_replaced(draft: Draft) -> None:
    """A later drop-in without a plus takes all back."""
    k3s_configured(draft)
    draft.put(f"{RANCHER}.d/60-site.yaml", "kubelet-arg: max-pods=200\n")


def k3s_by_unit(draft: Draft) -> None:
    """By flags of the unit."""
    k3s_unprepared(draft)
    gate = "--kubelet-arg=feature-gates=RuntimeClassInImageCriApi=true"
    start_k3s(f"--token={TOKEN}", gate, "--kubelet-arg=runtime-request-timeout=20m")(draft)


def k3s_flag_overrides(draft: Draft) -> None:
    """The drop-in of the kubelet is right, and a flag takes it back."""
    k3s(draft)
    draft.put(RANCHER, _K3S_CONFIG.format("kubelet-arg:\n- runtime-request-timeout=4m"))


def k3s_without_unit(draft: Draft) -> None:
    """Started in another way: nobody can tell with which flags."""
    k3s_unprepared(draft)
    draft.remove("/etc/systemd")


def rke2(draft: Draft) -> None:
    """RKE2 starts a kubelet with a command line of its own."""
    _rancher(draft, "rke2")
    folder = f"{_agent('rke2')}/kubelet.conf.d"
    gate = "--feature-gates=RuntimeClassInImageCriApi=true"
    words = (f"--config-dir={folder}", gate, "--runtime-request-timeout=20m")
    run(draft, KUBELET_PID, "kubelet", "kubelet", *words)
    draft.put("/var/lib/kubelet/cpu_manager_state", '{"policyName":"none"}')
    draft.absent.add("/var/lib/rancher/k3s")
    draft.versions = {"kubelet": "v1.35.2+rke2r1", "containerd": "2.3.0-k3s1"}


def rke2_stopped(draft: Draft) -> None:
    """Its own file says what it will give the kubelet."""
    rke2(draft)
    end(draft, KUBELET_PID)
    end(draft, CONTAINERD_PID)
    path = "/etc/rancher/rke2/config.yaml"
    draft.put(path, _K3S_CONFIG.format(_KUBELET_ARGS))
    unit = "[Service]\nExecStart=/usr/local/bin/rke2 agent\n"
    draft.put("/usr/local/lib/systemd/system/rke2-agent.service", unit)


_CRIO = f"""\
[crio.runtime.runtimes.{HANDLER}]
runtime_path = "/opt/kata/bin/containerd-shim-kata-v2"
runtime_type = "vm"
runtime_root = "/run/vc"
runtime_config_path = "{SHIM_CONFIG}"
privileged_without_host_devices = true
"""
CRIO_KATA = "/etc/crio/crio.conf.d/99-kata-deploy"
"""kata-deploy's file, which has no ending; CRI-O takes all that lies there."""


def crio(draft: Draft) -> None:
    """CRI-O in the place of containerd."""
    node(draft)
    end(draft, CONTAINERD_PID)
    draft.remove("/etc/containerd")
    run(draft, CONTAINERD_PID, "crio", "/usr/bin/crio")
    lock("unlimited")(draft)
    configure(_CONFIG + PREPARED + "containerRuntimeEndpoint: unix:///var/run/crio/crio.sock\n")(
        draft
    )
    draft.put("/etc/crio/crio.conf", '[crio.runtime]\ndefault_runtime = "crun"\n')
    crun = '[crio.runtime.runtimes.crun]\nruntime_path = "/usr/libexec/crio/crun"\n'
    draft.put("/etc/crio/crio.conf.d/10-crio.conf", crun)
    draft.put(CRIO_KATA, _CRIO)
    draft.versions = {"kubelet": "v1.35.2"}


def rhel(draft: Draft) -> None:
    """The kubelet and the rest by RPM, which is asked for no version."""
    crio(draft)
    kernels.rhel_9(draft)
    draft.versions = {}
    draft.remove("/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf")
    draft.remove("/etc/default")
    text = _KUBEADM.replace("/etc/default/kubelet", "/etc/sysconfig/kubelet")
    draft.put("/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf", text)
    draft.put("/etc/sysconfig/kubelet", "KUBELET_EXTRA_ARGS=--runtime-request-timeout=30m")
    end(draft, KUBELET_PID)
    draft.put("/var/lib/rpm/rpmdb.sqlite", b"SQLite format 3\0")
    draft.absent |= {"/var/lib/dpkg", "/usr/lib/sysimage/rpm"}


_HGX = (cpus.genoa_dual, sockets.two(tib=2), hgx.baseboard(hgx.H100, nvswitches=4))

NODES: dict[str, tuple[str, tuple[Delta, ...]]] = {
    "genoa-kubelet-ready": ("a kubeadm node with Kata 4.1", (node,)),
    "genoa-kubelet-drop-in": (
        "a drop-in prepares the kubelet",
        (node, drop_in_prepares),
    ),
    "genoa-kubelet-stopped": ("its unit says how it starts", (node, stopped)),
    "genoa-kubelet-unprepared": ("as kubeadm leaves it", (node, unprepared)),
    "genoa-kubelet-drop-in-overrides": ("a drop-in takes it back", (node, drop_in)),
    "genoa-kubelet-flag-overrides": ("a flag takes it back", (node, flags_override)),
    "genoa-kubelet-1.33": ("lacks a gate that 1.34 has on", (node, old_kubelet)),
    "genoa-kubelet-1.31": ("too old, if prepared", (node, too_old)),
    "genoa-containerd-2.1": (
        "older than what was validated",
        (node, of_version(containerd="2.1.4")),
    ),
    "genoa-handler-missing": ("Kata, unknown to containerd", (node, handler_missing)),
    "genoa-handler-nowhere": (
        "a handler whose configuration is gone",
        (node, handler_points_nowhere),
    ),
    "genoa-snapshotter-missing": (
        "a handler with a snapshotter that is not there",
        (node, snapshotter_missing),
    ),
    "genoa-kata-missing": ("a node for plain pods", (node, kata_missing)),
    "genoa-kata-no-shim": ("Kata for plain VMs", (node, shim_missing)),
    "genoa-kata-3.28": ("before GPUs in SNP guests", (node, kata_of("3.28.0"))),
    "genoa-hgx-kata-4.0": (
        "a Kata that drops NVSwitches",
        (*_HGX, node, name_every_node, kata_of("4.0.0")),
    ),
    "genoa-hgx-kubelet": (
        "8 GPUs, 4 NVSwitches, Kata 4.1",
        (*_HGX, node, name_every_node),
    ),
    "genoa-qemu-9.1": ("Kata with a QEMU that is too old", (node, qemu_of("v9.1.0"))),
    "genoa-qemu-packaged": ("Kata turned to an old QEMU", (node, packaged_qemu)),
    "genoa-qemu-beside": (
        "an old QEMU that Kata does not start",
        (node, old_distribution_qemu),
    ),
    "genoa-cdi-missing": ("no CDI spec of NVIDIA's", (node, spec_missing)),
    "genoa-cdi-stale": ("a CDI spec from before a rebind", (node, spec_stale)),
    "genoa-cdi-group": ("a CDI spec by IOMMU group", (node, spec_of_group)),
    "genoa-inotify-low": ("the kernel's default of inotify", (node, few_instances)),
    "genoa-k3s": ("k3s, prepared by a drop-in", (k3s,)),
    "genoa-k3s-unprepared": ("k3s as it comes", (k3s_unprepared,)),
    "genoa-k3s-config": ("k3s, prepared by its own files", (k3s_configured,)),
    "genoa-k3s-replaced": ("k3s, whose last file takes it back", (k3s_replaced,)),
    "genoa-k3s-unit": ("k3s, prepared by flags of its unit", (k3s_by_unit,)),
    "genoa-k3s-flag-overrides": ("k3s, whose file overrides", (k3s_flag_overrides,)),
    "genoa-k3s-no-unit": ("k3s, started in another way", (k3s_without_unit,)),
    "genoa-crio": ("CRI-O with Kata's handler", (crio,)),
    "genoa-crio-no-handler": ("CRI-O without it", (crio, without(CRIO_KATA))),
    "genoa-rhel-kubelet": ("RHEL, all by RPM, the kubelet stopped", (rhel,)),
    "genoa-rke2": ("RKE2, prepared by kubelet-arg", (rke2,)),
    "genoa-rke2-stopped": ("RKE2, prepared, not running", (rke2_stopped,)),
}
