"""What a check outside the decision table is: a pure function with its name and its level."""

from collections.abc import Callable
from typing import NamedTuple

from nodeagent.model.facts import Facts
from nodeagent.model.findings import Outcome
from nodeagent.model.policy import Policy
from nodeagent.model.words import CcMode, Level, Profile


class Ask(NamedTuple):
    """What is asked of a host. `want` None: any confidential mode that all devices share."""

    profile: Profile
    want: CcMode | None
    policy: Policy


class Check(NamedTuple):
    """One outcome a device, or one for all; none where there is nothing to look at."""

    name: str
    level: Level
    wants: str
    judge: Callable[[Facts, Ask], tuple[Outcome, ...]]


def plain(
    judge: Callable[[Facts], tuple[Outcome, ...]],
) -> Callable[[Facts, Ask], tuple[Outcome, ...]]:
    """A check that depends on the host alone."""
    return lambda facts, _ask: judge(facts)


def by_mode(
    judge: Callable[[Facts, CcMode | None], tuple[Outcome, ...]],
) -> Callable[[Facts, Ask], tuple[Outcome, ...]]:
    """A check that depends on the wanted mode too."""
    return lambda facts, ask: judge(facts, ask.want)
