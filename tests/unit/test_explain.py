"""Every code and every check has a page, the page is right, and a word finds it."""

import json
from pathlib import Path

import pytest
import yaml

from nodeagent import __version__
from nodeagent.capture.archive import open_capture
from nodeagent.checks import judge
from nodeagent.checks.remedies import CAUSES, ways
from nodeagent.cli import book
from nodeagent.explain import document, pages, text
from nodeagent.explain.book import codes_of
from nodeagent.explain.pages import Kind, Page
from nodeagent.facts import platform
from nodeagent.model.codes import Code
from nodeagent.model.platform import Dmi
from nodeagent.model.seen import Seen, Unreadable
from nodeagent.model.words import Level, Profile, Verdict
from tests.hosts.expected import TABLE, Expect
from tests.hosts.inspector import inspect_as
from tests.unit.command import run
from tests.unit.looks import Veiled, judged

BOOK = book.load()
FOLDER = Path(__file__).parents[2] / "nodeagent" / "data" / "pages"
ADD = "add `## {}` to the file of its topic in nodeagent/data/pages, then `make docs`"


HERE = str(Path(__file__).parents[1] / "hosts" / "genoa-ready")


def _said(words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """On the board of a captured host: a unit test reads nothing of the machine it runs on."""
    code = run("explain", *words.split(), "--capture", HERE)
    said = capsys.readouterr()
    return code, said.out, said.err


def test_every_code_and_every_check_has_a_page() -> None:
    missing = BOOK.unwritten()

    assert missing == [], "; ".join(ADD.format(name) for name in missing)


def test_every_page_is_of_something_there_is_and_there_only_once() -> None:
    assert BOOK.unneeded() == []


def test_every_file_of_pages_is_a_topic_that_is_read() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(pages.TOPICS)


def test_levels_profiles_and_verdicts_are_explained() -> None:
    assert {page.name for page in BOOK.pages} >= {*Level, *Profile, *Verdict}


@pytest.mark.parametrize("expect", TABLE, ids=lambda each: each.name)
def test_a_check_gives_no_code_that_its_page_does_not_name(
    expect: Expect, hosts: Path, tmp_path: Path
) -> None:
    host = hosts / expect.name
    inspect_as(host, tmp_path / "seen")

    for judgement in (judged(host), judged(tmp_path / "seen")):
        for finding in judgement.findings:
            if finding.code is None:
                continue
            page = BOOK.find(finding.check)
            assert page is not None
            assert finding.code in codes_of(page), f"{finding.check} can say {finding.code}"


def test_a_checks_page_names_only_codes_there_are() -> None:
    assert {code for page in BOOK.pages for code in codes_of(page)} <= set(Code)


@pytest.mark.parametrize("page", BOOK.pages, ids=lambda page: page.name)
def test_a_page_fits_80_columns(page: Page) -> None:
    assert max(map(len, text.show(BOOK, page).split("\n"))) <= 80


@pytest.mark.parametrize(
    "page", [each for each in BOOK.pages if each.kind is Kind.CODE], ids=lambda page: page.name
)
def test_a_codes_page_says_its_remedy_and_every_cause_that_has_another(page: Page) -> None:
    code = Code(page.name)
    shown = " ".join(text.show(BOOK, page).split())
    causes = " ".join(page.part("Causes"))

    for _, remedy in ways(code):
        assert " ".join(f"[{remedy.tag}] {remedy.do}".split()) in shown
        assert remedy.note in shown
    assert all(cause in causes for of, cause in CAUSES if of is code)


def test_pages_cite_what_others_can_read() -> None:
    whole = "".join(path.read_text() for path in FOLDER.iterdir())

    for ours in ("snp-host", "gpu-cc", "kubernetes.md", "§", "http", "[D]", "[E]", "TODO"):
        assert ours not in whole


def test_two_pages_never_answer_to_the_same_word() -> None:
    assert all(BOOK.find(page.name) is page for page in BOOK.pages)


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("BIOS_RMP_TOO_SMALL", "BIOS_RMP_TOO_SMALL"),
        ("bios-rmp-too-small", "BIOS_RMP_TOO_SMALL"),
        ("BiosRmpTooSmall", "BIOS_RMP_TOO_SMALL"),
        ("snp.rmp.coverage", "snp.rmp.coverage"),
        ("SNP-RMP_Coverage", "snp.rmp.coverage"),
        ("Enabled", "enabled"),
        ("snp_gpu", "snp-gpu"),
    ],
)
def test_case_and_marks_do_not_matter(
    word: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = _said(word, capsys)

    assert code == 0
    assert out.startswith(f"{name}\n")


@pytest.mark.parametrize(
    ("word", "guess"),
    [
        ("BIOS_RMP_SMALL", "did you mean BIOS_RMP_TOO_SMALL"),
        ("snp.iomu", "did you mean snp.iommu"),
        ("qqqqqq", "run `nodeagent explain` for the list"),
        ("", "run `nodeagent explain` for the list"),
    ],
)
def test_an_unknown_word_ends_with_2_and_names_the_nearest_and_the_version(
    word: str, guess: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run("explain", word)

    said = capsys.readouterr()
    assert (code, said.out) == (2, "")
    assert f"version {__version__} knows no code or check {word!r}" in said.err
    assert f"{guess}; a newer version may know more" in said.err
    assert max(map(len, said.err.split("\n"))) <= 80


def test_without_a_word_every_page_is_listed_in_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, out, _ = _said("", capsys)

    lines = out.split("\n")
    assert code == 0
    assert max(map(len, lines)) <= 80
    listed = [line.split()[0] for line in lines if line.startswith("  ")]
    assert listed == [page.name for page in BOOK.pages]


@pytest.mark.parametrize("word", ["", "BIOS_SMEE_OFF", "snp.iommu", "capable"])
def test_json_and_yaml_say_the_same(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    as_json = json.loads(_said(f"{word} -o json", capsys)[1])
    as_yaml = yaml.safe_load(_said(f"{word} -o yaml", capsys)[1])

    assert as_json == as_yaml
    assert as_json["version"] == 1


def test_a_program_gets_the_fixes_as_data(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(_said("IOMMU_PASSTHROUGH_OR_OFF -o json", capsys)[1])

    assert [each["when"] for each in found["fixes"]] == [
        None,
        "where the cause is IOMMU_OPTION",
        "where the cause is IOMMU_KERNEL_DEFAULT",
        "where the cause is BIOS_IOMMU_OFF",
    ]
    assert found["fixes"][1]["needs"] == "reboot"
    assert "snp.iommu" in found["checks"]


def test_a_cure_that_changed_with_the_kernel_is_told_with_its_kernel() -> None:
    page = BOOK.find("SNP_STATE_LOST")
    assert page is not None

    shown = " ".join(text.show(BOOK, page).split())

    assert "from kernel 7.1 on: [host, module reload] with no guest running" in shown


@pytest.mark.parametrize("name", sorted(judge.wanted()))
def test_a_checks_page_says_how_to_fix_what_it_finds_and_who_says_so(name: str) -> None:
    known = book.load(Dmi("Dell Inc.", "PowerEdge R7525", "Dell Inc.", "0PYVT1", None, None, None))
    page = known.find(name)
    assert page

    said = text.show(known, page)
    data = document.document(known, page)

    for code in codes_of(page):
        fix = known.ways[Code(code)][0].remedy.do
        assert _words(fix) in _words(said)
        assert data["fixes"][code][0]["do"] == fix
    assert data["sources"]
    assert all(_words(each) in _words(said) for each in data["sources"])
    assert max(map(len, said.split("\n"))) <= 80


def _words(text_: str) -> str:
    return " ".join(text_.split())


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("x", "t.md: begins with `# Topic`"),
        ("# T\n", "t.md: begins with `# Topic`"),
        ("# T\n## A_B\n", "t.md, line 2: A_B needs a summary"),
        ("# T\n## A_B\none\ntwo\n", "t.md, line 2: A_B needs a summary"),
        (f"# T\n## A_B\n{'x' * 50}\n", "at most 49 characters"),
        ("# T\n\n## A_B\ns\n\nwords\n\nCauses: x\n", "line 3: A_B lacks Looked for, Sources"),
        (
            "# T\n## a.b\ns\n\nPass: x\n",
            "a.b lacks Codes, Root adds, Unknown",
        ),
        ("# T\n## w\ns\n", "w lacks a paragraph that says what it means"),
        ("# T\n## w\ns\n\nCauses: x\n\nCauses: y\n", "line 7: w has Causes twice"),
        ("# T\n## w\ns\n\nCauses:\nx\n", "line 6: begin with `- `, or indent what goes on"),
    ],
)
def test_a_slip_in_a_page_is_told_with_its_line(written: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"t\.md") as error:
        pages.read(written, "t.md")

    assert said in str(error.value)


def test_a_page_is_read_as_it_is_written() -> None:
    head = "# T\n\n## A_B\nIn short\n\nOne\ntwo.\n\n"
    written = f"{head}Causes:\n- a\n  b\n- c\n\nLooked for: x\ny\n\nSources: z\n"

    [page] = pages.read(written, "t.md")

    assert (page.topic, page.kind, page.summary) == ("T", Kind.CODE, "In short")
    assert page.text == ("One two.",)
    assert page.part("Causes") == ("a b", "c")
    assert page.part("Looked for") == ("x y",)


def _fix(dmi: Dmi, name: str) -> str:
    """From the fixes to the end of the page, in one line."""
    known = book.load(dmi)
    page = known.find(name)
    assert page is not None
    return " ".join(text.show(known, page).split()).partition("How to fix it")[2]


@pytest.mark.parametrize(
    ("vendor", "product", "board", "said"),
    [
        (
            *("Dell Inc.", "PowerEdge R6615", "0X"),
            " on this board (Dell Inc., PowerEdge R6615, 0X): [bios, reboot] Processor Settings >",
        ),
        (
            *("QEMU", "Q35", None),
            " on this board (QEMU, Q35, whose own names are not on record): [bios, reboot] Adv",
        ),
        (None, None, None, ": [bios, reboot] Advanced > AMD CBS > CPU Common Options > SMEE"),
        (
            *(Unreadable("/sys", "EACCES: x"), Unreadable("/sys", "EACCES: x"), None),
            ": [bios, reboot] Advanced > AMD CBS > CPU Common Options > SMEE",
        ),
    ],
)
def test_a_bios_fix_is_worded_for_the_board_at_hand(
    vendor: Seen[str], product: Seen[str], board: Seen[str], said: str
) -> None:
    fix = _fix(Dmi(vendor, product, vendor, board, None, None, None), "BIOS_SMEE_OFF")

    assert fix.startswith(said)


def test_every_vendors_name_is_listed_and_what_a_board_does_not_show(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = " ".join(_said("BIOS_RMP_NOT_RESERVED", capsys)[1].split())

    assert "- Dell PowerEdge: Processor Settings > SNP Memory Coverage: Enabled" in shown
    assert "up to BIOS 2.3 without SNP Memory (RMP Table) Coverage" in shown
    assert "some firmware is without SNP Memory (RMP Table) Coverage" in shown


def test_a_fix_outside_the_bios_names_no_board(capsys: pytest.CaptureFixture[str]) -> None:
    out = _said("KVM_AMD_NOT_LOADED", capsys)[1]

    assert "How to fix it:\n" in out
    assert "What setups call it" not in out


def test_a_strangers_board_name_is_made_harmless() -> None:
    evil = Dmi("\x1b]0;x\x07" + "y" * 500, None, None, None, None, None, None)

    fix = _fix(evil, "BIOS_SMEE_OFF")

    assert "\x1b" not in fix
    assert "y" * 60 not in fix


def test_a_long_name_of_a_board_fits_80_columns() -> None:
    known = book.load(Dmi("word " * 20, None, None, None, None, None, None))
    page = known.find("BIOS_SMEE_OFF")
    assert page is not None

    assert max(map(len, text.show(known, page).split("\n"))) <= 80


def test_only_the_names_of_the_board_are_read(hosts: Path) -> None:
    with open_capture(str(hosts / "genoa-ready")) as machine:
        veiled = Veiled(machine)
        platform.dmi(veiled.files)

    assert veiled.asked == [f"/sys/class/dmi/id/{name}" for name in sorted(Dmi._fields)]


def test_a_capture_that_is_not_there_ends_with_3(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("explain", "BIOS_SMEE_OFF", "--capture", "/nowhere") == 3
    assert "cannot open the capture /nowhere" in capsys.readouterr().err


def test_what_has_no_page_is_found() -> None:
    book_without = BOOK._replace(checks={"new.check": BOOK.checks["snp.iommu"]})

    assert "new.check" in book_without.unwritten()
    assert "snp.smee" in book_without.unneeded()
