"""What holds for every host: hiding proves nothing, no bytes raise, order does not matter."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.capture.archive import open_capture
from nodeagent.checks.judge import judge
from nodeagent.facts.look import look
from nodeagent.model.findings import Judgement
from nodeagent.model.host import KernelLog
from nodeagent.model.words import CcMode, Profile, Ready, Verdict
from nodeagent.report.document import document
from nodeagent.report.text import report
from tests.hosts.expected import TABLE
from tests.unit.looks import EXAMPLES, SHIPPED, Veiled, VeiledFiles, facts_of, thorough
from tests.unit.recalled import recalled

HOSTS = Path(__file__).parents[1] / "hosts"
NAMES = [each.name for each in TABLE]
LOG = "/dev/kmsg"
ODD_LINES = [
    b"SEV-SNP API:",
    b"SEV API:9.9 build:1",
    b"SEV-SNP: failed to INIT error 010",
    b"SEV-SNP: failed to INIT error 0x",
    b"SEV: INIT failed " + b"9" * 900,
    "SEV: INIT failed ٣".encode(),
    b"SEV-SNP: SNP_INIT failed rc -5, error 0x" + b"f" * 900,
]


def _judged(machine: Veiled, profile: Profile = Profile.SNP_GPU) -> Judgement:
    return judge(look(machine), profile=profile, want=None, policy=SHIPPED)


def _inputs(name: str) -> list[str]:
    with open_capture(str(HOSTS / name)) as machine:
        veiled = Veiled(machine)
        _judged(veiled)
        return veiled.asked


# Counts, not deadlines, end these; a machine that is busy with a build only takes longer.
pytestmark = pytest.mark.timeout(300 + EXAMPLES)

INPUTS = {name: _inputs(name) for name in NAMES}


def _passes(judgement: Judgement) -> set[tuple[str, str | None]]:
    return {
        (each.check, each.outcome.device)
        for each in judgement.findings
        if each.verdict is Verdict.PASS
    }


def _fails(judgement: Judgement) -> set[tuple[str, str | None]]:
    return {
        (each.check, each.outcome.device)
        for each in judgement.findings
        if each.verdict is Verdict.FAIL
    }


def _hide(name: str, hidden: Iterable[str]) -> tuple[Judgement, Judgement]:
    gone = set(hidden)
    with recalled(str(HOSTS / name)) as machine:
        return _judged(Veiled(machine)), _judged(Veiled(machine, hidden=gone.__contains__))


def _claim_nothing_new(before: Judgement, after: Judgement) -> None:
    assert not _passes(before) & _fails(after)
    for level, verdict in before.levels.items():
        if verdict.verdict is Verdict.PASS:
            assert after.levels[level].verdict is not Verdict.FAIL, level
    if before.ready is Ready.YES:
        assert after.ready is not Ready.NO


@pytest.mark.parametrize("name", NAMES)
def test_hiding_any_one_input_never_turns_pass_into_fail(name: str) -> None:
    with recalled(str(HOSTS / name)) as machine:
        whole = _judged(Veiled(machine))
        for path in INPUTS[name]:
            _claim_nothing_new(whole, _judged(Veiled(machine, hidden={path}.__contains__)))


@thorough
@given(data=st.data())
def test_hiding_any_inputs_never_turns_pass_into_fail(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(NAMES))
    hidden = data.draw(st.sets(st.sampled_from(INPUTS[name]), min_size=1, max_size=30))

    _claim_nothing_new(*_hide(name, hidden))


@thorough
@given(data=st.data())
def test_showing_only_few_inputs_never_turns_pass_into_fail(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(NAMES))
    shown = data.draw(st.sets(st.sampled_from(INPUTS[name]), max_size=30))

    _claim_nothing_new(*_hide(name, set(INPUTS[name]) - shown))


_TEXTS = st.one_of(
    st.binary(max_size=300),
    st.text(max_size=100).map(lambda text: text.encode(errors="surrogatepass")),
    st.sampled_from(
        [b"", b"\n", b"Y\r\n", b"(null)", b"\0" * 70, b"0x", b"-1", b"9" * 400, b"[" * 99]
    ),
    st.text("0123456789xabcdef-, \n:=", max_size=80).map(str.encode),
)


@thorough
@given(data=st.data())
def test_no_bytes_in_any_file_raise(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(NAMES))
    paths = [path for path in INPUTS[name] if path.startswith("/")]
    replaced = data.draw(st.dictionaries(st.sampled_from(paths), _TEXTS, min_size=1, max_size=8))

    with open_capture(str(HOSTS / name)) as machine:
        facts = look(Veiled(machine, replaced=replaced))
    for profile in Profile:
        judgement = judge(facts, profile=profile, want=CcMode.ON, policy=SHIPPED)
        assert report(judgement, facts.source, verbose=True).isprintable() is False
        assert document(judgement, facts)["verdict"] == judgement.ready


@thorough
@given(
    lines=st.lists(_TEXTS | st.sampled_from([b"SEV-SNP API:", b"SEV API:9.9 build:1"]), max_size=20)
)
def test_no_bytes_in_the_log_raise(lines: list[bytes]) -> None:
    from nodeagent.facts.log import events_of  # noqa: PLC0415 - beside its one use
    from nodeagent.host.klog import clean  # noqa: PLC0415

    cleaned = [clean(line.decode(errors="replace")) for line in lines]
    events = tuple(event for line in cleaned for event in events_of(line))
    facts = facts_of(HOSTS / "genoa-ready-6.11")._replace(log=KernelLog(events, True, LOG))
    judge(facts, profile=Profile.SNP_GPU, want=None, policy=SHIPPED)


@thorough
@given(name=st.sampled_from(NAMES), seed=st.integers(0, 2**32))
def test_the_order_of_cpus_and_files_does_not_matter(name: str, seed: int) -> None:
    with open_capture(str(HOSTS / name)) as machine:
        straight, shuffled = Veiled(machine), Veiled(machine, seed=seed)
        first, second = look(straight), look(shuffled)
    one = judge(first, profile=Profile.SNP_GPU, want=None, policy=SHIPPED)
    two = judge(second, profile=Profile.SNP_GPU, want=None, policy=SHIPPED)

    assert document(one, first) == document(two, second)


def test_the_veil_really_hides(hosts: Path) -> None:
    with open_capture(str(hosts / "genoa-ready")) as machine:
        veiled = Veiled(machine, hidden=lambda path: path == "/proc/cmdline")
        judgement = _judged(veiled)
        assert isinstance(veiled.files, VeiledFiles)
        assert "/proc/cmdline" in veiled.asked
        assert judgement.ready is Ready.YES
