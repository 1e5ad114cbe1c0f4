"""Versions out of Debian's package database, read when it is first asked and once a look."""

from nodeagent.model.packages import STATUS, version
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
        if self._raw is None or isinstance(self._raw, Unreadable):
            return self._raw
        return version(self._raw, names)
