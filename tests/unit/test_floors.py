"""The floors file: what it says, what is refused, and with which line."""

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from nodeagent import floors
from nodeagent.errors import UsageError
from nodeagent.model import versions
from nodeagent.model.policy import MEASURES, Floor
from nodeagent.model.words import Generation
from tests.unit.looks import EXAMPLES

SHIPPED = Path(floors.__file__).parent / "data/floors.json"

ROW = """\
version: 1
floors:
  - id: OURS-1
    what: tcb.snp
    generation: genoa
    minimum: 0x1B
    source: our own tests
    date: 2026-11-20
    confidence: high
"""


def refusal(text: str | bytes) -> UsageError:
    raw = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(UsageError) as caught:
        floors.parse(raw, "floors.yaml")
    return caught.value


def test_a_row_says_what_who_and_how_sure() -> None:
    assert floors.parse(ROW.encode(), "floors.yaml") == (
        Floor(
            id="OURS-1",
            what="tcb.snp",
            minimum=(27,),
            source="our own tests",
            date="2026-11-20",
            confidence="high",
            generation=Generation.GENOA,
        ),
    )


def test_the_shipped_file_reads_the_same_as_a_sites_own() -> None:
    assert floors.parse(SHIPPED.read_bytes(), "floors.json") == floors.shipped()


def test_every_shipped_floor_has_a_source_and_no_two_are_about_the_same() -> None:
    told = [
        (each.id, each.what, each.generation, each.model, each.stepping, each.board, each.chip)
        for each in floors.shipped()
    ]

    assert len(told) == len(set(told))
    assert all(each.source and each.date >= "2026" for each in floors.shipped())


@pytest.mark.parametrize(
    ("id_", "what", "generation", "minimum", "confidence"),
    [
        # snp-host.md §4.6, row by row.
        ("SNP-API", "sev", "turin", "1.51.0", "high"),
        ("AMD-SB-3015", "sev", "milan", "1.55.22", "high"),
        ("AMD-SB-3015", "sev", "genoa", "1.55.38", "high"),
        ("AMD-SB-3015", "alias-check", "genoa", "true", "high"),
        ("AMD-SB-3019", "tcb.snp", "milan", "24", "high"),
        ("AMD-SB-3019", "tcb.snp", "bergamo-siena", "23", "high"),
        ("AMD-SB-3020", "tcb.snp", "genoa", "27", "medium"),
        ("AMD-SB-3023", "tcb.snp", "milan", "27", "low"),
        ("AMD-SB-3027", "tcb.microcode", "genoa", "86", "medium"),
    ],
)
def test_the_shipped_floors_are_those_of_the_field(
    id_: str, what: str, generation: str, minimum: str, confidence: str
) -> None:
    [floor] = [
        each
        for each in floors.shipped()
        if (each.id, each.what, each.generation) == (id_, what, generation)
    ]

    assert versions.show(what, floor.minimum) == minimum
    assert floor.confidence == confidence


@pytest.mark.parametrize(
    ("family_19_or_1a", "minimum"),
    [
        ((0x01, 1), 0x0A0011DB),
        ((0x01, 2), 0x0A001244),
        ((0x11, 1), 0x0A101154),
        ((0x11, 2), 0x0A10124F),
        ((0xA0, 2), 0x0AA00219),
        ((0x02, 1), 0x0B002147),
    ],
)
def test_microcode_floors_are_by_model_and_stepping(
    family_19_or_1a: tuple[int, int], minimum: int
) -> None:
    [floor] = [
        each
        for each in floors.shipped()
        if each.what == "microcode" and (each.model, each.stepping) == family_19_or_1a
    ]

    assert floor.minimum == (minimum,)


