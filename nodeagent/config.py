"""Settings: /etc/nodeagent/config.yaml, then the command line, which wins."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from nodeagent.errors import UsageError, nearest, unknown_word
from nodeagent.model.policy import Accepted
from nodeagent.model.probe import Gate
from nodeagent.model.words import CcMode, Profile

if TYPE_CHECKING:
    import yaml

DEFAULT_PATH = "/etc/nodeagent/config.yaml"
SINKS = ("api", "features.d", "nodefeature")
_LIMIT = 1 << 20


_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


class Window(NamedTuple):
    """Minutes of a day in UTC, on these days; over midnight where it ends before it begins."""

    days: frozenset[int]
    start: int
    end: int

    def is_open(self, now: datetime) -> bool:
        """A window over midnight belongs to the day on which it began."""
        minute, day = now.hour * 60 + now.minute, now.weekday()
        if self.start < self.end:
            return day in self.days and self.start <= minute < self.end
        begun = day in self.days and minute >= self.start
        return begun or ((day - 1) % 7 in self.days and minute < self.end)

    def __str__(self) -> str:
        days = ",".join(_DAYS[day] for day in sorted(self.days)) if len(self.days) < 7 else ""
        return f"{days} {_clock(self.start)}-{_clock(self.end)}".strip()


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"


def window(text: str) -> Window:
    """`22:00-05:00`, or `Sat,Sun 00:00-24:00`; ValueError says what it must be."""
    days, _, times = text.rpartition(" ")
    start, _, end = times.partition("-")
    named = days.split(",") if days else _DAYS
    try:
        return Window(frozenset(map(_DAYS.index, named)), _minute(start), _minute(end))
    except ValueError:
        raise ValueError("must be windows such as 22:00-05:00 or Sat,Sun 00:00-24:00") from None


def _minute(text: str) -> int:
    hours, _, minutes = text.partition(":")
    if not (len(hours) == len(minutes) == 2 and (hours + minutes).isdecimal()):
        raise ValueError(text)
    found = int(hours) * 60 + int(minutes)
    if int(minutes) > 59 or found > 24 * 60:
        raise ValueError(text)
    return found


@dataclass(frozen=True, slots=True)
class Config:
    """Every key is optional. `prefix` ends with a slash and stands before all our words.

    `sink`: who writes our labels to the Node. `features_d`: a folder beneath `--root`.
    `announce`: whether the API server is asked and told anything at all. `taint`: whether a
    node that is not ready keeps pods away that do not tolerate it. `textfile`: where metrics
    are written for node_exporter.

    `guest_memory` in bytes; `floors` and `floors_key` are files, empty where there is none.
    `authority`: whether `run` may switch modes. A switch that could not begin for
    `switch_deadline_s` is given up, and tried again `switch_again_s` after it began. At most
    `slots` nodes switch at once, 0 for all; the first in a mode is watched for `soak_s`, and
    `failures` within an hour stop the fleet. `namespace` is where we run ourselves.
    `pod_resources`: the kubelet's socket, where it is not in its usual folder. `holders`: whether
    pods that were given a GPU are waited for or evicted, those without a controller or with an
    emptyDir only where `evict_unmanaged`. `repair`: whether operands come back that a program
    left paused, once it has been gone for `repair_after_s`. `gate`: a pod of the site's that must
    end well on a node before it is called ready. `accept`: findings that the site lives with.
    `state_folder`, beneath `--root`: what is kept over reboots.
    """

    profile: Profile = Profile.SNP_GPU
    mode: CcMode | None = None
    period_s: float = 60.0
    prefix: str = "nodeagent.io/"
    health: str = ""
    sink: str = "api"
    features_d: str = "/etc/kubernetes/node-feature-discovery/features.d"
    announce: bool = True
    taint: bool = False
    textfile: str = ""
    floors: str = ""
    floors_key: str = ""
    require_floors: bool = False
    guest_memory: int | None = None
    authority: bool = False
    on_failure: str = "finish"
    switch_deadline_s: float = 1800.0
    switch_again_s: float = 600.0
    operator_namespace: str = "gpu-operator"
    slots: int = 0
    soak_s: float = 0.0
    failures: int = 0
    windows: tuple[Window, ...] = ()
    namespace: str = "nodeagent"
    pod_resources: str = ""
    holders: str = "wait"
    evict_unmanaged: bool = False
    repair: bool = False
    repair_after_s: float = 600.0
    gate: Gate | None = None
    state_folder: str = "/var/lib/nodeagent"
    accept: tuple[Accepted, ...] = ()


def profile(word: str) -> Profile:
    """The profile of that name; UsageError names the nearest."""
    known = {each.value: each for each in Profile}
    if word not in known:
        raise unknown_word("profile", word, known)
    return known[word]


def mode(word: str) -> CcMode:
    """The mode of that name; UsageError names the nearest."""
    known = {each.value: each for each in CcMode}
    if word not in known:
        raise unknown_word("mode", word, known)
    return known[word]


def sink(word: str) -> str:
    """The sink of that name; UsageError names the nearest."""
    if word not in SINKS:
        raise unknown_word("sink", word, SINKS)
    return word


def period(value: object) -> float:
    """Seconds from one look to the next; ValueError says what it must be."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.05 <= value <= 86_400:
        raise ValueError("must be a number of seconds from 0.05 to 86400")
    return float(value)


