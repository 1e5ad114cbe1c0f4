"""The report as data, by the schema in nodeagent/data/report.schema.json."""

from typing import Any

from nodeagent.model.cpu import CpuIdentity
from nodeagent.model.facts import Facts
from nodeagent.model.findings import Finding, Judgement
from nodeagent.model.policy import Accepted

VERSION = 1


def document(judgement: Judgement, facts: Facts, *, wanted_by: str = "") -> dict[str, Any]:
    """Plain values only: strings, numbers, lists and objects.

    `wanted_by`: who asked the agent of this host for the mode, where that is what counts.
    """
    source = facts.source
    return {
        "version": VERSION,
        "verdict": judgement.ready.value,
        "profile": judgement.profile.value,
        "wanted_mode": judgement.wanted.value if judgement.wanted else None,
        **({"wanted_by": safe(wanted_by)} if wanted_by else {}),
        "root": _finding(judgement.root) if judgement.root else None,
        "todo": [_finding(each) for each in judgement.todo],
        "levels": {
            level.value: {
                "verdict": each.verdict.value,
                "confidence": each.confidence.value,
                "says": safe(each.says),
                "required": each.required,
                **({"accepted": True} if each.counts is not each.verdict else {}),
            }
            for level, each in judgement.levels.items()
        },
        "findings": [_finding(each) for each in judgement.findings],
        "values": _values(judgement),
        "source": {
            "where": safe(source.where),
            "simulated": source.simulated,
            "note": safe(source.note),
            "boot_id": _word(facts.boot_id),
        },
        "host": _host(facts),
        "root_adds": judgement.root_adds,
        "notes": [safe(note) for note in judgement.notes],
        **({"lapsed": [_accepted(each) for each in judgement.lapsed]} if judgement.lapsed else {}),
    }


def _host(facts: Facts) -> dict[str, str | None]:
    """Which machine it is, as far as a name of its kind goes; null where nothing tells."""
    cpu, dmi = facts.cpus.identity, facts.platform.dmi
    return {
        "cpu": _word(cpu.name) if isinstance(cpu, CpuIdentity) else None,
        "kernel": _word(facts.kernel.release),
        "vendor": _word(dmi.sys_vendor),
        "product": _word(dmi.product_name),
        "board": _word(dmi.board_name),
        "bios": _word(dmi.bios_version),
        "bios_date": _word(dmi.bios_date),
    }


def _word(seen: object) -> str | None:
    return safe(seen) if isinstance(seen, str) and seen else None


def unread(where: str, error: str, hint: str | None) -> dict[str, Any]:
    """What stands in a list of reports for a host that could not be read."""
    return {
        "version": VERSION,
        "verdict": None,
        "error": safe(error),
        "hint": safe(hint) if hint else None,
        "source": {"where": safe(where)},
    }


def _values(judgement: Judgement) -> dict[str, Any]:
    values = judgement.values
    return {
        "gpu_cc_mode": values.cc_mode,
        "gpu_count": values.gpu_count,
        "gpu_chip": values.gpu_chip,
        "snp_generation": values.generation,
        "snp_asids": values.asids,
        "snp_api": values.snp_api,
        "smt": safe(values.smt) if values.smt else None,
        "tcb_snp": values.tcb_snp,
        "tcb_microcode": values.tcb_microcode,
        "snp_policy": dict(values.policy or {}),
    }


def _finding(each: Finding) -> dict[str, Any]:
    outcome = each.outcome
    remedy = each.remedy
    return {
        "check": each.check,
        "level": each.level.value,
        "verdict": each.verdict.value,
        "code": each.code.value if each.code else None,
        "cause": outcome.cause.value if outcome.cause else None,
        "under": each.under.value if each.under else None,
        "seen": safe(outcome.seen),
        "where": safe(outcome.where),
        "wanted": each.wanted,
        "device": safe(outcome.device) if outcome.device else None,
        "confidence": outcome.confidence.value,
        "remedy": None
        if remedy is None
        else {
            "who": remedy.who.value,
            "do": remedy.do,
            "needs": remedy.restart.value,
            "note": remedy.note,
        },
        **({"accepted": _accepted(each.accepted)} if each.accepted else {}),
    }


def _accepted(each: Accepted) -> dict[str, str]:
    return {"code": each.code.value, "until": each.until, "why": safe(each.why)}


def clean(value: Any) -> Any:  # noqa: ANN401 - plain values
    """The same with every text made safe."""
    if isinstance(value, dict):
        return {key: clean(each) for key, each in value.items()}
    if isinstance(value, list):
        return [clean(each) for each in value]
    return safe(value) if isinstance(value, str) else value


def safe(text: str) -> str:
    """Valid Unicode: host files need not be UTF-8, and JSON must be."""
    return text.encode("utf-8", "backslashreplace").decode()
