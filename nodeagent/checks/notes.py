"""What is worth knowing and changes nothing: short lines that are shown on demand."""

from collections.abc import Iterator

from nodeagent.checks.answer import shown
from nodeagent.model.facts import Facts
from nodeagent.model.host import KernelLog


def notes(facts: Facts) -> tuple[str, ...]:
    """In reading order."""
    return tuple(_harmless(facts))


def _harmless(facts: Facts) -> Iterator[str]:
    """Log lines that make people wonder. A second socket's PSP leaves its work to the first."""
    log = facts.log
    if not isinstance(log, KernelLog):
        return
    kinds = ["harmless"]
    if log.first("sev_driver"):
        kinds.append("harmless_second_socket")
    for event in log.of(*kinds):
        yield f"known and harmless: {shown(event)}"
