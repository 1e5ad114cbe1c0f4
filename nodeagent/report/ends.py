"""How a switch ended, a line a device."""

import textwrap
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Protocol

from nodeagent.errors import AgentError
from nodeagent.model.text import shown
from nodeagent.model.words import CcMode

_WIDTH = 80


class Ended(Protocol):
    """One device of a switch."""

    @property
    def bdf(self) -> str: ...
    @property
    def end(self) -> StrEnum: ...
    @property
    def want(self) -> CcMode: ...
    @property
    def before(self) -> CcMode | None: ...
    @property
    def error(self) -> AgentError | None: ...


def text(ends: Sequence[Ended]) -> str:
    told = []
    for each in ends:
        told += textwrap.wrap(
            shown(f"{each.bdf}  {_says(each)}"), _WIDTH, subsequent_indent=" " * 14
        )
    wrong = [each for each in ends if each.end not in _GOOD]
    good = len(ends) - len(wrong)
    told.append(f"{good} of {len(ends)} devices are in the mode that was asked for")
    if any(each.end == "reboot" for each in ends):
        told.append("reboot before attesting: until then an attestation service refuses them")
    return "\n".join(told)


_GOOD = frozenset({"done", "reboot"})


def _says(each: Ended) -> str:
    was = f" (was {each.before})" if each.before not in {None, each.want} else ""
    match each.end.value:
        case "done":
            return f"{each.want}{was}"
        case "reboot":
            return f"{each.want}{was}: switched; reboot before attesting"
        case "rolled back":
            return f"{each.before}: rolled back, since another device failed"
        case "not switched":
            return f"{each.before or '?'}: not switched; the same command again goes on"
        case _:
            return f"FAILED: {_chain(each.error)}"


def _chain(error: BaseException | None) -> str:
    """The whole chain, and the way out where there is one."""
    said, hint = [], None
    while error is not None:
        said.append(str(error))
        hint = hint or (error.hint if isinstance(error, AgentError) else None)
        error = error.__cause__
    return ": ".join(said) + (f"; try: {hint}" if hint else "")


def document(ends: Sequence[Ended]) -> dict[str, Any]:
    return {
        "version": 1,
        "devices": [
            {
                "bdf": each.bdf,
                "end": each.end.value.replace(" ", "-"),
                "mode": each.want.value,
                "before": each.before.value if each.before else None,
                "error": shown(_chain(each.error)) if each.error else None,
            }
            for each in ends
        ],
    }
