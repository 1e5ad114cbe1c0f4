"""Where a command's answer goes; it must not change what the answer's exit code says."""

import os
import sys

from nodeagent.errors import HostError


def say(text: str) -> bool:
    """Print an answer. A reader that went away (head, less) is nobody's fault: False.

    Raises HostError where it cannot be written: then the command has not done its work.
    """
    if sys.stdout is None:
        raise HostError("cannot write the answer: standard output is closed")
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes once more at its end, and would complain into the void.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    except UnicodeEncodeError:
        encoding = sys.stdout.encoding or "ascii"
        sys.stdout.buffer.write(text.encode(encoding, "backslashreplace") + b"\n")
    except OSError as error:
        raise HostError(f"cannot write the answer: {error.strerror}") from error
    return True


def terminal_size() -> tuple[int, int]:
    """Columns and rows of the terminal that is written to; (0, 0) where it is none."""
    try:
        return os.get_terminal_size(sys.stdout.fileno())
    except (OSError, ValueError, AttributeError):
        return 0, 0
