"""Notes: what makes people wonder and changes nothing."""

from pathlib import Path

import pytest

from nodeagent.checks.judge import judge
from nodeagent.model.words import Profile, Ready
from nodeagent.report.text import report
from tests.hosts import base
from tests.unit.looks import drafted, facts_of

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
    judgement = judge(facts, profile=Profile.SNP_GPU, want=None)
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
