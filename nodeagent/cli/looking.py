"""Look and judge: the one way from a machine to an answer."""

from collections.abc import Mapping

from nodeagent.checks.judge import judge
from nodeagent.facts.look import look as read
from nodeagent.model.facts import Facts
from nodeagent.model.findings import Judgement
from nodeagent.model.pci import Sighting
from nodeagent.model.words import CcMode, Profile
from nodeagent.seams import Machine


def look(
    machine: Machine,
    *,
    profile: Profile,
    want: CcMode | None,
    remembered: Mapping[str, Sighting] | None = None,
) -> tuple[Facts, Judgement]:
    """One look and its judgement. `remembered`: GPU modes proven earlier in this boot."""
    facts = read(machine, remembered=remembered)
    return facts, judge(facts, profile=profile, want=want)
