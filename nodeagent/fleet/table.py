"""A fleet as a person reads it: what to fix first, then a row a node; and what changed."""

import re
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from nodeagent.fleet.standing import Clock, Standing, State
from nodeagent.model.text import printable

WIDTH = 80
Paint = Callable[[str, str], str]
Cause = tuple[State, str]

_HEADS = ("NODE", "VERDICT", "FIRST TO FIX", "MODE", "LAST SWITCH", "TCB", "GPUS")
# How narrow a column may become, in the order in which they are cut.
_LEAST = {"FIRST TO FIX": 24, "NODE": 16, "LAST SWITCH": 11, "GPUS": 6, "MODE": 6}
_GAP = "  "
_COLOURS = {State.READY: "good", State.NOT_READY: "bad", State.BLOCKED: "bad"}
_NOTHING_TO_FIX = (State.SWITCHING, State.READY)
_UNITS = ((86400.0, "d"), (3600.0, "h"), (60.0, "m"), (1.0, "s"))
_GROUPS_TOLD = 6


def plain(text: str, _colour: str) -> str:
    return text


def ordered(nodes: Iterable[Standing]) -> list[Standing]:
    """By what to fix, what concerns the most nodes first; ready ones last."""
    nodes = list(nodes)
    count = Counter(map(cause, nodes))
    place = {each: n for n, each in enumerate(sorted(count, key=lambda each: _rank(each, count)))}
    return sorted(nodes, key=lambda each: (place[cause(each)], _natural(each.name)))


def cause(node: Standing) -> Cause:
    return node.state, node.root


def causes(nodes: Sequence[Standing]) -> dict[Cause, list[Standing]]:
    """Nodes that wait for the same, in the order of `nodes`."""
    found: dict[Cause, list[Standing]] = {}
    for each in nodes:
        found.setdefault(cause(each), []).append(each)
    return found


def _rank(each: Cause, count: Mapping[Cause, int]) -> tuple[int, int, int, str]:
    state, root = each
    last = _NOTHING_TO_FIX.index(state) + 1 if state in _NOTHING_TO_FIX else 0
    return last, -count[each], list(State).index(state), root


