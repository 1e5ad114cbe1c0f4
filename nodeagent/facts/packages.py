"""Versions out of Debian's package database, read when it is first asked and once a look."""

from nodeagent.model.packages import RPM, STATUS, version
from nodeagent.model.seen import Seen, Unreadable
from nodeagent.seams import Files

_LIMIT = 32 << 20


class Packages:
    def __init__(self, files: Files) -> None:
        self._files = files
        self._raw: Seen[bytes] = None
        self._asked = False

    def version(self, names: tuple[str, ...]) -> Seen[str]:
        """Of the first of these that is installed."""
        if not self._asked:
            self._raw, self._asked = self._files.read_bytes(STATUS, _LIMIT), True
        if self._raw is None:
            return self._of_rpm()
        return self._raw if isinstance(self._raw, Unreadable) else version(self._raw, names)

    def _of_rpm(self) -> Unreadable | None:
        """RPM's is a database of 100 MB in a format of its own: that it is there is all we say."""
        there = (path for path in RPM if self._files.has(path) is True)
        path = next(there, None)
        return Unreadable(path, "RPM's database is not read") if path else None
