"""`nodeagent sim`: a simulated machine as a process of its own."""

from __future__ import annotations

import click

from nodeagent.cli.output import say


@click.group(
    "sim",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Example:
  nodeagent sim serve /tmp/hgx
""",
)
def command() -> None:
    """A simulated machine, for trials without GPUs."""


@command.command(
    "serve",
    epilog="""\b
Examples:
  nodeagent sim serve /tmp/hgx &
  nodeagent apply --mode on --sim /tmp/hgx/socket
""",
)
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False))
@click.option(
    "--rate",
    type=click.FloatRange(min=0.1, max=1000),
    default=1.0,
    show_default=True,
    metavar="NUMBER",
    help="How many seconds of the model pass in one of ours.",
)
def serve(folder: str, rate: float) -> None:
    """Serve the machine in DIR at DIR/socket, until Ctrl-C or SIGTERM.

    An empty DIR gets a ready host with 8 H100 and 4 NVSwitches; a capture of your own goes to
    DIR/host or DIR/host.tar.gz. Modes, drivers and resets outlive clients, and this process.
    """
    from nodeagent.capture.archive import open_capture  # noqa: PLC0415 - see the style guide, §6
    from nodeagent.sim.serve import serve as run  # noqa: PLC0415

    run(folder, open_capture, rate=rate, told=_tell)


def _tell(path: str) -> None:
    say(f"serving at {path}\n  try: nodeagent gpus --sim {path}")
