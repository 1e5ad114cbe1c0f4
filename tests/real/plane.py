"""A real Kubernetes control plane on loopback, for as long as a `with` block lasts."""

from __future__ import annotations

import functools
import os
import socket
import ssl
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from tests.real import kubeconfig
from tests.real.api import MERGE, Api, ApiError, Server
from tests.real.build import binaries
from tests.real.pki import Authority, signing_key
from tests.real.process import Process
from tests.real.wait import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from kubernetes.client import ApiClient

    from tests.real.api import Object
    from tests.real.pki import Pair

START_S = 120.0  # a cold disk and a neighbour's build, not a wish
CLIENTS = ("kube-controller-manager", "kube-scheduler")
PROBE_S = 5.0
PORT_TRIES = 5
TOKEN_S = 3600
ISSUER = "https://kubernetes.default.svc"
SERVICE_IP = "10.96.0.1"

# What a call to a part that is starting, or ending, may run into.
AWAY = (OSError, ssl.SSLError, ApiError)


class PlaneError(AssertionError):
    """A part did not do what it always does; its log is in the message."""


@dataclass(frozen=True, slots=True)
class _Pki:
    """Two authorities: whoever may talk to the API must not thereby be let into etcd."""

    ca: Authority
    etcd_ca: Authority
    etcd: Pair
    apiserver: Pair
    to_etcd: Pair
    to_kubelet: Pair
    admin: Pair
    scheduler: Pair
    manager: Pair
    tokens: Path

    @classmethod
    def create(cls, folder: Path) -> _Pki:
        folder.mkdir(mode=0o700)
        ca = Authority.create(folder, "ca")
        etcd_ca = Authority.create(folder, "etcd-ca")
        names = f"IP:127.0.0.1, IP:{SERVICE_IP}, DNS:localhost, DNS:kubernetes.default.svc"
        return cls(
            ca=ca,
            etcd_ca=etcd_ca,
            etcd=etcd_ca.server("etcd"),
            apiserver=ca.server("kube-apiserver", names=names),
            to_etcd=etcd_ca.client("kube-apiserver-to-etcd"),
            to_kubelet=ca.client("kube-apiserver-to-kubelet", group="system:masters"),
            admin=ca.client("admin", group="system:masters"),
            scheduler=ca.client("system:kube-scheduler", file="scheduler"),
            manager=ca.client("system:kube-controller-manager", file="manager"),
            tokens=signing_key(folder / "tokens.key"),
        )


