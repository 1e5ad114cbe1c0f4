"""Masks everything that a capture would hold, before any of it is written."""

from collections.abc import Callable
from typing import NamedTuple

from nodeagent.capture.answers import Json
from nodeagent.capture.gather import Contents
from nodeagent.capture.mask import Mask
from nodeagent.model.host import Uname
from nodeagent.seams import Files

_NAMED = ("/etc/hostname", "/proc/sys/kernel/hostname")


class Masks(NamedTuple):
    """One pass over a capture: what becomes of a text, and of a file's bytes."""

    text: Callable[[str], str]
    file: Callable[[str, bytes], bytes]
    register: Callable[[int, int], int]


def host_names(files: Files) -> list[str]:
    """What the host calls itself, so as to know it wherever it stands; these are not captured."""
    found = [files.read(path, 512) for path in _NAMED]
    return [name for name in found if isinstance(name, str) and name.isprintable()]


def redact(contents: Contents, note: str, mask: Mask) -> tuple[Contents, str]:
    first = Masks(mask.first, mask.first_of_file, mask.register)
    last = Masks(mask.finish, mask.finish_file, lambda _offset, value: value)
    note = mask.first(note)
    contents = _each(_each(contents, first), last)
    return contents, mask.finish(note)


def _each(contents: Contents, masks: Masks) -> Contents:
    text = masks.text
    uname = contents.uname
    return Contents(
        files={text(path): masks.file(path, data) for path, data in contents.files.items()},
        links={text(path): text(target) for path, target in contents.links.items()},
        folders=frozenset(map(text, sorted(contents.folders))),
        absent=tuple(map(text, contents.absent)),
        denied={text(path): text(why) for path, why in contents.denied.items()},
        listed=tuple(map(text, contents.listed)),
        probes=_probes(contents.probes, masks),
        uname=Uname(*map(text, uname)) if uname else None,
        boot_id=text(contents.boot_id) if contents.boot_id else None,
        log_from=text(contents.log_from) if contents.log_from else None,
    )


def _probes(probes: Json, masks: Masks) -> Json:
    """Numbers stay, but for the registers that name one GPU; what is said of an error is text."""
    found = _errors(probes, masks.text)
    for device in found.get("gpu", {}).values():
        for name, value in device["bar0"].items():
            if isinstance(value, str):
                device["bar0"][name] = f"{masks.register(int(name, 16), int(value, 16)):#x}"
    return found


def _errors(value: Json, text: Callable[[str], str]) -> Json:
    return {
        key: _errors(each, text)
        if isinstance(each, dict)
        else text(each)
        if key == "error"
        else each
        for key, each in value.items()
    }
