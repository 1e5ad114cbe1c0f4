"""The PCIe tree for a terminal of 80 columns."""

import textwrap
from collections.abc import Iterator
from typing import NamedTuple

from nodeagent.model.fabric import Bridge
from nodeagent.model.seen import known
from nodeagent.model.text import printable, shown
from nodeagent.model.words import CcMode
from nodeagent.report.text import WIDTH, Paint, plain
from nodeagent.report.topology import (
    Branch,
    Leaf,
    Standing,
    Topology,
    acs_word,
    link_above,
    link_word,
)

_SHORT = {"root port": "root", "switch": "switch", "switch port": "port", "bridge": "bridge"}
_CAPS = (30, 18, 8, 10, 6, 14)  # of the columns below


class _Row(NamedTuple):
    """One line; `colour` is that of its state."""

    tree: str
    what: str
    state: str
    driver: str
    group: str
    link: str
    colour: str = ""


_HEAD = _Row("", "WHAT", "STATE", "DRIVER", "GROUP", "LINK", "dim")


def text(seen: Topology, *, paint: Paint = plain) -> str:
    return "\n".join(_lines(seen, paint))


def _lines(seen: Topology, paint: Paint) -> Iterator[str]:
    mark = "  [simulated]" if seen.source.simulated else ""
    yield from _wrap(f"{seen.summary}{mark}", "")
    rows = [(panel.title, list(_rows(panel.trees))) for panel in seen.panels]
    widths = _widths([_HEAD, *(row for _, inside in rows for row in inside)])
    for number, (title, inside) in enumerate(rows):
        yield ""
        yield paint(title, "bold") if number else _headed(title, widths, paint)
        for row in inside:
            yield _line(row, widths, paint)
    notes = [note for leaf in seen.leaves for note in _notes(leaf)]
    if notes:
        yield ""
    for note in notes:
        yield from _wrap(note, "  ")
    yield ""
    yield from _wrap(f"Looked at {seen.source.where}.", "  ")


def _rows(
    trees: tuple[Branch | Leaf, ...], indent: str = "", *, top: bool = True
) -> Iterator[_Row]:
    for number, tree in enumerate(trees, 1):
        last = number == len(trees)
        stem, deeper = ("", "") if top else ("└ ", "  ") if last else ("├ ", "│ ")
        if isinstance(tree, Leaf):
            yield _leaf(tree, indent + stem)
        else:
            yield _branch(tree, indent + stem)
            yield from _rows(tree.twigs, indent + deeper, top=False)


def _branch(branch: Branch, stem: str) -> _Row:
    bridge, acs, link = branch.bridge, acs_word(branch), link_above(branch)
    group = known(bridge.group) if isinstance(bridge, Bridge) else None
    return _Row(
        stem + branch.bdf,
        f"{_SHORT[branch.kind]} {branch.name}".rstrip(),
        acs,
        "",
        "" if group is None else str(group),
        link_word(link) if link else "",
        "warn" if acs in {"no ACS", "ACS off"} else "",
    )


def _leaf(leaf: Leaf, stem: str) -> _Row:
    standing, pci = leaf.standing, leaf.gpu.pci
    driver, group = known(pci.driver), known(pci.group)
    number = "?" if group is None else f"{group}{'*' if leaf.sharing else ''}"
    return _Row(
        stem + leaf.bdf,
        leaf.name,
        standing.word,
        shown(driver) if driver else "none" if pci.driver is None else "?",
        number,
        link_word(leaf.gpu.slot.link),
        _colour(standing),
    )


def _colour(standing: Standing) -> str:
    if standing.aside:
        return ""
    if standing.mode in {CcMode.ON, CcMode.PPCIE}:
        return "good"
    return "bad" if standing.mode or standing.fails else "warn"


def _widths(rows: list[_Row]) -> tuple[int, ...]:
    cells = [row[:6] for row in rows]
    return tuple(
        min(cap, max(len(row[column]) for row in cells)) for column, cap in enumerate(_CAPS)
    )


def _headed(title: str, widths: tuple[int, ...], paint: Paint) -> str:
    """The names of the columns, on the line of the first NUMA node."""
    rest = _line(_HEAD, widths, plain)[len(title) :]
    return paint(title, "bold") + paint(rest, "dim")


def _line(row: _Row, widths: tuple[int, ...], paint: Paint) -> str:
    cells = [printable(cell, width).ljust(width) for cell, width in zip(row, widths, strict=False)]
    cells[4] = printable(row.group, widths[4]).rjust(widths[4])
    room = max(1, WIDTH - sum(widths[:5]) - 2 * 5)
    cells[5] = printable(cells[5].rstrip(), room)
    if row.colour and row is not _HEAD:
        cells[2] = paint(cells[2], row.colour)
    return "  ".join(cells).rstrip()


def _notes(leaf: Leaf) -> Iterator[str]:
    if leaf.sharing:
        yield f"* {leaf.bdf} shares its group with {', '.join(leaf.sharing[:4])}" + (
            f" and {len(leaf.sharing) - 4} more" if len(leaf.sharing) > 4 else ""
        )
    standing = leaf.standing
    if standing.mode is None:
        yield f"{standing.code or 'unknown'}: {standing.says}"
    elif standing.says != standing.mode:
        yield f"{leaf.bdf}: {standing.says}"


def _wrap(text: str, indent: str) -> Iterator[str]:
    yield from textwrap.wrap(shown(text), WIDTH, subsequent_indent=indent, break_on_hyphens=False)
