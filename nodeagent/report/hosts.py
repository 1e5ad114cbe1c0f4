"""Many hosts in one table, a row each: who is ready, and what each of the others needs first."""

from collections.abc import Sequence
from typing import NamedTuple

from nodeagent.model.facts import Facts
from nodeagent.model.findings import Judgement
from nodeagent.model.text import printable, shown
from nodeagent.model.words import Ready
from nodeagent.report.text import WIDTH, Paint, plain

_GAP = "  "
_WORDS = {
    Ready.YES: ("ready", "good"),
    Ready.NO: ("not ready", "bad"),
    Ready.CANNOT_TELL: ("cannot tell", "warn"),
    None: ("not read", "warn"),
}
_HEADS = ("HOST", "VERDICT", "FIRST TO FIX", "GPUS", "KERNEL", "BOARD", "BIOS")
# How narrow a column may become, and which are cut first.
_LEAST = {"HOST": 14, "BIOS": 6, "KERNEL": 8, "GPUS": 9, "FIRST TO FIX": 20}
# What is left out first: where it does not fit uncut, and where a code would have to be cut.
_SPARED = "BOARD"
_SPARED_FOR_CODES = ("BIOS", "KERNEL")


class Row(NamedTuple):
    """One host; `ready` is None where its capture could not be read, and `root` then empty."""

    name: str
    ready: Ready | None
    root: str = ""
    gpus: str = ""
    kernel: str = ""
    board: str = ""
    bios: str = ""


def row(name: str, facts: Facts, judgement: Judgement) -> Row:
    root = judgement.root
    dmi = facts.platform.dmi
    return Row(
        name,
        judgement.ready,
        str(root.code) if root and root.code else "",
        _gpus(judgement),
        _release(facts.kernel.release),
        _text(dmi.board_name) or _text(dmi.product_name),
        _text(dmi.bios_version),
    )


def _text(value: object) -> str:
    return printable(value, 40) if isinstance(value, str) else ""


def _release(value: object) -> str:
    """Without the words that a distribution adds: `6.17.0-8-generic` → `6.17.0-8`."""
    parts = _text(value).split("-")
    return "-".join(part for n, part in enumerate(parts) if n == 0 or part[:1].isdecimal())


def _gpus(judgement: Judgement) -> str:
    """`8×H100 on`: how many, which, and their shared mode where all have proven one."""
    values = judgement.values
    if not values.gpu_count:
        return "none" if values.gpu_count == 0 else ""
    what = f"{values.gpu_count}×{printable(values.gpu_chip or '?', 20)}"
    return f"{what} {values.cc_mode}" if values.cc_mode else what


def table(rows: Sequence[Row], paint: Paint = plain, *, width: int = WIDTH) -> str:
    """Columns that no host fills are left out; names are cut so that a row fits a line."""
    cells = [(shown(each.name), _WORDS[each.ready][0], *each[2:]) for each in rows]
    used = [n for n in range(len(_HEADS)) if any(line[n] for line in cells)]
    if _over(used, cells, width) > 0:
        used = [n for n in used if _HEADS[n] != _SPARED]
    for head in _SPARED_FOR_CODES:
        if _over(used, cells, width, cut=True) > 0:
            used = [n for n in used if _HEADS[n] != head]
    heads = [_HEADS[n] for n in used]
    lines = [[line[n] for n in used] for line in cells]
    widths = _cut(heads, lines, width)
    lines = [[_ends(line[0], widths[0]), *line[1:]] for line in lines]
    told = [paint(_line(heads, widths), "bold")]
    for each, line in zip(rows, lines, strict=True):
        word, colour = _WORDS[each.ready]
        text = _line(line, widths)
        at = widths[0] + len(_GAP)
        told.append(text[:at] + paint(word, colour) + text[at + len(word) :])
    return "\n".join([*told, "", _sum(rows)])


def _ends(name: str, width: int) -> str:
    """A name cut in its middle: of many nodes it is the last letters that differ."""
    if len(name) <= width:
        return name
    head = (width - 1) // 3
    return f"{name[:head]}…{name[len(name) - (width - 1 - head) :]}"


def _over(
    used: Sequence[int], cells: Sequence[Sequence[str]], width: int, *, cut: bool = False
) -> int:
    """How many characters the columns are too wide: uncut, or with all cut but the codes."""
    widths = [max(len(line[n]) for line in (_HEADS, *cells)) for n in used]
    if cut:
        least = {**_LEAST, "FIRST TO FIX": width}
        widths = [
            min(each, least.get(_HEADS[n], each)) for n, each in zip(used, widths, strict=True)
        ]
    return sum(widths) + len(_GAP) * (len(widths) - 1) - width


def _cut(heads: list[str], lines: list[list[str]], width: int) -> list[int]:
    widths = [max(len(line[n]) for line in (heads, *lines)) for n in range(len(heads))]
    over = sum(widths) + len(_GAP) * (len(widths) - 1) - width
    for head, least in _LEAST.items():
        if over > 0 and head in heads:
            n = heads.index(head)
            cut = min(over, max(widths[n] - max(least, len(head)), 0))
            widths[n] -= cut
            over -= cut
    return widths


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return _GAP.join(
        f"{printable(cell, width):<{width}}" for cell, width in zip(cells, widths, strict=True)
    ).rstrip()


def _sum(rows: Sequence[Row]) -> str:
    said = [_WORDS[each.ready][0] for each in rows]
    counts = {word: said.count(word) for word, _ in _WORDS.values() if word in said}
    return f"{len(rows)} hosts: " + ", ".join(f"{count} {word}" for word, count in counts.items())
