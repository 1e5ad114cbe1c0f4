"""Look and judge: the one way from a machine to an answer."""

from time import gmtime, strftime

from nodeagent.checks.judge import judge
from nodeagent.facts.look import look as read
from nodeagent.floors import shipped
from nodeagent.model.facts import Facts
from nodeagent.model.findings import Judgement
from nodeagent.model.pci import Known
from nodeagent.model.policy import Policy
from nodeagent.model.runtime import NodeSays
from nodeagent.model.words import CcMode, Profile
from nodeagent.seams import Machine

_NOTHING = Known()


def look(  # noqa: PLR0913 - what a look is given, and what is asked of it
    machine: Machine,
    *,
    profile: Profile,
    want: CcMode | None,
    policy: Policy | None = None,
    known: Known = _NOTHING,
    node: NodeSays | None = None,
) -> tuple[Facts, Judgement]:
    """One look and its judgement. `known`: what the caller knows of the GPUs beside.

    `node`: what the Node object of this host says of it, where there is one.
    `policy` None: the shipped floors, and nothing that a site would demand beyond.
    """
    facts = read(machine, known=known, node=node)
    asked = policy or Policy(floors=shipped())
    if asked.accepted:
        asked = asked._replace(today=strftime("%Y-%m-%d", gmtime()))
    return facts, judge(facts, profile=profile, want=want, policy=asked)
