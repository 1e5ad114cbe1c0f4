"""systemd's unit files: where they stand, and the part of them that may leave the host."""

import shlex
from collections.abc import Iterable, Iterator

FOLDERS = (
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)
_KEPT = ("ExecStart", "EnvironmentFile")
_UNSPLIT = "'"
"""No more than that it cannot be split, which is all that is ever said of it."""


def is_unit(path: str) -> bool:
    return path.startswith(tuple(f"{folder}/" for folder in FOLDERS))


def settings(text: str) -> Iterator[tuple[str, str]]:
    """Keys and values of [Service], long lines put together, comments left out."""
    section = ""
    # k3s' installer ends its unit with a backslash: the line after it is empty.
    for line in f"{text}\n".replace("\\\n", " ").split("\n"):
        words = line.strip()
        if words.startswith("["):
            section = words
        key, equals, value = words.partition("=")
        if equals and section == "[Service]" and not words.startswith(("#", ";")):
            yield key.strip(), value.strip()


def variables(texts: Iterable[str]) -> frozenset[str]:
    """The names that a command line of these units takes from its environment."""
    found = set()
    for text in texts:
        for key, value in settings(text):
            if key == "ExecStart":
                found |= {_name(part) for part in value.split("$")[1:]}
    return frozenset(found)


def _name(text: str) -> str:
    text = text.removeprefix("{")
    end = next((at for at, c in enumerate(text) if not (c.isalnum() or c == "_")), len(text))
    return text[:end]


def excerpt(text: str, names: frozenset[str]) -> str:
    """Only what starts the service: proxies, tokens and what else a unit sets stay behind."""
    lines = ["[Service]"]
    for key, value in settings(text):
        if key in _KEPT:
            lines.append(f"{key}={value}")
        elif key == "Environment":
            lines.append(f"{key}={_assignments(value, names)}")
    return "\n".join(lines) + "\n"


def _assignments(value: str, names: frozenset[str]) -> str:
    """An empty value takes back what was set so far, so one that only became empty is none."""
    try:
        kept = [word for word in shlex.split(value) if word.partition("=")[0].strip() in names]
    except ValueError:
        return _UNSPLIT
    return shlex.join(kept) or ('""' if value else "")


def environment_excerpt(text: str, names: frozenset[str]) -> str:
    """The same of an EnvironmentFile."""
    lines = f"{text}\n".replace("\\\n", " ").split("\n")
    kept = [line for line in lines if line.partition("=")[0].strip() in names]
    return "".join(f"{line}\n" for line in kept)
