"""The answers as data for programs."""

from collections.abc import Iterable
from typing import Any

from nodeagent.explain.pod.answer import Advice, Answer
from nodeagent.explain.pod.judge import Standing
from nodeagent.explain.pod.words import Reason

VERSION = 1


def document(answers: Iterable[Answer]) -> dict[str, Any]:
    """Plain values only."""
    return {"version": VERSION, "pods": [_pod(each) for each in answers]}


def _pod(found: Answer) -> dict[str, Any]:
    return {
        "kind": found.pod.kind,
        "namespace": found.pod.namespace,
        "name": found.pod.name,
        "verdict": found.verdict.value,
        "fix": _advice(found.fix) if found.fix else None,
        "refused_by": [_reason(each) for each in found.blockers],
        "warnings": [
            {"name": each.name, "what": each.what, "why": list(each.why), "do": each.do}
            for each in found.notes
        ],
        "not_judged": list(found.unsure),
        "nodes": [_standing(each) for each in found.standings],
    }


def _advice(fix: Advice) -> dict[str, Any]:
    return {"what": fix.what, "written_by": fix.who or None, "why": list(fix.why), "do": fix.do}


def _standing(each: Standing) -> dict[str, Any]:
    return {
        "name": each.node.name,
        "verdict": each.verdict.value,
        "schedulable": each.schedulable,
        "reasons": [_reason(one) for one in each.reasons],
    }


def _reason(each: Reason) -> dict[str, Any]:
    return {
        "kind": each.kind.value,
        "subject": each.subject,
        "said": each.said,
        "asked_by": each.origin or None,
    }
