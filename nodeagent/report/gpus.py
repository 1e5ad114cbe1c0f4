"""GPUs and switches, a line each: what they run, what they are set to, and who has them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from nodeagent.model.findings import Outcome
from nodeagent.model.knobs import Configured
from nodeagent.model.pci import Asleep, Gpu, Held
from nodeagent.model.seen import NotAsked, Unreadable
from nodeagent.model.text import printable, shown
from nodeagent.model.words import CcMode, Verdict

_WIDTH = 80
_NOT_ASKED = "not asked"


class Answer(NamedTuple):
    """One of three: can the architecture, can the product, can this very unit. None: not known."""

    of: str
    yes: bool | None
    why: str


class Row(NamedTuple):
    """One device. `configured` None: its firmware was not asked."""

    bdf: str
    what: str
    active: CcMode | None
    configured: CcMode | str | None
    driver: str
    group: str
    holders: tuple[str, ...]
    state: str
    trouble: Verdict | None = None
    capability: tuple[Answer, ...] = ()

    @property
    def pending(self) -> bool:
        """Whether the next reset brings another mode than the one it runs in."""
        known = isinstance(self.configured, CcMode) and self.active is not None
        return known and self.configured is not self.active


def row(device: Gpu, standing: CcMode | Outcome, capability: Sequence[Answer] = ()) -> Row:
    """`standing`: the mode, as the checks judge it, or why there is none."""
    function, chip = device.pci, device.chip
    what = (chip.product or chip.name.upper()) if chip else f"{function.device:#06x}"
    outcome = standing if isinstance(standing, Outcome) else None
    remembered = device.remembered.mode if device.remembered else None
    active = standing if isinstance(standing, CcMode) else None
    if isinstance(device.status, Held) and active is None:
        active = remembered
    return Row(
        bdf=device.bdf,
        what=f"NVSwitch {what}" if function.is_nvswitch else what,
        active=active,
        configured=_configured(device),
        driver=_text(function.driver, "none"),
        group=_text(function.group, "none"),
        holders=tuple(map(str, device.holders)) if isinstance(device.holders, tuple) else (),
        state=_state(device, outcome),
        trouble=outcome.verdict if outcome else None,
        capability=tuple(capability),
    )


def _text(seen: object, absent: str) -> str:
    if isinstance(seen, Unreadable):
        return "?"
    return absent if seen is None else printable(str(seen), 24)


def _configured(device: Gpu) -> CcMode | str | None:
    configured = device.configured
    if configured is None or isinstance(configured, NotAsked):
        return None
    if isinstance(configured, Configured):
        return configured.mode or "invalid"
    return "no answer"


def _state(device: Gpu, outcome: Outcome | None) -> str:
    if outcome is not None and outcome.verdict is Verdict.FAIL:
        return outcome.seen.removeprefix(f"{device.bdf}: ")
    if isinstance(device.status, Held) and device.holders:
        seen = f", seen {device.remembered.at[11:16]}" if device.remembered else ""
        return f"in use{seen}"
    if isinstance(device.status, Asleep):
        return f"asleep: {device.status.why}"
    if outcome is not None:
        return outcome.seen.removeprefix(f"{device.bdf}: ")
    if isinstance(device.holders, Unreadable):
        return "holders cannot be read"
    return "idle"


_HEAD = ("DEVICE", "WHAT", "ACTIVE", "CONFIGURED", "DRIVER", "GROUP", "STATE")


def text(rows: Sequence[Row], *, verbose: bool = False) -> str:
    """A table of 80 columns; what does not fit of a state goes on below it."""
    if not rows:
        return "no NVIDIA GPU or NVSwitch here"
    cells = [_cells(each) for each in rows]
    widths = _widths(cells)
    told = ["  ".join(_padded(_HEAD, widths))]
    for each, line in zip(rows, cells, strict=True):
        told += _told(each, line, widths)
        if verbose:
            told += [f"    {part}" for says in _capability(each) for part in says]
    return "\n".join(shown(each.rstrip()) for each in told)


_DRIVER = _HEAD.index("DRIVER")
_BELOW = "see below"


def _widths(cells: Sequence[Sequence[str]]) -> list[int]:
    """As wide as what is in them; a driver's name gives way to the state."""
    widths = [max(len(line[at]) for line in (_HEAD[:-1], *cells)) for at in range(6)]
    over = sum(widths) + 2 * len(widths) + len(_BELOW) - _WIDTH
    widths[_DRIVER] = max(widths[_DRIVER] - max(over, 0), len("DRIVER"))
    return widths


def _cells(each: Row) -> tuple[str, ...]:
    active = each.active.value if each.active else "?"
    configured = _NOT_ASKED if each.configured is None else str(each.configured)
    return (each.bdf, each.what, active, configured, each.driver, each.group, _summary(each))


def _summary(each: Row) -> str:
    if each.pending:
        return f"pending: {each.configured} after its next reset"
    return each.state


def _padded(line: Sequence[str], widths: Sequence[int]) -> list[str]:
    cells = zip(line, widths, strict=False)
    return [*(printable(cell, width).ljust(width) for cell, width in cells), line[-1]]


def _told(each: Row, line: Sequence[str], widths: Sequence[int]) -> list[str]:
    room = _WIDTH - sum(widths) - 2 * len(widths)
    state = line[-1]
    long = len(state) > room
    told = ["  ".join(_padded([*line[:-1], _BELOW if long else state], widths))]
    more = [state] if long else []
    more += [f"has it open: {holder}" for holder in each.holders]
    return told + [f"    {part}" for said in more for part in _split(said, _WIDTH - 4)]


def _split(said: str, width: int, indent: int = 2) -> list[str]:
    import textwrap  # noqa: PLC0415 - for what does not fit alone

    return textwrap.wrap(shown(said), width, subsequent_indent=" " * indent)


def _capability(each: Row) -> list[list[str]]:
    """Three answers, the lines of each."""
    word = {True: "yes", False: "no", None: "not known"}
    heads = [f"{answer.of:<12}  {word[answer.yes]:<9}  " for answer in each.capability]
    return [
        _split(head + answer.why, _WIDTH - 4, len(head))
        for head, answer in zip(heads, each.capability, strict=True)
    ]


def document(rows: Sequence[Row]) -> dict[str, Any]:
    return {"version": 1, "devices": [_document(each) for each in rows]}


def _document(each: Row) -> dict[str, Any]:
    known = isinstance(each.configured, CcMode) and each.active is not None
    found: dict[str, Any] = {
        "bdf": each.bdf,
        "what": shown(each.what),
        "active": each.active.value if each.active else None,
        "configured": str(each.configured) if each.configured is not None else None,
        "pending": each.pending if known else None,
        "driver": shown(each.driver),
        "group": shown(each.group),
        "holders": [shown(holder) for holder in each.holders],
        "state": shown(each.state),
    }
    if each.capability:
        found["capability"] = {
            answer.of: {"yes": answer.yes, "why": shown(answer.why)} for answer in each.capability
        }
    return found
