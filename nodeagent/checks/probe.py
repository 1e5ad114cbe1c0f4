"""Judges by the site's probe pod, after everything else has been judged."""

from dataclasses import replace

from nodeagent.checks.remedies import REMEDIES
from nodeagent.model.codes import Code
from nodeagent.model.findings import Finding, Judgement, Outcome, bad, ok
from nodeagent.model.probe import FAILED, LATE, PASSED, PROBE
from nodeagent.model.text import printable
from nodeagent.model.words import Level, Ready, Verdict

WANTS = "the site's probe pod ended well"
_SHOWN = 160


def gated(judgement: Judgement, result: str, why: str) -> Judgement:
    """What is ready otherwise is so only with a probe that passed; what is not stays as it is."""
    outcome = _outcome(result, why)
    remedy = REMEDIES[outcome.code] if outcome.code else None
    finding = Finding(PROBE, Level.RUNTIME, WANTS, outcome, remedy)
    findings = (*judgement.findings, finding)
    if outcome.verdict is Verdict.PASS or judgement.ready is not Ready.YES:
        return replace(judgement, findings=findings)
    return replace(judgement, ready=Ready.NO, root=finding, todo=(finding,), findings=findings)


def _outcome(result: str, why: str) -> Outcome:
    said = f": {printable(why, _SHOWN)}" if why else ""
    if result == PASSED:
        return ok("the probe pod ended well")
    if result == FAILED:
        return bad(Code.PROBE_FAILED, f"the probe pod failed{said}")
    if result == LATE:
        return bad(Code.PROBE_LATE, f"the probe pod did not end in time{said}")
    seen = "no probe pod has ended well since boot, switch or expiry"
    return bad(Code.PROBE_PENDING, f"{seen}{said}")
