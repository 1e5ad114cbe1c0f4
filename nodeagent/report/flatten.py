"""Facts taken apart into named parts, and put together again with one part exchanged."""

from collections.abc import Iterator, Mapping
from enum import Enum, auto
from typing import Any, NamedTuple

from nodeagent.model.cpu import MSR_NAMES, CpuValues
from nodeagent.model.host import KernelLog, LogEvent, ModuleOption, NotAsked
from nodeagent.model.seen import Unreadable
from nodeagent.model.text import printable


class Gone(Enum):
    """What stands for a part that only the other one has."""

    GONE = auto()


GONE = Gone.GONE
Path = tuple[str, ...]


class Leaf(NamedTuple):
    """One difference: where, as keys and in words, and what each side has there."""

    path: Path
    name: str
    a: object
    b: object


# What moves by itself or belongs to one host alone says nothing about why two differ.
_VOLATILE = frozenset(
    {
        "source",
        "boot_id",
        "psp.platform.guests",
        "psp.snp.guests",
        "kernel.misc_current",
        "log.linux_version",
        "log.amd_vi",
        "devices.functions",
        "iommu.foreign",
    }
)
_VOLATILE_ENDS = (".holders", ".remembered", ".runtime_status", ".status.by")
# Where the plain name is shorter than the way to it.
_SAID = (
    ("kernel.parameters.", ""),
    ("kernel.config.", ""),
    ("kernel.cmdline ", "command line "),
    ("kernel.options ", "modprobe.d "),
    ("kernel.", ""),
    ("cpus.msrs.", "MSR "),
    ("cpus.identity.flags ", "CPU flag "),
    ("cpus.identity.", "CPU "),
    ("platform.dmi.", ""),
    ("devices.gpus ", "GPU "),
    ("devices.switches ", "NVSwitch "),
    ("iommu.groups.", "IOMMU group "),
)
_OF_ONE_HOST = ("BOOT_IMAGE=", "root=", "resume=", "ip=", "rd.")


def differences(a: object, b: object, path: Path = (), name: str = "") -> Iterator[Leaf]:
    """Every part that is not alike, in the order in which facts are written down."""
    left, right = parts(a), parts(b)
    if left is None or right is None or type(a) is not type(b):
        if not _is_alike(a, b):
            yield Leaf(path, _plain(name), a, b)
        return
    for key in dict.fromkeys([*left, *right]):
        below = f"{name}{_joint(a)}{key}" if name else key
        if not _is_volatile(below, key):
            yield from differences(left.get(key, GONE), right.get(key, GONE), (*path, key), below)


def _is_alike(a: object, b: object) -> bool:
    """One register's one value on all CPUs is the same, however many there are."""
    if isinstance(a, CpuValues) and isinstance(b, CpuValues) and a.one is not None:
        return a.one == b.one and not (a.unreadable or b.unreadable)
    return a == b


def _joint(whole: object) -> str:
    """Members of a set or list, and what a device has, stand apart from it."""
    is_list = isinstance(whole, tuple) and not hasattr(whole, "_fields")
    return " " if is_list or isinstance(whole, frozenset) or hasattr(whole, "bdf") else "."


def _plain(name: str) -> str:
    for start, instead in _SAID:
        if name.startswith(start):
            return instead + name.removeprefix(start)
    return name


def _is_volatile(name: str, key: str) -> bool:
    return (
        name in _VOLATILE
        or name.endswith(_VOLATILE_ENDS)
        or (name.startswith("kernel.cmdline ") and key.startswith(_OF_ONE_HOST))
    )


def parts(value: object) -> dict[str, Any] | None:
    """What a value is made of, by name; None where it is shown as a whole."""
    match value:
        case KernelLog(events=events):
            kinds = dict.fromkeys(event.kind for event in events)
            return {kind: value.of(kind) for kind in kinds}
        case CpuValues() | LogEvent():
            return None
        case Mapping():
            return {_key(key): part for key, part in value.items()}
        case frozenset():
            return {str(item): item for item in sorted(value, key=str)}
        case tuple() if hasattr(value, "_fields"):
            return {name: getattr(value, name) for name in value._fields}
        case tuple():
            keys = [_identity(item) for item in value]
            known = [key for key in keys if key is not None]
            return dict(zip(known, value, strict=True)) if len(known) == len(keys) else None
        case _:
            return None


def _key(key: object) -> str:
    return MSR_NAMES.get(key, str(key)) if isinstance(key, int) else str(key)


def _identity(item: object) -> str | None:
    if isinstance(item, str):
        return item
    if isinstance(item, ModuleOption):
        return f"{item.module}.{item.name}={item.value} in {item.where}"
    bdf = getattr(item, "bdf", None)
    return bdf if isinstance(bdf, str) else None


def exchange(whole: Any, path: Path, part: object) -> Any:  # noqa: ANN401 - of any depth
    """The same with another part there; GONE takes it out."""
    if not path:
        return part
    key, *rest = path
    below = parts(whole) or {}
    new = exchange(below.get(key, GONE), tuple(rest), part)
    match whole:
        case KernelLog():
            kept = [event for event in whole.events if event.kind != key]
            return whole._replace(events=(*kept, *(() if new is GONE else new)))
        case Mapping():
            mine = {name: each for name, each in whole.items() if _key(name) != key}
            own = next((name for name in whole if _key(name) == key), key)
            return mine if new is GONE else {**mine, own: new}
        case frozenset():
            return whole - {below.get(key)} if new is GONE else whole | {new}
        case tuple() if hasattr(whole, "_fields"):
            return whole._replace(**{key: new})  # type: ignore[attr-defined] # it has fields
        case _:
            changed = {**below, key: new}
            return tuple(each for each in changed.values() if each is not GONE)


def words(value: object) -> str:
    """A part as a person reads it; never more than a few lines."""
    match value:
        case None | Gone.GONE:
            return "absent"
        case KernelLog() | LogEvent():
            return printable(value.line if isinstance(value, LogEvent) else "there", 160)
        case Unreadable(why=why) | NotAsked(why=why):
            kind = "not asked" if isinstance(value, NotAsked) else "unreadable"
            return f"{kind}: {printable(why, 60)}"
        case int():
            return _number(value)
        case CpuValues():
            return _values(value)
        case tuple() if hasattr(value, "_fields"):
            told = [f"{name}={words(getattr(value, name))}" for name in value._fields]
            return printable(" ".join(told), 200)
        case tuple() if len(value) > 8 and all(isinstance(each, int) for each in value):
            return f"{len(value)}: {value[0]}-{value[-1]}"
        case tuple():
            return printable(", ".join(words(each) for each in value), 200) or "none"
        case _:
            return printable(str(value), 160)


def _number(value: int) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) if abs(value) < 4096 else f"{value:#x}"


def _values(found: CpuValues) -> str:
    if found.one is not None and not found.unreadable:
        return f"{found.one:#x}"
    groups = [f"{value:#x} on {len(cpus)} CPUs" for value, cpus in found.masked(-1).items()]
    if found.unreadable:
        groups.append(f"unreadable on {len(found.unreadable)}")
    return printable(", ".join(groups), 160)
