"""The ways to fail, arranged by what the caller can do about them."""

from collections.abc import Iterable


class AgentError(Exception):
    """Something a person can act on: one fact and, where we know it, the way out.

    A message never quotes the error below it: the edge prints the whole chain once.
    """

    exit_code = 3

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(AgentError):
    """The words of a command or of the configuration are off; nothing was done."""

    exit_code = 2


class HostError(AgentError):
    """The host or its capture could not be opened: try later, or look at the machine."""


class StuckWriteError(HostError):
    """A write to an attribute of sysfs that did not return: it goes on, and nobody can end it."""

    def __init__(self, path: str, after_s: float, *, held_by: str = "") -> None:
        self.path, self.after_s = path, after_s
        held = f"; the device is held by {held_by}" if held_by else ""
        super().__init__(
            f"the write to {path} did not return within {after_s:g} s{held}",
            hint="the kernel waits for whoever uses the device; nothing else is tried on it",
        )


class UnfinishedError(AgentError):
    """Something was begun, and cannot go on: it is neither as before nor as asked."""

    exit_code = 1


class CaptureError(HostError):
    """A capture breaks its format; the message names file, key and reason."""


class ClusterError(AgentError):
    """The API server could not be reached, or refused; looking goes on without it."""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word most like `word`, or None if none is at all alike."""
    import difflib  # noqa: PLC0415 - costs a good run 3 ms, and a good run has no typo

    matches = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.5)
    return matches[0] if matches else None


def unknown_word(kind: str, word: str, known: Iterable[str]) -> UsageError:
    """The error for a word that is not one of `known`, naming the nearest that is."""
    words = list(known)
    guess = nearest(word, words)
    hint = f"did you mean {guess}?" if guess else f"known: {', '.join(words)}"
    return UsageError(f"unknown {kind} {word!r}", hint=hint)
