"""The answer for a person: one sentence, the one thing to fix, then nodes alike together."""

from collections.abc import Callable, Iterator, Sequence

from nodeagent.explain.pod.answer import Advice, Answer
from nodeagent.explain.pod.judge import Standing
from nodeagent.explain.pod.notes import Note
from nodeagent.explain.pod.words import SCHEDULER, Kind, Reason, Verdict
from nodeagent.model.text import shown

_WIDTH = 80
_NAMES = 5
_GROUPS = 8
_KIND_CHARS = max(len(each) for each in Kind)

Paint = Callable[[str, str], str]
_COLOUR = {Verdict.FITS: "good", Verdict.REFUSED: "bad", Verdict.UNKNOWN: "warn"}


def show(answers: Sequence[Answer], *, paint: Paint, verbose: bool = False) -> str:
    return "\n\n".join("\n".join(_lines(each, paint, verbose=verbose)) for each in answers)


def _lines(found: Answer, paint: Paint, *, verbose: bool) -> Iterator[str]:
    head, *more = _wrapped(f"{found.pod.title}: {_sentence(found)}", "", "  ")
    yield paint(head, _COLOUR[found.verdict])
    yield from more
    if found.fix:
        yield ""
        yield from _advice(found.fix, paint)
    for note in found.notes:
        yield ""
        yield from _note(note, paint)
    if found.unsure and found.verdict is Verdict.UNKNOWN:
        yield ""
        yield paint("Not judged here, and it decides as well:", "bold")
        for each in found.unsure:
            yield from _wrapped(each, "  - ", "    ")
    if found.standings and not any(each.kind is Kind.CLASS for each in found.blockers):
        yield ""
        yield from _nodes(found.standings, verbose=verbose)
        origins = {one.origin for each in found.standings for one in each.reasons if one.origin}
        for origin in sorted(origins):
            yield from _wrapped(f"asked for by {origin}", "* ", "  ")


def _sentence(found: Answer) -> str:
    count = len(found.standings)
    if found.blockers:
        kind = found.blockers[0].kind
        return "is held back by a gate" if kind is Kind.GATE else "the API server refuses it"
    match found.verdict:
        case Verdict.FITS:
            names = found.nodes(Verdict.FITS)
            return f"fits on {len(names)} of {count} nodes: {_some(names)}"
        case Verdict.UNKNOWN:
            names = found.nodes(Verdict.UNKNOWN)
            return f"cannot tell; {len(names)} of {count} nodes may do: {_some(names)}"
        case Verdict.REFUSED:
            return f"fits nowhere, on none of {count} node{'s' * (count != 1)}"


def _advice(fix: Advice, paint: Paint) -> Iterator[str]:
    head, *rest = _wrapped(f"Fix first: {fix.what}", "", "  ")
    yield paint(head, "bold")
    yield from rest
    for each in fix.why:
        yield from _wrapped(each, "  - ", "    ")
    if fix.who:
        yield from _wrapped(f"Written by: {fix.who}", "  ", "    ")
    yield from _wrapped(f"To do: {fix.do}", "  ", "    ")


def _note(note: Note, paint: Paint) -> Iterator[str]:
    head, *rest = _wrapped(f"Warning: {note.what}", "", "  ")
    yield paint(head, "warn")
    yield from rest
    for each in note.why:
        yield from _wrapped(each, "  - ", "    ")
    yield from _wrapped(f"To do: {note.do}", "  ", "    ")


def _nodes(seen: Sequence[Standing], *, verbose: bool) -> Iterator[str]:
    groups = [[each] for each in seen] if verbose else _alike(seen)
    for group in groups if verbose else groups[:_GROUPS]:
        yield from _group(group, verbose=verbose)
    left = [] if verbose else groups[_GROUPS:]
    if left:
        count = sum(len(each) for each in left)
        yield f"and {count} more nodes, each kept away by something else (-v)"


def _alike(seen: Sequence[Standing]) -> list[list[Standing]]:
    """With the same verdict for the same reasons; those nearest to a fit first."""
    found: dict[tuple[object, ...], list[Standing]] = {}
    for each in seen:
        key = (each.verdict, *((one.kind, one.subject) for one in each.reasons))
        found.setdefault(key, []).append(each)
    return sorted(found.values(), key=lambda group: (len(group[0].reasons), -len(group)))


def _group(group: Sequence[Standing], *, verbose: bool) -> Iterator[str]:
    names = [each.node.name for each in group]
    several = f" ({len(names)} nodes)" if len(names) > 1 else ""
    end = {Verdict.FITS: "fits", Verdict.UNKNOWN: "cannot tell", Verdict.REFUSED: ""}
    verdict = end[group[0].verdict]
    told = ", ".join(names) if verbose else _some(names)
    yield from _wrapped(f"{told}{several}{': ' * bool(verdict)}{verdict}", "", "  ")
    for index, reason in enumerate(group[0].reasons):
        said = {each.reasons[index].said for each in group}
        yield from _reason(reason, reason.said if len(said) == 1 else _differing(said))
    if group[0].reasons and not any(each.kind in SCHEDULER for each in group[0].reasons):
        yield "  The scheduler would bind it there all the same."


def _differing(said: set[str]) -> str:
    return f"{min(said)}, or alike (-v)"


def _reason(reason: Reason, said: str) -> Iterator[str]:
    mark = "*" if reason.origin else ""
    first = f"  {reason.kind.value + mark:{_KIND_CHARS + 1}} "
    yield from _wrapped(f"{reason.subject}: {said}", first, " " * len(first))


def _some(names: Sequence[str]) -> str:
    more = len(names) - _NAMES
    return ", ".join(names[:_NAMES]) + (f" and {more} more" if more > 0 else "")


def _wrapped(text: str, first: str, rest: str) -> list[str]:
    import textwrap  # noqa: PLC0415 - only where something is shown

    return textwrap.wrap(
        shown(text),
        _WIDTH,
        initial_indent=first,
        subsequent_indent=rest,
        break_on_hyphens=False,
    )
