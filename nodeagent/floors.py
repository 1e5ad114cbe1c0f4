"""Floors from a file: the shipped ones, or a site's own, signed where a key is configured."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from nodeagent import data
from nodeagent.errors import UsageError, nearest
from nodeagent.marked import compose, entries, line_of, wrong
from nodeagent.model import versions
from nodeagent.model.policy import BIOS, MEASURES, OF_CPU, OF_GPU, Floor
from nodeagent.model.words import Generation

if TYPE_CHECKING:
    import yaml

VERSION = "1"
_LIMIT = 1 << 20
_SIGNATURE_BYTES = 64
_TOP = ("version", "about", "floors")
_EVERYWHERE = ("id", "issue", "what", "minimum", "source", "date", "confidence")
_NEEDED = ("id", "what", "minimum", "source", "date", "confidence")
_CONFIDENCES = ("high", "medium", "low")
_SELECTORS = {
    **dict.fromkeys(OF_CPU, ("generation", "model", "stepping")),
    BIOS: ("board",),
    **dict.fromkeys(OF_GPU, ("chip",)),
}
"""What names the parts that a floor is about; the first is needed."""
_KEYS = (*_EVERYWHERE, *dict.fromkeys(key for keys in _SELECTORS.values() for key in keys))


class Cell(NamedTuple):
    """A scalar's text, and the line that it is on."""

    text: str
    line: int


Row = Mapping[str, Cell]


def shipped() -> tuple[Floor, ...]:
    """Those that come with the program."""
    rows: list[dict[str, str]] = data.load("floors.json")["floors"]
    cells = ({key: Cell(text, 0) for key, text in row.items()} for row in rows)
    return tuple(_floor("floors.json", row, 0) for row in cells)


def load(path: str, key_path: str = "") -> tuple[Floor, ...]:
    """A site's file in place of the shipped one; UsageError says what is wrong, and where.

    What was verified is what is read: the file is opened once.
    """
    raw = _bytes(path, "floors")
    if key_path:
        _verify(raw, path, key_path)
    return parse(raw, path)


def parse(raw: bytes, name: str) -> tuple[Floor, ...]:
    """YAML, and so JSON: one document with `version` and the list `floors`."""
    import yaml  # noqa: PLC0415 - only where a site has floors of its own

    top = compose(raw, name)
    if top is None:
        raise UsageError(f"{name} is empty", hint="a site without floors writes `floors: []`")
    found = dict(entries(name, top, _TOP))
    _check_version(name, found.get("version"), top)
    rows = found.get("floors")
    if not isinstance(rows, yaml.SequenceNode):
        raise wrong(name, line_of(rows or top), "floors must be a list")
    return tuple(_floor(name, _row(name, node), line_of(node)) for node in rows.value)


def _check_version(name: str, node: "yaml.Node | None", top: "yaml.Node") -> None:
    if node is None:
        raise wrong(name, line_of(top), f"has no version; this program reads version {VERSION}")
    if node.value != VERSION:
        version = node.value if isinstance(node.value, str) else "of another kind"
        said = f"is version {version!s:.20}, and this program reads version {VERSION}"
        raise wrong(name, line_of(node), said)


def _row(name: str, node: "yaml.Node") -> Row:
    import yaml  # noqa: PLC0415

    cells = {}
    for key, value in entries(name, node, _KEYS):
        if not isinstance(value, yaml.ScalarNode):
            raise wrong(name, line_of(value), f"{key} must be one value")
        cells[key] = Cell(value.value, line_of(value))
    return cells


def _floor(name: str, row: Row, line: int) -> Floor:
    """A row whose every word means something; a key that its measure has no use for is none."""
    for key in _NEEDED:
        if key not in row:
            raise wrong(name, line, f"a floor has no {key}")
    what = _word(name, row, "what", MEASURES)
    for key in row:
        if key not in _EVERYWHERE and key not in _SELECTORS[what]:
            raise wrong(name, row[key].line, f"{key} says nothing about {what}")
    selector = _SELECTORS[what][0]
    if selector not in row:
        raise wrong(name, line, f"a floor of {what} needs a {selector}")
    return Floor(
        id=_text(name, row, "id"),
        what=what,
        minimum=_minimum(name, row["minimum"], what),
        source=_text(name, row, "source"),
        date=_date(name, row["date"]),
        confidence=_word(name, row, "confidence", _CONFIDENCES),
        issue=_text(name, row, "issue"),
        generation=_generation(name, row),
        model=_number(name, row, "model"),
        stepping=_number(name, row, "stepping"),
        board=_text(name, row, "board"),
        chip=_text(name, row, "chip").lower(),
    )


