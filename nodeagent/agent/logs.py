"""What the agent says: plain lines, or one JSON object a line, to standard error."""

import json
import logging
from datetime import UTC, datetime
from enum import StrEnum


class LogFormat(StrEnum):
    PLAIN = "plain"
    JSON = "json"


class _Plain(logging.Formatter):
    """No time: journald and the container runtime put one before every line."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return text if record.levelno == logging.INFO else f"{record.levelname.lower()}: {text}"


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC)
        line = {
            "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "message": super().format(record),
        }
        return json.dumps(line, ensure_ascii=False)


def start(style: LogFormat) -> None:
    """Send this program's lines to standard error, and of its libraries the warnings."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Json() if style is LogFormat.JSON else _Plain())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("nodeagent").setLevel(logging.INFO)


def chain(error: BaseException) -> str:
    """An error with all that lies below it, and the way out, as one line."""
    told = []
    below: BaseException | None = error
    while below is not None:
        told.append(str(below) or type(below).__name__)
        below = below.__cause__
    hint = getattr(error, "hint", None)
    return ": ".join(told) + (f" (try: {hint})" if hint else "")
