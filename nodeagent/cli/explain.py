"""`nodeagent explain`: what a code or a check means, why it matters, and how it is fixed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from nodeagent import __version__
from nodeagent.cli.options import output_option, place_options
from nodeagent.cli.output import say
from nodeagent.errors import UsageError
from nodeagent.model.text import printable

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from nodeagent.cli.options import Chosen
    from nodeagent.explain.book import Book
    from nodeagent.model.platform import Dmi

_POD = "pod"


def _names(
    _ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem[str]]:
    from click.shell_completion import CompletionItem  # noqa: PLC0415 - only when completing

    from nodeagent.cli import book  # noqa: PLC0415

    start = incomplete.lower().replace("-", "_")
    pages = [(page.name, page.summary) for page in book.load().pages]
    return [
        CompletionItem(name, help=summary)
        for name, summary in (*pages, (_POD, "Say what keeps a pod off each node."))
        if name.lower().startswith(start)
    ]


class Explain(click.Command):
    """`explain pod` is a command of its own, beside the words that have a page."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,  # noqa: ANN401
    ) -> click.Context:
        if args[:1] == [_POD]:
            return self.beside().make_context(f"{info_name} {_POD}", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)

    @staticmethod
    def beside() -> click.Command:
        from nodeagent.cli.explain_pod import command as pod  # noqa: PLC0415 - seldom wanted

        return pod


@click.command(
    "explain",
    cls=Explain,
    epilog="""\b
Examples:
  nodeagent explain
  nodeagent explain BIOS_RMP_TOO_SMALL
  nodeagent explain snp.iommu -o json
  nodeagent explain BIOS_SMEE_OFF --capture tests/hosts/genoa-ready
  nodeagent explain pod model.yaml
""",
)
@click.argument("word", required=False, metavar="[CODE|CHECK]", shell_complete=_names)
@place_options
@output_option
def command(chosen: Chosen, word: str | None, output: str) -> None:
    """Say what a code or a check means, why it matters, and how it is fixed.

    Codes and checks are the words of a report; levels and profiles are explained too. Without
    a word: the list of them all. BiosRmpTooSmall and bios-rmp-too-small are found as well.

    Of the host only the names of its board are read, so that a BIOS setting is called what its
    setup calls it.

    `nodeagent explain pod FILE` is about a pod instead: what keeps it off each node; see its own
    --help.
    """
    from nodeagent.cli import book  # noqa: PLC0415 - see the style guide, §6
    from nodeagent.cli.check import painter, serialise  # noqa: PLC0415
    from nodeagent.explain import document, text  # noqa: PLC0415

    known = book.load()
    page = None if word is None else known.find(word)
    if word is not None and page is None:
        raise _unknown(known, word)
    if page is not None and (known.names_settings(page) or chosen.root or chosen.capture):
        known = book.load(_board(chosen))
    if output != "table":
        found = document.contents(known) if page is None else document.document(known, page)
        say(serialise(found, output))
    elif page is None:
        say(text.contents(known, paint=painter()))
    else:
        say(text.show(known, page, paint=painter()))


def _board(chosen: Chosen) -> Dmi:
    from nodeagent.facts import platform  # noqa: PLC0415

    with chosen.open() as machine:
        return platform.dmi(machine.files)


def _unknown(known: Book, word: str) -> UsageError:
    """A code that is not here may be a newer version's, so this one says which it is."""
    guess = known.nearest(word)
    hint = f"did you mean {guess}" if guess else "run `nodeagent explain` for the list"
    return UsageError(
        f"version {__version__} knows no code or check {printable(word, 30)!r}",
        hint=f"{hint}; a newer version may know more",
    )
