"""The PCIe tree as a picture: NUMA nodes as panels, root ports to the left, GPUs to the right."""

from collections.abc import Iterator
from textwrap import wrap
from typing import NamedTuple

from nodeagent.model.seen import known
from nodeagent.model.text import shown
from nodeagent.report.canvas import Box, Sheet, width_of
from nodeagent.report.topology import (
    Branch,
    Leaf,
    Panel,
    Standing,
    Topology,
    acs_word,
    is_narrow,
    lanes_word,
    link_above,
    link_word,
)

_MARGIN, _PAD = 24.0, 18.0
_TITLE, _HEADER = 86.0, 36.0
_NODE = (166.0, 46.0)
_CARD = (392.0, 56.0)
_NOTE, _NOTE_LETTERS = 16.0, 46
_GAP, _TRUNK = 56.0, 18.0
_ROW_GAP, _TREE_GAP, _PANEL_GAP = 12.0, 14.0, 16.0
_CORNER = 6.0
_LEAST_WIDTH = 700.0
_MOST_LEAVES = 64
_INKS = {"devtools": "dark", "plain": "soft b", "alert": "warn b"}

_FONT = "system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans','DejaVu Sans',sans-serif"
_MONO = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace"
# Modes differ in lightness too, so that they are told apart without colour; each is named as well.
_STYLE = f"""
text{{font-family:{_FONT};fill:#1f2937}}
.m{{font-family:{_MONO}}}
.b{{font-weight:600}}
.soft{{fill:#5b6675}}
.warn{{fill:#9a3412}}
.sheet{{fill:#ffffff;stroke:#e2e8f0}}
.panel{{fill:#f4f6f9;stroke:#d9e0e8}}
.node,.card{{fill:#ffffff;stroke:#b6c0cc}}
.line{{fill:none;stroke:#8a97a8;stroke-width:2}}
.narrow{{fill:none;stroke:#c2410c;stroke-width:2.5;stroke-dasharray:6 4}}
.icon{{fill:none;stroke:#5b6675;stroke-width:1.6}}
.core{{fill:#5b6675}}
.plain{{fill:#e8edf3;stroke:#c3ccd7}}
.alert{{fill:#fff1e6;stroke:#c2410c}}
.on{{fill:#0b5cad}}
.ppcie{{fill:#0f766e}}
.off{{fill:#c2410c}}
.devtools{{fill:#f2b632}}
.unknown{{fill:#6b7684}}
.broken{{fill:#831843}}
.pill{{fill:#ffffff;font-weight:700}}
.dark{{fill:#1f2937;font-weight:700}}
@media (prefers-color-scheme:dark){{
text{{fill:#e5e9f0}}
.soft{{fill:#a3afbf}}
.warn{{fill:#fdba74}}
.sheet{{fill:#12161c;stroke:#2a323d}}
.panel{{fill:#1a2029;stroke:#2f3946}}
.node,.card{{fill:#232b36;stroke:#475364}}
.line{{stroke:#6f7d90}}
.narrow{{stroke:#fb923c}}
.icon{{stroke:#a3afbf}}
.core{{fill:#a3afbf}}
.plain{{fill:#2f3946;stroke:#475364}}
.alert{{fill:#43210f;stroke:#fb923c}}
.pill{{fill:#ffffff}}
.dark{{fill:#1f2937}}
}}
"""
_LEGEND = (
    ("on", "on", "confidential"),
    ("ppcie", "ppcie", "confidential, all together"),
    ("off", "off", "not confidential"),
    ("devtools", "devtools", "can be inspected"),
    ("unknown", "not known", "asleep, in use, booting"),
    ("broken", "broken", "gone, locked, in recovery"),
    ("plain", "ACS on", "keeps what is below it apart"),
    ("alert", "ACS off", "does not"),
    ("line", "", "a link with its lanes"),
    ("narrow", "", "fewer lanes than it could have"),
)


class _Placed(NamedTuple):
    """A tree with the vertical middle of its own node."""

    tree: Branch | Leaf
    depth: int
    middle: float
    twigs: tuple["_Placed", ...]


class Layout(NamedTuple):
    sheet: Sheet
    width: float
    height: float


def svg(seen: Topology) -> str:
    made = layout(seen)
    return made.sheet.render(
        made.width, made.height, title="PCIe topology", about=seen.summary, style=_STYLE
    )


