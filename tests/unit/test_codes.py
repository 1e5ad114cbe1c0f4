"""Every code has something to do about it, and is said of some host."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeagent.checks.judge import judge
from nodeagent.checks.remedies import REMEDIES
from nodeagent.model.codes import Code
from nodeagent.model.facts import Facts
from nodeagent.model.policy import GPU_FSP, Floor
from nodeagent.model.words import CcMode, Profile, Restart, Who
from tests.hosts.expected import TABLE
from tests.unit.looks import REQUIRED, SHIPPED, facts_of, inspected


def test_every_remedy_says_something_to_do() -> None:
    for code in Code:
        remedy = REMEDIES[code]
        assert remedy.do
        assert remedy.who in Who
        assert remedy.restart in Restart


def test_a_code_in_camel_case_is_a_condition_reason() -> None:
    assert Code.BIOS_RMP_TOO_SMALL.camel == "BiosRmpTooSmall"
    assert all(code.camel.isalnum() for code in Code)


def test_every_code_is_used_by_some_check() -> None:
    package = Path(__file__).parents[2] / "nodeagent"
    sources = "".join(
        path.read_text()
        for path in package.rglob("*.py")
        if path.name not in {"remedies.py", "codes.py"}
    )

    unused = {code.value for code in Code if f"Code.{code.value}" not in sources}
    assert unused == set()


# No floor of GPU firmware is shipped; a site may have one.
_OWN = Floor("own", GPU_FSP, (3, 0), "a site's file", "2026-11-01", "high", chip="gh100")
_SITE = REQUIRED._replace(guest_bytes=1 << 40, floors=(*REQUIRED.floors, _OWN))

ASKED = (
    (Profile.SNP_GPU, None, _SITE),
    (Profile.SNP_GPU, CcMode.PPCIE, SHIPPED),
    (Profile.GPU, None, SHIPPED),
    (Profile.GPU, CcMode.OFF, SHIPPED),
)
"""What is asked of each host. Profile snp says nothing that snp-gpu would not say too."""


def _said(facts: Facts) -> Iterator[str]:
    for profile, want, policy in ASKED:
        for each in judge(facts, profile=profile, want=want, policy=policy).findings:
            yield from (code.value for code in (each.code, each.outcome.cause) if code)


@pytest.mark.timeout(300)  # alone it is the first to look at every host
def test_every_code_is_said_of_some_host(hosts: Path) -> None:
    """Or of what an unprivileged pod sees of it; a code that none says is a promise unkept."""
    said: set[str] = set()
    for each in TABLE:
        said.update(_said(facts_of(hosts / each.name)), _said(inspected(each.name)))

    assert {code.value for code in Code} - said == set()