def _minimum(name: str, cell: Cell, what: str) -> tuple[int, ...]:
    try:
        return versions.parse(what, cell.text)
    except ValueError:
        wanted = f"must be like {versions.EXAMPLES[what]}"
        said = f"minimum of {what} {wanted}, is {cell.text!r:.40}"
        raise wrong(name, cell.line, said) from None


def _date(name: str, cell: Cell) -> str:
    parts = cell.text.split("-")
    shape = [len(part) for part in parts]
    if shape not in ([4, 2], [4, 2, 2]) or not all(part.isdecimal() for part in parts):
        said = f"date must be like 2026-11 or 2026-11-20, is {cell.text!r:.40}"
        raise wrong(name, cell.line, said)
    return cell.text


def _generation(name: str, row: Row) -> Generation | None:
    known = tuple(each.value for each in Generation if each is not Generation.UNKNOWN)
    word = _word(name, row, "generation", known) if "generation" in row else ""
    return Generation(word) if word else None


def _number(name: str, row: Row, key: str) -> int | None:
    cell = row.get(key)
    if cell is None:
        return None
    try:
        return versions.parse("tcb.snp", cell.text)[0]
    except ValueError:
        said = f"{key} must be a number such as 17 or 0x11, is {cell.text!r:.40}"
        raise wrong(name, cell.line, said) from None


def _word(name: str, row: Row, key: str, known: tuple[str, ...]) -> str:
    cell = row[key]
    if cell.text not in known:
        guess = nearest(cell.text, known)
        hint = f"did you mean {guess}?" if guess else f"known: {', '.join(known)}"
        raise wrong(name, cell.line, f"unknown {key} {cell.text!r:.40}", hint=hint)
    return cell.text


def _text(name: str, row: Row, key: str) -> str:
    """Empty only where the key is not there: every board begins with an empty name."""
    cell = row.get(key)
    if cell is None:
        return ""
    if not cell.text.strip() or len(cell.text) > 200 or not cell.text.isprintable():
        raise wrong(name, cell.line, f"{key} must be one line of text")
    return cell.text


# The signature.


def _verify(raw: bytes, path: str, key_path: str) -> None:
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - takes 30 ms

    key = _public_key(key_path)
    signature = _signature(f"{path}.sig")
    try:
        key(signature, raw)
    except InvalidSignature as error:
        raise UsageError(
            f"the signature {path}.sig does not fit {path} and the key {key_path}",
            hint="sign the file anew after a change, and with that key's private half",
        ) from error


def _public_key(path: str) -> Callable[[bytes, bytes], None]:
    """Its verify(signature, data)."""
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415
        Ed25519PublicKey,
    )
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
        load_pem_public_key,
    )

    try:
        key = load_pem_public_key(_bytes(path, "floors_key"))
    except (ValueError, UnsupportedAlgorithm) as error:
        _no_key(path, error)
    if not isinstance(key, Ed25519PublicKey):
        _no_key(path, None)
    return key.verify


def _no_key(path: str, error: Exception | None) -> NoReturn:
    raise UsageError(
        f"{path} is no Ed25519 public key in PEM",
        hint="openssl pkey -in private.pem -pubout makes one",
    ) from error


def _signature(path: str) -> bytes:
    """As openssl writes it, or the same in base64."""
    raw = _bytes(path, "signature of the floors")
    if len(raw) == _SIGNATURE_BYTES:
        return raw
    import base64  # noqa: PLC0415

    try:
        decoded = base64.b64decode(b"".join(raw.split()), validate=True)
    except ValueError:
        decoded = b""
    if len(decoded) != _SIGNATURE_BYTES:
        raise UsageError(
            f"{path} is no Ed25519 signature: {_SIGNATURE_BYTES} bytes, raw or in base64",
            hint="openssl pkeyutl -sign -rawin makes one",
        )
    return decoded


def _bytes(path: str, what: str) -> bytes:
    try:
        with open(path, "rb") as file:
            raw = file.read(_LIMIT + 1)
    except OSError as error:
        raise UsageError(f"cannot read the {what} {path}: {error.strerror}") from error
    if len(raw) > _LIMIT:
        raise UsageError(f"the {what} {path} is larger than {_LIMIT >> 20} MiB")
    return raw
