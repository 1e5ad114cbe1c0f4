"""The pause convention of GPU operands: one label's value, with everybody's tokens in it.

kubernetes.md §1.3. A deploy label that is not `true` makes its DaemonSet's pod go away.
"""

from typing import NamedTuple

from nodeagent.model.seen import Unreadable

TOKEN = "paused-by-nodeagent"  # noqa: S105 - a word, and no secret
"""Part of nobody else's token, and short: three long ones do not fit into a label."""

_MOST = 63
_UNPAUSABLE = frozenset({"", "false"})
_NOT_AT_AN_END = "-_."


class TooLongError(ValueError):
    """Ours would not fit beside the tokens that others hold."""


def is_paused(value: str) -> bool:
    """Whether we have paused it, whoever else has: a longer word around ours is another's."""
    return TOKEN in value.split("_")


def pause(value: str) -> str:
    """The value with our token; as it is where there is nothing to pause."""
    if value in _UNPAUSABLE or is_paused(value):
        return value
    paused = TOKEN if value == "true" else f"{value}_{TOKEN}"
    if len(paused) > _MOST:
        raise TooLongError(f"its value {value} leaves no room for our token: others hold it")
    return paused


class Wedge(NamedTuple):
    """Another program's token on an operand, and what the label is without it.

    `owner`: a pod in which that program lives, or None where it is not here. `is_old`: the
    token has stood for longer than any work of its program takes.
    """

    key: str
    value: str
    token: str
    who: str
    restored: str
    owner: str | Unreadable | None
    is_old: bool = False


def restore(value: str, token: str = TOKEN) -> str:
    """The value without that token, and with everybody else's; as it is where it is not in it."""
    words = value.split("_")
    if token not in words:
        return value
    left = "_".join(word for word in words if word != token)
    # Of a value that somebody wrote around it, what is left must still be a legal one.
    return left.strip(_NOT_AT_AN_END) or "true"
