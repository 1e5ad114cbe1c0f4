"""`nodeagent withdraw`: takes back from Nodes all that is ours."""

from __future__ import annotations

import contextlib
import sys
import textwrap
from typing import TYPE_CHECKING

import click

from nodeagent.cli.cluster import cluster_options
from nodeagent.cli.output import say, terminal_size
from nodeagent.errors import ClusterError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nodeagent.fleet.ours import Ours
    from nodeagent.kube.fleet import FleetClient

_TRIES = 5
_WIDTH = 80


@click.command(
    "withdraw",
    epilog="""\b
Examples:
  nodeagent withdraw --node gpu-3
  nodeagent withdraw --all --yes

\b
Exit codes:
  0  nothing of ours is left there
  1  it was not agreed to
  2  the words or the configuration are off, or nobody is there to say yes
  3  a node could not be read or changed: why is said
""",
)
@cluster_options
@click.option("--node", "names", multiple=True, metavar="NAME", help="That node; may be repeated.")
@click.option("--all", "every", is_flag=True, help="Every node of the cluster.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def command(
    *, kubeconfig: str | None, prefix: str, names: tuple[str, ...], every: bool, yes: bool
) -> int:
    """Take back from Nodes all that is ours, and nothing else.

    Ours are labels, annotations, the condition and the taint under our prefix; the two labels
    of cc-manager where we alone wrote them; a cordon that we noted as ours; and our token in
    the labels of paused operands, which become what they were. Shows it all and asks first.
    Stop the agents before: one that still runs writes its labels again. Safe to run twice.
    """
    if bool(names) == every:
        raise UsageError("which nodes?", hint="give --node NAME, or --all")
    if not yes and not (sys.stdin and sys.stdin.isatty()):
        raise UsageError("nobody is there to say yes", hint="add --yes")
    from nodeagent.kube.client import Api  # noqa: PLC0415 - see the style guide, §6
    from nodeagent.kube.fleet import FleetClient  # noqa: PLC0415

    with contextlib.closing(Api(kubeconfig)) as api:
        client = FleetClient(api)
        found = list(_found(client, names, prefix))
        left = [each for each in found if each]
        say(_told(left, len(found)))
        if not left:
            return 0
        if not yes and not click.confirm("Take it back?"):
            return 1
        return _withdraw(client, left, prefix)


def _found(client: FleetClient, names: Sequence[str], prefix: str) -> Iterator[Ours]:
    from nodeagent.fleet.ours import ours  # noqa: PLC0415

    for name in dict.fromkeys(names):
        node = client.get(name)
        if node is None:
            raise ClusterError(f"there is no Node {name}", hint="kubectl get nodes")
        yield ours(node, prefix)
    if not names:
        for page in client.pages(""):
            yield from (ours(node, prefix) for node in page.nodes)


def _withdraw(client: FleetClient, nodes: Sequence[Ours], prefix: str) -> int:
    """A node that cannot be changed keeps none of the others from it."""
    from nodeagent.cli.main import complain  # noqa: PLC0415 - it loads this module by name

    code = 0
    for each in nodes:
        try:
            take_back(client, each, prefix)
        except ClusterError as error:
            complain(error)
            code = ClusterError.exit_code
        else:
            say(f"{each.name}: taken back")
    return code


def take_back(client: FleetClient, found: Ours, prefix: str) -> None:
    """Labels before the condition: ready must not stand where nothing says why (design.md §4).

    A Node that changed since it was looked at is looked at again.
    """
    from nodeagent.fleet.ours import ours  # noqa: PLC0415
    from nodeagent.kube.failures import ConflictError, RefusedError  # noqa: PLC0415

    for left in reversed(range(_TRIES)):
        try:
            if operations := found.operations():
                client.change(found.name, operations)
            if found.condition:
                client.drop_condition(found.name, found.uid, found.condition)
        except (ConflictError, RefusedError):
            node = client.get(found.name)
            if node is None:
                return  # deleted, and all of ours with it
            if not left:
                raise
            found = ours(node, prefix)
        else:
            return


# What is said.


def _told(nodes: Sequence[Ours], looked_at: int) -> str:
    width = max(terminal_size()[0], _WIDTH)
    lines = [line for each in nodes for line in (*_lines(each, width), "")]
    said = f"{looked_at} node{'' if looked_at == 1 else 's'} looked at, "
    said += f"{len(nodes)} with something of ours" if nodes else "nothing of ours there"
    return "\n".join([*lines, said])


def _lines(found: Ours, width: int) -> Iterator[str]:
    yield found.name
    for kind, thing in found.lines():
        yield from textwrap.wrap(
            f"{kind:<10}  {thing}",
            width,
            initial_indent="  ",
            subsequent_indent=" " * 14,
            break_on_hyphens=False,
        )
    if found.is_switching:
        yield "  its agent is switching it: stop that agent first, and let it finish"
    if found.by_nfd:
        yield "  NFD holds these labels: remove features.d/nodeagent.features as well"
