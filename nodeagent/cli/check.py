"""`nodeagent check`."""

import json
import os
import sys
from typing import Any

import click

from nodeagent.cli.looking import look
from nodeagent.cli.options import Chosen, Seconds, hosts_options, output_option
from nodeagent.cli.output import say, terminal_size
from nodeagent.errors import HostError, UsageError
from nodeagent.model.findings import Judgement
from nodeagent.model.words import CcMode

_EVERY_S = 2.0
_ANSI = {"good": "32", "bad": "31;1", "warn": "33", "dim": "2", "bold": "1"}


@click.command(
    "check",
    epilog="""\b
Examples:
  nodeagent check --profile snp -v
  nodeagent check captures/*.tar.gz
  nodeagent check --compare good.tar.gz bad.tar.gz
  nodeagent check --watch --every 5

\b
Exit codes:
  0  ready
  1  not ready
  2  the words or the configuration are off
  3  a host could not be read, or the answer not written
  4  cannot tell
  Of several captures the worst: 3, else 1, else 4, else 0.
  --compare gives 0 when it has compared; --watch the last verdict's code.
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
@click.option("--watch", is_flag=True, help="Look again and again; draw what changed.")
@click.option(
    "--every",
    type=Seconds(least=0.5),
    metavar="SECONDS",
    help="From one look of --watch to the next; 2 unless given, 0.5 at least.",
)
def command(  # noqa: PLR0913 - one for each option
    chosen: Chosen, *, output: str, verbose: bool, compare: bool, watch: bool, every: float | None
) -> int:
    """Read, judge, and say ready or what to fix first.

    Changes nothing that lasts: idle GPUs are woken for the look, and sleep again after it.

    Beside an agent that runs, and without --mode, it judges by the mode that the agent goes by.

    Several captures give a table, a row each, or a list of reports with -o json or yaml.
    """
    if every is not None and not watch:
        raise UsageError("--every is of --watch", hint="give both")
    if watch and (compare or chosen.more):
        raise UsageError("--watch looks at one host", hint="give one capture, or none")
    if compare:
        return _compare(chosen, output)
    if chosen.more:
        return _several(chosen, output)
    if watch:
        return _watch(chosen, output, every or _EVERY_S, verbose=verbose)
    text, judgement = _told(chosen, output, verbose=verbose)
    say(text)
    return judgement.ready.exit_code


def _told(chosen: Chosen, output: str, *, verbose: bool) -> tuple[str, Judgement]:
    """One look, as it is to be printed."""
    policy = chosen.policy
    want, by = _wanted(chosen)
    with chosen.awake() as machine:
        facts, judgement = look(machine, profile=chosen.profile, want=want, policy=policy)
    if output == "table":
        from nodeagent.report.text import report  # noqa: PLC0415 - what is not asked for costs

        told = report(
            judgement,
            facts.source,
            paint=painter(),
            verbose=verbose,
            place=chosen.again,
            wanted_by=by,
        )
        return told, judgement
    from nodeagent.report.document import document  # noqa: PLC0415

    return serialise(document(judgement, facts, wanted_by=by), output), judgement


def _wanted(chosen: Chosen) -> tuple[CcMode | None, str]:
    """Beside an agent that runs, the mode that it goes by, so that both say the same."""
    if chosen.capture is None:
        from nodeagent.cli.telling import asked  # noqa: PLC0415 - not for captures

        found = asked(chosen)
        if found is not None and found.mode in tuple(CcMode):
            return CcMode(found.mode), found.by or "somebody"
    return chosen.mode, ""


def _watch(chosen: Chosen, output: str, every_s: float, *, verbose: bool) -> int:
    import time  # noqa: PLC0415

    from nodeagent.cli import watching  # noqa: PLC0415

    def shoot() -> watching.Shot:
        text, judgement = _told(chosen, output, verbose=verbose)
        return watching.Shot(text, judgement, judgement.ready.exit_code)

    on_terminal = terminal_size() != (0, 0)
    show = watching.bare if output != "table" else (watching.append, watching.draw)[on_terminal]
    return watching.follow(shoot, show, lambda: time.sleep(every_s))


def _compare(chosen: Chosen, output: str) -> int:
    from nodeagent.cli.comparing import compared  # noqa: PLC0415

    told = compared(chosen, output, painter())
    say(told if isinstance(told, str) else serialise(told, output))
    return 0


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
