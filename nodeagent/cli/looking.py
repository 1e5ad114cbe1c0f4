"""Look and judge: the one way from a machine to an answer."""

from collections.abc import Mapping

from nodeagent.checks.judge import judge
from nodeagent.facts.look import look as read
from nodeagent.floors import shipped
from nodeagent.model.facts import Facts
from nodeagent.model.findings import Judgement
from nodeagent.model.pci import Sighting
from nodeagent.model.policy import Policy
from nodeagent.model.words import CcMode, Profile
from nodeagent.seams import Machine


def look(
    machine: Machine,
    *,
    profile: Profile,
    want: CcMode | None,
    policy: Policy | None = None,
    remembered: Mapping[str, Sighting] | None = None,
) -> tuple[Facts, Judgement]:
    """One look and its judgement. `remembered`: GPU modes proven earlier in this boot.

    `policy` None: the shipped floors, and nothing that a site would demand beyond.
    """
    facts = read(machine, remembered=remembered)
    asked = policy or Policy(floors=shipped())
    return facts, judge(facts, profile=profile, want=want, policy=asked)
