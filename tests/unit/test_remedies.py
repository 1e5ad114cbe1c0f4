"""What to do, as the person in front of this board reads it; no menu's name is made up."""

import ast
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nodeagent import boards, data
from nodeagent.checks.judge import judge
from nodeagent.checks.remedies import CAUSES, NOTE_WIDTH, REMEDIES, named
from nodeagent.model.findings import Remedy
from nodeagent.model.platform import Dmi
from nodeagent.model.words import Profile, Who
from nodeagent.report.text import report
from tests.unit import test_boards as machines
from tests.unit.looks import facts_of
from tests.unit.test_boards import DELL, H12SSW, HIDDEN, HPE, LENOVO, MACHINES, NONE, UNKNOWN

PACKAGE = Path(__file__).parents[2] / "nodeagent"
FILE: dict[str, Any] = data.load("boards.json")
# Names that are the technology's own as well: alone they are no menu.
TECHNOLOGY = {
    "IOMMU",
    "SMEE",
    "Secure Nested Paging",
    "Secure Memory Encryption",
    "Access Control Service",
}
# What may follow an entry or lead to it, in whoever's words.
MENU_LIKE = (": Enabled", ": Disabled", ": Manual", ": Auto", "CBS", "NBIO", "-> ", "→", "RBSU")


def _every_remedy() -> list[tuple[str, Remedy]]:
    causes = [(f"{code}, {cause}", remedy) for (code, cause), remedy in CAUSES.items()]
    return [(code.value, remedy) for code, remedy in REMEDIES.items()] + causes


def _settings_of(text: str) -> list[str]:
    fields = [field for _, field, _, _ in string.Formatter().parse(text) if field is not None]
    return [name for field in fields for name in field.split(", ")]


