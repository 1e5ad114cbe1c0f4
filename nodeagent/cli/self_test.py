"""`nodeagent self-test`: what the agent's credentials must not be able to do."""

from __future__ import annotations

import contextlib
import socket
import textwrap
from typing import TYPE_CHECKING, Any

import click

from nodeagent.cli.options import complete_path, output_option
from nodeagent.cli.output import say
from nodeagent.errors import ClusterError
from nodeagent.model.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nodeagent.kube.forbidden import Tried, Us

_WIDTH = 80


@click.command(
    "self-test",
    epilog="""\b
Examples:
  kubectl -n nodeagent exec POD -- nodeagent self-test
  nodeagent self-test --kubeconfig /etc/kubernetes/kubelet.conf -o json

\b
Exit codes:
  0  everything was refused
  1  something was allowed: it is named
  2  the words or the configuration are off
  3  the API server could not be asked, or not about everything
""",
)
@click.option(
    "--node-name",
    envvar="NODE_NAME",
    default=socket.gethostname,
    show_default="this host's name",
    show_envvar=True,
    help="The agent's own Node.",
)
@click.option(
    "--kubeconfig",
    envvar="KUBECONFIG",
    show_envvar=True,
    metavar="FILE",
    help="The credentials to try; without it, those of the pod that this is.",
    shell_complete=complete_path("file"),
)
@click.option(
    "--config",
    "config_path",
    metavar="FILE",
    help="Settings instead of /etc's: prefix, authority, holders.",
    shell_complete=complete_path("file"),
)
@output_option
def command(*, node_name: str, kubeconfig: str | None, config_path: str | None, output: str) -> int:
    """Try what the agent's credentials must not be able to do, and expect to be refused.

    Changes nothing, even where it is allowed: the API server is asked for dry runs alone. Each
    attempt is in the server's audit log, as one of a thief of the token would be.
    """
    from nodeagent import config  # noqa: PLC0415 - see the style guide, §6
    from nodeagent.kube import forbidden  # noqa: PLC0415
    from nodeagent.kube.client import Api  # noqa: PLC0415
    from nodeagent.kube.nodes import NodeClient  # noqa: PLC0415

    settings = config.load(config_path)
    evicts = settings.authority and settings.holders == "evict"
    terms = forbidden.Terms(settings.prefix, settings.authority, evicts)
    with contextlib.closing(Api(kubeconfig or None)) as api:
        who = forbidden.us(api)
        node = NodeClient(api, condition_type="").get(node_name)
        if node is None:
            raise ClusterError(f"there is no Node {node_name}", hint="give its name by --node-name")
        other = forbidden.another(api, node_name)
        found = [forbidden.tried(api, each) for each in forbidden.attempts(node, other, who, terms)]
    if output == "table":
        say("\n".join(_lines(found, who, node_name, other)))
    else:
        from nodeagent.cli.check import serialise  # noqa: PLC0415

        say(serialise(_document(found, who, node_name), output))
    return _code(found)


def _code(found: Sequence[Tried]) -> int:
    answers = {each.answer.value for each in found}
    if "allowed" in answers:
        return 1
    return ClusterError.exit_code if "unknown" in answers else 0


def _document(found: Sequence[Tried], who: Us, node: str) -> dict[str, Any]:
    return {
        "version": 1,
        "user": who.user,
        "node": node,
        "attempts": [
            {"what": each.what, "answer": each.answer.value, "why": each.why} for each in found
        ],
    }


def _lines(found: Sequence[Tried], who: Us, node: str, other: str) -> Iterator[str]:
    yield from textwrap.wrap(shown(f"{who.user or 'somebody'}, for Node {node}:"), _WIDTH)
    for each in found:
        refused = each.answer.value == "refused"
        word = each.answer.value if refused else each.answer.value.upper()
        why = f" ({each.why})" if refused else f": {each.why}"
        yield from textwrap.wrap(
            shown(f"{word:<7}  {each.what}{why}"),
            _WIDTH,
            initial_indent="  ",
            subsequent_indent=" " * 11,
            break_on_hyphens=False,
        )
    if other:
        yield "  seen, by the right to watch, which cannot be narrowed: other Nodes exist"
    else:
        yield "  no other Node is to be seen, so nothing was tried on one"
    counts = [sum(each.answer.value == word for each in found) for word in ("allowed", "unknown")]
    rest = f"{len(found) - sum(counts)} of {len(found)} refused"
    for count, word in zip(counts, ("ALLOWED", "could not be told"), strict=True):
        rest += f", {count} {word}" if count else ""
    yield rest
