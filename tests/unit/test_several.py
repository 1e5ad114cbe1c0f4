"""Several captures at once: a row or a document each, and the worst one's exit code."""

import json
from pathlib import Path

import jsonschema
import pytest
from referencing import Registry, Resource

from nodeagent import data
from nodeagent.cli.several import names_of
from nodeagent.report.hosts import Row, table
from tests.unit.command import run

_REGISTRY = Registry().with_resource(
    "report.schema.json", Resource.from_contents(data.load("report.schema.json"))
)
VALIDATOR = jsonschema.Draft202012Validator(data.load("reports.schema.json"), registry=_REGISTRY)


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (("genoa-ready", "turin-ready"), 0),
        (("genoa-ready", "genoa-gpu-d3cold"), 4),
        (("genoa-gpu-d3cold", "genoa-iommu-pt", "genoa-ready"), 1),
        (("genoa-iommu-pt", "nowhere", "genoa-ready"), 3),
    ],
)
def test_the_worst_host_gives_the_exit_code(names: tuple[str, ...], code: int, hosts: Path) -> None:
    assert run("check", *(hosts / name for name in names)) == code


def test_one_host_that_cannot_be_read_does_not_hide_the_others(
    hosts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("check", hosts / "genoa-smee-off", "/nowhere", hosts / "genoa-ready") == 3

    said = capsys.readouterr()
    rows = [line.split() for line in said.out.split("\n")]
    assert rows[1][:4] == ["genoa-smee-off", "not", "ready", "BIOS_SMEE_OFF"]
    assert rows[2] == ["nowhere", "not", "read"]
    assert rows[3][:2] == ["genoa-ready", "ready"]
    assert "cannot open the capture /nowhere: No such file" in said.err


@pytest.fixture
def broken(tmp_path: Path) -> list[Path]:
    """Two captures that break the format, each in its way."""
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder, version in zip(folders, ("2", '"soon"'), strict=True):
        (folder / "root").mkdir(parents=True)
        (folder / "host.json").write_text(f'{{"version": {version}}}')
    return folders


def test_each_error_says_of_which_capture_it_speaks(
    broken: list[Path], hosts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = broken
    wanted = [
        f"{a}: host.json: version: is 2, and this program reads version 1",
        f"{b}: host.json: version: must be a number such as 0x1f, is 'soon'",
    ]

    assert run("check", a, hosts / "genoa-ready", b) == 3
    said = capsys.readouterr().err.split("\n")
    assert [line for line in said if "version:" in line] == [f"nodeagent: {w}" for w in wanted]

    assert run("check", a, hosts / "genoa-ready", b, "-o", "json") == 3
    told = json.loads(capsys.readouterr().out)
    assert [each["error"] for each in told if each["verdict"] is None] == wanted


@pytest.mark.parametrize("bad", [0, 1])
def test_so_does_that_of_a_comparison(
    bad: int, broken: list[Path], hosts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = [hosts / "genoa-ready", hosts / "genoa-ready"]
    pair[bad] = broken[bad]

    assert run("check", "--compare", *pair) == 3
    assert f"nodeagent: {broken[bad]}: host.json: version: " in capsys.readouterr().err


def test_a_capture_that_its_error_names_is_named_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "x.tar.gz").write_bytes(b"x")
    paths = (tmp_path / "empty", tmp_path / "x.tar.gz", tmp_path / "missing")

    assert run("check", *paths) == 3
    said = capsys.readouterr().err
    assert [said.count(f"{path}: ") for path in paths] == [1, 1, 1]


def test_captures_may_be_named_with_or_without_the_option(
    hosts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = hosts / "genoa-ready", hosts / "genoa-no-gpu"
    assert run("check", first, second) == 1
    told = capsys.readouterr().out
    assert run("check", "--capture", first, "--capture", second) == 1
    assert capsys.readouterr().out == told


def test_one_capture_by_its_place_is_the_whole_report(
    hosts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("check", hosts / "genoa-ready") == 0
    assert capsys.readouterr().out.startswith("READY for snp-gpu")


def test_the_documents_keep_to_their_schema(
    hosts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("check", hosts / "genoa-ready", "/nowhere", hosts / "intel", "-o", "json") == 3

    found = json.loads(capsys.readouterr().out)
    VALIDATOR.validate(found)
    assert [each["verdict"] for each in found] == ["ready", None, "not-ready"]
    assert "cannot open" in found[1]["error"]
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate([{**found[1], "surplus": 1}])


def test_every_row_fits_80_columns_and_keeps_its_code(
    hosts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("check", *sorted(path.parent for path in hosts.glob("genoa-*/host.json")))

    lines = capsys.readouterr().out.split("\n")
    assert max(map(len, lines)) <= 80
    assert sum("IOMMU_PASSTHROUGH_OR_OFF" in line for line in lines) >= 1


def test_a_wide_terminal_shows_names_whole() -> None:
    rows = [Row("x" * 60, None, "KVM_SNP_DISABLED_AFTER_INIT", board="y" * 30)]

    assert "…" in table(rows)
    assert "y" not in table(rows)
    assert "x" * 60 in table(rows, width=160)
    assert "y" * 30 in table(rows, width=160)


def test_a_long_name_keeps_the_letters_that_differ() -> None:
    names = [f"rack-12-gpu-node-{n}" for n in (17, 18)]

    told = table(
        [Row(name, None, "KVM_SNP_DISABLED_AFTER_INIT", "8×RTX off") for name in names], width=60
    )

    assert "node-17" in told
    assert "node-18" in told


def test_a_strangers_name_is_made_harmless() -> None:
    assert "\x1b" not in table([Row("\x1b[31m", None, kernel="\x1b")])


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["/a/x.tar.gz", "b/y/"], ["x", "y"]),
        (["/a/x", "/b/x"], ["/a/x", "/b/x"]),
        (["/"], ["/"]),
    ],
)
def test_hosts_are_told_apart_by_short_names(paths: list[str], names: list[str]) -> None:
    assert names_of(paths) == names
