"""YAML, and so JSON, whose every key knows its line: what is off is named as FILE:LINE."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from nodeagent.errors import UsageError, nearest

if TYPE_CHECKING:
    import yaml


def compose(raw: bytes, name: str) -> "yaml.Node | None":
    """The one document in `raw`; None where there is none."""
    import yaml  # noqa: PLC0415 - most looks read no file of a site

    try:
        return yaml.compose(raw, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        at = error.problem_mark.line + 1 if error.problem_mark else 1
        raise wrong(name, at, f"is no YAML: {error.problem}") from error
    except yaml.reader.ReaderError as error:
        # Counted in letters once the bytes have been read, until then in bytes.
        text = (
            raw.decode(errors="replace") if error.encoding == "unicode" else raw.decode("latin-1")
        )
        at = 1 + text.count("\n", 0, error.position)
        raise wrong(name, at, f"is no YAML: {error.reason}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(f"{name} is no YAML: {' '.join(str(error).split())[:200]}") from error


def entries(
    name: str, node: "yaml.Node", known: Sequence[str]
) -> Iterator[tuple[str, "yaml.Node"]]:
    """Keys and values; each key is one of `known` and stands once."""
    import yaml  # noqa: PLC0415

    if not isinstance(node, yaml.MappingNode):
        raise wrong(name, line_of(node), "must be keys and values")
    seen = set()
    for key, value in node.value:
        word = key.value if isinstance(key, yaml.ScalarNode) else "a key that is no word"
        if word not in known:
            guess = nearest(word, known)
            hint = f"did you mean {guess}?" if guess else f"known: {', '.join(known)}"
            raise wrong(name, line_of(key), f"unknown key {word!r:.40}", hint=hint)
        if word in seen:
            raise wrong(name, line_of(key), f"{word} stands twice")
        seen.add(word)
        yield word, value


def is_null(node: "yaml.Node") -> bool:
    return bool(node.tag == "tag:yaml.org,2002:null")


def value_of(name: str, key: str, node: "yaml.Node") -> Any:  # noqa: ANN401 - as YAML reads it
    """A scalar as text, number or truth."""
    import yaml  # noqa: PLC0415

    if not isinstance(node, yaml.ScalarNode):
        raise wrong(name, line_of(node), f"{key} must be one value")
    try:
        return yaml.constructor.SafeConstructor().construct_document(node)
    # A day that is none, a number of 5000 digits; the others a tag by hand: `!!bool maybe`.
    except (yaml.YAMLError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        raise wrong(name, line_of(node), f"{key} is no value that YAML knows") from error


def whole_of(name: str, key: str, node: "yaml.Node") -> Any:  # noqa: ANN401 - as YAML reads it
    """A list of such values, or one."""
    import yaml  # noqa: PLC0415

    if isinstance(node, yaml.SequenceNode):
        return [value_of(name, key, each) for each in node.value]
    return value_of(name, key, node)


def items_of(name: str, key: str, node: "yaml.Node") -> "Sequence[yaml.Node]":
    import yaml  # noqa: PLC0415

    if not isinstance(node, yaml.SequenceNode):
        raise wrong(name, line_of(node), f"{key} must be a list")
    found: Sequence[yaml.Node] = node.value
    return found


def line_of(node: "yaml.Node") -> int:
    found: int = node.start_mark.line
    return found + 1


def wrong(name: str, at: int, said: str, *, hint: str | None = None) -> UsageError:
    return UsageError(f"{name}:{at}: {said}", hint=hint)
