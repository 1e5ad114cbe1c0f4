"""Masked text never contains what was masked, whatever it is and wherever it stands."""

import base64
import shutil
import string
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.hosts import tree
from tests.hosts.tree import Tree
from tests.unit.captures import MEMORY, Captured, captured_host
from tests.unit.looks import EXAMPLES, thorough

HOSTS = Path(__file__).parents[1] / "hosts"
pytestmark = pytest.mark.timeout(300 + EXAMPLES)

_ALNUM = string.ascii_letters + string.digits


def _word(least: int, most: int, alphabet: str = _ALNUM) -> st.SearchStrategy[str]:
    """A word with a letter and a digit, as serial numbers and passwords have."""
    words = st.text(alphabet, min_size=least, max_size=most)
    return words.map(lambda word: f"{word}q7").filter(lambda word: len(set(word.lower())) > 4)


def _hex(digits: int) -> st.SearchStrategy[str]:
    numbers = st.integers(1 << (4 * digits - 1), (1 << 4 * digits) - 1)
    return numbers.map(lambda number: f"{number:0{digits}x}").filter(
        lambda word: digits < 16 or len(set(word)) > 6
    )


def _odd(alphabet: str) -> st.SearchStrategy[str]:
    """A password of signs, too, around a word that nothing else holds."""
    signs = st.text(alphabet + string.ascii_letters, max_size=6)
    return st.tuples(signs, _word(6, 12), signs).map(lambda parts: f"a{'x'.join(parts)}z")


_UUIDS = st.uuids(version=4).map(str)
_IPV4 = st.tuples(
    st.integers(1, 223).filter(lambda part: part not in {127, 192, 198}),
    *(st.integers(0, 255),) * 2,
    st.integers(1, 254),
).map(lambda parts: ".".join(map(str, parts)))
_IPV6 = st.lists(_hex(4), min_size=8, max_size=8).map(":".join)
_MACS = st.lists(_hex(2), min_size=5, max_size=5).map(lambda parts: ":".join(["9c", *parts]))
_HOSTS = _word(3, 12, string.ascii_lowercase + string.digits).map(lambda word: f"n-{word}")
# What a password may hold where it stands.
_AWKWARD = "/@:#?!$%&*+~^()|<>="
_IN_DOUBLE, _IN_SINGLE = _AWKWARD + " '", _AWKWARD + ' "'
_KEYS = st.binary(min_size=36, max_size=90).map(
    lambda raw: base64.b64encode(raw).decode().rstrip("=")
)

# The lines of a host that give each kind of secret away, and the secret.
KINDS: dict[str, tuple[str, st.SearchStrategy[str]]] = {
    "address": ("IP-Config: got {}", _IPV4),
    "address in text": ("{} kernel: link is up", _IPV4),
    "IPv6 address": ("inet6 {}/64", _IPV6),
    "MAC address": ("mlx5_core 0000:42:00.0: {}", _MACS),
    "UUID": ("root=UUID={} ro", _UUIDS),
    "bare UUID": ("{}", _UUIDS),
    "machine id": ("machine-id {}", _hex(32)),
    "key id": ("Loaded X.509 cert 'k: {}'", _hex(40)),
    "serial number": ("usb 1-4: SerialNumber: {}", _word(6, 20)),
    "service tag": ("Service Tag: {}", _word(6, 12)),
    "disk": ("root=/dev/disk/by-id/nvme-M_{}-part2", _word(6, 20)),
    "volume": ("root=/dev/mapper/{}", _word(6, 20)),
    "WWN": ("sas_address(0x{})", _hex(16)),
    "host name": ("systemd[1]: Hostname set to <{}>.", _HOSTS),
    "host name option": ("--hostname-override={} --v=2", _HOSTS),
    "proxy password": ("HTTPS_PROXY=http://me:{}@proxy:3128", _word(6, 30)),
    "proxy without a scheme": ("HTTPS_PROXY=me:{}@proxy:3128", _word(6, 30)),
    "odd proxy password": ("https_proxy=http://me:{}@proxy:3128", _odd("/@:#?!$%&*+~^()|=")),
    "no proxy": ("NO_PROXY=localhost,.{}.corp", _HOSTS),
    "odd password": ('  password = "{}"', _odd(_IN_DOUBLE)),
    "odd quoted password": ("  password = '{}'", _odd(_IN_SINGLE)),
    "odd variable": ('Environment="DB_PASSWORD={}" X=1', _odd(_IN_DOUBLE)),
    "odd bare password": ("password={} rw", _odd("/@:#?!$%&*+~^()|=,;")),
    "array": ("rd.md.uuid={}", st.lists(_hex(8), min_size=4, max_size=4).map(":".join)),
    "serial said": ("disk sda SN {} is gone", _word(6, 20, string.ascii_uppercase + string.digits)),
    "dotted MAC": ("port {} learnt", st.lists(_hex(4), min_size=3, max_size=3).map(".".join)),
    "boot server": ("nfsroot={}:/export", _HOSTS),
    "token": ('Environment="CI_TOKEN={}"', _word(6, 40)),
    "password": ('  password = "{}"', _word(6, 30)),
    "registry": ('"auth": "{}"', _word(8, 60)),
    "kubeconfig": ("    client-key-data: {}", _word(8, 60)),
    "flag": ("kubelet\0--token\0{}\0--v\0002", _word(6, 30)),
    "bearer": ("Authorization: Bearer {}", _word(16, 60)),
    "key": ("blob {}", _KEYS.filter(lambda key: sum(c.isdigit() for c in key) > 4)),
    "PEM": ("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----", _word(40, 60)),
    "e-mail": ("contact {}@acme.com", _word(3, 20)),
    "user": ("/home/{}/.ssh", _word(3, 20)),
}


