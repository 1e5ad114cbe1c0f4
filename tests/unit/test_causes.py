"""Why INIT failed: every cause is borne out by one fact and excluded by another."""

from collections.abc import Callable
from pathlib import Path

import pytest

from nodeagent.checks.answer import Gap, Hit, Miss
from nodeagent.checks.causes import RANKED, weigh
from nodeagent.checks.judge import judge
from nodeagent.checks.psp_errors import explained, failure, named
from nodeagent.model.codes import Code
from nodeagent.model.facts import Facts
from nodeagent.model.findings import Judgement
from nodeagent.model.host import PspFailure
from nodeagent.model.seen import Unreadable
from nodeagent.model.words import Profile
from tests.hosts import base, cpus, snp_faults
from tests.hosts.draft import Delta, Draft
from tests.hosts.fragments import FRAGMENTS
from tests.unit.looks import drafted, facts_of

Hidden = Callable[[Facts], Facts]
_GAP = Unreadable("there", "EACCES: Permission denied")


def _no_efi(facts: Facts) -> Facts:
    return facts._replace(kernel=facts.kernel._replace(efi=_GAP))


def _no_list_of_cpus(facts: Facts) -> Facts:
    return facts._replace(cpus=facts.cpus._replace(online=_GAP))


def _no_parameter(facts: Facts) -> Facts:
    hidden = {**facts.kernel.parameters, "kvm_amd.sev_snp": _GAP}
    return facts._replace(kernel=facts.kernel._replace(parameters=hidden))


def _no_groups(facts: Facts) -> Facts:
    return facts._replace(iommu=facts.iommu._replace(groups=_GAP))


def _nothing(_: Draft) -> None:
    """The ready host: everything that was ever a cause is excluded there."""


def _old_loader(draft: Draft) -> None:
    cpus.milan(draft)
    snp_faults.old_boot_loader(draft)


def _no_file(draft: Draft) -> None:
    _old_loader(draft)
    for path in [each for each in draft.files if each.startswith("/lib/firmware/amd/")]:
        draft.remove(path)
    draft.remove("/lib/firmware/amd")


# By error and cause: what bears it out, what excludes it, and what keeps it from being told.
WEIGHED: dict[tuple[int, Code], tuple[Delta, Delta, Hidden | None]] = {
    (0x1, Code.PSP_BOOT_LOADER_OLD): (_old_loader, cpus.milan, None),
    (0x3, Code.CPUS_OFFLINE): (
        snp_faults.nosmt,
        _nothing,
        _no_list_of_cpus,
    ),
    (0x3, Code.LEGACY_BOOT): (snp_faults.legacy_boot, _nothing, _no_efi),
    (0x3, Code.SEV_FW_TOO_OLD): (FRAGMENTS["23"], _nothing, None),
    (0xE, Code.KERNEL_NO_SNP_HOST): (
        FRAGMENTS["17"],
        _nothing,
        _no_parameter,
    ),
    (0xE, Code.SEV_FW_TOO_OLD): (FRAGMENTS["23"], _nothing, None),
    (0x13, Code.BIOS_SMEE_OFF): (FRAGMENTS["4"], _nothing, None),
    (0x13, Code.BIOS_IOMMU_OFF): (
        FRAGMENTS["14"],
        _nothing,
        _no_groups,
    ),
    (0x13, Code.BIOS_IOMMU_SNP_OFF): (FRAGMENTS["13"], _nothing, None),
}
for _error in (0x13, 0x1A, 0x20, 0x26):
    WEIGHED |= {
        (_error, Code.BIOS_RMP_NOT_RESERVED): (FRAGMENTS["7"], _nothing, None),
        (_error, Code.BIOS_RMP_INVALID): (FRAGMENTS["8"], _nothing, None),
        (_error, Code.BIOS_RMP_TOO_SMALL): (FRAGMENTS["9"], _nothing, None),
    }
for _error in (0x15, 0x21, 0x22):
    WEIGHED[_error, Code.SEV_FW_TOO_OLD] = (FRAGMENTS["23"], _nothing, None)

ROWS = [(error, code, deltas) for (error, code), deltas in WEIGHED.items()]
IDS = [f"{error:#x}-{code}" for error, code in WEIGHED]


def _facts(folder: Path, *deltas: Delta) -> Facts:
    draft = base.genoa_ready()
    for delta in deltas:
        delta(draft)
    return facts_of(drafted(draft, folder / "host"))


def _test(error: int, code: Code) -> Callable[[Facts], object]:
    return next(cause.test for cause in RANKED[error] if cause.code is code)


def test_every_cause_is_weighed_below() -> None:
    assert set(WEIGHED) == {
        (error, cause.code) for error, causes in RANKED.items() for cause in causes
    }


