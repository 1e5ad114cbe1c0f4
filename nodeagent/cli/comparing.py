"""`check --compare`: two captures, or a capture and the live host."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nodeagent.cli.looking import look
from nodeagent.cli.several import judged, names_of
from nodeagent.errors import UsageError

if TYPE_CHECKING:
    from nodeagent.cli.options import Chosen
    from nodeagent.model.facts import Facts
    from nodeagent.model.findings import Judgement
    from nodeagent.report.compare import Side


def compared(chosen: Chosen, output: str, paint: Any) -> str | dict[str, Any]:  # noqa: ANN401
    """The answer as text, or as data where that is asked for."""
    from nodeagent.report import compare  # noqa: PLC0415

    a, b = _sides(chosen)
    found = compare.compare(a, b, _judge(chosen))
    if output == "table":
        return compare.text(a, b, found, paint)
    return compare.document(a, b, found)


def _sides(chosen: Chosen) -> tuple[Side, Side]:
    hosts = chosen.each()
    if not hosts or len(hosts) > 2:
        raise UsageError(
            f"--compare takes two captures, not {len(hosts)}", hint="or one, for this host"
        )
    if len(hosts) == 2 and chosen.root is not None:
        raise UsageError("--root is given, and two captures", hint="give --root and one capture")
    from nodeagent.report.compare import Side  # noqa: PLC0415

    names = names_of([path for path, _ in hosts])
    sides = [judged(path, each) for path, each in hosts]
    if len(hosts) == 1:
        names.append(f"this host at {chosen.root}" if chosen.root else "this host")
        sides.append(_live(chosen))
    return Side(names[0], *sides[0], True), Side(names[1], *sides[1], False)


def _live(chosen: Chosen) -> tuple[Facts, Judgement]:
    with replace(chosen, capture=None, more=()).open() as machine:
        return look(machine, profile=chosen.profile, want=chosen.mode, policy=chosen.policy)


def _judge(chosen: Chosen) -> Any:  # noqa: ANN401 - a report.compare.Judge
    from nodeagent.checks.judge import judge  # noqa: PLC0415

    def again(facts: Facts) -> Judgement:
        return judge(facts, profile=chosen.profile, want=chosen.mode, policy=chosen.policy)

    return again
