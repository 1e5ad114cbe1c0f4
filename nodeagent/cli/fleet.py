"""`nodeagent fleet`: every node in one table."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import click

from nodeagent.cli.cluster import cluster_options, selector_option
from nodeagent.cli.options import Seconds, output_option
from nodeagent.cli.output import say, terminal_size
from nodeagent.errors import UsageError

if TYPE_CHECKING:
    from nodeagent.fleet.standing import Clock, Standing
    from nodeagent.kube.fleet import FleetClient

_EVERY_S = 2.0
_BEATS_MISSED = 3


@click.command(
    "fleet",
    epilog="""\b
Examples:
  nodeagent fleet
  nodeagent fleet -l nodeagent.io/gpu.chip=H100
  nodeagent fleet --watch
  nodeagent fleet -o json | jq -r '.groups.fix[0].nodes[]'

\b
Exit codes:
  0  every node is ready
  1  a node is not, or there is none
  2  the words or the configuration are off
  3  the cluster could not be asked
""",
)
@cluster_options
@selector_option
@output_option
@click.option("--watch", is_flag=True, help="Go on, and show what changes.")
@click.option(
    "--every",
    type=Seconds(least=1.0),
    metavar="SECONDS",
    help="How often --watch draws what changed; 2 unless given, 1 at least.",
)
def command(  # noqa: PLR0913 - one for each option
    *,
    kubeconfig: str | None,
    prefix: str,
    selector: str,
    output: str,
    watch: bool,
    every: float | None,
) -> int:
    """Show every node: its verdict, what to fix first, mode, last switch, TCB, GPUs.

    Sorted by what to fix: what concerns the most nodes comes first, ready nodes last. A node
    whose agent missed three heartbeats is stale; one without an agent says so. Needs the right
    to list Nodes, and writes nothing.
    """
    if every is not None and not watch:
        raise UsageError("--every is of --watch", hint="give both")
    if watch and output != "table":
        raise UsageError("--watch shows the table and its changes", hint="leave out -o")
    from nodeagent.fleet.document import is_ready  # noqa: PLC0415 - see the style guide, §6
    from nodeagent.kube.client import Api  # noqa: PLC0415
    from nodeagent.kube.fleet import FleetClient  # noqa: PLC0415

    with contextlib.closing(Api(kubeconfig)) as api:
        client = FleetClient(api)
        if watch:
            from nodeagent.cli.fleet_watching import Fleet, follow  # noqa: PLC0415

            return follow(Fleet(client, selector, prefix), every or _EVERY_S)
        nodes = _believed(client, selector, prefix)
    say(_told(nodes, output))
    return 0 if is_ready(nodes) else 1


def _believed(client: FleetClient, selector: str, prefix: str) -> list[Standing]:
    from nodeagent.fleet.standing import aged  # noqa: PLC0415
    from nodeagent.fleet.table import ordered  # noqa: PLC0415

    now = clock()
    return ordered(aged(each, now) for each in listed(client, selector, prefix)[0])


def listed(client: FleetClient, selector: str, prefix: str) -> tuple[list[Standing], str]:
    """Every node, and the version of the list; once more where it became too old meanwhile."""
    from nodeagent.kube.failures import TooOldError  # noqa: PLC0415

    try:
        return _listed(client, selector, prefix)
    except TooOldError:
        return _listed(client, selector, prefix)


def _listed(client: FleetClient, selector: str, prefix: str) -> tuple[list[Standing], str]:
    """Page by page, so that no more than one page of Nodes is ever held."""
    from nodeagent.fleet.standing import standing  # noqa: PLC0415

    found, version = [], ""
    for page in client.pages(selector):
        found += [standing(node, prefix) for node in page.nodes]
        version = page.version
    return found, version


def clock() -> Clock:
    from nodeagent.fleet.standing import Clock  # noqa: PLC0415
    from nodeagent.publish.apiserver import HEARTBEAT_S, SPREAD  # noqa: PLC0415

    return Clock(time.time(), _BEATS_MISSED * HEARTBEAT_S * SPREAD)


def _told(nodes: list[Standing], output: str) -> str:
    if output == "table":
        return drawn(nodes)
    from nodeagent.cli.check import serialise  # noqa: PLC0415
    from nodeagent.fleet.document import document  # noqa: PLC0415

    return serialise(document(nodes), output)


def drawn(nodes: list[Standing]) -> str:
    from nodeagent.cli.check import painter  # noqa: PLC0415
    from nodeagent.fleet.table import WIDTH, text  # noqa: PLC0415

    return text(nodes, clock(), painter(), width=max(terminal_size()[0], WIDTH))
