"""What the agent tells on its node: what it is doing now, and what has happened."""

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

VERSION = 1
MOST_CHARS = 1000
T = TypeVar("T")


class Agent(NamedTuple):
    """A process. With its start in clock ticks, its boot and its namespace a pid is one alone."""

    pid: int = 0
    started: int = 0
    namespace: str = ""
    boot_id: str = ""
    since: str = ""
    period_s: float = 60.0


class Asked(NamedTuple):
    """The wanted mode, empty where none is asked for, and who asks."""

    mode: str = ""
    by: str = ""


class Verdict(NamedTuple):
    """As the condition says it."""

    status: str = ""
    reason: str = ""
    message: str = ""
    since: str = ""


class Switching(NamedTuple):
    """A switch that is under way, or due. `done` of `of` devices; `started` empty before it is."""

    was: str = ""
    want: str = ""
    by: str = ""
    started: str = ""
    step: str = ""
    done: int = 0
    of: int = 0


class Blocked(NamedTuple):
    by: str = ""
    since: str = ""


class Api(NamedTuple):
    """`reachable` None: it was not asked. `since`: since when it is so."""

    reachable: bool | None = None
    since: str = ""
    error: str = ""


class Authority(NamedTuple):
    """Whether the mode of the devices is ours to change, and if not, whose, or why not."""

    is_ours: bool = False
    who: str = ""


class Status(NamedTuple):
    node: str = ""
    profile: str = ""
    agent: Agent = Agent()
    wanted: Asked = Asked()
    verdict: Verdict = Verdict()
    switch: Switching | None = None
    blocked: Blocked | None = None
    api: Api = Api()
    authority: Authority = Authority()


class Entry(NamedTuple):
    """One transition. `what`: condition, switch, drift or api; `cause`: why, in a sentence."""

    at: str = ""
    what: str = ""
    was: str = ""
    now: str = ""
    by: str = ""
    seconds: int | None = None
    result: str = ""
    cause: str = ""


_NAMES = {"was": "from", "want": "to", "now": "to"}
_MAYBE: Mapping[str, type[Any]] = {
    "switch": Switching,
    "blocked": Blocked,
    "seconds": int,
    "reachable": bool,
}


def document(value: Status | Entry) -> dict[str, Any]:
    """Plain values alone; of an entry only what it says."""
    told: dict[str, Any] = _plain(value)
    if isinstance(value, Entry):
        return {key: each for key, each in told.items() if each not in ("", None)}
    return {"version": VERSION, **told}


def _plain(value: Any) -> Any:  # noqa: ANN401 - a value of any of the kinds above
    if not hasattr(value, "_asdict"):
        return value
    return {_NAMES.get(key, key): _plain(each) for key, each in value._asdict().items()}


def status(told: object) -> Status | None:
    """What a file says, whatever wrote it; None where it is none of ours."""
    if not isinstance(told, dict) or told.get("version") != VERSION:
        return None
    return _shaped(Status, told)


def entry(told: object) -> Entry | None:
    found = _shaped(Entry, told)
    return found if found.at and found.what else None


def _shaped(kind: type[T], told: object) -> T:
    """Each field of its type; what is missing or of another shape is as if it were not told."""
    if not isinstance(told, dict):
        return kind()
    defaults: Mapping[str, object] = kind._field_defaults  # type: ignore[attr-defined]
    taken = {
        name: _taken(told.get(_NAMES.get(name, name)), default, _MAYBE.get(name))
        for name, default in defaults.items()
    }
    return kind(**taken)


def _taken(value: object, default: object, maybe: type[Any] | None) -> object:
    kind = maybe or type(default)
    if hasattr(kind, "_fields"):
        return default if maybe and not isinstance(value, dict) else _shaped(kind, value)
    if kind is float and type(value) in {int, float}:
        fits = isinstance(value, int | float) and 0 < value <= 86_400
        return value if fits else default
    if type(value) is not kind:
        return default
    if isinstance(value, str):
        return value[:MOST_CHARS]
    return value if not isinstance(value, int) or abs(value) < 1 << 63 else default
