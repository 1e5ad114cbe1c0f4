"""The modes that this boot has proven, kept for GPUs that a VM holds (design.md §2)."""

import json
import logging
import os
from collections.abc import Callable, Collection, Mapping
from datetime import datetime

from nodeagent.model.pci import Sighting
from nodeagent.model.words import CcMode
from nodeagent.publish.apiserver import rfc3339, utc_now

FILE = "seen.json"
_VERSION = 1
_LIMIT = 1 << 16

log = logging.getLogger(__name__)


def remember(
    before: Mapping[str, Sighting],
    proven: Mapping[str, CcMode],
    held: Collection[str],
    now: str,
) -> dict[str, Sighting]:
    """What stands after a look.

    A held device keeps its last sighting; one that is free and was not proven keeps none,
    for it may have been reset since.
    """
    fresh = {bdf: Sighting(mode, now) for bdf, mode in proven.items()}
    kept = {bdf: before[bdf] for bdf in held if bdf in before}
    return fresh | kept


class Memory:
    """Sightings over a restart of the agent, in a file under /run: a reboot forgets them.

    Nothing depends on the file: where its folder is missing or read-only, the report on the
    Node is read back instead.
    """

    def __init__(
        self, folder: str | None, boot_id: str, now: Callable[[], datetime] = utc_now
    ) -> None:
        self._folder = folder
        self._boot_id = boot_id
        self._now = now
        self._kept: object = None
        self._has_looked = False
        self.sightings: Mapping[str, Sighting] = _load(folder, boot_id) if folder else {}

    @property
    def modes(self) -> dict[str, CcMode]:
        return {bdf: seen.mode for bdf, seen in self.sightings.items()}

    def recall(self, sightings: Mapping[str, Sighting]) -> None:
        """Add what was kept elsewhere; too late once we have looked ourselves."""
        if not self._has_looked:
            self.sightings = {**sightings, **self.sightings}

    def note(self, proven: Mapping[str, CcMode], held: Collection[str]) -> None:
        """Take in a look. Never raises."""
        self._has_looked = True
        self.sightings = remember(self.sightings, proven, held, rfc3339(self._now()))
        # A time that only advances is no reason to write; that of a device just taken is.
        gist = {bdf: (seen.mode, bdf in held) for bdf, seen in self.sightings.items()}
        if self._folder is not None and gist != self._kept:
            self._kept = gist
            self._keep(self._folder)

    def _keep(self, folder: str) -> None:
        seen = sorted(self.sightings.items())
        gpus = {bdf: {"mode": sighting.mode, "at": sighting.at} for bdf, sighting in seen}
        whole = {"version": _VERSION, "boot_id": self._boot_id, "gpus": gpus}
        try:
            _replace(folder, json.dumps(whole).encode())
        except OSError as error:
            log.debug("cannot keep sightings: %s", error)


def _load(folder: str, boot_id: str) -> dict[str, Sighting]:
    """The sightings of this boot; none where there is no file of ours."""
    try:
        with open(os.path.join(folder, FILE), "rb") as file:
            told: object = json.loads(file.read(_LIMIT))
    except (OSError, ValueError, RecursionError) as error:
        log.debug("no earlier sightings: %s", error)
        return {}
    return _sightings(told, boot_id)


def _sightings(told: object, boot_id: str) -> dict[str, Sighting]:
    if not isinstance(told, dict) or told.get("version") != _VERSION:
        return {}
    gpus = told.get("gpus")
    if told.get("boot_id") != boot_id or not isinstance(gpus, dict):
        return {}
    found = {}
    for bdf, raw in gpus.items():
        mode, at = (raw.get("mode"), raw.get("at")) if isinstance(raw, dict) else (None, None)
        if mode in tuple(CcMode) and isinstance(at, str):
            found[bdf] = Sighting(CcMode(mode), at)
    return found


def _replace(folder: str, data: bytes) -> None:
    """Beside, synced, renamed: whoever reads sees the old file or the new one."""
    part = os.path.join(folder, f".{FILE}.part")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(part, flags, 0o644)
    try:
        os.write(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)
    os.replace(part, os.path.join(folder, FILE))
