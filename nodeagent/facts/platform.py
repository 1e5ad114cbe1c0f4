"""Reads what the node is built on: the names in its SMBIOS table."""

from nodeagent.model.platform import Dmi, Platform
from nodeagent.seams import Files

_FOLDER = "/sys/class/dmi/id"
_LIMIT = 256


def read(files: Files) -> Platform:
    return Platform(dmi(files))


def dmi(files: Files) -> Dmi:
    # By name, never the whole folder: its serials and UUIDs are nobody's business.
    return Dmi(*(files.read(f"{_FOLDER}/{name}", _LIMIT) for name in Dmi._fields))
