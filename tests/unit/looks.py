"""Looking at hosts in tests: captured ones, and ones with something hidden or changed."""

import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from hypothesis import HealthCheck, settings

from nodeagent.capture.archive import open_capture
from nodeagent.checks.judge import judge
from nodeagent.facts.look import look
from nodeagent.floors import shipped
from nodeagent.model.cpu import CpuidRegs, CpuValues
from nodeagent.model.facts import Facts, Source
from nodeagent.model.findings import Judgement
from nodeagent.model.host import Kvm, PspFailure, Uname
from nodeagent.model.policy import Policy
from nodeagent.model.seen import Seen, Unreadable
from nodeagent.model.words import CcMode, Profile
from nodeagent.seams import FILE_LIMIT, Files, Machine, Parts, Probes, Registers, as_text
from tests.hosts import tree
from tests.hosts.draft import Draft
from tests.hosts.inspector import inspect_as

HOSTS = Path(__file__).parents[1] / "hosts"

Hidden = Callable[[str], bool]

EXAMPLES = 3000 if os.environ.get("NODEAGENT_SOAK") else 150
"""How many random examples each property gets: more by `make soak`."""

# Each example looks at a whole host twice; what varies is what is hidden.
thorough = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=False,
)


def facts_of(host: Path) -> Facts:
    """Facts cannot change, and neither do the hosts of the repository: one look will do."""
    return _kept(host) if host.parent == HOSTS else _look(host)


def _look(host: Path) -> Facts:
    with open_capture(str(host)) as machine:
        return look(machine)


_kept = cache(_look)


@cache
def inspected(name: str) -> Facts:
    """A host of the repository as an unprivileged pod sees it."""
    with TemporaryDirectory() as folder:
        inspect_as(HOSTS / name, Path(folder) / name)
        return _look(Path(folder) / name)


SHIPPED = Policy(floors=shipped())
REQUIRED = SHIPPED._replace(require_floors=True)


def judged(
    host: Path,
    *,
    profile: Profile = Profile.SNP_GPU,
    want: CcMode | None = None,
    policy: Policy = SHIPPED,
) -> Judgement:
    return judge(facts_of(host), profile=profile, want=want, policy=policy)


def drafted(draft: Draft, folder: Path) -> Path:
    """A host that a test has just made up, written as a capture."""
    tree.write(draft.tree(), folder)
    return folder


class Bytes(NamedTuple):
    """A file's content, read at any offset."""

    content: bytes

    def read(self, offset: int, size: int) -> bytes | Unreadable:
        return self.content[offset : offset + size]


class VeiledFiles:
    """Files with some paths hidden, some replaced, and every one asked for remembered."""

    def __init__(
        self, files: Files, hidden: Hidden, replaced: Mapping[str, bytes], seed: int | None
    ) -> None:
        self._files = files
        self._hidden = hidden
        self._replaced = replaced
        self._random = None if seed is None else random.Random(seed)
        self.asked: set[str] = set()

    def _gap(self, path: str) -> Unreadable | None:
        self.asked.add(path)
        return Unreadable(path, "EACCES: Permission denied") if self._hidden(path) else None

    def read_bytes(self, path: str, limit: int = FILE_LIMIT) -> Seen[bytes]:
        gap = self._gap(path)
        if gap is None and path in self._replaced:
            return self._replaced[path][:limit]
        return gap or self._files.read_bytes(path, limit)

    def read(self, path: str, limit: int = FILE_LIMIT) -> Seen[str]:
        return as_text(self.read_bytes(path, limit))

    @contextmanager
    def parts(self, path: str) -> Iterator[Seen[Parts]]:
        gap = self._gap(path)
        with self._files.parts(path) as found:
            yield gap or (Bytes(self._replaced[path]) if path in self._replaced else found)

    def names(self, path: str) -> Seen[tuple[str, ...]]:
        found = self._gap(path) or self._files.names(path)
        if self._random and isinstance(found, tuple):
            return tuple(self._random.sample(found, len(found)))
        return found

    def link(self, path: str) -> Seen[str]:
        return self._gap(path) or self._files.link(path)

    def has(self, path: str) -> bool | Unreadable:
        return self._gap(path) or self._files.has(path)


class VeiledProbes:
    """Probes with some hidden; each has a name that `hidden` is asked about."""

    def __init__(
        self, probes: Probes, hidden: Hidden, files: VeiledFiles, seed: int | None
    ) -> None:
        self._probes = probes
        self._hidden = hidden
        self._files = files
        self._random = None if seed is None else random.Random(seed)

    def _gap(self, name: str) -> Unreadable | None:
        self._files.asked.add(name)
        return Unreadable(name, "EPERM: Operation not permitted") if self._hidden(name) else None

    def uname(self) -> Seen[Uname]:
        return self._gap("uname") or self._probes.uname()

    def cpuid(self, leaf: int, subleaf: int = 0) -> Seen[CpuidRegs]:
        return self._gap("probe:cpuid") or self._probes.cpuid(leaf, subleaf)

    def msrs(self, cpus: Sequence[int], indexes: Sequence[int]) -> Mapping[int, Seen[CpuValues]]:
        order = self._random.sample(list(cpus), len(cpus)) if self._random else cpus
        found = self._probes.msrs(order, indexes)
        return {index: self._gap(f"probe:msr:{index:#x}") or found[index] for index in indexes}

    def sev(self, command: int) -> Seen[bytes | PspFailure]:
        return self._gap(f"probe:sev:{command}") or self._probes.sev(command)

    def kvm(self) -> Seen[Kvm]:
        return self._gap("probe:kvm") or self._probes.kvm()

    def log_lines(self) -> Seen[tuple[str, Iterator[str]]]:
        return self._gap("probe:log") or self._probes.log_lines()

    def versions(self) -> Seen[Mapping[str, str]]:
        return self._gap("probe:versions") or self._probes.versions()

    def bar0(self, bdf: str) -> AbstractContextManager[Registers | Unreadable]:
        return self._bar0(bdf)

    @contextmanager
    def _bar0(self, bdf: str) -> Iterator[Registers | Unreadable]:
        gap = self._gap(f"probe:bar0:{bdf}")
        with self._probes.bar0(bdf) as registers:
            yield gap or registers

    def knobs(self, bdf: str) -> Seen[Mapping[int, int | Unreadable]]:
        """Not asked is no gap: there is nothing to hide."""
        return self._probes.knobs(bdf)


class Veiled:
    """A machine seen through a veil."""

    def __init__(
        self,
        machine: Machine,
        *,
        hidden: Hidden = lambda _: False,
        replaced: Mapping[str, bytes] | None = None,
        seed: int | None = None,
    ) -> None:
        self._machine = machine
        self._files = VeiledFiles(machine.files, hidden, replaced or {}, seed)
        self.files: Files = self._files
        self.probes: Probes = VeiledProbes(machine.probes, hidden, self._files, seed)
        self.source: Source = machine.source

    @property
    def asked(self) -> list[str]:
        return sorted(self._files.asked)

    def look(self) -> AbstractContextManager[None]:
        return self._machine.look()