_PARTS = frozenset({"e-mail", "PEM"})
"""What is no secret without its surroundings."""


@st.composite
def _planted(draw: st.DrawFn) -> dict[str, str]:
    kinds = draw(st.sets(st.sampled_from(sorted(KINDS)), min_size=1, max_size=8))
    return {kind: draw(KINDS[kind][1]) for kind in sorted(kinds)}


def _plant(host: Tree, secrets: dict[str, str]) -> Tree:
    """Every text of the host with every line in it, and files named after the secrets."""
    lines = "".join(f"\n{KINDS[kind][0].format(secret)}" for kind, secret in secrets.items())
    files = {
        path: raw + lines.encode() if _is_text(path, raw) else raw
        for path, raw in host.files.items()
    }
    log = lines.strip("\n").replace("\n", "\n6,9,9,-;")
    files["/dev/kmsg"] = host.files["/dev/kmsg"] + f"6,9,9,-;{log}\n".encode()
    # Short ones are masked where they are called by their kind, and not wherever they stand.
    named = [
        each
        for kind, each in secrets.items()
        if len(each) > 7 and "/" not in each and kind not in _PARTS
    ]
    files |= {f"/etc/modprobe.d/{secret}.conf": lines.encode() for secret in named}
    return Tree(files, host.links, {**host.host, "note": lines}, host.probes)


def _is_text(path: str, raw: bytes) -> bool:
    return not path.endswith(("/config", ".sbin")) and bool(raw) and b"\0" not in raw


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        yield Path(name)


def _capture(host: Tree, folder: Path) -> Captured:
    out = folder / "host"
    shutil.rmtree(out, ignore_errors=True)
    tree.write(host, out)
    return captured_host(out)


def _everything(found: Captured) -> str:
    texts = [
        f"{path}\n{data if isinstance(data, str) else (data or b'').decode(errors='replace')}"
        for path, data in found.entries.items()
    ]
    return "\n".join(texts).lower()


@thorough
@given(secrets=_planted())
def test_no_secret_is_left_anywhere(secrets: dict[str, str], folder: Path) -> None:
    host = tree.read(HOSTS / "genoa-ready")

    everything = _everything(_capture(_plant(host, secrets), folder))

    for kind, secret in secrets.items():
        assert secret.lower() not in everything, kind


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_really_is_planted(kind: str) -> None:
    """Else the property above would hold for nothing."""
    host = tree.read(HOSTS / "genoa-ready")
    secret = "Zz12345678qQ"  # noqa: S105 - a made-up one

    planted = _plant(host, {kind: secret})

    assert sum(secret.encode() in raw for raw in planted.files.values()) > 20
    assert any(secret in path for path in planted.files) or kind in _PARTS
