"""`nodeagent history`: what has happened on this node."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from nodeagent.cli.options import complete_path, output_option, place_options
from nodeagent.cli.output import say
from nodeagent.cli.status import run_dir_option
from nodeagent.cli.telling import places
from nodeagent.errors import HostError, UsageError

if TYPE_CHECKING:
    from nodeagent.cli.options import Chosen


@click.command(
    "history",
    epilog="""\b
Examples:
  nodeagent history
  nodeagent history -o json | jq '.entries[] | select(.what == "switch")'

\b
Exit codes:
  0  answered
  2  the words or the configuration are off
  3  no agent has kept a history here, or it cannot be read
""",
)
@place_options
@click.option(
    "--config",
    "config_path",
    metavar="FILE",
    help="Settings instead of /etc's: state_folder.",
    shell_complete=complete_path("file"),
)
@run_dir_option
@output_option
def command(chosen: Chosen, *, config_path: str | None, run_dir: str, output: str) -> int:
    """Show the last 100 transitions on this node with their cause, the newest last.

    They are: the condition changed; a switch started, waited for somebody, or ended; a device
    drifted; the API server went away or came back. The agent keeps them over reboots, under
    /var/lib/nodeagent unless configured otherwise. No API server is asked.
    """
    from nodeagent import config  # noqa: PLC0415 - see the style guide, §6
    from nodeagent.diary import read_history  # noqa: PLC0415
    from nodeagent.model.status import VERSION, document  # noqa: PLC0415

    folder, kept = places(replace(chosen, config=config.load(config_path)), run_dir)
    if folder is None:
        raise UsageError("no agent lives on a capture", hint="leave out --capture")
    homes = [each for each in (kept, folder) if each is not None]
    found = read_history(homes)
    if found is None:
        raise HostError(
            f"no agent has kept a history in {' or '.join(homes)}",
            hint="it keeps one where it may write there",
        )
    entries, bad = found
    if output == "table":
        from nodeagent.report.status import history  # noqa: PLC0415

        say(history(entries, bad))
        return 0
    from nodeagent.cli.check import serialise  # noqa: PLC0415
    from nodeagent.report.document import clean  # noqa: PLC0415

    told = {"version": VERSION, "entries": [document(each) for each in entries], "unread": bad}
    say(serialise(clean(told), output))
    return 0