def layout(seen: Topology) -> Layout:
    """Everything placed; nothing depends on the fonts that will be found."""
    panels, left_out = _bounded(seen.panels)
    depth = max((_depth(tree) for panel in panels for tree in panel.trees), default=0)
    left = _MARGIN + _PAD
    width = max(_LEAST_WIDTH, 2 * left + depth * (_NODE[0] + _GAP) + _CARD[0])
    sheet, y = Sheet(), _TITLE + _MARGIN
    drawn: list[tuple[Panel, Box, list[_Placed]]] = []
    for panel in panels:
        placed, bottom = _place_all(panel.trees, y + _HEADER)
        box = Box(_MARGIN, y, width - 2 * _MARGIN, bottom + _PAD - y)
        drawn.append((panel, box, placed))
        y = bottom + _PAD + _PANEL_GAP
    more = y + 20 if left_out else 0
    legend = (more or y) + 8
    height = legend + _legend_height(width) + _MARGIN / 2 if panels else y
    sheet.rect(Box(0.5, 0.5, width - 1, height - 1), "sheet", radius=14)
    _title(sheet, seen, width)
    for panel, box, placed in drawn:
        _panel(sheet, panel, box, placed, card_x=left + depth * (_NODE[0] + _GAP))
    if more:
        note = f"and {left_out} more, which are not drawn"
        sheet.word(_MARGIN, more - 4, note, "soft", 13)
    if panels:
        _legend(sheet, legend, width)
    return Layout(sheet, width, height)


def _bounded(panels: tuple[Panel, ...]) -> tuple[list[Panel], int]:
    """A stranger's host may have thousands; a picture of them would be no picture."""
    kept: list[Panel] = []
    room, left_out = _MOST_LEAVES, 0
    for panel in panels:
        trees = []
        for tree in panel.trees:
            count = _count(tree)
            if count <= room:
                trees.append(tree)
                room -= count
            else:
                left_out += count
        if trees:
            kept.append(Panel(panel.numa, tuple(trees)))
    return kept, left_out


def _count(tree: Branch | Leaf) -> int:
    return 1 if isinstance(tree, Leaf) else sum(map(_count, tree.twigs))


def _depth(tree: Branch | Leaf) -> int:
    return 0 if isinstance(tree, Leaf) else 1 + max(map(_depth, tree.twigs))


# Placing


def _place_all(trees: tuple[Branch | Leaf, ...], top: float) -> tuple[list[_Placed], float]:
    placed = []
    for tree in trees:
        done, bottom = _place(tree, 0, top)
        placed.append(done)
        top = bottom + _TREE_GAP
    return placed, top - _TREE_GAP


def _place(tree: Branch | Leaf, depth: int, top: float) -> tuple[_Placed, float]:
    """Leaves from top to bottom; a bridge stands in the middle of what is below it."""
    if isinstance(tree, Leaf):
        return _Placed(tree, depth, top + _CARD[1] / 2, ()), top + _card_height(tree)
    twigs = []
    for twig in tree.twigs:
        done, bottom = _place(twig, depth + 1, top)
        twigs.append(done)
        top = bottom + _ROW_GAP
    middle = (twigs[0].middle + twigs[-1].middle) / 2
    return _Placed(tree, depth, middle, tuple(twigs)), top - _ROW_GAP


def _card_height(leaf: Leaf) -> float:
    return _CARD[1] + _NOTE * len(_notes(leaf))


def _notes(leaf: Leaf) -> list[str]:
    """Lines that fit the card."""
    notes = [f"shares its group with {', '.join(leaf.sharing)}"] if leaf.sharing else []
    standing = leaf.standing
    if standing.mode is None or standing.says != standing.mode:
        notes.append(standing.says.removeprefix(f"{leaf.bdf}: "))
    return [
        line
        for note in notes
        for line in wrap(
            shown(note), _NOTE_LETTERS, max_lines=3, placeholder=" …", break_on_hyphens=False
        )
    ]


# Drawing


