"""One row of the decision table each: a delta that makes that row's observation true.

Laid over the ready host a fragment touches the row's own input, and another only where the one
cannot be so without the other. Two can be laid over each other, and the earlier row must win.
The hosts they make need not be likely: for hosts as they occur see `recipes`.
"""

from collections.abc import Mapping
from dataclasses import replace

from tests.hosts import base
from tests.hosts.draft import HWCR, RMP_BASE, RMP_END, SYSCFG, Delta, Draft
from tests.hosts.kernels import SEV_INIT_NEW, SEV_INIT_OLD, SNP_INIT_NEW, SNP_INIT_OLD

_NO = "SNP cannot be supported."


def _says(text: str) -> Delta:
    return lambda draft: draft.say(text, level=3)


def _switched_off(token: str | None) -> Delta:
    """An option that took effect: where KVM has the parameter, it reads N."""

    def delta(draft: Draft) -> None:
        if token is None:
            draft.put("/etc/modprobe.d/kvm.conf", "options kvm_amd sev_snp=0")
        else:
            draft.cmdline.append(token)
        _kvm_says_no(draft)

    return delta


def _runs_without_npt(draft: Draft) -> None:
    """No option asks for it, and yet KVM could not have it."""
    draft.param("kvm_amd", "npt", "N")
    _kvm_says_no(draft)


def _in_vm(draft: Draft) -> None:
    draft.flags(add=("hypervisor",))
    draft.leaf("0x1", ecx=draft.cpuid["0x1"][2] | 1 << 31)


def _not_amd(draft: Draft) -> None:
    draft.cpu = replace(draft.cpu, vendor="GenuineIntel")
    for leaf in ("0x0", "0x80000000"):
        draft.leaf(leaf, ebx=0x756E6547, ecx=0x6C65746E, edx=0x49656E69)


def _too_old(draft: Draft) -> None:
    draft.cpu = replace(draft.cpu, family=23, model=49)
    for leaf in ("0x1", "0x80000001"):
        draft.leaf(leaf, eax=0x00830F10)


def _inconsistent(draft: Draft) -> None:
    """In a register whose common value no other row sets to this one."""
    draft.wrmsr(RMP_END, 0x963FFFFF, cpu=7)


def _smee_off(draft: Draft) -> None:
    draft.wrmsr(SYSCFG, draft.rdmsr(SYSCFG) & ~(1 << 23))


def _smm_unlocked(draft: Draft) -> None:
    """Row 4 in its other shape: no `sev` flag, encryption on, SMM not locked."""
    draft.flags(drop=("sev", "sev_es", "sev_snp"))
    draft.wrmsr(HWCR, draft.rdmsr(HWCR) & ~1)


def _no_flag_no_msr(draft: Draft) -> None:
    """Where SYSCFG can be read it knows better than the flag, so it must not be readable."""
    draft.flags(drop=("sev", "sev_es", "sev_snp"))
    del draft.msr[SYSCFG], draft.msr[HWCR]


def _hidden(draft: Draft) -> None:
    draft.flags(drop=("sev_snp",))  # the kernel takes it from the same bit
    draft.leaf("0x8000001f", eax=draft.cpuid["0x8000001f"][0] & ~(1 << 4))


def _not_reserved(draft: Draft) -> None:
    draft.wrmsr(RMP_BASE, 0)
    draft.wrmsr(RMP_END, 0x1FFF)


def _too_small(draft: Draft) -> None:
    draft.put("/proc/zoneinfo", base.zoneinfo(0x10080000))


def _passthrough(draft: Draft) -> None:
    draft.say(f"AMD-Vi: SNP: IOMMU disabled or configured in passthrough mode, {_NO}", level=3)
    draft.cmdline.append("iommu=pt")


def _v2_tables(draft: Draft) -> None:
    draft.say(f"AMD-Vi: SNP: IOMMU is configured with V2 page table mode, {_NO}", level=3)
    draft.cmdline.append("amd_iommu=pgtbl_v2")


def _no_iommu(draft: Draft) -> None:
    draft.unsay("AMD-Vi")
    draft.remove("/sys/kernel/iommu_groups")
    for path in [p for p in draft.links if p.endswith("/iommu_group")]:
        del draft.links[path]


def _kvm_amd_gone(draft: Draft) -> None:
    draft.remove("/sys/module/kvm_amd")
    modules = draft.text("/proc/modules") or ""
    kept = [line for line in modules.splitlines() if not line.startswith("kvm_amd ")]
    draft.put("/proc/modules", "\n".join(kept))


def _no_parameter(draft: Draft) -> None:
    draft.remove("/sys/module/kvm_amd/parameters/sev_snp")


def _no_es(draft: Draft) -> None:
    draft.leaf("0x8000001f", edx=1)


def _es_unusable(draft: Draft) -> None:
    draft.unsay("SEV-SNP enabled (ASIDs")
    draft.swap("SEV-ES enabled", "kvm_amd: SEV-ES unusable (ASIDs 1 - 0)")
    _kvm_says_no(draft)


