"""Two hosts side by side: only the facts that differ, and first those that the verdict hangs on."""

import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from nodeagent.model.facts import Facts
from nodeagent.model.findings import Judgement, Outcome
from nodeagent.model.host import LogEvent
from nodeagent.model.text import printable
from nodeagent.model.words import Ready
from nodeagent.report.document import safe
from nodeagent.report.flatten import GONE, Leaf, differences, exchange, words
from nodeagent.report.text import HEADLINES, Paint, plain

Judge = Callable[[Facts], Judgement]
_Key = tuple[str, str | None]

_ORDER = (Ready.YES, Ready.CANNOT_TELL, Ready.NO)
_LAST = (1 << 30, 1)
_MAX_TRIED = 400  # each is a judgement; a host of another make differs in everything
_MAX_SHOWN = 40
_MAX_NAME = 34
_MAX_LINES = 3  # of one fact
_NAME, _CELL, _SPACE = 28, 24, "  "
# Other flags, and the rest of a kernel's configuration, are nothing that is judged here.
_TELLING_FLAGS = frozenset(
    {"hypervisor", "svm", "npt", "lbrv", "sme", "sev", "sev_es", "sev_snp", "debug_swap"}
)
_TELLING_CONFIG = ("KVM", "CRYPTO_DEV_", "AMD_", "IOMMU", "VFIO", "CGROUP_MISC", "X86_MSR", "X86_C")


class Side(NamedTuple):
    """One of the two hosts; `is_first` of the one that is called A."""

    name: str
    facts: Facts
    judgement: Judgement
    is_first: bool


class Difference(NamedTuple):
    """One fact that differs. `changes`: findings that would be otherwise with the other's value."""

    leaf: Leaf
    changes: tuple[str, ...] = ()


_Ranked = tuple[tuple[int, int], Difference]


def compare(a: Side, b: Side, judge: Judge) -> list[Difference]:
    """Causes first. A fact is one if the host that is worse would be judged otherwise with the
    other host's fact in its place: a consequence alone changes nothing. Where only several
    facts together would, those count that would harm the other host."""
    leaves = [leaf for leaf in differences(a.facts, b.facts) if _is_telling(leaf)]
    differing = _differing(a.judgement, b.judgement)
    first, second = (_ORDER.index(side.judgement.ready) for side in (a, b))
    worse = [side for side, is_it in ((a, first >= second), (b, second >= first)) if is_it]
    ranked = _ranked(leaves, worse, judge, differing)
    if not any(difference.changes for _, difference in ranked):
        ranked = _ranked(leaves, (a, b), judge, differing)
    # Stable: within one rank facts keep the order in which they are written down.
    return [difference for _, difference in sorted(ranked, key=lambda each: each[0])]


def _ranked(
    leaves: Sequence[Leaf], sides: Sequence[Side], judge: Judge, differing: Sequence[_Key]
) -> list[_Ranked]:
    tried = [_tried(leaf, sides, judge, differing) for leaf in leaves[:_MAX_TRIED]]
    return tried + [(_LAST, Difference(leaf)) for leaf in leaves[_MAX_TRIED:]]


def _is_telling(leaf: Leaf) -> bool:
    if leaf.name.startswith("CPU flag "):
        return leaf.path[-1] in _TELLING_FLAGS
    if not leaf.name.startswith("CONFIG_"):
        return True
    return leaf.name.removeprefix("CONFIG_").startswith(_TELLING_CONFIG)


def _outcomes(judgement: Judgement) -> dict[_Key, Outcome]:
    return {(each.check, each.outcome.device): each.outcome for each in judgement.findings}


def _says(outcome: Outcome | None) -> object:
    return outcome and (outcome.verdict, outcome.code, outcome.cause)


def _differing(a: Judgement, b: Judgement) -> list[_Key]:
    """What keeps one of them from being ready and not the other, in the order of the report;
    where nothing does, every finding with another verdict or reason."""
    left, right = _outcomes(a), _outcomes(b)
    todo = [(each.check, each.outcome.device) for each in (*a.todo, *b.todo)]
    for keys in (dict.fromkeys(todo), dict.fromkeys([*left, *right])):
        differing = [key for key in keys if _says(left.get(key)) != _says(right.get(key))]
        if differing:
            return differing
    return []


