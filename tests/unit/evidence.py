"""What each pass of a host rests on: sets of inputs without which it is said no more."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

from nodeagent.checks.judge import judge
from nodeagent.facts.look import look
from nodeagent.model.findings import Judgement
from nodeagent.model.words import Profile, Verdict
from tests.hosts.expected import TABLE
from tests.unit.looks import REQUIRED, Veiled
from tests.unit.recalled import recalled

HOSTS = Path(__file__).parents[1] / "hosts"
READY = [each.name for each in TABLE if each.exit == 0]

Passed = tuple[str, str | None]
Inputs = frozenset[str]
Evidence = dict[Passed, set[Inputs]]


def passes(judgement: Judgement) -> set[Passed]:
    return {
        (each.check, each.outcome.device)
        for each in judgement.findings
        if each.verdict is Verdict.PASS
    }


@cache
def evidence(name: str) -> tuple[Evidence, set[Passed]]:
    """The sets of each pass, and the passes of which none was found.

    Of every host the inputs that are necessary alone. Where one witness may stand in for another
    (A or B), the pass goes only with a larger set: of a host that is ready one such is sought.
    """
    with recalled(str(HOSTS / name)) as machine:

        def left(hidden: Inputs) -> set[Passed]:
            return passes(_judged(Veiled(machine, hidden=hidden.__contains__)))

        whole = Veiled(machine)
        before = passes(_judged(whole))
        inputs = tuple(whole.asked)
        found: Evidence = {}
        for each in inputs:
            _note(found, before, frozenset({each}), left)
        for passed in sorted(before - left(frozenset(inputs)), key=str) if name in READY else ():
            if passed not in found:
                _note(found, before, _smallest(passed, inputs, left), left)
    return found, before - set(found)


def _judged(machine: Veiled) -> Judgement:
    return judge(look(machine), profile=Profile.SNP_GPU, want=None, policy=REQUIRED)


def _note(
    found: Evidence, before: set[Passed], gone: Inputs, left: Callable[[Inputs], set[Passed]]
) -> None:
    for passed in before - left(gone):
        known = found.setdefault(passed, set())
        if not any(each <= gone for each in known):
            known.add(gone)


def _smallest(
    passed: Passed, inputs: tuple[str, ...], left: Callable[[Inputs], set[Passed]]
) -> Inputs:
    """A set that takes the pass away, and none of whose inputs can be spared.

    The first inputs, just as many as it needs, are hidden beside those that are kept; the last of
    them is needed, so it is kept too, until those kept are enough.
    """
    kept: Inputs = frozenset()
    while passed in left(kept):
        few, enough = 0, len(inputs)
        while enough - few > 1:
            middle = (few + enough) // 2
            if passed in left(kept.union(inputs[:middle])):
                few = middle
            else:
                enough = middle
        kept |= {inputs[enough - 1]}
        inputs = inputs[: enough - 1]
    return kept