def _old_firmware(draft: Draft) -> None:
    """Wherever the API version shows: both status commands and both log lines."""
    for command in ("platform_status", "snp_platform_status"):
        reply = draft.sev[command]
        if isinstance(reply, dict):
            draft.sev[command] = {"hex": str(reply["hex"]).replace("0137", "0131", 1)}
    for kind in ("SEV-SNP", "SEV"):
        draft.swap(f"{kind} API", f"ccp {base.PSP}: {kind} API:1.49 build:40", level=6)


def _not_set(draft: Draft) -> None:
    draft.wrmsr(SYSCFG, draft.rdmsr(SYSCFG) & ~(1 << 24 | 1 << 25))


def _kvm_says_no(draft: Draft) -> None:
    if draft.text("/sys/module/kvm_amd/parameters/sev_snp") is not None:
        draft.param("kvm_amd", "sev_snp", "N")


def _lost(draft: Draft) -> None:
    reply = draft.sev["snp_platform_status"]
    if isinstance(reply, dict):
        text = str(reply["hex"])
        draft.sev["snp_platform_status"] = {"hex": text[:4] + "0002" + text[8:]}


def _nothing(_: Draft) -> None:
    """The ready host is row 27 as it stands."""


def _down(delta: Delta) -> Delta:
    """The observation, on a host whose PSP does not say that SNP runs."""

    def both(draft: Draft) -> None:
        delta(draft)
        _lost(draft)

    return both


# What registers and lines seem to say of SNP, whether it runs or not.
INFERRED: Mapping[str, Delta] = {
    "7": _not_reserved,
    "8": _says("SEV-SNP: RMP configuration not valid: base=0x96300000, end=0x15afffff"),
    "9": _too_small,
    "10": _says(
        "SEV-SNP: RMP segment size (44) is not within advertised bounds (min: 36, max: 40)"
    ),
    "19": _no_es,
}

# In the order of the table (snp-host.md §2.3): the first that matches wins.
FRAGMENTS: Mapping[str, Delta] = {
    "1": _in_vm,
    "2": _not_amd,
    "3": _too_old,
    "3b": _inconsistent,
    "4": _smee_off,
    "5": _says(SNP_INIT_NEW.format(error="0x13")),
    "6": _hidden,
    "7": _down(INFERRED["7"]),
    "8": _down(INFERRED["8"]),
    "9": _down(INFERRED["9"]),
    "10": _down(INFERRED["10"]),
    "11": _passthrough,
    "12": _v2_tables,
    "13": _says(f"AMD-Vi: SNP: IOMMU SNP feature not enabled, {_NO}"),
    "14": _no_iommu,
    "15": _says(f"AMD-Vi: SNP: RMP initialization failed, {_NO}"),
    "16": _kvm_amd_gone,
    "16b": lambda draft: draft.remove("/dev/kvm"),
    "17": _no_parameter,
    "18": _switched_off(None),
    "19": _down(INFERRED["19"]),
    "19b": _says(f"ccp {base.PSP}: sev command 0x81 timed out, disabling PSP"),
    "19c": _says(f"ccp {base.PSP}: SEV: TMR allocation failed, SEV-ES support unavailable"),
    "20": _says(SNP_INIT_NEW.format(error="0x3")),
    "21": _says(SEV_INIT_NEW.format(error="0x1")),
    "22": _says(SNP_INIT_NEW.format(error="0xe")),
    "22b": _says(SNP_INIT_NEW.format(error="0x26")),
    "23": _old_firmware,
    "24": _not_set,
    "25": _kvm_says_no,
    "26": _lost,
    "27": _nothing,
}

# The same observation by another of the witnesses that its row names.
OTHER_WITNESS: Mapping[str, Mapping[str, Delta]] = {
    "4": {
        "no sev flag": _no_flag_no_msr,
        "log": _says(f"ccp {base.PSP}: SEV: memory encryption not enabled by BIOS"),
    },
    "5": {"old wording": _says(SNP_INIT_OLD.format(error="0x13"))},
    "7": {"log": _down(_says("SEV-SNP: Memory for the RMP table has not been reserved by BIOS"))},
    "9": {
        "log": _down(
            _says(
                "SEV-SNP: Memory reserved for the RMP table does not cover full system RAM "
                "(expected 0x100804000 got 0x80900000)"
            )
        ),
        "log, segmented": _down(_says("SEV-SNP: Segmented RMP does not cover full system RAM")),
    },
    "12": {"command line": _switched_off("amd_iommu=pgtbl_v2")},
    "18": {
        "sev": _switched_off("kvm_amd.sev=0"),
        "sev-es, with a dash": _switched_off("kvm-amd.sev-es=0"),
        "npt": _switched_off("kvm_amd.npt=0"),
        "lbrv": _switched_off("kvm_amd.lbrv=0"),
        "mmio_caching": _switched_off("kvm.mmio_caching=0"),
        "npt as it runs": _runs_without_npt,
    },
    "19": {
        "misc.capacity": _down(lambda draft: draft.asids(sev=1006, es=None)),
        "log": _down(_says("kvm_amd: SEV-SNP unusable (ASIDs 1 - 0)")),
        "log, before SNP has a line": _es_unusable,
    },
    "20": {
        "old wording": _says(SNP_INIT_OLD.format(error="0x3")),
        "without EX": _says(f"ccp {base.PSP}: SEV-SNP: SNP_INIT failed rc -5, error 0x3"),
        "7.2": _says(
            f"ccp {base.PSP}: SEV-SNP: SNP init failed: not all CPUs online. "
            "(0-95 online <-> 0-191 present masks)."
        ),
    },
    "21": {"old wording": _says(SEV_INIT_OLD.format(error="0x1"))},
    "22": {
        "old wording": _says(SNP_INIT_OLD.format(error="0xE")),
        "by SEV": _says(SEV_INIT_NEW.format(error="0xe")),
    },
}

