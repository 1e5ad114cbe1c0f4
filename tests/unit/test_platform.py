"""The board and its BIOS: read by name, serials never asked for."""

from pathlib import Path

import pytest

from nodeagent.capture.archive import open_capture
from nodeagent.facts.look import look
from nodeagent.model.platform import Dmi
from nodeagent.model.seen import Unreadable
from tests.hosts import base
from tests.unit.looks import Veiled, drafted, facts_of


def test_board_and_bios_are_read_by_name(hosts: Path) -> None:
    assert facts_of(hosts / "genoa-ready").platform.dmi == Dmi(
        sys_vendor="Supermicro",
        product_name="Super Server",
        board_vendor="Supermicro",
        board_name="H13SST-G",
        bios_vendor="American Megatrends International, LLC.",
        bios_version="3.0",
        bios_date="07/22/2024",
    )


def test_a_machine_without_smbios_has_no_names(tmp_path: Path) -> None:
    host = base.genoa_ready()
    host.remove("/sys/class/dmi")

    assert facts_of(drafted(host, tmp_path)).platform.dmi == Dmi(*[None] * len(Dmi._fields))


@pytest.mark.parametrize("name", Dmi._fields)
def test_a_closed_name_is_unreadable_and_the_others_stand(name: str, hosts: Path) -> None:
    path = f"/sys/class/dmi/id/{name}"
    with open_capture(str(hosts / "genoa-ready")) as machine:
        dmi = look(Veiled(machine, hidden=path.__eq__)).platform.dmi

    closed = {each for each, value in dmi._asdict().items() if isinstance(value, Unreadable)}
    assert closed == {name}


def test_no_serial_and_no_uuid_is_asked_for(hosts: Path) -> None:
    with open_capture(str(hosts / "genoa-ready")) as machine:
        veiled = Veiled(machine)
        look(veiled)

    asked = [path for path in veiled.asked if "/dmi/" in path]
    assert len(asked) == len(Dmi._fields)
    assert not any("serial" in path or "uuid" in path or "asset" in path for path in asked)
