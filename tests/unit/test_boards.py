"""BIOS settings as the found board calls them: only names that somebody saw, and marked."""

from typing import Any

import pytest

from nodeagent import boards, data
from nodeagent.model.platform import Dmi
from nodeagent.model.seen import Seen, Unreadable

FILE: dict[str, Any] = data.load("boards.json")
CPU_PAGE = "Advanced > AMD CBS > CPU Common Options"
CLOSED = Unreadable("/sys/class/dmi/id/sys_vendor", "EACCES: Permission denied")


def dmi(
    vendor: Seen[str], product: Seen[str] = None, board: Seen[str] = None, bios: Seen[str] = "1.0"
) -> Dmi:
    return Dmi(vendor, product, vendor, board, "American Megatrends", bios, "01/01/2025")


DELL = dmi("Dell Inc.", "PowerEdge R6615")
HPE = dmi("HPE", "ProLiant DL385 Gen10 Plus v2")
LENOVO = dmi("Lenovo", "ThinkSystem SR665 V3")
H12SSW = dmi("Supermicro", "Super Server", "H12SSW-NT", "2.3")
H13 = dmi("Supermicro", "Super Server", "H13SST-G", "3.0")
GIGABYTE = dmi("GIGABYTE", "G493-ZB2-AAP1-000", "MZ93-FS0-000")
ASUS = dmi("ASUSTeK COMPUTER INC.", "RS720A-E12-RS12", "K14PP-D24")
ASROCK = dmi("ASRockRack", "GENOAD8X-2T/BCM", "GENOAD8X-2T/BCM")
TYAN = dmi("TYAN", "B8056", "S8056")
UNKNOWN = dmi("To Be Filled By O.E.M.", "To Be Filled By O.E.M.", "To Be Filled By O.E.M.")
NONE = Dmi(*[None] * 7)
HIDDEN = Dmi(*[CLOSED] * 7)
MACHINES = (DELL, HPE, LENOVO, H12SSW, H13, GIGABYTE, ASUS, ASROCK, TYAN, UNKNOWN, NONE, HIDDEN)


def _rows() -> list[tuple[str, str, dict[str, Any]]]:
    rows = [FILE["reference"], *FILE["boards"]]
    return [(row["board"], name, each) for row in rows for name, each in row["settings"].items()]


@pytest.mark.parametrize(
    ("machine", "board"),
    [
        (DELL, "Dell PowerEdge"),
        (dmi("DELL INC.", "POWEREDGE XE9680"), "Dell PowerEdge"),
        (dmi("Dell Inc.", "Precision 7875 Tower"), None),
        (HPE, "HPE ProLiant"),
        (dmi("Hewlett Packard Enterprise", "ProLiant DL325 Gen11"), "HPE ProLiant"),
        (LENOVO, "Lenovo ThinkSystem"),
        (dmi("LENOVO", "ThinkStation P8"), None),
        (H12SSW, "Supermicro H12SSW"),
        (dmi("Supermicro", "AS -2024US-TRT", "H12DSU-iN"), "Supermicro H12"),
        (H13, "Supermicro H13"),
        (dmi("Supermicro", "AS -8126GS-TNMR", "H14DSG-OD"), "Supermicro"),
        (GIGABYTE, "GIGABYTE"),
        (dmi("Giga Computing", "G593-ZD2"), "GIGABYTE"),
        (ASUS, "ASUS"),
        (ASROCK, "ASRock Rack"),
        (TYAN, "Tyan"),
        (UNKNOWN, None),
        (NONE, None),
        (HIDDEN, None),
    ],
)
def test_a_board_is_recognised_by_its_names(machine: Dmi, board: str | None) -> None:
    found = boards.board_of(machine)

    assert (found.name if found else None) == board


def test_an_integrators_name_does_not_hide_the_board() -> None:
    machine = H13._replace(sys_vendor="Silicon Mechanics", product_name="R133.v7")

    assert boards.board_of(machine) == boards.board_of(H13)


@pytest.mark.parametrize(
    ("machine", "setting", "said"),
    [
        (DELL, "smee", "Processor Settings > Secure Memory Encryption: Enabled (Dell PowerEdge)"),
        (HPE, "snp_support", "AMD Secure Nested Paging: Enabled (HPE ProLiant)"),
        (
            LENOVO,
            "smee",
            "SMEE: Enabled, not Auto (AMD's reference name)",
        ),
        (
            H12SSW,
            "snp_support",
            "Advanced > NB Configuration > SEV-SNP Support: Enabled (Supermicro H12SSW)",
        ),
        (
            ASUS,
            "iommu",
            "Advanced > AMD CBS > NBIO Common Options > IOMMU: Enabled (ASUS, likely)",
        ),
        (
            NONE,
            "iommu",
            "Advanced > AMD CBS > NBIO Common Options > IOMMU: Enabled (AMD's reference name)",
        ),
        (DELL, "above_4g", "Above 4G Decoding: Enabled (a usual name)"),
        (NONE, "uefi", "boot mode: UEFI"),
        (HIDDEN, "svm", f"{CPU_PAGE} > SVM Mode: Enabled (AMD's reference name)"),
    ],
)
def test_a_menu_says_whose_name_it_is(machine: Dmi, setting: str, said: str) -> None:
    assert str(boards.menu_for(setting, machine)) == said


