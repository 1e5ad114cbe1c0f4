"""The report for a terminal: verdict and root cause, what to do in order, the levels."""

import textwrap
from collections.abc import Callable, Iterator

from nodeagent.model.facts import Source
from nodeagent.model.findings import Finding, Judgement, Remedy
from nodeagent.model.text import printable, shown
from nodeagent.model.words import Confidence, Level, Ready, Verdict

WIDTH = 80
_MAX_ROOT_LINES = 4
Paint = Callable[[str, str], str]
"""Colours a text: (text, one of good, bad, warn, dim, bold)."""

HEADLINES = {
    Ready.YES: ("READY", "good"),
    Ready.NO: ("NOT READY", "bad"),
    Ready.CANNOT_TELL: ("CANNOT TELL", "warn"),
}
_COLOURS = {
    Verdict.PASS: "good",
    Verdict.FAIL: "bad",
    Verdict.WARN: "warn",
    Verdict.UNKNOWN: "warn",
    Verdict.SKIP: "dim",
}


def plain(text: str, _colour: str) -> str:
    return text


def report(  # noqa: PLR0913 - how it is drawn is no part of what was found
    judgement: Judgement,
    source: Source,
    *,
    paint: Paint = plain,
    verbose: bool,
    place: str = "",
    wanted_by: str = "",
) -> str:
    """The whole report; the verdict and its root cause are within the first six lines.

    `place`: the options that chose the host, for a command that the report proposes.
    `wanted_by`: who asked the agent of this host for the mode.
    """
    parts = [
        *_head(judgement, source, paint),
        *_by(wanted_by),
        *_todo(judgement, paint),
        *_levels(judgement, paint),
        *_warnings(judgement, paint),
        *_accepted(judgement, paint),
    ]
    if verbose:
        parts += _every_finding(judgement, paint)
        parts += _notes(judgement, paint)
    parts += _foot(judgement, source, verbose=verbose, place=place)
    return "\n".join(parts)


def _head(judgement: Judgement, source: Source, paint: Paint) -> Iterator[str]:
    word, colour = HEADLINES[judgement.ready]
    about = f" for {judgement.profile}"
    if judgement.wanted:
        about += f" in mode {judgement.wanted}"
    mark = "  [simulated]" if source.simulated else ""
    yield f"{paint(word, colour)}{about}{mark}"
    root = judgement.root
    if root is None:
        waived = any(each.counts is not each.verdict for each in judgement.levels.values())
        more = ", or what it fails by is accepted" if waived else ""
        yield from _wrap(f"every required level passes{more}", "  ")
        return
    cause = f" ({root.outcome.cause})" if root.outcome.cause else ""
    yield "  " + paint(f"{root.code}{cause}", "bold")
    lines = list(_wrap(root.outcome.seen, "  "))
    if len(lines) > _MAX_ROOT_LINES:
        lines = [*lines[: _MAX_ROOT_LINES - 1], lines[_MAX_ROOT_LINES - 1][: WIDTH - 2] + " …"]
    yield from lines


def _by(wanted_by: str) -> Iterator[str]:
    if wanted_by:
        yield from _wrap(f"the agent here is asked for that mode by {wanted_by}", "  ")


def _todo(judgement: Judgement, paint: Paint) -> Iterator[str]:
    if not judgement.todo:
        return
    yield ""
    yield paint("What to do, in order:", "bold")
    seen: list[tuple[Remedy, list[Finding]]] = []
    for finding in judgement.todo:
        if finding.remedy is None:
            continue
        same = next((group for remedy, group in seen if remedy == finding.remedy), None)
        if same is None:
            seen.append((finding.remedy, [finding]))
        else:
            same.append(finding)
    for number, (remedy, findings) in enumerate(seen, 1):
        yield from _step(number, remedy, findings, judgement)


def _step(
    number: int, remedy: Remedy, findings: list[Finding], judgement: Judgement
) -> Iterator[str]:
    text = f"[{remedy.tag}] {remedy.do}"
    yield from _wrap(text, "     ", first=f"  {number}. ")
    if remedy.note:
        yield from _wrap(remedy.note, "     ")
    if findings[0] is not judgement.root:
        for finding in findings[:4]:
            yield from _wrap(f"{finding.code}: {finding.outcome.seen}", "       ", first="     - ")
        if len(findings) > 4:
            yield f"     - and {len(findings) - 4} more"


def _levels(judgement: Judgement, paint: Paint) -> Iterator[str]:
    yield ""
    yield paint("Levels:", "bold")
    for level in Level:
        verdict = judgement.levels[level]
        word = verdict.verdict.value
        sure = " (medium)" if verdict.confidence is Confidence.MEDIUM else ""
        gate = "" if verdict.required or verdict.verdict is Verdict.SKIP else " (not required)"
        gate += " (accepted)" if verdict.without is Verdict.PASS else ""
        head = f"  {level.value:<12}{paint(f'{word:<8}', _COLOURS[verdict.verdict])}"
        first, *rest = _two_lines(verdict.says, sure + gate)
        yield head + first.strip()
        yield from rest
    folded = [each for each in judgement.findings if each.under and each.verdict is Verdict.FAIL]
    if folded and judgement.root:
        checks = list(dict.fromkeys(each.check for each in folded))
        follow = "follows" if len(checks) == 1 else "follow"
        yield from _wrap(f"{', '.join(checks)}: {follow} from {judgement.root.code}", "  ")


