"""Rows 11–19, 24, 25: the IOMMU as the kernel runs it, KVM, and their options."""

from nodeagent.checks.answer import (
    Answer,
    Gap,
    Hit,
    Miss,
    any_heard,
    either,
    gap,
    logged,
    shown,
)
from nodeagent.checks.options import CMDLINE, closed, in_force, truth, words
from nodeagent.checks.silicon import identity, snp_enable
from nodeagent.model.codes import Code
from nodeagent.model.cpu import SevLeaf
from nodeagent.model.facts import Facts
from nodeagent.model.host import KVM_ASKS_PSP, KVM_ENABLES_SNP, KernelLog, LogEvent, SnpStatus
from nodeagent.model.seen import Unreadable
from nodeagent.model.text import printable

_ON = frozenset({"Y", "1"})
_SNP = "kvm_amd.sev_snp"
_IOMMU_WORDS = {"pt": True, "nopt": False, "off": True}
_DISABLING = frozenset(
    {
        "kvm_amd.sev",
        "kvm_amd.sev_es",
        "kvm_amd.sev_snp",
        "kvm_amd.npt",
        "kvm_amd.lbrv",
        "kvm.mmio_caching",
    }
)
_PSP_DRIVER = ("CONFIG_CRYPTO_DEV_CCP", "CONFIG_CRYPTO_DEV_CCP_DD", "CONFIG_CRYPTO_DEV_SP_PSP")
_NEEDED_BY_SEV = ("kvm_amd.npt", "kvm_amd.lbrv", "kvm.mmio_caching")


def snp_offered(facts: Facts) -> bool:
    return facts.kernel.parameter(_SNP) in _ON


def offers_for_certain(facts: Facts) -> bool:
    """KVM's `Y` where it is proof by itself (snp-host.md §3.3)."""
    return snp_offered(facts) and (facts.kernel.version or (0, 0)) >= KVM_ASKS_PSP


def came_to_iommu(facts: Facts) -> bool:
    """Whether the kernel ever asked the IOMMU about SNP: without the RMP it does not."""
    return snp_offered(facts) or snp_enable(facts) is True or bool(snp_flag(facts))


def enabled_snp(facts: Facts) -> bool:
    """Seen in the register, or where that is closed, in what only works with it."""
    on = snp_enable(facts)
    return snp_offered(facts) if isinstance(on, Gap) else on


def passthrough_word(facts: Facts) -> str | None:
    """The command line word that takes the IOMMU away; a later word undoes an earlier one."""
    guilty: dict[str, str | None] = {}
    for word in words(facts):
        name, _, value = word.partition("=")
        for part in value.lower().split(","):
            effect = _takes_iommu(name, part)
            if effect is not None:
                guilty["amd" if name == "amd_iommu" else "iommu"] = word if effect else None
    return next((word for word in guilty.values() if word), None)


def _takes_iommu(name: str, value: str) -> bool | None:
    """Whether an option takes translation away or gives it; None: it does neither."""
    match name:
        case "iommu":
            return _IOMMU_WORDS.get(value)
        case "iommu.passthrough":
            return truth(value)
        case "amd_iommu" if value == "off":
            return True
        case _:
            return None


def iommu_passthrough(facts: Facts) -> Answer:
    """Row 11. Also where the log is closed: these words alone make the kernel refuse SNP."""
    told = logged(facts.log, "iommu_passthrough")
    cause, because = _passthrough_cause(facts)
    if isinstance(told, Hit):
        return Hit(f"{because}; {told.seen}" if because else told.seen, told.where, cause)
    if cause is Code.IOMMU_OPTION and not snp_offered(facts):
        return Hit(because, CMDLINE, cause)
    return told if isinstance(told, Gap) and not snp_offered(facts) else Miss()


def _passthrough_cause(facts: Facts) -> tuple[Code | None, str]:
    """Who took the IOMMU away; nobody is named where an input that could tell is closed."""
    word = passthrough_word(facts)
    if word:
        return Code.IOMMU_OPTION, f"the kernel command line has {printable(word)}"
    default = config_option(facts, "CONFIG_IOMMU_DEFAULT_PASSTHROUGH")
    if default is None or not isinstance(facts.kernel.cmdline, tuple):
        return None, ""
    if default == "y":
        seen = "this kernel was built with CONFIG_IOMMU_DEFAULT_PASSTHROUGH=y"
        return Code.IOMMU_KERNEL_DEFAULT, seen
    return Code.BIOS_IOMMU_OFF, "no option asks for it, so the IOMMU is off in the BIOS"


def iommu_v2(facts: Facts) -> Answer:
    """Row 12."""
    told = logged(facts.log, "iommu_v2")
    if isinstance(told, Hit):
        return told
    guilty = [
        word
        for word in words(facts)
        if word.startswith("amd_iommu=") and "pgtbl_v2" in word.partition("=")[2].split(",")
    ]
    if guilty and not snp_offered(facts):
        return Hit(f"the kernel command line has {printable(guilty[-1])}", CMDLINE)
    return told if isinstance(told, Gap) and not snp_offered(facts) else Miss()


