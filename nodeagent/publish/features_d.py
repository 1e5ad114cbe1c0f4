"""NFD's feature file on this host: labels that go by themselves when we do (kubernetes.md §4.6)."""

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from nodeagent.errors import HostError
from nodeagent.host.root import Root
from nodeagent.kube.node import NodeView
from nodeagent.publish.apiserver import rfc3339, utc_now

FOLDER = "/etc/kubernetes/node-feature-discovery/features.d"
NAME = "nodeagent.features"
LIMIT = 64 << 10
LIFE_PERIODS = 5.0
"""From one write to its expiry; NFD itself looks once a minute."""
RENEW_PERIODS = 3.6
"""Three cycles at their longest: with less than that left the file is written anew."""

_PART = f".{NAME}.part"  # NFD passes over names that begin with a dot
_HEAD = "# written by nodeagent in boot "
_EXPIRES = "# +expiry-time="
_NO_FEATURE = "# +no-feature"

log = logging.getLogger(__name__)


class Written(NamedTuple):
    """What a file of ours says."""

    boot_id: str
    expires: datetime
    labels: Mapping[str, str]


def text(written: Written) -> str:
    """As NFD reads it. A directive for features counts for the next line alone.

    A verdict is a label and no feature: a rule that copies it would make a label of another
    name, which nobody of us knows to wait for.
    """
    lines = [_HEAD + written.boot_id, _EXPIRES + rfc3339(written.expires)]
    for key, value in sorted(written.labels.items()):
        lines += [_NO_FEATURE] if value == "true" else []
        lines.append(f"{key}={value}")
    return "\n".join(lines) + "\n"


def parse(raw: bytes) -> Written | None:
    """None where it is not as we write it: to NFD a time that it cannot read means never."""
    head, _, rest = raw.decode(errors="replace").partition("\n")
    when, _, body = rest.partition("\n")
    if not (head.startswith(_HEAD) and when.startswith(_EXPIRES) and when.endswith("Z")):
        return None
    try:
        expires = datetime.strptime(when, f"{_EXPIRES}%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None
    lines = [line for line in body.split("\n") if line and line != _NO_FEATURE]
    if any(line.startswith("#") or "=" not in line for line in lines):
        return None
    labels = dict(line.split("=", 1) for line in lines)
    return Written(head.removeprefix(_HEAD), expires, labels)


class FeaturesD:
    """The labels of this boot in one file, renewed before it expires."""

    is_local = True

    def __init__(
        self,
        folder: str = FOLDER,
        *,
        root: str = "/",
        boot_id: str,
        period_s: float,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        """`folder` beneath `root`; no link leads out of that."""
        self._root, self._folder = root, folder
        self._boot_id = boot_id
        self._period_s = period_s
        self._now = now
        self._path = f"{folder.rstrip('/')}/{NAME}"

    def begin(self) -> None:
        """What was said of another boot goes before anything else. Never raises."""
        try:
            with self._opened() as folder:
                if _read(folder, NAME) is not None and self._found(folder) is None:
                    _remove(folder)
                    log.info("%s is of an earlier boot, or expired: removed", self._path)
        except HostError as error:
            log.debug("%s", error)

    def clear_earlier_boot(self, _node: NodeView) -> None:
        """That was done at the beginning."""

    def stands(self) -> Mapping[str, str]:
        with self._opened() as folder:
            found = self._found(folder)
        return found.labels if found else {}

    def show(self, labels: Mapping[str, str], _node: NodeView | None) -> None:
        """From now on exactly these; without any there is no file."""
        with self._opened() as folder:
            found = self._found(folder)
            if found is not None and found.labels == labels and not self._is_due(found):
                return
            if labels:
                self._replace(folder, labels, found)
            elif _read(folder, NAME) is not None:
                _remove(folder)
        before = found.labels if found else {}
        for key in sorted(labels.keys() | before.keys()):
            if labels.get(key) != before.get(key):
                said = f"={labels[key]}" if key in labels else " taken away"
                log.info("label %s%s, in %s", key, said, NAME)

    def _is_due(self, found: Written) -> bool:
        """Also when it lies too far ahead: a clock was set back."""
        left_s = (found.expires - self._now()).total_seconds()
        return not RENEW_PERIODS * self._period_s <= left_s <= LIFE_PERIODS * self._period_s + 1

    def _found(self, folder: int) -> Written | None:
        raw = _read(folder, NAME)
        found = parse(raw) if raw else None
        if found is None or found.boot_id != self._boot_id or found.expires <= self._now():
            return None
        return found

    def _replace(self, folder: int, labels: Mapping[str, str], found: Written | None) -> None:
        # Rounded up to what a whole second can say.
        life = timedelta(seconds=LIFE_PERIODS * self._period_s + 0.999)
        expires = (self._now() + life).replace(microsecond=0)
        try:
            _write(folder, Written(self._boot_id, expires, dict(labels)))
        except (OSError, ValueError):
            # A full disk still lets us take away what is no longer true.
            if found is not None and not found.labels.items() <= labels.items():
                with suppress(OSError):
                    _remove(folder)
            raise

    @contextmanager
    def _opened(self) -> Iterator[int]:
        try:
            with closing(Root(self._root)) as root:
                yield root.folder_descriptor(self._folder)
        except (OSError, ValueError) as error:
            raise HostError(
                f"cannot keep the labels for NFD in {self._path}",
                hint="NFD's worker makes that folder; another one is named by features_d",
            ) from error


def _read(folder: int, name: str) -> bytes | None:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        with open(os.open(name, flags, dir_fd=folder), "rb") as file:
            return file.read(LIMIT + 1)
    except FileNotFoundError:
        return None


def _write(folder: int, written: Written) -> None:
    """Beside, synced, read back, renamed. OSError; ValueError where it cannot be said."""
    raw = text(written).encode()
    with suppress(FileNotFoundError):
        os.unlink(_PART, dir_fd=folder)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with open(os.open(_PART, flags, 0o600, dir_fd=folder), "wb") as file:
        file.write(raw)
        file.flush()
        os.fchmod(file.fileno(), 0o644)  # NFD's worker is no root, and our umask may be strict
        os.fsync(file.fileno())
    if len(raw) > LIMIT or parse(_read(folder, _PART) or b"") != written:
        raise ValueError("what NFD would read there is not what was meant")
    os.rename(_PART, NAME, src_dir_fd=folder, dst_dir_fd=folder)
    os.fsync(folder)


def _remove(folder: int) -> None:
    with suppress(FileNotFoundError):
        os.unlink(NAME, dir_fd=folder)
    os.fsync(folder)