def _two_lines(says: str, mark: str) -> list[str]:
    """Cut before the mark: a level that fails and gates nothing must say so."""
    lines = list(_wrap(says + mark, " " * 22))
    says = printable(says, 160)
    while len(lines) > 2 and says:
        says = says.rpartition(" ")[0]
        lines = list(_wrap(f"{says} …{mark}", " " * 22))
    return lines or [""]


def _warnings(judgement: Judgement, paint: Paint) -> Iterator[str]:
    warnings = [
        each
        for each in judgement.findings
        if each.verdict is Verdict.WARN and each.under is None and each.accepted is None
    ]
    if not warnings:
        return
    yield ""
    yield paint("Warnings, which do not gate:", "bold")
    for each in warnings:
        yield from _wrap(f"{each.code}: {each.outcome.seen}", "    ", first="  - ")


def _accepted(judgement: Judgement, paint: Paint) -> Iterator[str]:
    """What the site lives with, and what it does no more."""
    found = [each for each in judgement.findings if each.accepted is not None]
    if not found and not judgement.lapsed:
        return
    yield ""
    yield paint("Accepted by the configuration:", "bold")
    for each in found:
        if each.accepted is None:
            continue
        gates = each.verdict is Verdict.FAIL and not each.is_waived
        but = f" A failure of {each.level} gates all the same." if gates else ""
        said = f"{each.code}, until {each.accepted.until}: {each.accepted.why}.{but}"
        yield from _wrap(said, "    ", first="  - ")
        yield from _wrap(each.outcome.seen, "    ")
    for lapsed in judgement.lapsed:
        said = f"{lapsed.code}: until {lapsed.until}, which has passed, so that it counts again"
        yield from _wrap(f"{said} ({lapsed.why})", "    ", first="  - ")


def _every_finding(judgement: Judgement, paint: Paint) -> Iterator[str]:
    for level in Level:
        findings = [each for each in judgement.findings if each.level is level]
        if not findings:
            continue
        yield ""
        yield paint(f"{level.value}", "bold")
        for each in findings:
            yield from _one(each, paint)


def _one(each: Finding, paint: Paint) -> Iterator[str]:
    outcome = each.outcome
    word = paint(f"{each.verdict.value:<8}", _COLOURS[each.verdict])
    code = f"  {each.code}" if each.code else ""
    under = f" (under {each.under})" if each.under and each.under != each.code else ""
    yield f"  {word}{each.check}{code}{under}"
    unsaid = outcome.confidence is Confidence.MEDIUM and "confidence" not in outcome.seen
    sure = ", medium confidence" if unsaid else ""
    yield from _wrap(f"{outcome.seen}{sure}", " " * 12, first=" " * 10 + "saw: ")
    if each.wanted and each.verdict is not Verdict.PASS:
        yield from _wrap(each.wanted, " " * 12, first=" " * 10 + "want: ")
    if outcome.where and each.verdict is not Verdict.PASS and outcome.where not in outcome.seen:
        yield from _wrap(outcome.where, " " * 12, first=" " * 10 + "at: ")
    if each.remedy and each.verdict in {Verdict.WARN, Verdict.UNKNOWN}:
        yield from _wrap(each.remedy.do, " " * 12, first=" " * 10 + "do: ")


def _notes(judgement: Judgement, paint: Paint) -> Iterator[str]:
    if judgement.notes:
        yield ""
        yield paint("Notes:", "bold")
    for note in judgement.notes:
        yield from _wrap(note, "    ", first="  - ")


def _foot(judgement: Judgement, source: Source, *, verbose: bool, place: str) -> Iterator[str]:
    yield ""
    about = f"Looked at {source.where}."
    if source.note:
        about += f" Note: {printable(source.note.rstrip('.'), 200)}."
    yield from _wrap(about, "  ", first="")
    if judgement.root_adds:
        yield from _wrap(f"Root would also see: {judgement.root_adds}.", "  ", first="")
    if not verbose:
        yield "Every finding with its evidence: -v"
    if judgement.root and judgement.root.code:
        yield _learn_more(judgement.root.code, place)


def _learn_more(code: str, place: str) -> str:
    """For the same host, whose board's names the page uses; never cut, so that it can be pasted."""
    words = f"nodeagent explain {code} {shown(place)}".rstrip()
    gap = " " if len(f"What it means: {words}") <= WIDTH else "\n  "
    return f"What it means:{gap}{words}"


def _wrap(text: str, indent: str, *, first: str | None = None) -> Iterator[str]:
    yield from textwrap.wrap(
        shown(text),
        WIDTH,
        initial_indent=indent if first is None else first,
        subsequent_indent=indent,
        break_on_hyphens=False,
    )