# A row that gives another code where a second input says so.
OTHER_CODE: Mapping[str, tuple[str, Delta]] = {"4": ("BIOS_SMM_UNLOCKED", _smm_unlocked)}

CODES: Mapping[str, str] = {
    "1": "RUNNING_IN_VM",
    "2": "NOT_AMD",
    "3": "CPU_TOO_OLD",
    "3b": "CPU_INCONSISTENT",
    "4": "BIOS_SMEE_OFF",
    "5": "BIOS_SNP_INCOMPLETE",
    "6": "BIOS_SNP_HIDDEN",
    "7": "BIOS_RMP_NOT_RESERVED",
    "8": "BIOS_RMP_INVALID",
    "9": "BIOS_RMP_TOO_SMALL",
    "10": "BIOS_RMP_SEGMENT_BAD",
    "11": "IOMMU_PASSTHROUGH_OR_OFF",
    "12": "IOMMU_V2_PGTABLE",
    "13": "BIOS_IOMMU_SNP_OFF",
    "14": "BIOS_IOMMU_OFF",
    "15": "RMP_INIT_FAILED",
    "16": "KVM_AMD_NOT_LOADED",
    "16b": "KVM_DEVICE_MISSING",
    "17": "KERNEL_NO_SNP_HOST",
    "18": "KVM_PARAM_DISABLED",
    "19": "BIOS_NO_ES_ASIDS",
    "19b": "PSP_DEAD",
    "19c": "SEV_ES_UNAVAILABLE",
    "20": "SNP_INIT_INVALID_CONFIG",
    "21": "SNP_INIT_FAILED",
    "22": "SNP_INIT_WBINVD",
    "22b": "SNP_INIT_FAILED",
    "23": "SEV_FW_TOO_OLD",
    "24": "KERNEL_SNP_NOT_ENABLED",
    "25": "KVM_SNP_DISABLED_AFTER_INIT",
    "26": "SNP_STATE_LOST",
    "27": "SNP_ENABLED",
}

_SAYS_AMD_VI = "14 needs a log without AMD-Vi, the other is such a line"
_MODULE_AND_NOT = "the module is loaded in one, not in the other"
_ONE_PARAMETER = "one value of kvm_amd.sev_snp"

_NOT_ASKED = "after a failure in the log the PSP is not asked for its SNP state"
_CAPABLE = "6 is about parts that have SNP"

# What no host can show at once.
IMPOSSIBLE: Mapping[frozenset[str], str] = {
    frozenset({"11", "14"}): _SAYS_AMD_VI,
    frozenset({"12", "14"}): _SAYS_AMD_VI,
    frozenset({"13", "14"}): _SAYS_AMD_VI,
    frozenset({"14", "15"}): _SAYS_AMD_VI,
    frozenset({"16", "16b"}): _MODULE_AND_NOT,
    frozenset({"16", "17"}): _MODULE_AND_NOT,
    frozenset({"16", "25"}): _MODULE_AND_NOT,
    frozenset({"16", "26"}): _MODULE_AND_NOT,
    frozenset({"16", "27"}): _MODULE_AND_NOT,
    frozenset({"17", "25"}): _ONE_PARAMETER,
    frozenset({"17", "26"}): _ONE_PARAMETER,
    frozenset({"17", "27"}): _ONE_PARAMETER,
    frozenset({"18", "26"}): _ONE_PARAMETER,
    frozenset({"18", "27"}): _ONE_PARAMETER,
    frozenset({"25", "26"}): _ONE_PARAMETER,
    frozenset({"25", "27"}): _ONE_PARAMETER,
    frozenset({"24", "25"}): "SYSCFG[24] is 0 in one, 1 in the other",
    frozenset({"26", "27"}): "one state of the PSP",
    frozenset({"21", "22"}): "21 is error 0x1 alone",
    frozenset({"21", "22b"}): "21 is error 0x1 alone",
    frozenset({"22b", "26"}): _NOT_ASKED,
    frozenset({"2", "6"}): _CAPABLE,
    frozenset({"3", "6"}): _CAPABLE,
    frozenset({"5", "26"}): _NOT_ASKED,
    frozenset({"19b", "26"}): _NOT_ASKED,
    frozenset({"20", "26"}): _NOT_ASKED,
    frozenset({"21", "26"}): _NOT_ASKED,
    frozenset({"22", "26"}): _NOT_ASKED,
}
