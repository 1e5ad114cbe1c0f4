"""`nodeagent capture`: this host as one file that can be sent to somebody."""

from __future__ import annotations

import os
import textwrap
from typing import TYPE_CHECKING

import click

from nodeagent.cli.options import host_options
from nodeagent.cli.output import say
from nodeagent.model.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nodeagent.capture.take import Taken
    from nodeagent.capture.write import Written
    from nodeagent.cli.options import Chosen
    from nodeagent.model.findings import Judgement

_WIDTH = 80
_MAX_NAMED = 4


@click.command(
    "capture",
    epilog="""\b
Examples:
  nodeagent capture host.tar.gz
  nodeagent capture host.tar.gz --note 'NCCL hangs since the BIOS update'
  nodeagent capture --root /host /tmp/host     # as a folder
  nodeagent capture --capture old.tar.gz new.tar.gz   # mask it again
""",
)
@click.argument("path", metavar="PATH")
@host_options
@click.option("--note", metavar="TEXT", help="A word to whoever reads it; masked like the rest.")
def command(chosen: Chosen, *, path: str, note: str | None) -> None:
    """Write what a check looks at to PATH, a new folder or .tar.gz.

    `nodeagent check --capture PATH` gives the same report as a check on this host. Serial
    numbers, names, addresses, ids, passwords and keys are masked before anything is written,
    and counted at the end. Nothing else is written, no GPU is woken, and PATH is never
    overwritten.
    """
    from nodeagent.capture.read import CapturedMachine  # noqa: PLC0415 - see the style guide, §6
    from nodeagent.capture.record import Recorder  # noqa: PLC0415
    from nodeagent.capture.take import take  # noqa: PLC0415
    from nodeagent.capture.write import About, entries, now, refuse_place, write  # noqa: PLC0415
    from nodeagent.cli.looking import look  # noqa: PLC0415

    refuse_place(path, chosen.capture or chosen.root)
    captured = now()
    with chosen.open() as machine:
        recorder = Recorder(machine)
        facts, judgement = look(
            recorder, profile=chosen.profile, want=chosen.mode, policy=chosen.policy
        )
        taken = take(recorder, note=facts.source.note if note is None else note)
        if isinstance(machine, CapturedMachine) and machine.captured:
            captured = machine.captured
    about = About(captured, taken.note, facts.source.root, taken.mask.counts)
    written = write(entries(taken.contents, about), path, captured=captured)
    same = _replayed(path, chosen) == _outcome(judgement)
    say("\n".join(lines(path, written, taken, judgement, same=same)))


def _outcome(judgement: Judgement) -> list[tuple[str, ...]]:
    return [
        (each.check, each.verdict, each.code or "", each.outcome.device or "")
        for each in judgement.findings
    ]


def _replayed(path: str, chosen: Chosen) -> list[tuple[str, ...]]:
    """What a check of the new capture says: a mask that hid too much would show here."""
    from nodeagent.capture.archive import open_capture  # noqa: PLC0415
    from nodeagent.cli.looking import look  # noqa: PLC0415

    with open_capture(path) as machine:
        _, judgement = look(machine, profile=chosen.profile, want=chosen.mode, policy=chosen.policy)
        return _outcome(judgement)


def lines(
    path: str, written: Written, taken: Taken, judgement: Judgement, *, same: bool
) -> Iterator[str]:
    size = os.path.getsize(path) if os.path.isfile(path) else written.size
    yield from _wrap(f"Wrote {path}: {written.files} files, {size / 1024:,.0f} KiB.")
    counts = [f"{kind} ({count})" for kind, count in taken.mask.counts.items()]
    yield from _wrap(f"Masked: {', '.join(counts) or 'nothing was found to mask'}.")
    gaps = [f"{where}: {why}" for where, why in taken.contents.denied.items()]
    if gaps:
        more = f"; {len(gaps) - _MAX_NAMED} more in host.json" if len(gaps) > _MAX_NAMED else ""
        yield from _wrap(f"Could not be looked at: {'; '.join(gaps[:_MAX_NAMED])}{more}.")
    if judgement.root_adds:
        yield from _wrap(f"Taken as root it would also hold: {judgement.root_adds}.")
    if same:
        yield from _wrap("A check of it says the same as a check of this host.")
    else:
        yield from _wrap(
            "A check of it does NOT say the same as a check of this host: please report that."
        )
    yield from _wrap("It is plain text: docs/capture.md says how to look it over before sending.")


def _wrap(text: str) -> list[str]:
    return textwrap.wrap(shown(text), _WIDTH, subsequent_indent="  ", break_on_hyphens=False)