def test_no_shipped_floor_is_about_what_nobody_knows() -> None:
    """A generation without a value has no floor: none is guessed."""
    told = {(each.id, each.generation) for each in floors.shipped()}

    assert ("AMD-SB-3020", "milan") not in told
    assert ("AMD-SB-3020", "turin") not in told
    assert ("AMD-SB-3015", "turin") not in told
    assert ("AMD-SB-3023", "genoa") not in told


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("minimum:", "minimun:", 6, "unknown key 'minimun'; did you mean minimum?"),
        ("version:", "verison:", 1, "unknown key 'verison'; did you mean version?"),
        ("version: 1", "version: 2", 1, "is version 2, and this program reads version 1"),
        ("version: 1", "version: [1]", 1, "is version of another kind"),
        ("version: 1\n", "", 1, "has no version"),
        ("0x1B", "0x1G", 6, "minimum of tcb.snp must be like 23 or 0x17, is '0x1G'"),
        ("0x1B", "256", 6, "minimum of tcb.snp must be like"),
        ("0x1B", "-1", 6, "minimum of tcb.snp must be like"),
        ("0x1B", "1_0", 6, "minimum of tcb.snp must be like"),
        ("0x1B", "[27]", 6, "minimum must be one value"),
        ("tcb.snp", "tcb.snpp", 4, "unknown what 'tcb.snpp'; did you mean tcb.snp?"),
        ("genoa", "genua", 5, "unknown generation 'genua'; did you mean genoa?"),
        ("genoa", "unknown", 5, "unknown generation 'unknown'"),
        ("generation: genoa", "board: H12SSW", 5, "board says nothing about tcb.snp"),
        ("    generation: genoa\n", "", 3, "a floor of tcb.snp needs a generation"),
        ("    source: our own tests\n", "", 3, "a floor has no source"),
        ("our own tests", "''", 7, "source must be one line of text"),
        ("2026-11-20", "yesterday", 8, "date must be like 2026-11 or 2026-11-20"),
        ("high", "sure", 9, "unknown confidence 'sure'"),
        ("    what:", "    id: again\n    what:", 4, "id stands twice"),
        ("generation: genoa", "generation: genoa\n    model: zen", 6, "model must be a number"),
        ("  - id:", "  - words\n  - id:", 3, "must be keys and values"),
        ("floors:", "floors: no\nabout:", 2, "floors must be a list"),
        ("minimum: 0x1B", "minimum: '0x1B", 10, "is no YAML"),
        ("id: OURS-1", "[id]: OURS-1", 3, "unknown key 'a key that is no word'"),
    ],
)
def test_what_is_off_is_named_with_its_line(old: str, new: str, line: int, said: str) -> None:
    assert ROW.count(old) == 1
    error = refusal(ROW.replace(old, new))

    whole = f"{error}; {error.hint}" if error.hint else str(error)
    assert whole.startswith(f"floors.yaml:{line}: {said}")
    assert error.exit_code == 2


@pytest.mark.parametrize("text", ["", "# nothing\n", "null", "[]", "just words", "\0", b"\xff\xfe"])
def test_what_holds_no_floors_is_refused_in_one_line(text: str | bytes) -> None:
    assert str(refusal(text)).startswith("floors.yaml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (ROW.encode() + b"\xff", "10: is no YAML: invalid start byte"),
        (
            ROW.replace("our own", "\u0142\u00f3d\u017a").encode() + b"\x07",
            "10: is no YAML: special",
        ),
    ],
)
def test_what_is_no_text_is_named_with_its_line(text: bytes, said: str) -> None:
    assert str(refusal(text)).startswith(f"floors.yaml:{said}")


def test_a_site_may_have_no_floor_at_all() -> None:
    assert floors.parse(b"version: 1\nfloors: []\n", "x") == ()


@pytest.mark.parametrize(
    "text",
    [
        "[" * 50_000,
        "a: &a [" + ", ".join(["*a"] * 9) + "]\n",
        "version: 1\nfloors:\n" + "".join(f"- &r{n} *r{n - 1}\n" for n in range(1, 5)),
        "version: 1\nfloors: &f [*f]\n",
        "version: 1\nfloors:\n  - {" + ", ".join(f"k{n}: 1" for n in range(5000)) + "}\n",
    ],
)
def test_a_bomb_is_refused(text: str) -> None:
    assert str(refusal(text)).startswith("floors.yaml")


FUZZ = settings(max_examples=EXAMPLES, deadline=None)
_WORDS = st.one_of(
    st.sampled_from([*floors._KEYS, "floors", "version", *MEASURES, "genoa", "high", "1", "true"]),
    st.text(max_size=12),
    st.text("0123456789abcdefx._-", max_size=24),
)


@FUZZ
@given(raw=st.binary(max_size=400))
def test_any_bytes_are_floors_or_one_refusal(raw: bytes) -> None:
    _floors_or_refusal(raw)


@FUZZ
@given(
    rows=st.lists(st.dictionaries(_WORDS, _WORDS, max_size=9), max_size=4), version=st.integers()
)
def test_any_rows_are_floors_or_one_refusal(rows: list[dict[str, str]], version: int) -> None:
    _floors_or_refusal(json.dumps({"version": version % 3, "floors": rows}).encode())


@FUZZ
@given(what=st.sampled_from(MEASURES), text=st.text(max_size=30))
def test_any_minimum_is_a_version_or_one_refusal(what: str, text: str) -> None:
    selector = {"bios": "board: X", "gpu.vbios": "chip: gh100", "gpu.fsp": "chip: gh100"}
    row = ROW.replace("tcb.snp", what).replace("0x1B", json.dumps(text))
    _floors_or_refusal(
        row.replace("generation: genoa", selector.get(what, "generation: genoa")).encode()
    )


def _floors_or_refusal(raw: bytes) -> None:
    try:
        found = floors.parse(raw, "floors.yaml")
    except UsageError as error:
        found, said = (), str(error)
    else:
        said = ""
    assert all(isinstance(each, Floor) for each in found)
    assert len(said) < 400
    assert said.isprintable()


# Versions.


@pytest.mark.parametrize(
    ("what", "lower", "higher"),
    [
        ("tcb.snp", "23", "0x1B"),
        ("microcode", "0x0A0011DA", "0x0a0011db"),
        ("sev", "1.55.9", "1.55.22"),
        ("sev", "1.51", "1.51.1"),
        ("sev", "1.55.255", "2.0"),
        ("bios", "3.9", "3.10"),
        ("bios", "3.6", "3.6a"),
        ("bios", "3.6b", "3.10"),
        ("bios", "2.15.2", "v2.15.3"),
        ("gpu.vbios", "96.00.5D", "96.00.5e"),
        ("gpu.vbios", "96.00.9F", "96.00.A5"),
        ("gpu.fsp", "4.9", "4.17"),
    ],
)
def test_versions_compare_as_numbers(what: str, lower: str, higher: str) -> None:
    assert versions.parse(what, lower) < versions.parse(what, higher)


