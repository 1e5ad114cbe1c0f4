"""Write docs/ and man/ from the pages and the commands' help, or say where they differ."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from nodeagent import __version__
from nodeagent.cli import book
from nodeagent.cli.explain import Explain
from nodeagent.cli.main import cli, commands
from tools import markdown, roff

REPOSITORY = Path(__file__).parents[1]
_WIDTH = 80
_DATE = "2026-11-25"
"""Of the manual page: when what it says last changed in more than words."""

_DESCRIPTION = """\
nodeagent looks at a bare-metal host and says whether it can run confidential GPU virtual
machines: AMD SEV-SNP on the side of the processor, NVIDIA confidential computing on the side of
the GPU. If it cannot, it names the one thing to fix first. Looking changes nothing.

Codes such as BIOS_SMEE_OFF and checks such as snp.iommu are the words of its reports; they are
listed below.
"""
_FILES = (
    ("/etc/nodeagent/config.yaml", "Settings; every key is optional, the command line wins."),
    ("/run/nodeagent", "What the agent does now, and GPU modes that were proven in this boot."),
    ("/var/lib/nodeagent", "What has happened, for nodeagent history."),
)


def made() -> dict[str, str]:
    """Every file that is made, by its path in the repository."""
    known = book.load()
    helps = [(context.command_path, command.get_help(context)) for context, command in _all()]
    return {
        "docs/codes.md": markdown.codes(known),
        "docs/checks.md": markdown.checks(known),
        "docs/commands.md": markdown.commands(helps),
        "man/nodeagent.1": roff.page(_manual(), known),
    }


def stale() -> list[str]:
    """Files that are not what would be made now."""
    return [name for name, text in made().items() if _read(REPOSITORY / name) != text]


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


def _all() -> Iterator[tuple[click.Context, click.Command]]:
    """The group and each of its commands, as somebody who types sees them."""
    group = click.Context(
        cli,
        info_name="nodeagent",
        terminal_width=_WIDTH,
        **cli.context_settings,
    )
    yield group, cli
    for name in commands():
        command = cli.get_command(group, name)
        assert command is not None, name
        yield click.Context(command, parent=group, info_name=name), command
        if isinstance(command, Explain):
            beside = command.beside()
            yield click.Context(beside, parent=group, info_name=beside.name), beside


def _manual() -> roff.Manual:
    (_, group), *rest = _all()
    return roff.Manual(
        version=__version__,
        date=_DATE,
        summary=_lower(group.help or "").rstrip("."),
        description=_paragraphs(_DESCRIPTION),
        commands=tuple(_command(context, command) for context, command in rest),
        exits=tuple(_pair(line) for line in _block(group.epilog, "Exit codes:")),
        files=_FILES,
        environment=tuple(
            (str(param.envvar), f"As {param.opts[0]} of {command.name}.")
            for _, command in rest
            for param in command.params
            if param.envvar
        ),
    )


def _command(context: click.Context, command: click.Command) -> roff.Command:
    options = (each for each in command.get_params(context) if isinstance(each, click.Option))
    records = [option.get_help_record(context) for option in options]
    pieces = " ".join(command.collect_usage_pieces(context))
    epilog = command.epilog or ""
    examples = _block(epilog, "Examples:") or [epilog.partition(":")[2].strip()]
    return roff.Command(
        usage=f"{context.command_path} {pieces}",
        about=_paragraphs(command.help or ""),
        options=tuple(record for record in records if record),
        examples=tuple(examples),
    )


def _block(text: str | None, title: str) -> list[str]:
    """The indented lines below a title in an epilog."""
    _, found, rest = (text or "").partition(f"{title}\n")
    lines = []
    for line in rest.split("\n") if found else ():
        if not line.startswith(" "):
            break
        lines.append(line.strip())
    return lines


def _paragraphs(text: str) -> tuple[str, ...]:
    return tuple(" ".join(each.split()) for each in text.split("\n\n"))


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _pair(line: str) -> tuple[str, str]:
    code, _, text = line.partition(" ")
    return code, text.strip()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.docs", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 on differences")
    if parser.parse_args().check:
        found = stale()
        print("\n".join(f"{name}: run make docs" for name in found) or "docs are what is made")
        return 1 if found else 0
    for name, text in made().items():
        path = REPOSITORY / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
