"""Takes a capture of a machine that was looked at through a recorder."""

from typing import NamedTuple

from nodeagent.capture import extra
from nodeagent.capture.gather import Contents, gather
from nodeagent.capture.mask import Mask
from nodeagent.capture.record import Recorder
from nodeagent.capture.redact import host_names, redact


class Taken(NamedTuple):
    """A masked capture, ready to be written, and the mask that knows what became of what."""

    contents: Contents
    note: str
    mask: Mask


def take(recorder: Recorder, *, note: str) -> Taken:
    """What the look asked, and a little more. Wakes nothing and writes nothing."""
    with recorder.look():
        extra.ask(recorder)
        contents = gather(recorder.record, recorder.bare_files)
        mask = Mask(host_names(recorder.bare_files))
    contents, note = redact(contents, note, mask)
    return Taken(contents, note, mask)
