"""The command group, and the one place where an error becomes lines and a code."""

import errno
import gc
import importlib
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from nodeagent import __version__
from nodeagent.errors import AgentError, HostError, nearest
from nodeagent.model.text import shown

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_COMMANDS = {
    "apply": "Bring GPUs and NVSwitches to a mode, side by side, and prove it.",
    "check": "Read, judge, and say ready or what to fix first.",
    "capture": "Write this host as one file, with secrets and serial numbers masked.",
    "completion": "Print the completion script of bash, zsh or fish.",
    "demo": "Bring a simulated node with 8 GPUs from not ready to ready.",
    "explain": "Say what a code or a check means, and how it is fixed.",
    "fleet": "Show every node: its verdict, what to fix first, mode, last switch, TCB, GPUs.",
    "gpus": "Show each GPU and NVSwitch: active and configured mode, driver, who has it.",
    "history": "Show the last 100 transitions on this node with their cause.",
    "labels": "Show the labels that would be published, without publishing.",
    "plan": "Show the steps to a mode, without taking any.",
    "run": "The agent: look every period, judge, and publish on the own Node.",
    "self-test": "Try what the agent's credentials must not be able to do.",
    "sim": "A simulated machine as a process of its own, for --sim.",
    "status": "Say what the agent on this node is doing, and who blocks it.",
    "topology": "Show the PCIe tree from root ports to GPUs: groups, ACS, modes.",
    "withdraw": "Take back from Nodes all that is ours, and nothing else.",
}

_EPILOG = """\b
Exit codes:
  0  ready (check), or answered
  1  not ready
  2  the command's words or the configuration are off
  3  the program could not do its work
  4  cannot tell: something could not be read

\b
Examples:
  nodeagent check
  nodeagent check --capture tests/hosts/genoa-ready
  nodeagent check --root /host --profile snp -v
  nodeagent apply --mode on
"""


_UNWRITTEN = frozenset({errno.ENOSPC, errno.EIO, errno.EFBIG, errno.EDQUOT})
"""What writing to standard output may end in, and nothing else that is not caught nearer by."""


class Lazy(click.Group):
    """Loads a command's module when it is called: `check` must start at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"nodeagent.cli.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        words = bool(args) and not args[0].startswith("-") and not ctx.resilient_parsing
        if words and args[0] not in _COMMANDS:
            guess = nearest(args[0], _COMMANDS)
            hint = f"did you mean {guess}?" if guess else f"known: {', '.join(_COMMANDS)}"
            raise click.UsageError(f"unknown command {args[0]!r}\n  try: {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """From the table: help for the group need not load every command."""
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list["CompletionItem[str]"]:
        """From the table as well: a word to complete need not load every command."""
        from click.shell_completion import CompletionItem  # noqa: PLC0415 - see `check`

        named = [
            CompletionItem(n, help=h) for n, h in _COMMANDS.items() if n.startswith(incomplete)
        ]
        return named + click.Command.shell_complete(self, ctx, incomplete)


@click.command(cls=Lazy, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="nodeagent")
def cli() -> None:
    """Says whether this node can run confidential GPU VMs, or what to fix first."""


def commands() -> tuple[str, ...]:
    """Every command's name, in the order of the help."""
    return tuple(_COMMANDS)


def main(args: Sequence[str] | None = None) -> None:
    """Run the program and exit with a code that says only what it is for."""
    # Most commands live a tenth of a second, a tenth of which collecting would take.
    gc.disable()
    try:
        code = _run(args)
    except Exception:  # noqa: BLE001 - Python's own code for this, 1, would say "not ready"
        import traceback  # noqa: PLC0415 - a good run has none

        traceback.print_exc()
        code = 3
    try:
        if sys.stdout:
            sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        complain(HostError(f"cannot write the answer: {error.strerror}"))
        code = HostError.exit_code
    gc.enable()
    sys.exit(code)


def _run(args: Sequence[str] | None) -> int:
    try:
        code = cli.main(args=args, prog_name="nodeagent", standalone_mode=False)
    except click.exceptions.Exit as stop:
        code = stop.exit_code
    except click.ClickException as error:
        code = _usage(error)
    except click.Abort:
        code = 130
    except AgentError as error:
        complain(error)
        code = error.exit_code
    except OSError as error:
        if error.errno not in _UNWRITTEN:
            raise
        complain(HostError(f"cannot write the answer: {error.strerror}"))
        code = HostError.exit_code
    return code if isinstance(code, int) else 0


def complain(error: AgentError) -> None:
    """One line of fact, one of what to try."""
    lines = [f"nodeagent: {shown(str(error))}"]
    if error.hint:
        lines.append(f"  try: {shown(error.hint)}")
    for line in lines:
        click.echo(_fitted(line) if sys.stderr and sys.stderr.isatty() else line, err=True)


def _fitted(line: str) -> str:
    """Between words, where a person reads it; a log keeps one line for one fact."""
    import shutil  # noqa: PLC0415 - for a person at a terminal alone
    import textwrap  # noqa: PLC0415

    width = max(shutil.get_terminal_size().columns, 40)
    return textwrap.fill(
        line, width, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    )


def _usage(error: click.ClickException) -> int:
    message = error.format_message()
    if message.startswith("Usage:"):  # no command at all: the help itself
        click.echo(message, err=True)
        return 2
    click.echo(f"nodeagent: {message}", err=True)
    context = getattr(error, "ctx", None)
    if isinstance(context, click.Context):
        click.echo(f"  help: {context.command_path} --help", err=True)
    return 2
