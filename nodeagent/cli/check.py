"""`nodeagent check`."""

import json
import os
import sys
from typing import Any

import click

from nodeagent.cli.looking import look
from nodeagent.cli.options import Chosen, host_options, output_option
from nodeagent.cli.output import say

_ANSI = {"good": "32", "bad": "31;1", "warn": "33", "dim": "2", "bold": "1"}


@click.command("check", epilog="Example: nodeagent check --profile snp -v")
@host_options
@output_option
@click.option("-v", "--verbose", is_flag=True, help="Every finding with its evidence.")
def command(chosen: Chosen, output: str, verbose: bool) -> int:
    """Read, judge, and say ready or what to fix first. Changes nothing."""
    policy = chosen.policy
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


def painter() -> Any:  # noqa: ANN401 - a report.text.Paint, whose module is not loaded yet
    """Colours on terminals only, and never where NO_COLOR is set."""
    if (
        not (sys.stdout and sys.stdout.isatty())
        or os.environ.get("NO_COLOR")
        or os.environ.get("TERM") == "dumb"
    ):
        return lambda text, _colour: text
    return lambda text, colour: f"\033[{_ANSI[colour]}m{text}\033[0m"


def serialise(value: dict[str, Any], output: str) -> str:
    if output == "json":
        return json.dumps(value, indent=1, ensure_ascii=False)
    import yaml  # noqa: PLC0415 - half the cost of a start

    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
    return text.rstrip()
