"""What the PSP is asked, and when it is left alone (snp-host.md §0.3)."""

from pathlib import Path

import pytest

from nodeagent.facts.psp import safe_to_ask
from nodeagent.model.facts import Facts
from nodeagent.model.host import KernelLog, LogEvent, NotAsked, SnpStatus
from nodeagent.model.seen import Seen, Unreadable
from tests.conftest import HOSTS
from tests.hosts import base
from tests.unit.looks import drafted, facts_of

WHOLE = KernelLog((), whole=True, origin="test")
TURNED = KernelLog((), whole=False, origin="test")
FAILED = KernelLog((LogEvent("snp_init_failed", "x", {"error": "0x3"}),), True, "test")
SKIPPED = KernelLog((LogEvent("cpus_offline", "x", {}),), True, "test")
DEAD = KernelLog((LogEvent("psp_dead", "x", {}),), True, "test")
CURED = KernelLog((*FAILED.events, LogEvent("snp_api", "x", {})), True, "test")


def _asked(host: str, log: Seen[KernelLog], **parameters: str) -> bool:
    facts: Facts = facts_of(HOSTS / host)
    kernel = facts.kernel._replace(parameters={**facts.kernel.parameters, **parameters})
    return not isinstance(safe_to_ask(kernel, log), NotAsked)


@pytest.mark.parametrize("host", ["genoa-ready", "genoa-ready-6.11"])
def test_asked_where_kvm_offers_snp_and_the_log_is_clean(host: str) -> None:
    assert _asked(host, WHOLE)
    assert _asked(host, CURED)
    assert not _asked(host, WHOLE, **{"kvm_amd.sev_snp": "N"})


@pytest.mark.parametrize("host", ["genoa-ready", "genoa-ready-6.11"])
@pytest.mark.parametrize("log", [FAILED, SKIPPED, DEAD])
def test_never_asked_after_a_failed_init(host: str, log: KernelLog) -> None:
    assert not _asked(host, log)


def test_a_log_that_turned_over_is_enough_only_where_kvm_asked_the_psp_itself() -> None:
    assert _asked("genoa-ready", TURNED)
    assert not _asked("genoa-ready-6.11", TURNED)


@pytest.mark.parametrize("log", [None, Unreadable("/dev/kmsg", "EPERM")])
def test_never_asked_without_a_log(log: Seen[KernelLog]) -> None:
    assert not _asked("genoa-ready", log)


@pytest.mark.parametrize(
    ("bit", "field"),
    [
        (0, "chip_id_masked"),
        (1, "chip_key_masked"),
        (2, "vlek_loaded"),
        (4, "rapl_disabled"),
        (6, "hiding_enabled"),
    ],
)
def test_each_flag_of_the_snp_status_is_one_bit(bit: int, field: str, tmp_path: Path) -> None:
    host = base.genoa_ready()
    flags = (1 << bit).to_bytes(4, "little").hex()
    host.sev["snp_platform_status"] = {"hex": base.SNP_STATUS[:16] + flags + base.SNP_STATUS[24:]}

    status = facts_of(drafted(host, tmp_path)).psp.snp

    assert isinstance(status, SnpStatus)
    told = {name: value for name, value in status._asdict().items() if value is True}
    assert set(told) == {"rmp_initialised", "alias_check", field}
