"""Notes: what makes people wonder and changes nothing."""

from pathlib import Path

import pytest

from nodeagent.checks.judge import judge
from nodeagent.model.words import Profile, Ready
from nodeagent.report.text import report
from tests.hosts import base
from tests.unit.looks import SHIPPED, drafted, facts_of, judged

_QUIET = [
    "AMD-Vi: Unknown option - 'on'",
    "IOMMU_IOAS_MAP failed: Bad address, PCI BAR?",
    "ccp 0000:a3:00.5: no command queues available",
    "ccp 0000:a3:00.5: psp does not support TEE",
]


def _report(folder: Path, *lines: str, verbose: bool, alone: bool = False) -> str:
    draft = base.genoa_ready()
    if alone:
        draft.unsay("sev enabled")
    for line in lines:
        draft.say(line)
    facts = facts_of(drafted(draft, folder / "host"))
    judgement = judge(facts, profile=Profile.SNP_GPU, want=None, policy=SHIPPED)
    assert judgement.ready is Ready.YES
    return report(judgement, facts.source, verbose=verbose)


@pytest.mark.parametrize("line", _QUIET)
def test_a_harmless_line_is_shown_on_demand_and_never_warned_of(line: str, tmp_path: Path) -> None:
    assert f"  - known and harmless: {line}" in _report(tmp_path / "v", line, verbose=True)

    quiet = _report(tmp_path / "q", line, verbose=False)
    assert line not in quiet
    assert "Warnings" not in quiet


@pytest.mark.parametrize("line", _QUIET[2:])
def test_what_is_harmless_on_a_second_socket_is_not_called_so_on_the_only_one(
    line: str, tmp_path: Path
) -> None:
    assert line not in _report(tmp_path, line, verbose=True, alone=True)


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("genoa-ready", "amd_sev_fam19h_model1xh.sbin is present; this boot's log does not"),
        ("genoa-tcb-lags", "from the disk: ccp 0000:01:00.5: SEV firmware updated from 1.55.37"),
        ("turin-dense-ready", None),
    ],
)
def test_a_firmware_file_is_told_with_whether_it_was_loaded(
    host: str, said: str | None, hosts: Path
) -> None:
    told = [note for note in judged(hosts / host).notes if "irmware" in note or ".sbin" in note]

    assert [said in note for note in told if said] == ([True] if said else [])
    assert bool(told) == bool(said)