def _prefix(value: object) -> str:
    if not isinstance(value, str) or not value.endswith("/") or not 1 < len(value) <= 254:
        raise ValueError("must be a DNS name and a slash, such as nodeagent.io/")
    name = value[:-1]
    if not all(map(_is_dns_label, name.split("."))):
        raise ValueError("must be a DNS name in small letters and a slash")
    if any(name == other or name.endswith(f".{other}") for other in _OTHERS):
        raise ValueError("belongs to others")
    return value


_OTHERS = ("kubernetes.io", "k8s.io", "nvidia.com")
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")


def _is_dns_label(label: str) -> bool:
    fits = 0 < len(label) <= 63 and set(label) <= _LETTERS
    return fits and not label.startswith("-") and not label.endswith("-")


def _health(value: object) -> str:
    text = _text(value)
    port = text.rpartition(":")[2]
    if text and not (":" in text and port.isdecimal() and int(port) < 1 << 16):
        raise ValueError("must be HOST:PORT, such as 127.0.0.1:8743")
    return text


_UNITS = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40}


def _memory(value: object) -> int:
    text = str(value) if type(value) is int else _text(value)
    number, unit = (text[:-2], _UNITS[text[-2:]]) if text[-2:] in _UNITS else (text, 1)
    if (
        not number.isdecimal()
        or not number.isascii()
        or not 0 < len(number) < 20
        or int(number) == 0
    ):
        raise ValueError("must be a size such as 64Gi")
    return int(number) * unit


def _file(value: object) -> str:
    text = _text(value)
    if not text or "\0" in text:
        raise ValueError("must be the path of a file")
    return text


def _textfile(value: object) -> str:
    text = _file(value)
    if not (text.startswith("/") and text.endswith(".prom")):
        raise ValueError("must be the whole path of a file that ends in .prom")
    return text


def _folder(value: object) -> str:
    text = _file(value)
    if not text.startswith("/") or ".." in text.split("/"):
        raise ValueError("must be the whole path of a folder")
    return text


def _truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")  # noqa: TRY004 - one kind of error for all keys
    return value


def _one_of(key: str, value: object, known: tuple[str, ...]) -> str:
    if value not in known:
        raise unknown_word(key, str(value), known)
    return str(value)


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= 604_800:
        raise ValueError("must be a number of seconds from 1 to 604800")
    return float(value)


def _soak(value: object) -> float:
    return 0.0 if value == 0 and not isinstance(value, bool) else _seconds(value)


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value <= 10_000:
        raise ValueError("must be a whole number from 0 to 10000")
    return value


def _windows(value: object) -> tuple[Window, ...]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValueError("must be a list of windows such as 22:00-05:00")
    return tuple(map(window, value))


def _namespace(value: object) -> str:
    text = _text(value)
    if not _is_dns_label(text):
        raise ValueError("must be the name of a namespace")
    return text


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a string")  # noqa: TRY004 - one kind of error for all keys
    return value


_PARSERS: Mapping[str, Callable[[Any], Any]] = {
    "profile": lambda value: profile(_text(value)),
    "mode": lambda value: mode(_yaml_word(value)),
    "period_s": period,
    "prefix": _prefix,
    "health": _health,
    "sink": lambda value: sink(_text(value)),
    "features_d": _folder,
    "announce": _truth,
    "taint": _truth,
    "textfile": _textfile,
    "floors": _file,
    "floors_key": _file,
    "require_floors": _truth,
    "guest_memory": _memory,
    "authority": _truth,
    "on_failure": lambda value: _one_of("on_failure", value, ("finish", "rollback")),
    "switch_deadline_s": _seconds,
    "switch_again_s": _seconds,
    "operator_namespace": _namespace,
    "slots": _count,
    "soak_s": _soak,
    "failures": _count,
    "windows": _windows,
    "namespace": _namespace,
    "pod_resources": _file,
    "holders": lambda value: _one_of("holders", value, ("wait", "evict")),
    "evict_unmanaged": _truth,
    "repair": _truth,
    "repair_after_s": _seconds,
    "state_folder": _folder,
}


_GATE: Mapping[str, Callable[[Any], Any]] = {
    "pod": _file,
    "deadline_s": _seconds,
    "valid_s": _soak,
    "again_s": _seconds,
}


def _yaml_word(value: object) -> str:
    """YAML reads a bare `on` and `off` as truth values; people mean the modes."""
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else _text(value)


