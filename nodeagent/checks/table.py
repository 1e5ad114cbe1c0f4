"""The decision table for `enabled`: rows as data, in order; the first that matches wins.

Row numbers and order are those of snp-host.md §2.3 with §0.4. A row needs only its own
inputs; one that cannot tell is passed over, and named in the report.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from nodeagent.checks import firmware, inits, kernel, rmp, silicon
from nodeagent.checks.answer import Answer, Gap, Hit, Miss
from nodeagent.model.codes import Code
from nodeagent.model.facts import Facts
from nodeagent.model.seen import Unreadable
from nodeagent.model.words import Level


class Row(NamedTuple):
    """`facet` is the check that shows this row; several rows may share one."""

    number: str
    code: Code
    facet: str
    test: Callable[[Facts], Answer]


class Facet(NamedTuple):
    """A part of a level that a person can look at by itself.

    `holds` where no matching row is no proof yet: the kernel may never have come so far.
    """

    level: Level
    wants: str
    is_kernel: bool = False
    holds: Callable[[Facts], bool] | None = None


FACETS: Mapping[str, Facet] = {
    "snp.bare_metal": Facet(Level.CAPABLE, "bare metal"),
    "snp.vendor": Facet(Level.CAPABLE, "an AMD CPU"),
    "snp.generation": Facet(Level.CAPABLE, "EPYC 7003 (Milan) or newer"),
    "snp.cpus_agree": Facet(Level.ENABLED, "the same registers on every online CPU"),
    "snp.smee": Facet(Level.ENABLED, "SYSCFG[23] = 1 and HWCR[0] = 1"),
    "snp.visible": Facet(Level.ENABLED, "CPUID 0x8000001f EAX[4] = 1"),
    "snp.rmp.reserved": Facet(Level.ENABLED, "memory reserved for the RMP, and sane"),
    "snp.rmp.coverage": Facet(Level.ENABLED, "an RMP that covers all memory"),
    "snp.iommu": Facet(
        Level.ENABLED, "an IOMMU that translates and supports SNP", holds=kernel.came_to_iommu
    ),
    "snp.kvm": Facet(
        Level.ENABLED, "kvm_amd.sev_snp = Y", is_kernel=True, holds=kernel.snp_offered
    ),
    "kvm.device": Facet(Level.ENABLED, "/dev/kvm"),
    "snp.asids": Facet(Level.ENABLED, "ASIDs for SEV-ES and SNP guests"),
    "snp.psp": Facet(Level.ENABLED, "a PSP that answers"),
    "snp.init": Facet(Level.ENABLED, "no failed INIT in this boot's log"),
    "snp.api": Facet(Level.ENABLED, "SEV firmware API 1.51 or newer"),
    "snp.kernel": Facet(
        Level.ENABLED, "SYSCFG[24] = 1 on every CPU", is_kernel=True, holds=kernel.enabled_snp
    ),
    "snp.state": Facet(
        Level.ENABLED, "PSP state INIT, RMP initialised", holds=firmware.snp_running
    ),
}

ROWS: tuple[Row, ...] = (
    Row("1", Code.RUNNING_IN_VM, "snp.bare_metal", silicon.in_vm),
    Row("2", Code.NOT_AMD, "snp.vendor", silicon.not_amd),
    Row("3", Code.CPU_TOO_OLD, "snp.generation", silicon.too_old),
    Row("3b", Code.CPU_INCONSISTENT, "snp.cpus_agree", silicon.inconsistent),
    Row("4", Code.BIOS_SMEE_OFF, "snp.smee", silicon.smee_off),
    Row("5", Code.BIOS_SNP_INCOMPLETE, "snp.init", inits.incomplete),
    Row("6", Code.BIOS_SNP_HIDDEN, "snp.visible", silicon.hidden),
    Row("7", Code.BIOS_RMP_NOT_RESERVED, "snp.rmp.reserved", rmp.not_reserved),
    Row("8", Code.BIOS_RMP_INVALID, "snp.rmp.reserved", rmp.invalid),
    Row("9", Code.BIOS_RMP_TOO_SMALL, "snp.rmp.coverage", rmp.too_small),
    Row("10", Code.BIOS_RMP_SEGMENT_BAD, "snp.rmp.reserved", rmp.segment_bad),
    Row("11", Code.IOMMU_PASSTHROUGH_OR_OFF, "snp.iommu", kernel.iommu_passthrough),
    Row("12", Code.IOMMU_V2_PGTABLE, "snp.iommu", kernel.iommu_v2),
    Row("13", Code.BIOS_IOMMU_SNP_OFF, "snp.iommu", kernel.iommu_snp_off),
    Row("14", Code.BIOS_IOMMU_OFF, "snp.iommu", kernel.iommu_off),
    Row("15", Code.RMP_INIT_FAILED, "snp.iommu", kernel.rmp_init_failed),
    Row("16", Code.KVM_AMD_NOT_LOADED, "snp.kvm", kernel.kvm_not_loaded),
    Row("16b", Code.KVM_DEVICE_MISSING, "kvm.device", kernel.no_kvm_device),
    Row("17", Code.KERNEL_NO_SNP_HOST, "snp.kvm", kernel.no_snp_host),
    Row("18", Code.KVM_PARAM_DISABLED, "snp.kvm", kernel.param_disabled),
    Row("19", Code.BIOS_NO_ES_ASIDS, "snp.asids", kernel.no_es_asids),
    Row("19b", Code.PSP_DEAD, "snp.psp", firmware.psp_dead),
    Row("19c", Code.SEV_ES_UNAVAILABLE, "snp.psp", firmware.tmr_failed),
    Row("20", Code.SNP_INIT_INVALID_CONFIG, "snp.init", inits.invalid_config),
    Row("21", Code.SNP_INIT_FAILED, "snp.init", inits.alone),
    Row("22", Code.SNP_INIT_WBINVD, "snp.init", inits.wbinvd),
    Row("22b", Code.SNP_INIT_FAILED, "snp.init", inits.other_error),
    Row("23", Code.SEV_FW_TOO_OLD, "snp.api", firmware.api_too_old),
    Row("24", Code.KERNEL_SNP_NOT_ENABLED, "snp.kernel", kernel.snp_not_enabled),
    Row("25", Code.KVM_SNP_DISABLED_AFTER_INIT, "snp.kvm", kernel.disabled_after_init),
    Row("26", Code.SNP_STATE_LOST, "snp.state", firmware.state_lost),
)

BEFORE_KERNEL = frozenset({"4", "5", "6", "7", "8", "9", "10", "11", "12", "13"})
INFERRED = frozenset({"7", "8", "9", "10", "19"})
"""What the registers should mean for SNP. Whoever started SNP has tried it."""


class Answered(NamedTuple):
    """A row with its answer. `overruled`: what it saw, though SNP runs all the same."""

    row: Row
    answer: Answer
    overruled: Hit | None = None

    @property
    def code(self) -> Code:
        hit = self.overruled or self.answer
        return hit.code if isinstance(hit, Hit) and hit.code else self.row.code


def answers(facts: Facts, rows: tuple[Row, ...] = ROWS) -> tuple[Answered, ...]:
    """Every row's own answer, in order. Row 24 presumes that rows 4–13 are clean."""
    answered = tuple(_weighed(facts, Answered(row, row.test(facts))) for row in rows)
    unclear = next(
        (
            each.answer
            for each in answered
            if each.row.number in BEFORE_KERNEL and not isinstance(each.answer, Miss)
        ),
        None,
    )
    if unclear is None:
        return answered
    # An explanation that was found, or could not be looked for, leaves nothing unexplained.
    instead = unclear if isinstance(unclear, Gap) else Miss()
    return tuple(
        Answered(each.row, instead)
        if each.row.number == "24" and isinstance(each.answer, Hit)
        else each
        for each in answered
    )


def _weighed(facts: Facts, each: Answered) -> Answered:
    """An inferred row against who must know better: KVM that offers SNP, and the PSP behind it.

    A departure from the bare order of snp-host.md §2.3. Where the PSP cannot be heard, KVM's
    `Y` is enough once KVM asks the PSP itself; before that it may lie, and nobody can tell.
    """
    if each.row.number not in INFERRED or not isinstance(each.answer, Hit):
        return each
    offered, silent = facts.kernel.parameter("kvm_amd.sev_snp"), firmware.unheard(facts)
    if isinstance(offered, Unreadable):
        return Answered(each.row, Gap(offered))
    if not kernel.snp_offered(facts):
        return each
    if firmware.snp_running(facts) or (silent and kernel.offers_for_certain(facts)):
        return Answered(each.row, Miss(), overruled=each.answer)
    return Answered(each.row, Gap(silent)) if silent else each


def first(answered: tuple[Answered, ...]) -> Answered | None:
    """The row that decides."""
    return next((each for each in answered if isinstance(each.answer, Hit)), None)