@pytest.mark.parametrize(
    ("what", "one", "other"),
    [("sev", "1.51", "1.51.0"), ("bios", "3.1", "3.1.0"), ("bios", "V3.1", "3.1")],
)
def test_some_spellings_are_one_version(what: str, one: str, other: str) -> None:
    assert versions.parse(what, one) == versions.parse(what, other)


@pytest.mark.parametrize("what", MEASURES)
def test_a_version_reads_as_it_is_shown(what: str) -> None:
    text = versions.EXAMPLES[what].partition(" or ")[0]

    assert versions.show(what, versions.parse(what, text)).lower() == text.lower()


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("sev", "1"),
        ("sev", "1.55.22.1"),
        ("sev", "1.55."),
        ("sev", "1..55"),
        ("alias-check", "false"),
        ("bios", "A43 v3.20"),
        ("bios", "KAE120D-3.10"),
        ("bios", ""),
        ("bios", "3.6ab"),
        ("gpu.vbios", "96.00.GG"),
        ("gpu.fsp", "4"),
        ("gpu.fsp", "4.1.2"),
        ("microcode", "0x1000000000"),
        ("microcode", "٣"),
    ],
)
def test_what_is_no_version_is_none(what: str, text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the text is the whole message
        versions.parse(what, text)


# Signatures.


@pytest.fixture
def key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def signed(folder: Path, key: Ed25519PrivateKey, text: str = ROW) -> tuple[str, str]:
    """Paths of the file and of the public key; the signature lies beside the file."""
    path, public = folder / "floors.yaml", folder / "key.pem"
    path.write_text(text)
    public.write_bytes(_pem(key))
    (folder / "floors.yaml.sig").write_bytes(key.sign(text.encode()))
    return str(path), str(public)


def test_a_signed_file_is_read(tmp_path: Path, key: Ed25519PrivateKey) -> None:
    [floor] = floors.load(*signed(tmp_path, key))

    assert floor.id == "OURS-1"


@pytest.mark.parametrize("newline", [b"", b"\n"])
def test_a_signature_may_be_in_base64(
    newline: bytes, tmp_path: Path, key: Ed25519PrivateKey
) -> None:
    paths = signed(tmp_path, key)
    raw = (tmp_path / "floors.yaml.sig").read_bytes()
    (tmp_path / "floors.yaml.sig").write_bytes(base64.b64encode(raw) + newline)

    assert floors.load(*paths)


def test_without_a_key_no_signature_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "floors.yaml").write_text(ROW)

    assert floors.load(str(tmp_path / "floors.yaml"))


def _cut(folder: Path) -> None:
    (folder / "floors.yaml.sig").write_bytes(b"x" * 63)


def _flip(folder: Path) -> None:
    raw = bytearray((folder / "floors.yaml.sig").read_bytes())
    raw[5] ^= 1
    (folder / "floors.yaml.sig").write_bytes(raw)


def _of_another_kind(folder: Path) -> None:
    (folder / "key.pem").write_bytes(_pem(generate_private_key(SECP256R1())))


def _pem(key: Ed25519PrivateKey | EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


_OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
_ODD_KEY = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"
BREAKAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "changed file": (lambda at: (at / "floors.yaml").write_text(ROW + "#"), "does not fit"),
    "blank at the end": (lambda at: (at / "floors.yaml").write_text(ROW + " "), "does not fit"),
    "changed signature": (_flip, "does not fit"),
    "another key": (lambda at: (at / "key.pem").write_bytes(_pem(_OTHER_KEY)), "does not fit"),
    "short signature": (_cut, "is no Ed25519 signature"),
    "no signature": (
        lambda at: (at / "floors.yaml.sig").unlink(),
        "cannot read the signature of the floors",
    ),
    "no key": (lambda at: (at / "key.pem").unlink(), "cannot read the floors_key"),
    "odd key": (lambda at: (at / "key.pem").write_text(_ODD_KEY), "is no Ed25519 public key"),
    "key of another kind": (_of_another_kind, "is no Ed25519 public key"),
    "no file": (lambda at: (at / "floors.yaml").unlink(), "cannot read the floors .*No such file"),
    "large file": (
        lambda at: (at / "floors.yaml").write_text(ROW + "#" * (1 << 20)),
        "the floors .* is larger than 1 MiB",
    ),
}


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_a_file_that_its_key_does_not_vouch_for_is_refused(
    breakage: str, tmp_path: Path, key: Ed25519PrivateKey
) -> None:
    paths = signed(tmp_path, key)
    breaks, said = BREAKAGES[breakage]
    breaks(tmp_path)

    with pytest.raises(UsageError, match=said) as caught:
        floors.load(*paths)
    assert caught.value.exit_code == 2
