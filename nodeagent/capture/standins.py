"""What stands in a capture for what was masked: the same for the same, all through it."""

import re
from collections.abc import Callable
from enum import StrEnum
from functools import cache
from itertools import pairwise

from nodeagent import data
from nodeagent.capture import patterns as p
from nodeagent.errors import CaptureError

_MAX_LITERALS = 1000
_DOMAIN = "example"


class Kind(StrEnum):
    """What is masked, in the words in which it is counted."""

    HOST = "host names"
    ADDRESS = "network addresses"
    UUID = "UUIDs"
    SERIAL = "serial numbers"
    SECRET = "passwords, tokens and keys"  # noqa: S105 - the name of a kind
    USER = "user names"
    EMAIL = "e-mail addresses"
    VOLUME = "disk and volume names"
    ID = "device and machine ids"


_NOUN = {
    Kind.HOST: "host",
    Kind.SERIAL: "serial",
    Kind.SECRET: "secret",
    Kind.USER: "user",
    Kind.VOLUME: "volume",
    Kind.ID: "id",
}
_KIND = {noun: kind for kind, noun in _NOUN.items()}

_PUBLIC_HOSTS = (
    *("kernel.org", "github.com", "githubusercontent.com", "gitlab.com", "launchpad.net"),
    *("docker.io", "docker.com", "quay.io", "ghcr.io", "k8s.io", "gcr.io", "nvcr.io", "nvidia.com"),
    *("microsoft.com", "amazonaws.com", "public.ecr.aws", "googleapis.com", "pkg.dev", "amd.com"),
    *("kubernetes.io", "containerd.io", "opencontainers.org", "w3.org", "json-schema.org"),
    *("ubuntu.com", "debian.org", "redhat.com", "fedoraproject.org", "suse.com", "opensuse.org"),
    *("rockylinux.org", "almalinux.org", "oracle.com", "flatcar.org", "freedesktop.org"),
    *("systemd.io", "localhost", "cluster.local", "local", "svc", "example.com", "example"),
)
_VOCABULARY = tuple(
    f"{name}.json" for name in ("log", "options", "runtime", "chips", "kernels", "boards")
)
_PLAIN_WORDS = frozenset(
    """
    assets bin comm console containeredits devicenodes docker environment environmentfile
    execstart featuregates generic ipv4 ipv6 kmsg kube local localhost net network numa opt
    overrides plugins rocky sbin systemd tmp tmpfs units usr v10 var worker
    """.split()  # noqa: SIM905 - a hundred quotes would hide the words
)
"""Of paths and of files' keys, what the texts do not spell."""


@cache
def _plain_words() -> frozenset[str]:
    """Every word that our own data and pages use: what a kernel, a board and a cluster say.

    A host of that name is masked where it is called a host name, and not wherever the word
    stands: nobody could tell it there, and a line without it would mean something else.
    """
    texts = [data.text(name) for name in _VOCABULARY]
    texts += [data.text(f"pages/{name}") for name in data.names("pages") if name.endswith(".md")]
    words = re.findall(r"[a-z0-9]+", " ".join(texts).lower())
    return _PLAIN_WORDS.union(words)


