"""Every code has something to do about it, and is said of some host."""

from pathlib import Path
from typing import NamedTuple

import pytest

from nodeagent.checks.remedies import REMEDIES
from nodeagent.model.codes import Code
from nodeagent.model.policy import GPU_FSP, Floor, Policy
from nodeagent.model.words import CcMode, Profile, Restart, Verdict, Who
from tests.hosts.expected import TABLE
from tests.unit.looks import REQUIRED, SHIPPED, judged


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
_SITE = Policy(floors=(_OWN,), require_floors=True)


class Asked(NamedTuple):
    """A host that TABLE does not ask so: what leads its report then."""

    code: Code
    host: str
    policy: Policy = SHIPPED
    profile: Profile = Profile.SNP_GPU
    want: CcMode | None = None


ROOTS = (
    Asked(Code.TCB_BELOW_FLOOR, "genoa-ready", REQUIRED),
    Asked(Code.TCB_DECODE_SUSPECT, "genoa-tcb-odd", REQUIRED),
    Asked(Code.TCB_NOT_KNOWN, "genoa-no-privileges", REQUIRED),
    Asked(Code.NO_FLOOR_KNOWN, "venice", REQUIRED),
    Asked(Code.SEV_FW_BELOW_FLOOR, "genoa-sev-1.55.30", REQUIRED),
    Asked(Code.MICROCODE_TOO_OLD, "genoa-old-microcode", REQUIRED),
    Asked(Code.MICROCODE_DIFFERS, "genoa-odd-microcode", REQUIRED),
    Asked(Code.ALIAS_CHECK_MISSING, "genoa-no-alias-check", REQUIRED),
    Asked(Code.PART_NOT_FUSED, "genoa-not-fused", REQUIRED),
    Asked(Code.DEBUG_NOT_LOCKED, "genoa-debug-open", REQUIRED),
    Asked(Code.CHIP_KEY_MASKED, "genoa-chip-key-masked", REQUIRED),
    Asked(Code.BIOS_TOO_OLD, "milan-old-bios", REQUIRED),
    Asked(Code.GPU_FW_TOO_OLD, "genoa-ready", _SITE),
    Asked(Code.GPU_C2C, "gh200", profile=Profile.GPU),
    Asked(Code.GPU_MODE_UNWANTED, "genoa-ready", want=CcMode.PPCIE),
    Asked(Code.WANTED_MODE_NEVER_READY, "genoa-gpu-off", want=CcMode.OFF),
)

WARNED = (
    (Code.CPU_NOT_EPYC, "threadripper", "cpu.name"),
    (Code.CPUS_OFFLINE, "genoa-cpu-offlined", "cpus.online"),
    (Code.SNP_LOG_TROUBLE, "genoa-leaking-pages", "log.trouble"),
    (Code.OPTION_HAZARD, "genoa-mitigations-off", "kernel.options"),
    (Code.OPTION_IGNORED, "genoa-option-of-wrong-module", "kernel.typos"),
    (Code.KERNEL_OLD_FOR_CPU, "turin-ready-6.12", "kernel.for_cpu"),
    (Code.KERNEL_OLD_FOR_GPU, "genoa-ready-6.11", "kernel.for_gpu"),
    (Code.ASIDS_EXHAUSTED, "genoa-asids-exhausted", "snp.asids.free"),
    (Code.ASIDS_LOW, "genoa-asids-low", "snp.asids.free"),
    (Code.REBOOT_PENDING, "genoa-newer-kernel", "kernel.newest"),
    (Code.SEV_FW_PENDING, "genoa-newer-sev-firmware", "firmware.newest"),
    (Code.TCB_REPORTED_LAGS, "genoa-tcb-lags", "tcb.reported"),
    (Code.CHIP_ID_MASKED, "genoa-chip-id-masked", "tcb.chip"),
    (Code.HOST_DRIVER_LOADED, "genoa-gpu-on-nvidia", "host.drivers"),
    (Code.ACS_MISSING, "genoa-acs-off", "pci.acs"),
    (Code.IOMMUFD_MISSING, "genoa-no-iommufd", "vfio.iommufd"),
    (Code.D3COLD_HAZARD, "genoa-d3cold-allowed", "gpu.d3cold"),
    (Code.LINK_DEGRADED, "genoa-gpu-x8", "pci.links"),
    (Code.RUNTIME_TOO_OLD, "genoa-containerd-2.1", "runtime.containerd"),
    (Code.LIMITS_TOO_LOW, "genoa-inotify-low", "runtime.limits"),
)
"""What never gates is no root: the check of that host which warns of it, under no other fault."""


@pytest.mark.parametrize("row", ROOTS, ids=lambda row: row.code.value)
def test_a_code_leads_the_report(row: Asked, hosts: Path) -> None:
    found = judged(hosts / row.host, profile=row.profile, want=row.want, policy=row.policy)

    assert found.root
    assert found.root.code is row.code


@pytest.mark.parametrize(("code", "host", "check"), WARNED, ids=str)
def test_a_code_is_warned_of(code: Code, host: str, check: str, hosts: Path) -> None:
    [found] = [each for each in judged(hosts / host).findings if each.check == check]

    assert (found.verdict, found.code, found.under) == (Verdict.WARN, code, None)


BESIDE_A_NODE = {
    Code.HANDLER_MISSING,
    Code.OVERHEAD_NOT_OFFERED,
    Code.LABEL_UNWRITTEN,
    Code.OPERAND_LEFT_PAUSED,
    Code.PROBE_PENDING,
    Code.PROBE_FAILED,
    Code.PROBE_LATE,
}
"""Of what a running agent alone sees: test_around.py and test_probe.py have a test of each."""


def test_every_code_stands_in_a_table() -> None:
    """As the root of a host, as the cause of one, or as a row above; each row is a test."""
    said = {each.root for each in TABLE} | {each.cause for each in TABLE}
    said |= {each.inspector.root for each in TABLE if each.inspector}
    said |= {row.code.value for row in ROOTS} | {code.value for code, _, _ in WARNED}

    assert {code.value for code in Code} - said == BESIDE_A_NODE
