"""Judges this node against what the cluster says of it: RuntimeClasses, labels, others' pauses.

Nothing here is known without a running agent, and then nothing is said.
"""

from collections.abc import Iterable, Iterator, Mapping

from nodeagent.checks.check import Ask, Check, plain
from nodeagent.checks.wanted import SHOWN, wanted
from nodeagent.data import writers
from nodeagent.model.codes import Code
from nodeagent.model.facts import Facts
from nodeagent.model.findings import Outcome, bad, ok, skip, warn
from nodeagent.model.pause import Wedge
from nodeagent.model.runtime import Around, RuntimeClass
from nodeagent.model.seen import Unreadable
from nodeagent.model.text import printable
from nodeagent.model.words import Level, Profile

_STATES = frozenset({"nvidia.com/cc.ready.state", "nvidia.com/cc.mode.state"})
_CC_MANAGER = "nvidia.com/gpu.deploy.cc-manager"


def _around(facts: Facts) -> Around | None:
    node = facts.runtime.node
    return node.around if node else None


def _classes(around: Around) -> tuple[RuntimeClass, ...]:
    return () if isinstance(around.classes, Unreadable) else around.classes


def _selects(each: RuntimeClass, around: Around) -> bool:
    """Whether it does, or would with the labels that follow from what is judged here.

    Else a failing check would take its own reason away, and come and go for ever.
    """
    if each.selector is None:
        return False
    return all(
        around.labels.get(key) == value or (key not in around.labels and _follows(key, around))
        for key, value in each.selector.items()
    )


def _follows(key: str, around: Around) -> bool:
    return key in _STATES or key.startswith(around.prefix)


def _is_confidential(each: RuntimeClass, ask: Ask) -> bool:
    """The kind of class that this node is judged for."""
    if ask.profile is Profile.SNP:
        return "snp" in each.handler.split("-")
    name = wanted().handler
    return each.handler == name or each.handler.startswith(f"{name}-")


def _shown(names: Iterable[str]) -> str:
    first, *rest = sorted(names)
    return printable(first, SHOWN) + (f" and {len(rest)} more" if rest else "")


# Handlers.


def handlers(facts: Facts, ask: Ask) -> tuple[Outcome, ...]:
    """One outcome a handler that is missing. What no confidential pod needs does not gate."""
    around, node = _around(facts), facts.runtime.node
    if around is None or node is None:
        return ()
    if isinstance(around.classes, Unreadable):
        return (skip(printable(f"not looked at: {around.classes}")),)
    named: dict[str, list[RuntimeClass]] = {}
    for each in around.classes:
        if _selects(each, around):
            named.setdefault(each.handler, []).append(each)
    if not named:
        return ()
    if node.handlers is None:
        return (skip("the Node lists no handlers, as before containerd 2"),)
    missing = {name: found for name, found in named.items() if name not in node.handlers}
    if not missing:
        return (ok("the Node shows every handler of the classes that select it"),)
    return tuple(_missing(name, found, ask) for name, found in sorted(missing.items()))


def _missing(name: str, classes: list[RuntimeClass], ask: Ask) -> Outcome:
    of = _shown(each.name for each in classes)
    seen = f"the Node does not show handler {printable(name, SHOWN)} of RuntimeClass {of}"
    gates = any(_is_confidential(each, ask) for each in classes)
    return (bad if gates else warn)(Code.HANDLER_MISSING, seen)


# What a class asks for beside its pod.


def overhead(facts: Facts) -> tuple[Outcome, ...]:
    """Extended resources alone: of memory and CPU every node offers some."""
    around = _around(facts)
    if around is None:
        return ()
    asked: dict[str, list[str]] = {}
    for each in _classes(around):
        if _selects(each, around):
            for name, count in each.overhead.items():
                if "/" in name and count != "0":
                    asked.setdefault(name, []).append(each.name)
    lacking = {name: of for name, of in asked.items() if around.offered.get(name, "0") == "0"}
    return tuple(_not_offered(name, of) for name, of in sorted(lacking.items()))


def _not_offered(name: str, classes: list[str]) -> Outcome:
    who = _who(writers.of_resource(name))
    seen = f"RuntimeClass {_shown(classes)} asks for {printable(name, SHOWN)}, not offered here"
    return warn(Code.OVERHEAD_NOT_OFFERED, f"{seen}; it is offered by {who}")


def _who(writer: writers.Writer | None) -> str:
    return writer.who.partition(";")[0] if writer else "nobody that we know of"


# Labels that nobody writes.


def labels(facts: Facts, ask: Ask) -> tuple[Outcome, ...]:
    """Of the classes that this node is judged for: a label that is wrong has its writer."""
    around = _around(facts)
    if around is None:
        return ()
    lacking: dict[tuple[str, str], list[str]] = {}
    for each in _classes(around):
        if _is_confidential(each, ask):
            for pair in _unwritten(each.selector or {}, around):
                lacking.setdefault(pair, []).append(each.name)
    return tuple(_unlabelled(key, value, of) for (key, value), of in sorted(lacking.items()))


def _unwritten(selector: Mapping[str, str], around: Around) -> Iterator[tuple[str, str]]:
    for key, value in selector.items():
        has_writer = key.startswith(around.prefix) or (
            key in _STATES and (around.is_authority or around.labels.get(_CC_MANAGER) == "true")
        )
        if key not in around.labels and not has_writer:
            yield key, value


def _unlabelled(key: str, value: str, classes: list[str]) -> Outcome:
    label = printable(f"{key}={value}", 2 * SHOWN)
    seen = f"nobody wrote label {label}, which RuntimeClass {_shown(classes)} selects"
    return warn(Code.LABEL_UNWRITTEN, f"{seen}; its writer is {_who(writers.of_label(key))}")


# What others left paused.


def pauses(facts: Facts) -> tuple[Outcome, ...]:
    """A living program may be at work, until that takes longer than any work of it."""
    around = _around(facts)
    return tuple(filter(None, map(_pause, around.wedges))) if around else ()


def _pause(each: Wedge) -> Outcome | None:
    label = printable(f"{each.key}={each.value}", 2 * SHOWN)
    if isinstance(each.owner, Unreadable):
        return skip(f"{label}: whether {each.who} lives cannot be told")
    if each.owner is None:
        why = f"{each.who} is not here to end it"
    elif each.is_old:
        why = f"{each.who} ({printable(each.owner, SHOWN)}) has not ended it for half an hour"
    else:
        return None
    return warn(Code.OPERAND_LEFT_PAUSED, f"{label}, and {why}; without it: {each.restored}")


CHECKS: tuple[Check, ...] = (
    Check("cluster.handlers", Level.RUNTIME, "every handler that classes name here", handlers),
    Check("cluster.overhead", Level.RUNTIME, "what classes ask for beside", plain(overhead)),
    Check("cluster.labels", Level.RUNTIME, "a writer for each selected label", labels),
    Check("cluster.pauses", Level.RUNTIME, "no operand left paused", plain(pauses)),
)
"""In reading order."""