def iommu_snp_off(facts: Facts) -> Answer:
    """Row 13."""
    return _unless_offered(facts, logged(facts.log, "iommu_snp_off"))


def iommu_off(facts: Facts) -> Answer:
    """Row 14. No group, and the IOMMU's driver never spoke."""
    groups = facts.iommu.groups
    if isinstance(groups, Unreadable):
        return Gap(groups)
    if groups:
        return Miss(f"{len(groups)} IOMMU groups")
    if not isinstance(facts.log, KernelLog):
        return gap("kernel log", facts.log)
    if facts.log.first("amd_vi"):
        return Miss("the IOMMU's driver is there, without groups")
    if not facts.log.whole:
        return gap("kernel log", None, absent="it no longer reaches back to the boot")
    return Hit("no IOMMU group, and no AMD-Vi line in the kernel log", "/sys/kernel/iommu_groups")


def rmp_init_failed(facts: Facts) -> Answer:
    """Row 15."""
    return _unless_offered(facts, logged(facts.log, "rmp_init_failed"))


def _unless_offered(facts: Facts, told: Answer) -> Answer:
    """Where KVM offers SNP the IOMMU accepted it: then a closed log hides nothing."""
    return Miss() if isinstance(told, Gap) and snp_offered(facts) else told


def kvm_not_loaded(facts: Facts) -> Answer:
    """Row 16. The log says where SVM itself is off in the BIOS."""
    loaded = facts.kernel.is_loaded("kvm_amd")
    if isinstance(loaded, Unreadable):
        return Gap(loaded)
    if loaded:
        return Miss("kvm_amd is loaded")
    svm = logged(facts.log, "svm_off")
    if isinstance(svm, Hit):
        return Hit(svm.seen, svm.where, code=Code.BIOS_SVM_OFF)
    seen, cause = unbuilt(facts, "CONFIG_KVM", "CONFIG_KVM_AMD")
    return Hit(f"kvm_amd is not loaded{seen}", "/sys/module", cause)


def no_kvm_device(facts: Facts) -> Answer:
    """Row 16b. What opens every VM; who may not open it knows no more than that."""
    loaded = facts.kernel.is_loaded("kvm_amd")
    if isinstance(loaded, Unreadable):
        return Gap(loaded)
    if loaded is not True:
        return Miss()
    kvm = facts.kernel.kvm
    if isinstance(kvm, Unreadable):
        return Gap(kvm)
    if kvm is None:
        return Hit("kvm_amd is loaded, and there is no /dev/kvm", "/dev/kvm")
    return Miss(f"KVM API {kvm.api}")


def no_snp_host(facts: Facts) -> Answer:
    """Row 17. The parameter's presence decides; the version only words the advice."""
    if facts.kernel.is_loaded("kvm_amd") is not True:
        return Miss()
    value = facts.kernel.parameter(_SNP)
    if isinstance(value, Unreadable):
        return Gap(value)
    if value is not None:
        return Miss(f"its parameter sev_snp is {printable(value, 20)}")
    release = facts.kernel.release
    name = f"kernel {printable(release, 40)}" if isinstance(release, str) else "this kernel"
    without, cause = unbuilt(facts, "CONFIG_KVM_AMD_SEV", *_PSP_DRIVER)
    seen = f"kvm_amd of {name} has no parameter sev_snp{without}"
    return Hit(seen, "/sys/module/kvm_amd/parameters", cause)


def config_option(facts: Facts, name: str) -> str | None:
    """An option of the running kernel; `n` where it is not set, None where nobody can tell."""
    config = facts.kernel.config
    if config is None or isinstance(config, Unreadable):
        return None
    return config.get(name, "n")


def unbuilt(facts: Facts, *names: str) -> tuple[str, Code | None]:
    """Which of these options the kernel was built without: as words to add, and as a cause."""
    missing = [name for name in names if config_option(facts, name) == "n"]
    if not missing:
        return "", None
    return f": this kernel was built without {' and '.join(missing)}", Code.KERNEL_CONFIG


def param_disabled(facts: Facts) -> Answer:
    """Row 18. Only where KVM does not offer SNP: a later word may have undone an earlier."""
    if snp_offered(facts):
        return Miss("kvm_amd offers SEV-SNP")
    return either(_off_by_option(facts), _off_as_it_runs(facts))


def _off_by_option(facts: Facts) -> Answer:
    """No option is blamed where what could have undone it cannot be read."""
    off = [
        option
        for option in in_force(facts).values()
        if option.name in _DISABLING and truth(option.value) is False
    ]
    unread = closed(facts)
    if off and (unread is None or off[-1].where == CMDLINE):
        return Hit(off[-1].seen, off[-1].where)
    return Gap(unread) if unread else Miss("no option turns SEV off")


def _off_as_it_runs(facts: Facts) -> Answer:
    """KVM overwrites these with what it could have, whoever asked for it or not."""
    for name in _NEEDED_BY_SEV:
        if facts.kernel.parameter(name) in {"N", "0"}:
            where = f"/sys/module/{name.replace('.', '/parameters/')}"
            return Hit(f"{name} is off, and SEV needs it", where)
    return Miss()


