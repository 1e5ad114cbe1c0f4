"""What has left the process once, as a file that a reviewer sees change.

`python -m tests.unit.promises` writes promises.json anew. Add to it freely; what stands there
already changes only with a new version of the report's schema.
"""

import json
from pathlib import Path
from typing import TypeAlias

from nodeagent.checks.judge import wanted
from nodeagent.checks.remedies import REMEDIES
from nodeagent.cli import book
from nodeagent.errors import AgentError, UsageError
from nodeagent.model.codes import Code
from nodeagent.model.words import Ready

FILE = Path(__file__).with_name("promises.json")

Promises: TypeAlias = dict[str, dict[str, int | str | dict[str, str]]]


def now() -> Promises:
    """As the program stands: exit codes, checks with their level, and what each code means."""
    pages = {page.name: page.summary for page in book.load().pages}
    return {
        "exit codes": {
            **{ready.value: ready.exit_code for ready in Ready},
            "wrong words": UsageError.exit_code,
            "could not work": AgentError.exit_code,
        },
        "checks": {name: level.value for name, (level, _) in sorted(wanted().items())},
        "codes": {
            code.value: {"who": REMEDIES[code].who.value, "means": pages.get(code.value, "")}
            for code in sorted(Code)
        },
    }


def kept() -> Promises:
    found: Promises = json.loads(FILE.read_text(encoding="utf-8"))
    return found


if __name__ == "__main__":
    FILE.write_text(json.dumps(now(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
