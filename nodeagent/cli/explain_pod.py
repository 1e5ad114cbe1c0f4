"""`nodeagent explain pod`: per node, what keeps a pod away."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING

import click

from nodeagent.cli.options import complete_path, output_option
from nodeagent.cli.output import say
from nodeagent.errors import ClusterError, UsageError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from nodeagent.explain.pod.nouns import Cluster

    T = TypeVar("T")


@click.command(
    "explain pod",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  nodeagent explain pod model.yaml
  helm template model | nodeagent explain pod - --node gpu-7 -v
  kubectl get nodes,runtimeclasses,pods -A -o json > /tmp/cluster.json
  nodeagent explain pod model.yaml --cluster /tmp/cluster.json

\b
Exit codes:
  0  fits on some node
  1  fits on none
  2  the words or the manifest are off
  3  the cluster could not be read
  4  cannot tell: something that is not judged decides
  Of several pods the worst: 1, else 4, else 0.
""",
)
@click.argument("file", metavar="FILE", shell_complete=complete_path("file"))
@click.option(
    "--kubeconfig",
    envvar="KUBECONFIG",
    show_envvar=True,
    metavar="FILE",
    help="How to reach the cluster; else ~/.kube/config, or as the pod that this is.",
    shell_complete=complete_path("file"),
)
@click.option(
    "--cluster",
    "saved",
    metavar="FILE",
    help="The cluster as a file, instead: see the examples.",
    shell_complete=complete_path("file"),
)
@click.option(
    "--node", "only", metavar="NAME", multiple=True, help="Only this node; may be repeated."
)
@output_option
@click.option("-v", "--verbose", is_flag=True, help="Every node by itself.")
def command(  # noqa: PLR0913 - one for each option
    *,
    file: str,
    kubeconfig: str | None,
    saved: str | None,
    only: tuple[str, ...],
    output: str,
    verbose: bool,
) -> int:
    """Say on which nodes the pods of a manifest fit, and what keeps them off the others.

    FILE (- is standard input) holds Pods or whatever has a pod template: Deployments,
    StatefulSets, DaemonSets, Jobs, CronJobs and more. One replica of each is judged.

    Selectors, affinity to nodes, taints, RuntimeClasses, requests and what running pods leave
    are judged as the scheduler of Kubernetes 1.35 does. Of a label or a resource that is nowhere
    it says who should have written it.

    Affinity between pods, spread, volumes, host ports, device claims, preemption and other
    schedulers are not judged: where one of them decides, it is named, and the answer is that it
    cannot be told. Quotas, limit ranges and webhooks are not looked at.
    """
    from nodeagent.cli.check import painter, serialise  # noqa: PLC0415 - see the style guide, §6
    from nodeagent.explain.pod import documents, manifest  # noqa: PLC0415
    from nodeagent.explain.pod.answer import answer, worst  # noqa: PLC0415

    pods = _parsed(file, manifest.read, _read(file, documents.LIMIT))
    cluster = _from_file(saved) if saved is not None else _from_server(kubeconfig)
    _demand_known(only, cluster)
    answers = [answer(pod, cluster, frozenset(only)) for pod in pods]
    if output == "table":
        from nodeagent.explain.pod import text  # noqa: PLC0415

        say(text.show(answers, paint=painter(), verbose=verbose))
    else:
        from nodeagent.explain.pod.document import document  # noqa: PLC0415

        say(serialise(document(answers), output))
    return worst(answers)


def _read(path: str, limit: int) -> bytes:
    """One byte more than is allowed, so that the reader can tell."""
    try:
        if path == "-":
            return sys.stdin.buffer.read(limit + 1)
        with open(path, "rb") as file:
            return file.read(limit + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "no path"
        raise UsageError(f"cannot read {path}: {why}") from None


def _parsed(path: str, parse: Callable[[bytes], T], raw: bytes) -> T:
    try:
        return parse(raw)
    except ValueError as error:
        name = "standard input" if path == "-" else path
        raise UsageError(f"{name} {error}") from None


def _from_file(path: str) -> Cluster:
    from nodeagent.explain.pod import objects  # noqa: PLC0415

    return _parsed(path, objects.saved, _read(path, objects.LIMIT))


def _from_server(kubeconfig: str | None) -> Cluster:
    from nodeagent.explain.pod import objects  # noqa: PLC0415
    from nodeagent.explain.pod.trees import ShapeError  # noqa: PLC0415
    from nodeagent.kube import cluster  # noqa: PLC0415
    from nodeagent.kube.client import Api  # noqa: PLC0415 - takes 0.2 s and 35 MiB

    with contextlib.closing(Api(kubeconfig or _usual())) as api:
        try:
            nodes = cluster.nodes(api)
            return objects.cluster(nodes, cluster.runtime_classes(api), cluster.bound_pods(api))
        except ShapeError as error:
            raise ClusterError(f"the API server's answer is off: {error}") from None


def _usual() -> str | None:
    """What kubectl would use; None within a pod, which has its own credentials."""
    path = os.path.expanduser("~/.kube/config")
    in_a_pod = os.environ.get("KUBERNETES_SERVICE_HOST")
    return path if not in_a_pod and os.path.exists(path) else None


def _demand_known(only: tuple[str, ...], cluster: Cluster) -> None:
    known = {each.name for each in cluster.nodes}
    for name in only:
        if name not in known:
            guess = nearest(name, known)
            hint = f"did you mean {guess}?" if guess else f"the cluster has {len(known)} nodes"
            raise UsageError(f"there is no node {name!r}", hint=hint)