def no_es_asids(facts: Facts) -> Answer:
    """Row 19. CPUID EDX = 1 leaves no ASID for ES and SNP guests; so says the misc cgroup."""
    return any_heard(_asid_leaf(facts), _asid_capacity(facts), _asid_log(facts))


def _asid_log(facts: Facts) -> Answer:
    """KVM's own last word: `unusable` says that the range of ASIDs is empty."""
    log = facts.log
    if not isinstance(log, KernelLog):
        return gap("kernel log", log)
    said = {each.fields["what"]: each for each in log.of("kvm_asids")}
    snp, es = said.get("SNP"), said.get("ES")
    if snp:
        return _unusable(snp, log)
    offered = facts.kernel.parameter("kvm_amd.sev_snp")
    if es is None or offered in {"Y", "1"}:
        # With ciphertext hiding SEV-ES may have no ASIDs left, and SNP all of them.
        return Miss()
    return Gap(offered) if isinstance(offered, Unreadable) else _unusable(es, log)


def _unusable(event: LogEvent, log: KernelLog) -> Answer:
    if event.fields["state"] != "unusable":
        return Miss()
    return Hit(f"the kernel says: {shown(event)}", log.origin)


def _asid_leaf(facts: Facts) -> Answer:
    leaf = facts.cpus.sev_leaf
    if not isinstance(leaf, SevLeaf):
        return gap("CPUID 0x8000001f", leaf, absent="the cpuid module is not loaded")
    if leaf.min_sev_asid == 1:
        return Hit("CPUID 0x8000001f EDX is 1: every ASID goes to SEV without ES", "CPUID")
    return Miss(f"ASIDs 1-{max(leaf.min_sev_asid - 1, 0)} for SEV-ES and SNP guests")


def _asid_capacity(facts: Facts) -> Answer:
    capacity = facts.kernel.misc_capacity
    if capacity is None or isinstance(capacity, Unreadable):
        return gap("/sys/fs/cgroup/misc.capacity", capacity)
    if capacity.get("sev_es"):
        return Miss(f"{capacity['sev_es']} ASIDs for SEV-ES and SNP guests")
    if facts.kernel.parameter("kvm_amd.sev") in _ON:
        return Hit("misc.capacity has no sev_es ASIDs", "/sys/fs/cgroup/misc.capacity")
    return Miss()


def es_capacity(facts: Facts) -> int | None:
    """ASIDs that an SNP guest could take; None where nothing tells."""
    capacity = facts.kernel.misc_capacity
    if capacity is not None and not isinstance(capacity, Unreadable):
        return capacity.get("sev_es", 0)
    leaf = facts.cpus.sev_leaf
    if isinstance(leaf, SevLeaf):
        return max(leaf.min_sev_asid - 1, 0)
    return None


def snp_not_enabled(facts: Facts) -> Answer:
    """Row 24. The register is off though nothing before it explains why.

    From 7.1 on the kernel enables SNP only when kvm_amd loads, and row 16 has that case.
    """
    on = snp_enable(facts)
    if isinstance(on, Gap):
        return Miss("KVM runs SNP, which needs it") if _runs_snp(facts) else on
    if on:
        return Miss("SYSCFG[24] is 1 on every CPU")
    version = facts.kernel.version
    if facts.kernel.is_loaded("kvm_amd") is not True:
        if version is None:
            return gap("uname", facts.kernel.release, absent="names no version")
        if version >= KVM_ENABLES_SNP:
            return Miss("SYSCFG[24] is 0 until kvm_amd loads")
    without, cause = unbuilt(facts, "CONFIG_AMD_IOMMU", "CONFIG_KVM_AMD_SEV")
    seen = f"SYSCFG[24] is 0, the kernel has not enabled SNP{without}"
    return Hit(seen, "MSR 0xc0010010", cause)


def _runs_snp(facts: Facts) -> bool:
    """KVM offers SNP, and that is more than its own word."""
    if not snp_offered(facts):
        return False
    said = isinstance(facts.log, KernelLog) and bool(facts.log.first("snp_api"))
    running = isinstance(facts.psp.snp, SnpStatus) and facts.psp.snp.running
    return said or running or offers_for_certain(facts)


def disabled_after_init(facts: Facts) -> Answer:
    """Row 25. Everything below KVM is on, no option asks for it, and KVM still says no."""
    if facts.kernel.parameter(_SNP) not in {"N", "0"}:
        return Miss()
    asked = param_disabled(facts)
    if isinstance(asked, Gap):
        return asked
    on = snp_enable(facts)
    if isinstance(on, Gap):
        return on
    if on and isinstance(facts.kernel.misc_capacity, Unreadable):
        return Gap(facts.kernel.misc_capacity)
    if on and es_capacity(facts):
        return Hit("SYSCFG[24] is 1 and there are ASIDs, but kvm_amd has sev_snp=N", "/sys/module")
    return Miss()


def snp_flag(facts: Facts) -> bool | None:
    cpu = identity(facts)
    return None if isinstance(cpu, Gap) else "sev_snp" in cpu.flags
