"""`nodeagent check`."""

import json
import os
import sys
from typing import Any

import click

from nodeagent.cli.looking import look
from nodeagent.cli.options import Chosen, hosts_options, output_option
from nodeagent.cli.output import say
from nodeagent.errors import HostError

_ANSI = {"good": "32", "bad": "31;1", "warn": "33", "dim": "2", "bold": "1"}


@click.command(
    "check",
    epilog="""\b
Examples:
  nodeagent check --profile snp -v
  nodeagent check captures/*.tar.gz
  nodeagent check --compare good.tar.gz bad.tar.gz

\b
Exit codes:
  0  ready
  1  not ready
  2  the words or the configuration are off
  3  a host could not be read, or the answer not written
  4  cannot tell
  Of several captures the worst: 3, else 1, else 4, else 0.
  --compare gives 0 when it has compared.
""",
)
@hosts_options
@output_option
@click.option("-v", "--verbose", is_flag=True, help="Every finding with its evidence.")
@click.option(
    "--compare",
    is_flag=True,
    help="Only what differs between two captures, or between one and this host; causes first.",
)
def command(chosen: Chosen, *, output: str, verbose: bool, compare: bool) -> int:
    """Read, judge, and say ready or what to fix first. Changes nothing.

    Several captures give a table, a row each, or a list of reports with -o json or yaml.
    """
    policy = chosen.policy
    if compare:
        from nodeagent.cli.comparing import compared  # noqa: PLC0415

        told = compared(chosen, output, painter())
        say(told if isinstance(told, str) else serialise(told, output))
        return 0
    if chosen.more:
        return _several(chosen, output)
    with chosen.open() as machine:
        facts, judgement = look(machine, profile=chosen.profile, want=chosen.mode, policy=policy)
    if output == "table":
        from nodeagent.report.text import report  # noqa: PLC0415 - what is not asked for costs

        say(report(judgement, facts.source, paint=painter(), verbose=verbose))
    else:
        from nodeagent.report.document import document  # noqa: PLC0415

        boot_id = facts.boot_id if isinstance(facts.boot_id, str) else None
        say(serialise(document(judgement, facts.source, boot_id), output))
    return judgement.ready.exit_code


def _several(chosen: Chosen, output: str) -> int:
    from nodeagent.cli import several  # noqa: PLC0415
    from nodeagent.cli.main import complain  # noqa: PLC0415 - it loads this module by name

    found = several.answers(chosen)
    if output == "table":
        say(several.table(found, painter()))
        for _, answer in found:
            if isinstance(answer, HostError):
                complain(answer)
    else:
        say(serialise(several.documents(found), output))
    return several.worst(found)


def painter() -> Any:  # noqa: ANN401 - a report.text.Paint, whose module is not loaded yet
    """Colours on terminals only, and never where NO_COLOR is set."""
    if (
        not (sys.stdout and sys.stdout.isatty())
        or os.environ.get("NO_COLOR")
        or os.environ.get("TERM") == "dumb"
    ):
        return lambda text, _colour: text
    return lambda text, colour: f"\033[{_ANSI[colour]}m{text}\033[0m"


def serialise(value: dict[str, Any] | list[dict[str, Any]], output: str) -> str:
    if output == "json":
        return json.dumps(value, indent=1, ensure_ascii=False)
    import yaml  # noqa: PLC0415 - half the cost of a start

    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
    return text.rstrip()
