"""Several captures at once: every one that can be read is judged, the worst gives the code."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from nodeagent.cli.looking import look
from nodeagent.cli.output import terminal_size
from nodeagent.errors import AgentError, HostError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nodeagent.cli.options import Chosen
    from nodeagent.model.facts import Facts
    from nodeagent.model.findings import Judgement

Answer = tuple["Facts", "Judgement"] | HostError

_WORST_FIRST = (HostError.exit_code, 1, 4, 0)


def answers(chosen: Chosen) -> list[tuple[str, Answer]]:
    """Each capture's path with its judgement, or with why it could not be read."""
    return [(path, _one(path, each)) for path, each in chosen.each()]


def _one(path: str, chosen: Chosen) -> Answer:
    try:
        return judged(path, chosen)
    except HostError as error:
        return error


def judged(path: str, chosen: Chosen) -> tuple[Facts, Judgement]:
    """One capture of several; HostError says of which it speaks."""
    try:
        with chosen.open() as machine:
            return look(machine, profile=chosen.profile, want=chosen.mode, policy=chosen.policy)
    except HostError as error:
        said = str(error)
        if said.startswith(f"{path}: ") or f" capture {path}: " in said:
            raise
        raise type(error)(f"{path}: {said}", hint=error.hint) from error


def worst(found: Sequence[tuple[str, Answer]]) -> int:
    codes = {
        answer.exit_code if isinstance(answer, AgentError) else answer[1].ready.exit_code
        for _, answer in found
    }
    return next(code for code in _WORST_FIRST if code in codes)


def table(found: Sequence[tuple[str, Answer]], paint: Any) -> str:  # noqa: ANN401 - a Paint
    from nodeagent.report.hosts import Row, row  # noqa: PLC0415
    from nodeagent.report.hosts import table as draw  # noqa: PLC0415

    names = names_of([path for path, _ in found])
    rows = [
        Row(name, None) if isinstance(answer, HostError) else row(name, *answer)
        for name, (_, answer) in zip(names, found, strict=True)
    ]
    return draw(rows, paint, width=max(terminal_size()[0], 80))


def names_of(paths: Sequence[str]) -> list[str]:
    """The last part of each path, unless two are alike: then the paths themselves."""
    names = [os.path.basename(path.rstrip("/")).removesuffix(".tar.gz") or path for path in paths]
    return names if len(set(names)) == len(names) else list(paths)


def documents(found: Sequence[tuple[str, Answer]]) -> list[dict[str, Any]]:
    from nodeagent.report.document import document, unread  # noqa: PLC0415

    return [
        unread(path, str(answer), answer.hint)
        if isinstance(answer, HostError)
        else document(answer[1], answer[0])
        for path, answer in found
    ]