def test_an_entry_that_a_board_does_without_is_left_out() -> None:
    assert boards.menu_for("es_asid_control", DELL) is None
    assert boards.fill("{es_asid_control, es_asid_limit}", DELL).text == (
        "Processor Settings > Minimum SEV non-ES ASID: number of SNP guests plus 1 (Dell PowerEdge)"
    )


def test_entries_of_one_page_are_said_together() -> None:
    assert boards.fill("set {iommu, snp_support, rmp_coverage} now", DELL) == (
        (
            "set Processor Settings > IOMMU Support, Secure Nested Paging and SNP Memory Coverage: "
            "Enabled (Dell PowerEdge) now"
        ),
        (),
    )
    assert boards.fill("{iommu, snp_support, rmp_coverage}", UNKNOWN).text == (
        "Advanced > AMD CBS > NBIO Common Options > IOMMU: Enabled, and SEV-SNP Support: Enabled, "
        "not Auto; CPU Common Options > SNP Memory (RMP Table) Coverage: Enabled "
        "(AMD's reference names)"
    )


@pytest.mark.parametrize("bios", ["2.3", "1.1a", "2.0", None, CLOSED])
def test_an_entry_that_the_bios_hides_needs_an_update_first(bios: Seen[str]) -> None:
    filled = boards.fill("{rmp_coverage}", H12SSW._replace(bios_version=bios))

    assert filled.text == (
        "update the BIOS first, up to 2.3 it does not show this: "
        "SNP Memory (RMP Table) Coverage: Enabled (AMD's reference name)"
    )


def test_a_newer_bios_may_show_what_an_old_one_hid() -> None:
    filled = boards.fill("{rmp_coverage}", H12SSW._replace(bios_version="3.5"))

    assert filled.text == "SNP Memory (RMP Table) Coverage: Enabled (AMD's reference name)"
    assert filled.notes[0] == "BIOS 2.3 of this board did not show it; a newer one may."


def test_what_only_some_firmware_shows_is_said() -> None:
    assert boards.fill("{snp_support}", HPE).notes == ("No such entry: update the BIOS.",)


def test_a_vendors_document_stands_for_names_that_nobody_verified() -> None:
    assert boards.fill("{smee}", LENOVO).notes == ("Lenovo's names: LP1893, LP2418.",)
    assert boards.fill("{smee}", DELL).notes == ()


def test_every_row_has_a_source_and_a_confidence() -> None:
    sources = FILE["sources"]
    for board, name, each in _rows():
        assert each["source"], (board, name)
        assert any(mark.removesuffix("#n") in each["source"] for mark in sources), (board, name)
        assert each["confidence"] in {"high", "medium", "low"}, (board, name)
        assert name in boards.settings(), (board, name)


def test_every_row_is_spelt_as_it_is_read() -> None:
    known = {"path", "entry", "value", "mark", "source", "confidence", "attribute"}
    rows = [FILE["reference"], *FILE["boards"]]
    for row in rows:
        assert set(row) <= {"board", "of", "likely", "match", "documents", "settings"}
        assert row.get("of", "reference") in {"reference", *(each["board"] for each in rows)}
        for match in row.get("match", ()):
            assert set(match) <= {"vendor", *Dmi._fields}
    for board, name, each in _rows():
        assert set(each) <= known | {"exposed", "bios", "needless"}, (board, name)
        assert ("path" in each) == ("entry" in each), (board, name)
        assert ("bios" in each) == (each.get("exposed", True) is False), (board, name)


def test_a_vendor_known_by_title_alone_has_no_names() -> None:
    [lenovo] = [row for row in FILE["boards"] if row["board"] == "Lenovo ThinkSystem"]

    assert not [name for name, each in lenovo["settings"].items() if "entry" in each]
    assert [each["number"] for each in lenovo["documents"]] == ["LP1893", "LP2418"]


@pytest.mark.parametrize("setting", boards.settings())
def test_names_come_from_the_boards_own_row_or_are_marked(setting: str) -> None:
    for machine in MACHINES:
        menu = boards.menu_for(setting, machine)
        board = boards.board_of(machine)
        if menu is None or not menu.mark:
            continue
        whose = [board.name, f"{board.name}, likely"] if board else []
        assert menu.mark in [*whose, "AMD's reference name", "a usual name"]
        assert menu.own == (menu.mark in whose)
        assert ("likely" in menu.mark) == (menu.own and menu.confidence == "low")


def test_every_known_name_of_a_setting_is_listed_the_reference_first() -> None:
    found = boards.menus("smee")

    assert [name for name, _ in found] == [
        "AMD's reference name",
        "Dell PowerEdge",
        "HPE ProLiant",
        "Supermicro H12SSW",
        "Supermicro H12",
        "Supermicro H13",
        "GIGABYTE",
        "ASUS",
        "ASRock Rack",
        "Tyan",
    ]
    assert dict(found)["Dell PowerEdge"].place == "Processor Settings > Secure Memory Encryption"
    assert dict(boards.menus("rmp_coverage"))["Supermicro H12SSW"].exposed is False