def load(path: str | None) -> Config:
    """The file at `path`, or the default file if there is one; UsageError where it is off."""
    chosen = path or DEFAULT_PATH
    try:
        with open(chosen, "rb") as file:
            raw = file.read(_LIMIT + 1)
    except FileNotFoundError:
        if path is None:
            return Config()
        raise UsageError(f"there is no configuration file {path}") from None
    except OSError as error:
        raise UsageError(f"cannot read the configuration {chosen}: {error.strerror}") from error
    if len(raw) > _LIMIT:
        raise UsageError(f"the configuration {chosen} is larger than {_LIMIT >> 20} MiB")
    return parse(raw, chosen)


def parse(raw: bytes, name: str) -> Config:
    """Every unknown key and every value of another shape is an error that names its line."""
    from nodeagent import marked  # noqa: PLC0415 - most looks have no configuration file

    top = marked.compose(raw, name)
    if top is None or marked.is_null(top):
        return Config()
    found: dict[str, Any] = {}
    for key, node in marked.entries(name, top, [each.name for each in fields(Config)]):
        if key == "gate":
            found[key] = _gate(name, node)
            continue
        if key == "accept":
            found[key] = tuple(_accept(name, node))
            continue
        value = (
            marked.whole_of(name, key, node) if key in _LISTS else marked.value_of(name, key, node)
        )
        try:
            found[key] = _PARSERS[key](value)
        except UsageError as error:
            said = f"{key}: {error}"
            raise marked.wrong(name, marked.line_of(node), said, hint=error.hint) from None
        except ValueError as error:
            raise marked.wrong(name, marked.line_of(node), f"{key} {error}") from None
    return replace(Config(), **found)


def _gate(name: str, top: "yaml.Node") -> Gate:
    from nodeagent import marked  # noqa: PLC0415

    found: dict[str, Any] = {}
    for key, node in marked.entries(name, top, Gate._fields):
        value = marked.value_of(name, key, node)
        try:
            found[key] = _GATE[key](value)
        except ValueError as error:
            raise marked.wrong(name, marked.line_of(node), f"gate: {key} {error}") from None
    if "pod" not in found:
        raise marked.wrong(name, marked.line_of(top), "gate: pod is missing")
    return Gate(**found)


def _accept(name: str, node: "yaml.Node") -> Iterator[Accepted]:
    """A list of findings that the site lives with: of each its code, until when, and why."""
    from nodeagent import marked  # noqa: PLC0415

    codes: set[str] = set()
    for each in marked.items_of(name, "accept", node):
        found = {
            key: (value, marked.value_of(name, key, value))
            for key, value in marked.entries(name, each, tuple(_ACCEPTED))
        }
        for key in _ACCEPTED:
            if key not in found:
                raise marked.wrong(name, marked.line_of(each), f"accept lacks {key}")
        accepted = []
        for key, (at, value) in found.items():
            try:
                accepted.append((key, _ACCEPTED[key](value)))
            except UsageError as error:
                raise marked.wrong(name, marked.line_of(at), str(error), hint=error.hint) from None
            except ValueError as error:
                raise marked.wrong(name, marked.line_of(at), f"{key} {error}") from None
        one = Accepted(**dict(accepted))
        if one.code in codes:
            raise marked.wrong(name, marked.line_of(each), f"accept has {one.code} twice")
        codes.add(one.code)
        yield one


def _code(value: object) -> object:
    from nodeagent.model.codes import Code  # noqa: PLC0415

    known = {each.value.lower(): each for each in Code}
    word = _text(value)
    if word not in {each.value for each in Code}:
        guess = nearest(word, known)
        hint = f"did you mean {known[guess]}?" if guess else "`nodeagent explain` lists them"
        raise UsageError(f"unknown code {word!r:.60}", hint=hint)
    return known[word.lower()]


def _day(value: object) -> str:
    """YAML reads a bare day as a date."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    try:
        return datetime.strptime(str(value), "%Y-%m-%d").date().isoformat()  # noqa: DTZ007 - a day
    except ValueError:
        raise ValueError("must be a day such as 2027-03-31") from None


def _why(value: object) -> str:
    text = " ".join(_text(value).split())
    if not text or len(text) > _WHY_CHARS or not text.isprintable():
        raise ValueError(f"must be a reason in words, of at most {_WHY_CHARS} letters")
    return text


_WHY_CHARS = 200
_ACCEPTED: Mapping[str, Callable[[Any], Any]] = {"code": _code, "until": _day, "why": _why}
_LISTS = frozenset({"windows"})


def checked(config: Config) -> Config:
    """As `run` needs it, after the command line had its say; UsageError where keys clash."""
    if config.announce:
        return config
    if config.sink != "features.d":
        raise UsageError(
            f"announce: false leaves nothing to say by sink: {config.sink}",
            hint="only sink: features.d needs no API server",
        )
    for key in ("authority", "gate", "repair", "taint"):
        if getattr(config, key):
            raise UsageError(f"{key} needs an API server, and announce: false forbids asking one")
    return config
