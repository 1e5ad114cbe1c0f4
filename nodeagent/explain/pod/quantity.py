"""Kubernetes quantities, exactly: whole numbers of billionths (`resource.Quantity`)."""

NANO = 10**9
_MOST = 2**63 - 1
_DIGITS = 40
_EXPONENT = 30
_SUFFIXES = {
    "n": 1,
    "u": 10**3,
    "m": 10**6,
    "": NANO,
    **{name: NANO * 1000**power for power, name in enumerate("kMGTPE", 1)},
    **{f"{name}i": NANO * 1024**power for power, name in enumerate("KMGTPE", 1)},
}
_BINARY = ((1024**power, f"{name}i") for power, name in reversed([*enumerate("KMGTPE", 1)]))
_UNITS = tuple(_BINARY)


def parse(value: object) -> int:
    """Billionths, rounded up. ValueError for what is no quantity, or a negative one."""
    if isinstance(value, bool):
        raise ValueError("no quantity")  # noqa: TRY004 - as for any other text
    number, suffix = _split(str(value).removeprefix("+"))
    whole, _, part = number.partition(".")
    digits = whole + part
    if not digits.isdecimal() or not digits.isascii() or len(digits) > _DIGITS:
        raise ValueError("no quantity")
    known = _SUFFIXES.get(suffix)
    scale, down = _exponent(suffix) if known is None else (known, 1)
    return -(-int(digits) * scale // (down * _power(len(part))))


def milli(amount: int) -> int:
    """Thousandths, rounded up as `MilliValue` does."""
    return min(-(-amount // 10**6), _MOST)


def whole(amount: int) -> int:
    """Units, rounded up as `Value` does."""
    return min(-(-amount // NANO), _MOST)


def shown(resource: str, counted: int) -> str:
    """An amount as it is counted: thousandths of a CPU, units of anything else."""
    if resource == "cpu":
        return str(counted // 1000) if counted % 1000 == 0 else f"{counted}m"
    if resource in {"memory", "ephemeral-storage"} or resource.startswith("hugepages-"):
        return _bytes(counted)
    return str(counted)


def _bytes(count: int) -> str:
    for size, unit in _UNITS:
        if count >= size:
            return f"{count // size}{unit}" if count % size == 0 else f"{count / size:.1f}{unit}"
    return str(count)


def _power(exponent: int) -> int:
    found: int = 10**exponent
    return found


def _split(text: str) -> tuple[str, str]:
    end = next((at for at, char in enumerate(text) if char not in "0123456789."), len(text))
    return text[:end], text[end:]


def _exponent(suffix: str) -> tuple[int, int]:
    """What to multiply by, and what to divide by, for `e3` or `E-3`."""
    sign, digits = suffix[1:2], suffix[1:].lstrip("+-")
    if suffix[:1] not in {"e", "E"} or not (digits.isascii() and digits.isdecimal()):
        raise ValueError("no quantity")
    if len(suffix) - len(digits) > 2 or len(digits) > 3 or int(digits) > _EXPONENT:
        raise ValueError("no quantity")
    power = _power(int(digits))
    return (NANO, power) if sign == "-" else (NANO * power, 1)
