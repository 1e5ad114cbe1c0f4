"""The machine around the CPU: its board and its BIOS, as the firmware names them."""

from typing import NamedTuple

from nodeagent.model.seen import Seen


class Dmi(NamedTuple):
    """Names from the SMBIOS table. Vendors leave placeholders in; nothing here is a serial."""

    sys_vendor: Seen[str]
    product_name: Seen[str]
    board_vendor: Seen[str]
    board_name: Seen[str]
    bios_vendor: Seen[str]
    bios_version: Seen[str]
    bios_date: Seen[str]


class Platform(NamedTuple):
    """What the node is built on."""

    dmi: Dmi
