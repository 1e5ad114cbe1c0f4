"""`nodeagent status`: what the agent of this node is doing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from nodeagent.cli.options import output_option, place_options
from nodeagent.cli.output import say
from nodeagent.cli.telling import RUN_DIR, places
from nodeagent.errors import HostError, UsageError

if TYPE_CHECKING:
    from nodeagent.cli.options import Chosen
    from nodeagent.diary import Told

run_dir_option = click.option(
    "--run-dir",
    default=RUN_DIR,
    show_default=True,
    metavar="DIR",
    help="The folder of the agent, if it was given another.",
)


@click.command(
    "status",
    epilog="""\b
Examples:
  nodeagent status
  nodeagent status -o json | jq .blocked

\b
Exit codes:
  0  an agent runs here, whatever it found
  2  the words or the configuration are off
  3  none runs here, or what it told cannot be read
""",
)
@place_options
@run_dir_option
@output_option
def command(chosen: Chosen, *, run_dir: str, output: str) -> int:
    """Say what the agent on this node is doing, blocked by whom, and since when.

    Reads the file that the agent keeps, and asks no API server. Of an agent that runs no more
    its last word is shown, with exit code 3. An agent whose /run/nodeagent is read-only, as in
    the DaemonSet that only looks, keeps no file.
    """
    folder = _folder(chosen, run_dir)
    from nodeagent.diary import read_status  # noqa: PLC0415 - see the style guide, §6

    told = read_status(folder)
    if told is None:
        raise HostError(
            f"no agent has told anything in {folder}",
            hint="is it running here? see `systemctl status nodeagent`, or its pod",
        )
    if output == "table":
        from nodeagent.report.status import status  # noqa: PLC0415

        say(status(told.status, is_alive=told.is_alive, age_s=told.age_s))
    else:
        from nodeagent.cli.check import serialise  # noqa: PLC0415

        say(serialise(_document(told), output))
    return 0 if told.is_alive else HostError.exit_code


def _folder(chosen: Chosen, run_dir: str) -> str:
    folder, _ = places(chosen, run_dir)
    if folder is None:
        raise UsageError("no agent lives on a capture", hint="leave out --capture")
    return folder


def _document(told: Told) -> dict[str, Any]:
    from nodeagent.model.status import document  # noqa: PLC0415
    from nodeagent.report.document import clean  # noqa: PLC0415

    heartbeat = datetime.fromtimestamp(int(told.heartbeat), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    whole: dict[str, Any] = clean(
        {**document(told.status), "running": told.is_alive, "heartbeat": heartbeat}
    )
    return whole
