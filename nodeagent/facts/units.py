"""How systemd would start a service: ExecStart with its environment, drop-ins applied."""

import shlex
from collections.abc import Callable, Iterator
from typing import NamedTuple

from nodeagent.model import units
from nodeagent.model.seen import Unreadable
from nodeagent.seams import Files

_LIMIT = 64 << 10
_MAX_DROP_INS = 64
_PREFIXES = "@-:+!|"


class Command(NamedTuple):
    """The words that a unit starts, and the unit's file."""

    words: tuple[str, ...]
    where: str


class Start(NamedTuple):
    """A unit's command line as it stands, and the variables that the unit itself sets."""

    words: tuple[str, ...]
    where: str
    variables: dict[str, str]


class _Service(NamedTuple):
    """The [Service] settings that count here, with a list's reset applied."""

    start: list[str]
    environment: list[str]
    files: list[str]


def command(files: Files, unit: str) -> Command | Unreadable | None:
    """None where there is no such unit, or it starts nothing."""
    texts = _texts(files, unit)
    if isinstance(texts, Unreadable):
        return texts
    service = _service(_settings(texts))
    if not service.start:
        return None  # no such unit, or a masked one
    variables = _variables(files, service)
    if isinstance(variables, Unreadable):
        return variables
    where = next(iter(texts))
    try:
        return Command(tuple(_words(service.start[-1], variables)), where)
    except ValueError as error:
        return Unreadable(where, f"has an ExecStart that cannot be split: {error}")


def start(files: Files, unit: str, cut: Callable[[str], str]) -> Start | Unreadable | None:
    """How a unit starts its service, of what `cut` leaves of each file. No other file is read."""
    texts = _texts(files, unit)
    if isinstance(texts, Unreadable):
        return texts
    service = _service(_settings({path: cut(text) for path, text in texts.items()}))
    if not service.start:
        return None
    where = next(iter(texts))
    try:
        variables = dict(_pairs(shlex.split(" ".join(service.environment))))
        return Start(tuple(shlex.split(service.start[-1])), where, variables)
    except ValueError as error:
        return Unreadable(where, f"has an ExecStart that cannot be split: {error}")


def _texts(files: Files, unit: str) -> dict[str, str] | Unreadable:
    """The unit's text by path, its own file first; the folder named first wins by name."""
    found: dict[str, str] = {}
    drop_ins: dict[str, str] = {}
    for folder in units.FOLDERS:
        path = f"{folder}/{unit}"
        text = files.read(path, _LIMIT) if not found else None
        names = files.names(f"{path}.d")
        for gap in (text, names):
            if isinstance(gap, Unreadable):
                return gap
        if isinstance(text, str):
            found[path] = text
        for name in names if isinstance(names, tuple) else ():
            if name.endswith(".conf"):
                drop_ins.setdefault(name, f"{path}.d/{name}")
    for name in sorted(drop_ins)[:_MAX_DROP_INS]:
        text = files.read(drop_ins[name], _LIMIT)
        if isinstance(text, Unreadable):
            return text
        found[drop_ins[name]] = text or ""
    return found


def _settings(texts: dict[str, str]) -> Iterator[tuple[str, str]]:
    for text in texts.values():
        yield from units.settings(text)


def _service(settings: Iterator[tuple[str, str]]) -> _Service:
    """An empty value takes back what was listed so far (systemd.service(5))."""
    service = _Service([], [], [])
    lists = {
        "ExecStart": service.start,
        "Environment": service.environment,
        "EnvironmentFile": service.files,
    }
    for key, value in settings:
        if key not in lists:
            continue
        if value:
            lists[key].append(value)
        else:
            lists[key].clear()
    return service


def _variables(files: Files, service: _Service) -> dict[str, str] | Unreadable:
    """Files win over settings; a file may be missing where its name begins with a dash."""
    found: dict[str, str] = {}
    try:
        for value in service.environment:
            found.update(_pairs(shlex.split(value)))
        for name in service.files:
            path = name.removeprefix("-")
            text = files.read(path, _LIMIT)
            if isinstance(text, Unreadable):
                return text
            found.update(_pairs(word for line in _lines(text) for word in [_assignment(line)]))
    except ValueError as error:
        return Unreadable("Environment", f"cannot be split: {error}")
    return found


def _lines(text: str | None) -> Iterator[str]:
    for line in (text or "").replace("\\\n", " ").split("\n"):
        if line.strip() and not line.lstrip().startswith(("#", ";")):
            yield line.strip()


def _assignment(line: str) -> str:
    """`NAME="a value"` without its quotes; blanks outside of quotes are kept."""
    name, equals, value = line.partition("=")
    quoted = value[:1] in {'"', "'"} and value[-1:] == value[:1] and len(value) > 1
    return f"{name}{equals}{value[1:-1] if quoted else value}"


def _pairs(words: Iterator[str] | list[str]) -> Iterator[tuple[str, str]]:
    for word in words:
        name, equals, value = word.partition("=")
        if equals:
            yield name.strip(), value


def _words(start: str, variables: dict[str, str]) -> Iterator[str]:
    """`$NAME` alone becomes as many words as it holds, `${NAME}` stays within its word."""
    for number, word in enumerate(shlex.split(start)):
        bare = word.lstrip(_PREFIXES) if number == 0 else word
        if bare.startswith("$") and bare[1:2] not in {"{", "$"}:
            yield from shlex.split(variables.get(bare[1:], ""))
        else:
            yield _substituted(bare, variables)


def _substituted(word: str, variables: dict[str, str]) -> str:
    head, *rest = word.split("${")
    parts = [head]
    for part in rest:
        name, closed, tail = part.partition("}")
        parts.append(variables.get(name, "") + tail if closed else "${" + part)
    return "".join(parts)
