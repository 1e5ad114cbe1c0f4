"""`check --compare`: two captures, or a capture and the live host."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nodeagent.cli.looking import look
from nodeagent.cli.several import names_of
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
    names = names_of([path for path, _ in hosts])
    sides = [each for _, each in hosts]
    if len(hosts) == 1:
        names.append(f"this host at {chosen.root}" if chosen.root else "this host")
        sides.append(_live(chosen))
    return _side(names[0], sides[0], is_first=True), _side(names[1], sides[1], is_first=False)


def _live(chosen: Chosen) -> Chosen:
    return replace(chosen, capture=None, more=())


def _side(name: str, chosen: Chosen, *, is_first: bool) -> Side:
    from nodeagent.report.compare import Side  # noqa: PLC0415

    with chosen.open() as machine:
        facts, judgement = look(
            machine, profile=chosen.profile, want=chosen.mode, policy=chosen.policy
        )
    return Side(name, facts, judgement, is_first)


def _judge(chosen: Chosen) -> Any:  # noqa: ANN401 - a report.compare.Judge
    from nodeagent.checks.judge import judge  # noqa: PLC0415

    def again(facts: Facts) -> Judgement:
        return judge(facts, profile=chosen.profile, want=chosen.mode, policy=chosen.policy)

    return again