class StandIns:
    """Numbers what is masked by kind, and watches for what is to be masked wherever it stands."""

    def __init__(self) -> None:
        self._names: dict[tuple[Kind, str], str] = {}
        self._last: dict[Kind, int] = dict.fromkeys(Kind, 0)
        self._own: dict[Kind, set[str]] = {kind: set() for kind in Kind}
        self._watched: dict[str, str] = {}

    @property
    def counts(self) -> dict[str, int]:
        """How many different ones of each kind."""
        found = {kind: len(own) for kind, own in self._own.items()}
        for kind, _ in self._names:
            found[kind] += 1
        return {kind.value: count for kind, count in found.items() if count}

    def name(self, kind: Kind, value: str) -> str:
        """`masked-serial-3`; what already stands for something stays."""
        if p.OWN.fullmatch(value):
            return value
        known = self.shaped(kind, value, f"masked-{_NOUN[kind]}-{{}}".format)
        self.watch(value, known)
        return known

    def shaped(self, kind: Kind, value: str, shape: Callable[[int], str]) -> str:
        """A stand-in that looks like what it stands for, made of a number."""
        known = self._names.get((kind, value))
        while known is None:
            self._last[kind] += 1
            free = shape(self._last[kind])
            known = None if free in self._own[kind] else free
        self._names[kind, value] = known
        return known

    def see(self, kind: Kind, value: str) -> None:
        """Count a stand-in of an earlier capture, and never give its number again."""
        self._own[kind].add(value)

    def note_own(self, line: str) -> None:
        for match in p.OWN.finditer(line):
            is_email = (match[2] or "").startswith("@")
            kind = Kind.EMAIL if is_email else _KIND[match[1]]
            self._own[kind].add(match[0].removesuffix(".example"))

    def secret(self, value: str) -> str:
        if p.HARMLESS.fullmatch(value) or (p.PATH.fullmatch(value) and not is_random(value)):
            return value
        return self.name(Kind.SECRET, value)

    def serial(self, value: str) -> str:
        digits = value.lower().removeprefix("0x")
        harmless = p.HARMLESS.fullmatch(value) and digits == value.lower()
        if harmless or len(set(digits)) == 1:
            return value
        return self.name(Kind.SERIAL, value)

    def label(self, name: str) -> str:
        """A file system's, unless it is called as everybody calls it."""
        return name if _is_plain(name.lower()) else self.name(Kind.VOLUME, name)

    def host(self, name: str) -> str:
        """The first part of the name by a number; of the others no more than that they are."""
        low = name.lower().rstrip(".")
        public = any(low == each or low.endswith(f".{each}") for each in _PUBLIC_HOSTS)
        if p.OWN.fullmatch(low) or public or low.replace(".", "").isdigit():
            return name
        short, _, domain = low.partition(".")
        hidden = self.name(Kind.HOST, short)
        if len(short) > 2 and not short.isdigit() and not _is_plain(short):
            self._watch_for(short, hidden)
        elif domain:
            self._watch_for(low, f"{hidden}.example")
        if not domain:
            return hidden
        if "." in domain and not p.OWN.fullmatch(domain):
            self._watch_for(domain, _DOMAIN)
        return f"{hidden}.example"

    def finish(self, text: str) -> str:
        """The text without anything that is watched for."""
        lowered = text.lower()
        for word, stands_for in self._watched.items():
            if word in lowered:
                pattern = rf"(?i)(?<![0-9A-Za-z]){re.escape(word)}(?![0-9A-Za-z])"
                if stands_for == _DOMAIN:
                    pattern = rf"(?i)(?:(?<![\w.-])([a-z0-9-]+)(?:\.[a-z0-9-]+)*\.)?{pattern[4:]}"
                    text = re.sub(pattern, self._below, text)
                else:
                    text = re.sub(pattern, stands_for, text)
                lowered = text.lower()
        return text

    def _below(self, match: re.Match[str]) -> str:
        """A host of a domain that is masked: by its number, as one that was called a host."""
        short = (match[1] or "").lower()
        if not short or short.startswith("masked-"):
            return f"{short}.{_DOMAIN}" if short else _DOMAIN
        return f"{self.shaped(Kind.HOST, short, 'masked-host-{}'.format)}.{_DOMAIN}"

    def watch(self, value: str, stands_for: str) -> None:
        """Mask it also where nothing around it says what it is, if it cannot be anything else."""
        word = value.lower()
        telling = any(c.isdigit() for c in word) and any(c.isalpha() for c in word)
        if len(word) >= 8 and telling and not p.NUMBER.fullmatch(word) and len(set(word)) > 3:
            self._watch_for(word, stands_for)

    def _watch_for(self, word: str, stands_for: str) -> None:
        self._watched[word] = stands_for
        if len(self._watched) > _MAX_LITERALS:
            raise CaptureError(f"this host shows more than {_MAX_LITERALS} secrets and names")


def _is_plain(name: str) -> bool:
    return all(part in _plain_words() for part in re.split("[-_]", name))


def is_random(text: str) -> bool:
    """Whether it looks as keys in base64 do: upper case, lower case and digits, all mixed.

    A path or a name of many words changes between them only from word to word.
    """
    kinds = [
        "a" if c.islower() else "A" if c.isupper() else "0" if c.isdigit() else "/" for c in text
    ]
    if not {"a", "A", "0"} <= set(kinds):
        return False
    changes = sum(1 for one, other in pairwise(kinds) if one != other)
    return changes * 100 >= 40 * (len(text) - 1)