def _title(sheet: Sheet, seen: Topology, width: float) -> None:
    room = width - 2 * _MARGIN
    end = sheet.word(_MARGIN, 44, "PCIe topology", "b", 22)
    if seen.source.simulated:
        box = Box(end + 16, 28, width_of("simulated", 11.5) + 20, 21)
        sheet.rect(box, "plain", radius=10.5)
        sheet.word(box.x + box.width / 2, 42.5, "simulated", "soft b", 11.5, anchor="middle")
    sheet.word(_MARGIN, 69, seen.summary, "b", 14, room=room)
    sheet.word(_MARGIN, 90, f"Looked at {seen.source.where}", "soft", 12, room=room)


def _panel(sheet: Sheet, panel: Panel, box: Box, placed: list[_Placed], *, card_x: float) -> None:
    sheet.rect(box, "panel", radius=10)
    sheet.word(box.x + _PAD, box.y + 23, panel.title, "b", 13)
    count = sum(map(_count, panel.trees))
    devices = "1 device" if count == 1 else f"{count} devices"
    sheet.word(box.x + box.width - _PAD, box.y + 23, devices, "soft", 12, anchor="end")
    for each in _flat(placed):
        _edges(sheet, each, box.x + _PAD, card_x)
    for each in _flat(placed):
        if isinstance(each.tree, Leaf):
            _card(sheet, each.tree, Box(card_x, each.middle - _CARD[1] / 2, *_CARD))
        else:
            x = box.x + _PAD + each.depth * (_NODE[0] + _GAP)
            _node(sheet, each.tree, Box(x, each.middle - _NODE[1] / 2, *_NODE))


def _flat(placed: list[_Placed]) -> Iterator[_Placed]:
    for each in placed:
        yield each
        yield from _flat(list(each.twigs))


def _edges(sheet: Sheet, parent: _Placed, left: float, card_x: float) -> None:
    start = left + parent.depth * (_NODE[0] + _GAP) + _NODE[0]
    trunk = start + _TRUNK
    for child in parent.twigs:
        end = card_x if isinstance(child.tree, Leaf) else left + child.depth * (_NODE[0] + _GAP)
        link = link_above(child.tree)
        narrow = link is not None and is_narrow(link)
        path = _elbow(start, parent.middle, trunk, end, child.middle)
        sheet.add(f'<path class="{"narrow" if narrow else "line"}" d="{path}"/>')
        if link and (lanes := lanes_word(link)):
            x, style = (trunk + end) / 2, "warn" if narrow else "soft"
            sheet.word(x, child.middle - 6, lanes, style, 10, anchor="middle", room=end - trunk)


def _elbow(start: float, y: float, trunk: float, end: float, to: float) -> str:
    if abs(to - y) < 1:
        return f"M{start:g} {y:g}H{end:g}"
    bend = min(_CORNER, abs(to - y) / 2) * (1 if to > y else -1)
    near, far = abs(bend), abs(bend)
    return (
        f"M{start:g} {y:g}H{trunk - near:g}Q{trunk:g} {y:g} {trunk:g} {y + bend:g}"
        f"V{to - bend:g}Q{trunk:g} {to:g} {trunk + far:g} {to:g}H{end:g}"
    )


def _node(sheet: Sheet, branch: Branch, box: Box) -> None:
    acs = acs_word(branch)
    sheet.open(f"{branch.bdf} {branch.kind} {branch.name} {acs}".rstrip())
    sheet.rect(box, "node", radius=8)
    sheet.word(box.x + 12, box.y + 20, branch.bdf, "m b", 12, room=box.width - 24)
    about = f"{branch.kind} {branch.name}" if not acs else branch.kind
    badge = width_of(acs, 10) + 12 if acs else 0
    sheet.word(box.x + 12, box.y + 36, about, "soft", 11, room=box.width - 24 - badge)
    if acs:
        at = Box(box.x + box.width - 10 - badge, box.y + 25, badge, 15)
        style = "alert" if acs in {"no ACS", "ACS off"} else "plain"
        sheet.rect(at, style, radius=7.5)
        ink = "warn b" if style == "alert" else "soft b"
        sheet.word(at.x + badge / 2, at.y + 11, acs, ink, 10, anchor="middle")
    sheet.close()


