"""What one row of the decision table answers: it matches, it does not, or it cannot tell."""

from typing import NamedTuple

from nodeagent.checks.psp_errors import explained
from nodeagent.model.codes import Code
from nodeagent.model.host import KernelLog, LogEvent
from nodeagent.model.seen import Seen, Unreadable
from nodeagent.model.text import printable


class Hit(NamedTuple):
    """The row's observation was made."""

    seen: str
    where: str = ""
    cause: Code | None = None
    code: Code | None = None
    """Another code than the row's own, where one observation splits in two."""


class Miss(NamedTuple):
    """The inputs were there and show something else."""

    seen: str = ""


class Gap(NamedTuple):
    """An input that the row needs is missing."""

    gap: Unreadable


Answer = Hit | Miss | Gap

_NO_LOG = Unreadable("kernel log", "there is none")
_TURNED = Unreadable("kernel log", "it no longer reaches back to the boot")


def gap(where: str, value: object, *, absent: str = "not there") -> Gap:
    """A missing input as a Gap; absent counts as missing where a row needs the value."""
    return Gap(value if isinstance(value, Unreadable) else Unreadable(where, absent))


def either(*answers: Answer) -> Answer:
    """The first hit; else a gap, if any witness could not be heard; else the first miss.

    A witness that could not be heard might have matched, so its silence is no miss.
    """
    hits = [answer for answer in answers if isinstance(answer, Hit)]
    gaps = [answer for answer in answers if isinstance(answer, Gap)]
    misses = [answer for answer in answers if isinstance(answer, Miss) and answer.seen]
    return (hits or gaps or misses or [Miss()])[0]


def any_heard(*answers: Answer) -> Answer:
    """Like `either`, for witnesses of which one that is heard is enough."""
    heard = [answer for answer in answers if not isinstance(answer, Gap)]
    return either(*heard) if heard else answers[0]


def logged(log: Seen[KernelLog], *kinds: str) -> Answer:
    """Whether this boot's log has such a line; its absence counts only in a whole log."""
    if not isinstance(log, KernelLog):
        return gap("kernel log", log, absent=_NO_LOG.why)
    event = log.first(*kinds)
    if event:
        return Hit(f"the kernel says: {shown(event)}", log.origin)
    return Miss() if log.whole else Gap(_TURNED)


def shown(event: LogEvent) -> str:
    """A log line as quoted in a report: short, printable, its error numbers named."""
    return printable(explained(event.line))