@pytest.mark.parametrize(("error", "code", "deltas"), ROWS, ids=IDS)
def test_a_cause_is_borne_out_and_excluded_by_facts(
    error: int, code: Code, deltas: tuple[Delta, Delta, Hidden | None], tmp_path: Path
) -> None:
    bears, excludes, hide = deltas
    test = _test(error, code)

    assert isinstance(test(_facts(tmp_path / "with", bears)), Hit)
    without = _facts(tmp_path / "without", excludes)
    assert isinstance(test(without), Miss)
    if hide:
        assert isinstance(test(hide(without)), Gap)


@pytest.mark.parametrize(
    "excludes", [_no_file, snp_faults.old_boot_loader], ids=["no file to load", "no Milan"]
)
def test_an_old_boot_loader_matters_only_for_a_file_on_milan(
    excludes: Delta, tmp_path: Path
) -> None:
    assert weigh(_facts(tmp_path, excludes), 0x1).first is None


def test_a_boot_loader_that_tells_no_version_is_open(tmp_path: Path) -> None:
    facts = _facts(tmp_path, _old_loader)
    psp = facts.firmware.master
    assert psp is not None
    assert not isinstance(psp, Unreadable)

    for version in ("00.13.00", "00.13.00.7x", "١٢.00.00.00", Unreadable("x", "EACCES"), None):
        silent = psp._replace(attributes={**psp.attributes, "bootloader_version": version})
        weighed = weigh(facts._replace(firmware=facts.firmware._replace(psps=(silent,))), 0x1)
        assert weighed.first is None
        assert [code for code, _ in weighed.others] == [Code.PSP_BOOT_LOADER_OLD]


def _fails(error: str, *deltas: Delta, folder: Path) -> Judgement:
    facts = _facts(folder, *deltas, snp_faults.init_fails(error))
    return judge(facts, profile=Profile.SNP_GPU, want=None)


def test_of_two_causes_the_first_is_named_and_the_other_noted(tmp_path: Path) -> None:
    found = _fails("0x3", snp_faults.nosmt, snp_faults.legacy_boot, folder=tmp_path)

    assert found.root
    assert found.root.outcome.cause == Code.CPUS_OFFLINE
    assert [note for note in found.notes if "may also come of" in note] == [
        "INIT error 0x3 may also come of LEGACY_BOOT: there is no /sys/firmware/efi"
    ]


def test_what_could_not_be_excluded_is_noted_and_never_named(tmp_path: Path) -> None:
    facts = _no_efi(_facts(tmp_path, snp_faults.init_fails("0x3")))

    found = judge(facts, profile=Profile.SNP_GPU, want=None)

    assert found.root
    assert (found.root.code, found.root.outcome.cause) == (Code.SNP_INIT_INVALID_CONFIG, None)
    [note] = [note for note in found.notes if "may also come of" in note]
    assert note == "INIT error 0x3 may also come of LEGACY_BOOT: there: EACCES: Permission denied"


def test_what_the_facts_exclude_is_neither_named_nor_noted(tmp_path: Path) -> None:
    for error in ("0x3", "0x13", "0xe", "0x26"):
        found = _fails(error, folder=tmp_path / error)
        assert found.root
        assert found.root.outcome.cause is None
        assert not [note for note in found.notes if "may also come of" in note]


@pytest.mark.parametrize(
    ("delta", "cause"),
    [
        (FRAGMENTS["13"], Code.BIOS_IOMMU_SNP_OFF),
        (FRAGMENTS["7"], Code.BIOS_RMP_NOT_RESERVED),
        (FRAGMENTS["9"], Code.BIOS_RMP_TOO_SMALL),
    ],
)
def test_a_platform_that_is_refused_says_which_switch(
    delta: Delta, cause: Code, tmp_path: Path
) -> None:
    found = _fails("0x13", delta, folder=tmp_path)

    assert found.root
    assert (found.root.code, found.root.outcome.cause) == (Code.BIOS_SNP_INCOMPLETE, cause)


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("SEV: INIT failed 0x1, rc -5", "SEV: INIT failed 0x1 (invalid platform state), rc -5"),
        ("failed to INIT error 0xE", "failed to INIT error 0xe (WBINVD required)"),
        ("failed rc -5, error 0x3", "failed rc -5, error 0x3 (invalid config)"),
        ("ret = -5, error = 0x1", "ret = -5, error = 0x1 (invalid platform state)"),
        ("failed with error 0x20", "failed with error 0x20 (RMP init required)"),
        ("error 0x7777", "error 0x7777"),
        ("error 0x3zz", "error 0x3zz"),
        ("PFN 0x3, ret: 2", "PFN 0x3, ret: 2"),
        ("error 0x" + "f" * 900, "error 0x" + "f" * 900),
    ],
)
def test_an_error_number_is_named_wherever_it_stands(line: str, shown: str) -> None:
    assert explained(line) == shown


def test_what_the_driver_answers_is_named_as_well() -> None:
    assert failure(PspFailure("EIO", 0x13)) == "EIO, firmware error 0x13 (hardware platform)"
    assert failure(PspFailure("EINVAL", None)) == "EINVAL"
    assert named(0xFFFFFFFF) == "0xffffffff (the firmware was never asked)"
