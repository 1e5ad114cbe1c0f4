"""Opens a capture by path: a folder as it is, a .tar.gz unpacked for as long as it is read."""

import os
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager

from nodeagent.capture.read import CapturedMachine
from nodeagent.errors import CaptureError


@contextmanager
def open_capture(path: str) -> Iterator[CapturedMachine]:
    """A captured host for the length of the block; an archive's copy goes with it."""
    try:
        kind = os.stat(path).st_mode
    except OSError as error:
        raise CaptureError(
            f"cannot open the capture {path}: {error.strerror}",
            hint="a capture is a folder, or the same folder as .tar.gz",
        ) from error
    if stat.S_ISDIR(kind):
        with closing(CapturedMachine(path)) as machine:
            yield machine
        return
    if not stat.S_ISREG(kind):
        raise CaptureError(f"{path}: is neither a folder nor a file")
    import tempfile  # noqa: PLC0415 - with tarfile it costs a folder's start 15 ms
    from pathlib import Path  # noqa: PLC0415

    from nodeagent.capture.unpack import unpack  # noqa: PLC0415

    with (
        tempfile.TemporaryDirectory(prefix="nodeagent-") as folder,
        closing(CapturedMachine(unpack(path, Path(folder)), name=path)) as machine,
    ):
        yield machine