def _tried(leaf: Leaf, sides: Sequence[Side], judge: Judge, differing: Sequence[_Key]) -> _Ranked:
    """The first finding that the fact bears on, and whether it alone turns it."""
    rank, changes = _LAST, dict[str, None]()
    for side in sides:
        part = leaf.b if side.is_first else leaf.a
        before = _outcomes(side.judgement)
        after = _outcomes(judge(exchange(side.facts, leaf.path, part)))
        for n, key in enumerate(differing):
            old, new = before.get(key), after.get(key)
            if old != new:
                rank = min(rank, (n, int(_says(old) == _says(new))))
                changes[key[0]] = None
    return rank, Difference(leaf, tuple(changes))


def text(a: Side, b: Side, found: Sequence[Difference], paint: Paint = plain) -> str:
    """A column for each host, at most 80 columns in all."""
    width = max(len(printable(side.name, _MAX_NAME)) for side in (a, b))
    lines = [_head("A", a, width, paint), _head("B", b, width, paint)]
    if not found:
        return "\n".join([*lines, "", "Nothing that is read here differs."])
    causes = [each for each in found if each.changes]
    rest = [each for each in found if not each.changes]
    if causes:
        same = a.judgement.ready is b.judgement.ready
        title = "What the findings hang on:" if same else "What the verdict hangs on:"
        lines += ["", paint(title, "bold"), *_columns(causes)]
    if rest:
        title = "Other differences:" if causes else "Differences, none of which decides alone:"
        lines += ["", paint(title, "bold"), *_columns(rest)]
    return "\n".join(lines)


def _head(letter: str, side: Side, width: int, paint: Paint) -> str:
    word, colour = HEADLINES[side.judgement.ready]
    root = side.judgement.root
    code = f"{'':<{13 - len(word)}}{root.code}" if root else ""
    return f"{letter}  {printable(side.name, _MAX_NAME):<{width}}  {paint(word, colour)}{code}"


def _columns(found: Sequence[Difference]) -> Iterator[str]:
    yield f"{'':<{_NAME}}{_SPACE}{'A':<{_CELL}}{_SPACE}B"
    for each in found[:_MAX_SHOWN]:
        name, left, right = (
            _fold(cell, width)
            for cell, width in zip(_cells(each.leaf), (_NAME, _CELL, _CELL), strict=True)
        )
        for n in range(max(len(name), len(left), len(right))):
            cells = [lines[n] if n < len(lines) else "" for lines in (name, left, right)]
            yield (f"{cells[0]:<{_NAME}}{_SPACE}{cells[1]:<{_CELL}}{_SPACE}{cells[2]}").rstrip()
    if len(found) > _MAX_SHOWN:
        yield f"and {len(found) - _MAX_SHOWN} more: -o json"


def _cells(leaf: Leaf) -> tuple[str, str, str]:
    name = printable(leaf.name, 120)
    is_member = leaf.path and leaf.name.endswith(f" {leaf.path[-1]}")
    if is_member and (leaf.a is GONE or leaf.b is GONE):
        return name, "no" if leaf.a is GONE else "yes", "no" if leaf.b is GONE else "yes"
    return name, _cell(leaf.a, leaf.b), _cell(leaf.b, leaf.a)


def _cell(mine: object, other: object) -> str:
    """Of log lines only those that the other has not."""
    if isinstance(mine, tuple) and mine and all(isinstance(each, LogEvent) for each in mine):
        lines = other if isinstance(other, tuple) else ()
        own = [each for each in mine if each not in lines] or mine
        more = f" (and {len(own) - 1} more)" if len(own) > 1 else ""
        return words(own[0]) + more
    return words(mine)


def _fold(cell: str, width: int) -> list[str]:
    lines = textwrap.wrap(cell, width, subsequent_indent=" ", break_on_hyphens=False)
    if len(lines) > _MAX_LINES:
        lines = [*lines[: _MAX_LINES - 1], lines[_MAX_LINES - 1][: width - 2] + " …"]
    return lines


def document(a: Side, b: Side, found: Sequence[Difference]) -> dict[str, Any]:
    """The same as data, and all of it."""
    return {
        "version": 1,
        "hosts": [
            {
                "where": safe(side.facts.source.where),
                "verdict": side.judgement.ready.value,
                "root": str(side.judgement.root.code) if side.judgement.root else None,
            }
            for side in (a, b)
        ],
        "differences": [
            {
                "fact": safe(each.leaf.name),
                "values": [safe(cell) for cell in _cells(each.leaf)[1:]],
                "changes": list(each.changes),
            }
            for each in found
        ],
    }