def _texts() -> Iterator[tuple[str, str]]:
    """Every text that the program can say: constants but docstrings, and what it ships to read."""
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text())
        plain = {
            id(node.value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and id(node) not in plain:
                yield f"{path.name}:{node.lineno}", str(node.value)
    for path in sorted((PACKAGE / "data").rglob("*")):
        if path.suffix in {".json", ".md"} and path.name not in {"boards.json", "chips.json"}:
            for number, line in enumerate(path.read_text().split("\n"), 1):
                yield f"{path.name}:{number}", line


def _names_of_menus() -> set[str]:
    rows = [FILE["reference"], *FILE["boards"]]
    settings = [each for row in rows for each in row["settings"].values()]
    entries = {each["entry"] for each in settings if "entry" in each}
    pages = {page for each in settings for page in each.get("path", ())}
    return (entries | pages) - TECHNOLOGY - {"Advanced"}


def test_no_menu_is_named_outside_the_file_of_names() -> None:
    names = _names_of_menus()
    assert "SNP Memory Coverage" in names
    assert "NB Configuration" in names

    found = [
        f"{where}: {text!r}"
        for where, text in _texts()
        for name in (*names, *MENU_LIKE)
        if name.casefold() in text.casefold()
    ]
    assert found == [], "say what the setting is for: its names come from boards.json"


def test_no_path_of_menus_is_written_by_hand() -> None:
    """A `>` between words is a path, unless a shell is to write there."""
    found = [
        f"{where}: {text!r}"
        for where, text in _texts()
        if not where.startswith(("boards.py", "completion.py"))
        if " > " in text.replace(" > /", "")
    ]
    assert found == []


def test_every_placeholder_is_a_setting_there_is() -> None:
    asked = {name for _, remedy in _every_remedy() for name in _settings_of(remedy.do)}

    assert asked <= set(boards.settings())
    assert not any(_settings_of(remedy.note) for _, remedy in _every_remedy())


@pytest.mark.parametrize(
    ("code", "remedy"), _every_remedy(), ids=[code for code, _ in _every_remedy()]
)
def test_a_remedy_reads_well_on_every_board(code: str, remedy: Remedy) -> None:
    asked = _settings_of(remedy.do)
    for dmi in (*MACHINES, None):
        said = named(remedy, dmi)
        assert not set("{}") & set(said.do + said.note)
        assert said.do == said.do.strip()
        assert len(said.note) <= NOTE_WIDTH or not asked, f"{code}: {said.note}"
        assert (said.who, said.restart) == (remedy.who, remedy.restart)
        menus = [menu for name in asked if (menu := boards.menu_for(name, dmi))]
        assert all(menu.entry in said.do and menu.value in said.do for menu in menus)
        assert all(menu.mark in said.do for menu in menus)
        others = {
            name for name in _foreign(dmi) if f"({name})" in said.do or f"({name}, " in said.do
        }
        assert not others, f"{code} on {dmi} speaks of {others}"


def _foreign(dmi: Dmi | None) -> set[str]:
    board = boards.board_of(dmi)
    return {row["board"] for row in FILE["boards"]} - {board.name if board else ""}


def test_remedies_of_the_bios_name_settings_or_ask_for_an_update() -> None:
    for code, remedy in _every_remedy():
        if remedy.who is Who.BIOS and not _settings_of(remedy.do):
            assert "BIOS" in remedy.do, code


def _steps(host: Path, dmi: Dmi) -> list[str]:
    facts = facts_of(host)
    facts = facts._replace(platform=facts.platform._replace(dmi=dmi))
    found = judge(facts, profile=Profile.SNP_GPU, want=None)
    lines = report(found, facts.source, verbose=False).split("\n")
    return lines[lines.index("What to do, in order:") + 1 : lines.index("Levels:") - 1]


@pytest.mark.parametrize(
    ("host", "dmi", "steps"),
    [
        (
            "genoa-smee-off",
            DELL,
            """\
  1. [bios, reboot] Processor Settings > Secure Memory Encryption: Enabled (Dell
     PowerEdge)
     No kernel option can replace this.""",
        ),
        (
            "genoa-no-es-asids",
            DELL,
            """\
  1. [bios, reboot] Processor Settings > Minimum SEV non-ES ASID: number of SNP
     guests plus 1 (Dell PowerEdge)
     No kernel option can replace this.""",
        ),
        (
            "genoa-rmp-not-reserved",
            H12SSW,
            """\
  1. [bios, reboot] update the BIOS first, up to 2.3 it does not show this: SNP
     Memory (RMP Table) Coverage: Enabled (AMD's reference name)
     Supermicro's names: H12SSW manual. No such entry: update the BIOS.""",
        ),
        (
            "genoa-iommu-snp-off",
            H12SSW,
            """\
  1. [bios, reboot] Advanced > NB Configuration > SEV-SNP Support: Enabled
     (Supermicro H12SSW); if it is, update the BIOS
     No kernel option can replace this.""",
        ),
        (
            "genoa-bios-incomplete",
            HPE,
            """\
  1. [bios, reboot] IOMMU and SNP Memory (RMP Table) Coverage: Enabled (AMD's
     reference names); AMD Secure Nested Paging: Enabled (HPE ProLiant)
     No such entry: update the BIOS. HPE's names: UEFI System Utilities guide.""",
        ),
        (
            "genoa-snp-hidden",
            HPE,
            """\
  1. [bios, reboot] AMD Secure Nested Paging: Enabled (HPE ProLiant)
     No such entry: update the BIOS. No kernel option can replace this.""",
        ),
        (
            "genoa-smee-off",
            LENOVO,
            """\
  1. [bios, reboot] SMEE: Enabled, not Auto (AMD's reference name)
     Lenovo's names: LP1893, LP2418. No kernel option can replace this.""",
        ),
        (
            "genoa-rmp-too-small",
            UNKNOWN,
            """\
  1. [bios, reboot] Advanced > AMD CBS > CPU Common Options > SNP Memory (RMP
     Table) Coverage: Enabled (AMD's reference name); if it is, memory was
     added: enter setup and save it again
     No kernel option can replace this.""",
        ),
        (
            "genoa-iommu-off",
            NONE,
            """\
  1. [bios, reboot] Advanced > AMD CBS > NBIO Common Options > IOMMU: Enabled
     (AMD's reference name)
     No kernel option can replace this.""",
        ),
        (
            "genoa-smee-off",
            machines.ASUS,
            """\
  1. [bios, reboot] Advanced > AMD CBS > CPU Common Options > SMEE: Enabled, not
     Auto (ASUS, likely)
     No kernel option can replace this.""",
        ),
    ],
)
def test_the_report_names_the_menu_of_this_board(
    host: str, dmi: Dmi, steps: str, hosts: Path
) -> None:
    assert "\n".join(_steps(hosts / host, dmi)) == steps


def test_a_board_that_cannot_be_read_is_told_as_an_unknown_one_is(hosts: Path) -> None:
    host = hosts / "genoa-smee-off"

    assert _steps(host, HIDDEN) == _steps(host, NONE) == _steps(host, UNKNOWN)