def _card(sheet: Sheet, leaf: Leaf, box: Box) -> None:
    height = _card_height(leaf)
    style = _colour(leaf.standing)
    sheet.open(f"{leaf.kind} {leaf.bdf}: {leaf.standing.says}")
    sheet.rect(Box(box.x, box.y, box.width, height), "card", radius=9)
    sheet.add(
        f'<path class="{style}" d="M{box.x + 9:g} {box.y:g}h-1a8 8 0 0 0 -8 8'
        f'v{height - 16:g}a8 8 0 0 0 8 8h1z"/>'
    )
    _icon(sheet, leaf, box.x + 30, box.y + 28)
    word = leaf.standing.word
    pill = Box(0, box.y + 9, max(54.0, width_of(word, 12) + 22), 21)
    pill = pill._replace(x=box.x + box.width - 12 - pill.width)
    end = sheet.word(box.x + 52, box.y + 24, leaf.bdf, "m b", 13, room=130)
    sheet.word(end + 12, box.y + 24, leaf.name, "b", 13.5, room=pill.x - end - 20)
    sheet.rect(pill, style, radius=10.5)
    ink = _INKS.get(style, "pill")
    sheet.word(pill.x + pill.width / 2, pill.y + 14.8, word, ink, 12, anchor="middle")
    sheet.word(box.x + 52, box.y + 43, _about(leaf), "soft", 11.5, room=box.width - 64)
    for number, note in enumerate(_notes(leaf), 1):
        y = box.y + 43 + number * _NOTE
        sheet.word(box.x + 52, y, note, "warn", 11.5, room=box.width - 64)
    sheet.close()


def _about(leaf: Leaf) -> str:
    pci = leaf.gpu.pci
    driver, group = known(pci.driver), known(pci.group)
    words = [
        driver or ("no driver" if pci.driver is None else "driver ?"),
        f"group {group}" if group is not None else "group ?",
        link_word(leaf.gpu.slot.link),
        "ATS" if leaf.gpu.slot.ats is True else "",
    ]
    return " · ".join(word for word in words if word)


def _colour(standing: Standing) -> str:
    if standing.mode:
        return "plain" if standing.aside else standing.mode.value
    return "broken" if standing.fails else "unknown"


def _icon(sheet: Sheet, leaf: Leaf, x: float, y: float) -> None:
    """A chip with pins, or a crossbar."""
    if leaf.kind == "GPU":
        sheet.rect(Box(x - 8, y - 8, 16, 16), "icon", radius=3)
        sheet.rect(Box(x - 3.5, y - 3.5, 7, 7), "core", radius=1)
        pins = "".join(
            f"M{x + at:g} {y - 11:g}v3M{x + at:g} {y + 8:g}v3M{x - 11:g} {y + at:g}h3"
            f"M{x + 8:g} {y + at:g}h3"
            for at in (-4, 0, 4)
        )
        sheet.add(f'<path class="icon" d="{pins}"/>')
        return
    sheet.add(f'<circle class="icon" cx="{x:g}" cy="{y:g}" r="10"/>')
    cross = f"M{x - 5:g} {y - 5:g}l10 10M{x + 5:g} {y - 5:g}l-10 10"
    sheet.add(f'<path class="icon" d="{cross}"/>')


# The legend


class _Item(NamedTuple):
    """One entry with its place: `swatch` is the room that its sample takes."""

    x: float
    row: int
    swatch: float
    style: str
    word: str
    meaning: str


def _items(width: float) -> Iterator[_Item]:
    x, row = _MARGIN, 0
    for style, word, meaning in _LEGEND:
        swatch = max(36.0, width_of(word, 11) + 18)
        needed = swatch + 8 + width_of(meaning, 11.5)
        if x + needed > width - _MARGIN and x > _MARGIN:
            x, row = _MARGIN, row + 1
        yield _Item(x, row, swatch, style, word, meaning)
        x += needed + 22


def _legend_height(width: float) -> float:
    return 26 * (1 + max(each.row for each in _items(width)))


def _legend(sheet: Sheet, top: float, width: float) -> None:
    for each in _items(width):
        y = top + 26 * each.row
        if each.word:
            sheet.rect(Box(each.x, y, each.swatch, 19), each.style, radius=9.5)
            ink = _INKS.get(each.style, "pill")
            sheet.word(each.x + each.swatch / 2, y + 13.5, each.word, ink, 11, anchor="middle")
        else:
            sheet.add(f'<path class="{each.style}" d="M{each.x:g} {y + 9.5:g}h{each.swatch:g}"/>')
        sheet.word(each.x + each.swatch + 8, y + 13.5, each.meaning, "soft", 11.5)
