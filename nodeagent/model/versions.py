"""Versions of firmware as numbers that compare, and as their makers write them."""

from nodeagent.model.policy import Version

EXAMPLES = {
    "tcb.snp": "23 or 0x17",
    "tcb.microcode": "84 or 0x54",
    "microcode": "0x0a101154",
    "sev": "1.55.38",
    "alias-check": "true",
    "bios": "3.1",
    "gpu.vbios": "96.00.5E",
    "gpu.fsp": "4.17",
}
_MAX_TEXT = 40


def parse(what: str, text: str) -> Version:
    """A version of that measure; ValueError where it is none."""
    if len(text) > _MAX_TEXT or not text.isascii():
        raise ValueError(text)
    match what:
        case "tcb.snp" | "tcb.microcode":
            return (_number(text, 8),)
        case "microcode":
            return (_number(text, 32),)
        case "sev":
            return _sev(text)
        case "alias-check" if text.lower() == "true":
            return (1,)
        case "bios":
            return bios(text)
        case "gpu.vbios":
            return tuple(_part(part, 16, 8) for part in text.split("."))
        case "gpu.fsp":
            major, minor = text.split(".")
            return _part(major, 10, 16), _part(minor, 10, 16)
        case _:
            raise ValueError(text)


def show(what: str, version: Version) -> str:
    """As its maker writes it."""
    match what:
        case "microcode":
            return f"{version[0]:#010x}"
        case "alias-check":
            return "true"
        case "bios":
            pairs = zip(version[::2], version[1::2], strict=True)
            return ".".join(f"{number}{chr(letter) if letter else ''}" for number, letter in pairs)
        case "gpu.vbios":
            return ".".join(f"{part:02X}" for part in version)
        case _:
            return ".".join(map(str, version))


def bios(text: str) -> Version:
    """`3.6a` as numbers: of each part the number, then the code of its letter or 0.

    ValueError where a vendor counts in another way, so that nothing can be said.
    """
    version: list[int] = []
    for part in text.strip().removeprefix("v").removeprefix("V").split("."):
        letter = part[-1:].lower() if part[-1:].isalpha() else ""
        version += _part(part[: len(part) - len(letter)], 10, 16), ord(letter or "\0")
    while len(version) > 2 and version[-2:] == [0, 0]:
        del version[-2:]
    return tuple(version)


def _sev(text: str) -> Version:
    """API and build; without a build any of that API will do."""
    parts = [_part(part, 10, 8) for part in text.split(".")]
    if not 2 <= len(parts) <= 3:
        raise ValueError(text)
    return (*parts, 0)[:3]


def _number(text: str, bits: int) -> int:
    hexadecimal = text[:2].lower() == "0x"
    return _part(text[2:] if hexadecimal else text, 16 if hexadecimal else 10, bits)


def _part(text: str, base: int, bits: int) -> int:
    """Digits alone: int() would take signs, blanks and underscores."""
    if not text.isalnum() or not text.isascii():
        raise ValueError(text)
    number = int(text, base)
    if number >= 1 << bits:
        raise ValueError(text)
    return number
