"""A stranger's text made safe to show."""


def printable(text: str, limit: int = 160) -> str:
    """Without control characters, which a terminal would obey, and cut at `limit`."""
    safe = shown(text[: limit + 1])
    return safe if len(safe) <= limit else safe[: limit - 1] + "…"


def shown(text: str) -> str:
    """The whole text without control characters."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)