class ControlPlane:
    """etcd, kube-apiserver and kube-scheduler, each a process of its own; nodes come by hand.

    `controllers` starts kube-controller-manager with that list, too ("*" for all). Leave out
    "node-lifecycle-controller" where nodes are made by hand: it declares them dead after 40 s.
    """

    def __init__(self, folder: Path, *, controllers: str = "") -> None:
        self.folder = folder
        self.logs = folder / "logs"
        self._controllers = controllers
        self._parts: dict[str, Process] = {}
        self._etcd_port = 0
        self._port = 0

    def __enter__(self) -> Self:
        self.logs.mkdir(parents=True)
        self._pki = _Pki.create(self.folder / "pki")
        try:
            self._start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    # Who one can be.

    @property
    def server(self) -> Server:
        return Server(self._port, self._pki.ca.pair.cert)

    @functools.cached_property
    def api(self) -> Api:
        """The administrator, in plain calls."""
        return Api(self.server, pair=self._pki.admin)

    def api_as(self, token: str) -> Api:
        return Api(self.server, token=token)

    def admin(self) -> ApiClient:
        """The administrator, through the client library that the product uses."""
        from kubernetes.config import new_client_from_config  # noqa: PLC0415 - takes a second

        client: ApiClient = new_client_from_config(  # type: ignore[no-untyped-call]
            str(self.admin_kubeconfig)
        )
        return client

    @property
    def admin_pair(self) -> Pair:
        """For callers of their own that keep a connection."""
        return self._pki.admin

    @functools.cached_property
    def admin_kubeconfig(self) -> Path:
        return kubeconfig.for_pair(self.folder / "admin.kubeconfig", self.server, self._pki.admin)

    def kubeconfig(self, path: Path, *, token: str) -> Path:
        return kubeconfig.for_token(path, self.server, token)

    def node_kubeconfig(self, name: str) -> Path:
        """The identity of that node's kubelet."""
        pair = self._pki.ca.client(f"system:node:{name}", group="system:nodes", file=f"node-{name}")
        return kubeconfig.for_pair(self.folder / f"node-{name}.kubeconfig", self.server, pair)

    def node_token(self, account: str, namespace: str, node: str) -> str:
        """As a pod of that node would have it, but tied to the Node itself: no kubelet needed."""
        uid = self.node(node)["metadata"]["uid"]
        bound = {"kind": "Node", "apiVersion": "v1", "name": node, "uid": uid}
        return self._token(account, namespace, {"boundObjectRef": bound})

    def unbound_token(self, account: str, namespace: str) -> str:
        """What somebody has who copied the account's right, but runs on no node."""
        return self._token(account, namespace, {})

    @property
    def client_ca(self) -> Path:
        """Vouches for every client; a kubelet wants it."""
        return self._pki.ca.pair.cert

    @property
    def kubelet_client(self) -> Pair:
        """What the API server shows to kubelets; tests may show it, too."""
        return self._pki.to_kubelet

    # What one can do.

    def kubectl(self, *args: str, stdin: str | None = None) -> str:
        command = [str(binaries() / "kubectl"), f"--kubeconfig={self.admin_kubeconfig}", *args]
        done = subprocess.run(
            command,
            input=stdin,
            env=os.environ | {"HOME": str(self.folder)},  # it keeps a cache there
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"kubectl {' '.join(args)}: {done.stderr.strip()}"
        return done.stdout

    def add_namespace(self, name: str) -> None:
        """With the account that pods run as, which only a controller would make otherwise."""
        self.api.create("/api/v1/namespaces", {"metadata": {"name": name}})
        self._add_account(name)

    def add_node(
        self,
        name: str,
        *,
        labels: Mapping[str, str] | None = None,
        resources: Mapping[str, str] | None = None,
    ) -> str:
        """A Node that pods can be bound to, with no kubelet behind it. Answers its uid."""
        own = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}  # as a kubelet would
        node: Object = {"metadata": {"name": name, "labels": own | dict(labels or {})}}
        made = self.api.create("/api/v1/nodes", node)
        path = f"/api/v1/nodes/{name}"
        room = {"cpu": "64", "memory": "256Gi", "pods": "110", **(resources or {})}
        ready = {"type": "Ready", "status": "True", "reason": "ByHand", "message": ""}
        status = {"capacity": room, "allocatable": room, "conditions": [ready]}
        self.api.patch(f"{path}/status", {"status": status}, MERGE)
        # Admission put the not-ready taint there, and only a controller would take it away.
        self.api.patch(path, {"spec": {"taints": None}}, MERGE)
        uid: str = made["metadata"]["uid"]
        return uid

    def node(self, name: str) -> Object:
        return self.api.get(f"/api/v1/nodes/{name}")

    def remove_node(self, name: str) -> None:
        self.api.delete(f"/api/v1/nodes/{name}")

    def stop_apiserver(self) -> None:
        """With its own clients: after some outages they would wait up to a minute to come back."""
        for name in CLIENTS:
            if name in self._parts:
                self._parts.pop(name).end()
        self._parts.pop("kube-apiserver").end()

    def start_apiserver(self) -> None:
        """On the port it had, so that every kubeconfig stays good."""
        self._start_apiserver(self._port)
        self._start_clients()

    def restart_apiserver(self) -> None:
        self.stop_apiserver()
        self.start_apiserver()

    # How the parts are started.

    def _start(self) -> None:
        self._etcd_port = _on_a_free_port(self._start_etcd)
        self._port = _on_a_free_port(self._start_apiserver)
        self._start_clients()
        # It comes from a hook after the server called itself ready.
        self._await("kube-apiserver", lambda: self.api.get("/api/v1/namespaces/default"))
        if self._controllers:
            account = "/api/v1/namespaces/default/serviceaccounts/default"
            self._await("kube-controller-manager", lambda: self.api.get(account))
        else:
            self._add_account("default")

    def _start_etcd(self, port: int) -> None:
        url = f"https://127.0.0.1:{port}"
        own, authority = self._pki.etcd, self._pki.etcd_ca.pair.cert
        self._launch(
            "etcd",
            "--name=test",
            f"--data-dir={self.folder / 'etcd'}",
            "--unsafe-no-fsync",  # nothing here outlives the test
            f"--listen-client-urls={url}",
            f"--advertise-client-urls={url}",
            "--listen-peer-urls=http://127.0.0.1:0",
            "--initial-advertise-peer-urls=http://127.0.0.1:0",
            "--initial-cluster=test=http://127.0.0.1:0",
            f"--cert-file={own.cert}",
            f"--key-file={own.key}",
            "--client-cert-auth",
            f"--trusted-ca-file={authority}",
            "--log-level=warn",
        )
        health = Api(Server(port, authority), pair=self._pki.to_etcd, timeout_s=PROBE_S)
        self._await("etcd", lambda: health.text("/health"))

    def _start_apiserver(self, port: int) -> None:
        pki = self._pki
        self._launch(
            "kube-apiserver",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={port}",
            "--endpoint-reconciler-type=none",  # it refuses a loopback address
            f"--etcd-servers=https://127.0.0.1:{self._etcd_port}",
            f"--etcd-cafile={pki.etcd_ca.pair.cert}",
            f"--etcd-certfile={pki.to_etcd.cert}",
            f"--etcd-keyfile={pki.to_etcd.key}",
            f"--tls-cert-file={pki.apiserver.cert}",
            f"--tls-private-key-file={pki.apiserver.key}",
            f"--client-ca-file={pki.ca.pair.cert}",
            f"--kubelet-client-certificate={pki.to_kubelet.cert}",
            f"--kubelet-client-key={pki.to_kubelet.key}",
            "--kubelet-preferred-address-types=InternalIP",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",  # added to the default ones
            "--allow-privileged=true",
            f"--service-account-issuer={ISSUER}",
            f"--service-account-key-file={pki.tokens}",
            f"--service-account-signing-key-file={pki.tokens}",
            "--service-cluster-ip-range=10.96.0.0/24",
            # Without it one open watch holds the end up for a minute.
            "--shutdown-watch-termination-grace-period=1s",
        )
        ready = Api(Server(port, pki.ca.pair.cert), pair=pki.admin, timeout_s=PROBE_S)
        self._await("kube-apiserver", lambda: ready.text("/readyz"))

    def _start_clients(self) -> None:
        """A server is ready before it has read who may do what: until then all but us get 403."""
        scheduler = Api(self.server, pair=self._pki.scheduler, timeout_s=PROBE_S)
        self._await("kube-apiserver", lambda: scheduler.get("/api/v1/nodes?limit=1"))
        self._launch(
            "kube-scheduler",
            f"--kubeconfig={self._kubeconfig('scheduler', self._pki.scheduler)}",
            "--leader-elect=false",
            "--secure-port=0",
        )
        if self._controllers:
            self._start_manager()

    def _start_manager(self) -> None:
        self._launch(
            "kube-controller-manager",
            f"--kubeconfig={self._kubeconfig('manager', self._pki.manager)}",
            f"--controllers={self._controllers}",
            "--leader-elect=false",
            "--secure-port=0",
            "--use-service-account-credentials=true",
            f"--root-ca-file={self.client_ca}",
            f"--service-account-private-key-file={self._pki.tokens}",
        )

    def _launch(self, name: str, *args: str) -> None:
        command = [str(binaries() / name), *args]
        self._parts[name] = Process(command, self.logs / f"{name}.log")

    def _await(self, name: str, look: Callable[[], object]) -> None:
        """The look succeeds, or the part has ended, whichever comes first."""
        part = self._parts[name]

        def ready() -> object:
            if part.code() is not None:
                raise PlaneError(f"{name} ended with {part.code()}:\n{part.tail()}")
            return look()

        try:
            eventually(ready, within_s=START_S, despite=AWAY)
        except PlaneError:
            raise
        except AssertionError as error:
            raise PlaneError(f"{name} is not ready:\n{part.tail()}") from error

    def _end(self) -> None:
        """Clients first, so that none fills its log with what it can no longer reach."""
        deadline = time.monotonic() + 10
        for name in reversed(self._parts):
            self._parts[name].end(within_s=max(0.1, deadline - time.monotonic()))
        self._parts.clear()

    def _kubeconfig(self, name: str, pair: Pair) -> Path:
        return kubeconfig.for_pair(self.folder / f"{name}.kubeconfig", self.server, pair)

    def _token(self, account: str, namespace: str, spec: Object) -> str:
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        spec = {"expirationSeconds": TOKEN_S, **spec}
        token: str = self.api.create(path, {"spec": spec})["status"]["token"]
        return token

    def _add_account(self, namespace: str) -> None:
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        self.api.create(path, {"metadata": {"name": "default"}})


def _on_a_free_port(start: Callable[[int], None]) -> int:
    """A part cannot be given a listening socket, so another program may be quicker: try again."""
    for left in reversed(range(PORT_TRIES)):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        try:
            start(port)
        except PlaneError as error:
            if left == 0 or "address already in use" not in str(error):
                raise
        else:
            return port
    raise AssertionError("unreachable")
