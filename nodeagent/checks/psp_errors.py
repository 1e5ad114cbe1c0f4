"""Puts the firmware's own word behind every error number that is shown."""

import re

from nodeagent import data
from nodeagent.model.host import PspFailure

# As the driver words it: `error 0x3`, `error = 0x1`, `INIT failed 0x1`, `failed with error 0x1`.
_ERROR = r"((?:error(?:,| =|:)?|INIT failed) )(0x[0-9a-fA-F]{1,8}|[0-9]{1,10})(?![0-9a-zA-Z])"


def named(number: int) -> str:
    """`0x3 (invalid config)`; a number without a name stays a number."""
    word = data.load("psp_errors.json")["errors"].get(f"{number:#x}")
    return f"{number:#x} ({word})" if word else f"{number:#x}"


def explained(line: str) -> str:
    """A line of the PSP's driver, its error numbers named."""
    return re.sub(_ERROR, lambda match: match[1] + named(number(match[2])), line)


def number(text: str) -> int:
    """The kernel prints hex with 0x and decimal without; a leading zero means nothing."""
    return int(text, 16) if text[:2].lower() == "0x" else int(text)


def failure(found: PspFailure) -> str:
    """What the driver answered, for a person."""
    if found.firmware is None:
        return found.errno
    return f"{found.errno}, firmware error {named(found.firmware)}"
