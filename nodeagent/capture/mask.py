"""Takes out of a capture what names a machine, a person or a secret; equal stays equal."""

import zlib
from collections.abc import Callable, Iterable

from nodeagent.capture import patterns as p
from nodeagent.capture.config_space import masked_config
from nodeagent.capture.lines import Lines
from nodeagent.capture.shape import encoded
from nodeagent.capture.standins import Kind, StandIns

_MAX_LINES = 50_000
_LONG_LINE = 2000
_UNPACKED_LIMIT = 4 << 20
_UNIT_ID = frozenset({0x820344, 0x820348})
"""Registers that name one GPU (gpu-cc.md §4.2)."""


class Mask:
    """One for a capture: it remembers what it has masked, and with what.

    `first` masks what shows itself. What only its surroundings gave away (a serial number, a
    host name, a password) is remembered, and `finish` masks it wherever else it stands; so all
    texts go through `first` before any goes through `finish`.
    """

    def __init__(self, hosts: Iterable[str] = ()) -> None:
        """`hosts`: what this host is called, known from elsewhere than the texts themselves."""
        self._known = StandIns()
        self._lines = Lines(self._known)
        self._done: dict[str, str] = {}
        for host in hosts:
            self._known.host(host.strip())

    @property
    def counts(self) -> dict[str, int]:
        """How many different ones of each kind were masked."""
        return self._known.counts

    def text(self, text: str) -> str:
        return self.finish(self.first(text))

    def first(self, text: str) -> str:
        if "-----BEGIN " in text:
            text = self._lines.pem(text)
        return "\n".join(map(self._line, text.split("\n")))

    def finish(self, text: str) -> str:
        return self._known.finish(text)

    def first_of_file(self, path: str, content: bytes) -> bytes:
        return self._of_file(path, content, self.first)

    def finish_file(self, path: str, content: bytes) -> bytes:
        return self._of_file(path, content, self.finish)

    def register(self, offset: int, value: int) -> int:
        """A word of a GPU's BAR0."""
        return self._number("gpu", value) if offset in _UNIT_ID else value

    def _line(self, line: str) -> str:
        """Hosts repeat themselves: one processor's lines are those of 191 others."""
        known = self._done.get(line)
        if known is None:
            known = self._lines.masked(line)
            if len(line) < _LONG_LINE and len(self._done) < _MAX_LINES:
                self._done[line] = known
        return known

    def _of_file(self, path: str, content: bytes, masked: Callable[[str], str]) -> bytes:
        if path.endswith("/config") and path.startswith("/sys/"):
            return masked_config(content, lambda serial: self._number("pci", serial))
        if path.endswith(".gz"):
            return _packed(content, masked)
        text = content.decode(errors="surrogateescape")
        name = path.rpartition("/")[2]
        if "version" in name and p.QUAD.fullmatch(text):
            return content  # a version of four numbers looks like an address
        if name == "hostname" and text.strip():
            return encoded(f"{self._known.host(text.strip())}\n")
        return encoded(masked(text))

    def _number(self, what: str, value: int) -> int:
        """A number too small to be one that names something."""
        if value >> 16 == 0:
            return value
        return int(self._known.shaped(Kind.ID, f"{what} {value:#x}", str))


def _packed(content: bytes, masked: Callable[[str], str]) -> bytes:
    """A gzip file, such as the kernel's configuration, packed anew around its masked text."""
    try:
        plain = zlib.decompressobj(31).decompress(content, _UNPACKED_LIMIT)
    except zlib.error:
        return encoded(masked(content.decode(errors="surrogateescape")))
    text = encoded(masked(plain.decode(errors="surrogateescape")))
    packer = zlib.compressobj(wbits=31)  # writes no name and no time
    return packer.compress(text) + packer.flush()