def _natural(name: str) -> list[tuple[int, str]]:
    """node-2 before node-10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in _PARTS.findall(name)]


_PARTS = re.compile(r"[0-9]{1,18}|[^0-9]+")


def text(
    nodes: Sequence[Standing], clock: Clock, paint: Paint = plain, *, width: int = WIDTH
) -> str:
    """`nodes` as `ordered` puts them."""
    return "\n".join([*head(nodes, paint, width=width), *_rows(nodes, clock, paint, width)])


def head(nodes: Sequence[Standing], paint: Paint = plain, *, width: int = WIDTH) -> list[str]:
    """The fleet in a few lines: how many are ready, what to fix first, which groups there are."""
    lines = [paint(summary(nodes), "bold")]
    first = next((each for each in causes(nodes) if each[0] not in _NOTHING_TO_FIX), None)
    if first:
        lines += _first(causes(nodes)[first], width)
    lines += _group("TCB", Counter(each.tcb for each in nodes if each.tcb), width)
    lines += _group("GPUs", Counter(each.chip for each in nodes if each.chip), width)
    return [*lines, ""] if nodes else lines


def summary(nodes: Sequence[Standing]) -> str:
    """`2 of 5 nodes are ready; 2 not ready, 1 stale`."""
    count = Counter(each.state for each in nodes)
    rest = [f"{count[state]} {state}" for state in State if count[state] and state != State.READY]
    told = (
        f"{count[State.READY]} of {_nodes(len(nodes))} {'is' if len(nodes) == 1 else 'are'} ready"
    )
    return "; ".join([told, ", ".join(rest)]) if rest else told


def _nodes(count: int) -> str:
    return f"{count} node{'' if count == 1 else 's'}"


def _first(nodes: Sequence[Standing], width: int) -> list[str]:
    one = nodes[0]
    what = one.root or _CAUSES.get(one.state, one.state)
    lead = f"fix first: {what} on {_nodes(len(nodes))}"
    told = f"{lead}: {one.to_do}" if one.to_do else lead
    return textwrap.wrap(
        told, width, subsequent_indent="  ", max_lines=4, placeholder=" …", break_on_hyphens=False
    )


_CAUSES = {
    State.NOT_READY: "no known cause",
    State.NO_AGENT: "no agent",
    State.STALE: "an agent that no longer reports",
    State.BLOCKED: "a switch that waits for somebody",
    State.CANNOT_TELL: "a look that could not tell",
}


def _group(name: str, count: Counter[str], width: int) -> list[str]:
    """Groups of one kind, the largest first; one alone has nothing to compare with."""
    told = [f"{what} on {many}" for what, many in count.most_common(_GROUPS_TOLD)]
    if len(count) > _GROUPS_TOLD:
        told.append(f"{len(count) - _GROUPS_TOLD} more")
    return textwrap.wrap(f"{name}: {', '.join(told)}", width) if told else []


def _rows(nodes: Sequence[Standing], clock: Clock, paint: Paint, width: int) -> Iterator[str]:
    cells = [_cells(each, clock) for each in nodes]
    used = [n for n in range(len(_HEADS)) if n < 3 or any(line[n] for line in cells)]
    heads = [_HEADS[n] for n in used]
    lines = [[line[n] for n in used] for line in cells]
    widths = _widths(heads, lines, width)
    if nodes:
        yield paint(_line(heads, widths), "bold")
    at = widths[0] + len(_GAP)
    for each, line in zip(nodes, lines, strict=True):
        told, word = _line(line, widths), each.state.value
        yield told[:at] + paint(word, _COLOURS.get(each.state, "warn")) + told[at + len(word) :]


def _cells(node: Standing, clock: Clock) -> tuple[str, ...]:
    gpus = f"{node.gpus}×{node.chip}" if node.gpus and node.chip else node.chip or node.gpus
    return (
        node.name,
        node.state.value,
        _fix(node, clock),
        mode(node),
        _last(node, clock),
        node.tcb,
        gpus,
    )


def _fix(node: Standing, clock: Clock) -> str:
    match node.state:
        case State.READY:
            return "simulated" if node.simulated else ""
        case State.STALE:
            return _silence(node.beat, clock.now)
        case _:
            return node.root or node.says


def _silence(beat: float | None, now: float) -> str:
    if beat is None:
        return "no heartbeat"
    if beat > now:
        return f"heartbeat {_age(beat - now)} ahead: a clock is off"
    return f"last heartbeat {_age(now - beat)} ago"


def mode(node: Standing) -> str:
    """What it is, and what it shall become where that is another."""
    if not node.wanted or node.wanted == node.mode:
        return node.mode
    return f"{node.mode or '?'} to {node.wanted}"


def _last(node: Standing, clock: Clock) -> str:
    last = node.last_switch
    if last is None:
        return ""
    when = f" {_age(clock.now - last.ended)} ago" if last.ended is not None else ""
    return f"{last.result}{when}"


def _age(seconds: float) -> str:
    """`3h`: in the largest unit of which there is one."""
    for length, unit in _UNITS:
        if seconds >= length:
            return f"{int(seconds // length)}{unit}"
    return "0s"


def _widths(heads: Sequence[str], lines: Sequence[Sequence[str]], width: int) -> list[int]:
    widths = [max(len(line[n]) for line in (heads, *lines)) for n in range(len(heads))]
    over = sum(widths) + len(_GAP) * (len(widths) - 1) - width
    for name, least in _LEAST.items():
        if over > 0 and name in heads:
            n = heads.index(name)
            cut = min(over, max(widths[n] - max(least, len(name)), 0))
            widths[n] -= cut
            over -= cut
    return widths


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return _GAP.join(
        f"{printable(cell, width):<{width}}" for cell, width in zip(cells, widths, strict=True)
    ).rstrip()


# What changed.


def changes(old: Mapping[str, Standing], new: Mapping[str, Standing]) -> list[str]:
    """A line for each node that is another than it was, in the order of their names."""
    told = []
    for name in sorted({*old, *new}, key=_natural):
        was, now = _short(old.get(name)), _short(new.get(name))
        if was != now:
            told.append(f"{name}: {now} (was {was})")
    return told


def _short(node: Standing | None) -> str:
    """All that is worth a line when it changes."""
    if node is None:
        return "not there"
    why = node.says if node.state in (State.SWITCHING, State.BLOCKED) else node.root
    parts = [node.state.value, printable(why, 120), mode(node) and f"mode {mode(node)}"]
    return ", ".join(part for part in parts if part)
