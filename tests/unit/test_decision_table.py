"""The decision table: the first row that matches wins, and every row is needed."""

from itertools import combinations
from pathlib import Path

import pytest

from nodeagent.capture.archive import open_capture
from nodeagent.checks import enabled, table
from nodeagent.checks.answer import Hit
from nodeagent.checks.table import ROWS, answers, first
from nodeagent.facts.look import look
from nodeagent.model.cpu import SYSCFG, CpuValues
from nodeagent.model.facts import Facts
from nodeagent.model.host import SnpStatus
from nodeagent.model.words import Level, Ready, Verdict
from tests.hosts import base, kernels
from tests.hosts.draft import Delta
from tests.hosts.expected import TABLE, Expect
from tests.hosts.fragments import CODES, FRAGMENTS, IMPOSSIBLE, INFERRED, OTHER_CODE, OTHER_WITNESS
from tests.unit.looks import Veiled, drafted, facts_of, judged

NUMBERS = [number for number in FRAGMENTS if number != "27"]
PAIRS = [pair for pair in combinations(NUMBERS, 2) if frozenset(pair) not in IMPOSSIBLE]
SNP_STATUS, OFFERED = "probe:sev:9", "/sys/module/kvm_amd/parameters/sev_snp"
WITNESSES = [
    (number, name, delta)
    for number, others in OTHER_WITNESS.items()
    for name, delta in others.items()
]


def _facts(folder: Path, *deltas: Delta) -> Facts:
    draft = base.genoa_ready()
    for delta in deltas:
        delta(draft)
    return facts_of(drafted(draft, folder / "host"))


def _hits(facts: Facts) -> set[str]:
    return {each.row.number for each in answers(facts) if isinstance(each.answer, Hit)}


def test_the_fragments_are_the_table() -> None:
    assert [row.number for row in ROWS] == NUMBERS
    assert all(row.code == CODES[row.number] for row in ROWS)


def test_the_ready_host_matches_no_row(tmp_path: Path) -> None:
    facts = _facts(tmp_path)

    assert first(answers(facts)) is None
    assert enabled.judge(facts, answers(facts)).verdict is Verdict.PASS


@pytest.mark.parametrize("number", NUMBERS)
def test_a_row_matches_its_observation(number: str, tmp_path: Path) -> None:
    decided = first(answers(_facts(tmp_path, FRAGMENTS[number])))

    assert decided
    assert (decided.row.number, decided.code) == (number, CODES[number])


@pytest.mark.parametrize(("number", "name", "delta"), WITNESSES)
def test_another_witness_is_heard(number: str, name: str, delta: Delta, tmp_path: Path) -> None:
    decided = first(answers(_facts(tmp_path, delta)))

    assert decided, name
    assert decided.code == CODES[number]


@pytest.mark.parametrize("number", OTHER_CODE)
def test_a_second_input_splits_a_row(number: str, tmp_path: Path) -> None:
    code, delta = OTHER_CODE[number]

    decided = first(answers(_facts(tmp_path, delta)))

    assert decided
    assert (decided.row.number, decided.code) == (number, code)


@pytest.mark.parametrize(("upper", "lower"), PAIRS)
def test_of_two_rows_that_match_the_upper_wins(upper: str, lower: str, tmp_path: Path) -> None:
    facts = _facts(tmp_path, FRAGMENTS[upper], FRAGMENTS[lower])

    decided = first(answers(facts))
    # Row 24 speaks only where rows 4 to 13 are silent: with one of those it does not match.
    expected = {upper} if lower == "24" and upper in table.BEFORE_KERNEL else {upper, lower}
    assert expected <= _hits(facts)
    assert decided
    assert decided.row.number == upper


def test_every_row_is_needed_by_some_host(hosts: Path) -> None:
    """Without any one of its rows the table would judge some captured host otherwise."""
    seen = [facts_of(hosts / expect.name) for expect in TABLE]
    whole = [_code(facts, ROWS) for facts in seen]

    unneeded = [
        row.number
        for row in ROWS
        if [_code(facts, tuple(each for each in ROWS if each is not row)) for facts in seen]
        == whole
    ]

    assert unneeded == []


def _without(row: table.Row) -> tuple[table.Row, ...]:
    return tuple(each for each in ROWS if each is not row)


def _code(facts: Facts, rows: tuple[table.Row, ...]) -> str:
    decided = first(answers(facts, rows))
    return decided.code.value if decided else "none"


def test_ciphertext_hiding_may_leave_sev_es_no_asids(tmp_path: Path) -> None:
    draft = base.genoa_ready()
    draft.swap("SEV-ES enabled", "kvm_amd: SEV-ES unusable (ASIDs 100 - 99)", level=6)

    assert judged(drafted(draft, tmp_path / "host")).ready is Ready.YES


@pytest.mark.parametrize("number", INFERRED)
@pytest.mark.parametrize(
    ("kernel", "hidden", "verdict"),
    [
        (None, "nothing", Verdict.WARN),
        (None, SNP_STATUS, Verdict.WARN),
        (kernels.kernel_6_11, "nothing", Verdict.WARN),
        (kernels.kernel_6_11, SNP_STATUS, Verdict.UNKNOWN),
        (None, OFFERED, Verdict.UNKNOWN),
    ],
)
def test_what_is_inferred_does_not_outvote_who_runs_snp(
    number: str, kernel: Delta | None, hidden: str, verdict: Verdict, tmp_path: Path
) -> None:
    """Hiding a witness makes it unknown at most; only a KVM that says no makes it a fault."""
    draft = base.genoa_ready()
    if kernel:
        kernel(draft)
    INFERRED[number](draft)
    facts = _veiled(drafted(draft, tmp_path / "host"), hidden)

    found = enabled.facets(facts, answers(facts), Level.ENABLED)
    facet = next(row.facet for row in ROWS if row.number == number)
    assert found[facet].verdict is verdict
    assert enabled.judge(facts, answers(facts)).verdict is not Verdict.FAIL


def _veiled(host: Path, hidden: str) -> Facts:
    with open_capture(str(host)) as machine:
        return look(Veiled(machine, hidden=lambda path: path.startswith(hidden)))


@pytest.mark.parametrize("expect", TABLE, ids=lambda expect: expect.name)
def test_no_part_passes_for_what_it_does_not_show(expect: Expect, hosts: Path) -> None:
    """Where SNP is off, what comes after the fault is not there either."""
    facts = facts_of(hosts / expect.name)
    found = enabled.facets(facts, answers(facts), Level.ENABLED)
    passes = {name for name, each in found.items() if each.verdict is Verdict.PASS}

    offered = facts.kernel.parameter("kvm_amd.sev_snp") in {"Y", "1"}
    running = isinstance(facts.psp.snp, SnpStatus) and facts.psp.snp.running
    syscfg = facts.cpus.msr(SYSCFG)
    on = isinstance(syscfg, CpuValues) and all(value >> 24 & 1 for value in syscfg.by_value)
    assert offered or "snp.kvm" not in passes
    assert running or "snp.state" not in passes
    assert on or offered or "snp.kernel" not in passes


def test_row_numbers_are_distinct_and_facets_exist() -> None:
    assert set(INFERRED) == table.INFERRED
    assert len({row.number for row in ROWS}) == len(ROWS)
    assert {row.facet for row in ROWS} == set(table.FACETS)
