"""Node selectors and affinity (k8s component-helpers `nodeaffinity`, apimachinery `labels`)."""

from collections.abc import Mapping

from nodeagent.explain.pod.nouns import Requirement, Term

_INT64 = 2**63
_INNER = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")


def holds(requirement: Requirement, labels: Mapping[str, str]) -> bool:
    """Whether these labels meet it; an absent key meets NotIn."""
    value = labels.get(requirement.key)
    match requirement.operator:
        case "In":
            return value is not None and value in requirement.values
        case "NotIn":
            return value is None or value not in requirement.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt":
            return _compares(requirement, value)
        case _:
            return False


def unmet(term: Term, name: str, labels: Mapping[str, str]) -> tuple[Requirement, ...]:
    """What of it this node does not meet."""
    fields = {"metadata.name": name}
    return (
        *(each for each in term.expressions if not (is_sound(each) and holds(each, labels))),
        *(each for each in term.fields if not holds(each, fields)),
    )


def is_empty(term: Term) -> bool:
    """Such a term matches no node at all."""
    return not term.expressions and not term.fields


def is_sound(requirement: Requirement) -> bool:
    """An unsound requirement makes its whole term match nothing: `-1` is no label's value."""
    if requirement.operator in {"Gt", "Lt"} and _integer(requirement.values[0]) is None:
        return False
    return all(_is_label_value(each) for each in requirement.values)


def _compares(requirement: Requirement, value: str | None) -> bool:
    mine = None if value is None else _integer(value)
    bound = _integer(requirement.values[0])
    if mine is None or bound is None:
        return False
    return mine > bound if requirement.operator == "Gt" else mine < bound


def _integer(text: str) -> int | None:
    """As Go's ParseInt to base 10 reads it: no blanks, no underscores, 64 bits."""
    digits = text[1:] if text[:1] in {"+", "-"} else text
    if not (digits.isascii() and digits.isdecimal()) or len(digits) > 64:
        return None
    value = int(text)
    return value if -_INT64 <= value < _INT64 else None


def _is_label_value(text: str) -> bool:
    if not text:
        return True
    ends = text[0] + text[-1]
    return len(text) <= 63 and ends.isalnum() and _INNER.issuperset(text)
