"""What became of a host between two looks, in a few words."""

from nodeagent.model.findings import Judgement
from nodeagent.model.words import Level

_MAX_CHECKS = 3


def changes(old: Judgement, new: Judgement) -> str:
    """`ready (was not-ready); enabled pass (was fail)`: the weightiest first."""
    told = []
    if old.ready is not new.ready:
        told.append(f"{new.ready} (was {old.ready})")
    before, after = _root(old), _root(new)
    if before != after and before and after:
        told.append(f"{after} (was {before})")
    for level in Level:
        was, now = old.levels[level].verdict, new.levels[level].verdict
        if was is not now:
            told.append(f"{level} {now} (was {was})")
    checks = _checks(old, new)
    told += checks[:_MAX_CHECKS]
    if len(checks) > _MAX_CHECKS:
        told.append(f"{len(checks) - _MAX_CHECKS} more checks")
    return "; ".join(told) or "the same verdicts in other words"


def _root(judgement: Judgement) -> str:
    root = judgement.root
    return f"{root.code}" if root else ""


def _checks(old: Judgement, new: Judgement) -> list[str]:
    was = {(each.check, each.outcome.device): each.verdict for each in old.findings}
    now = {(each.check, each.outcome.device): each.verdict for each in new.findings}
    return [
        f"{check}{f' {device}' if device else ''} {now.get(key, 'gone')} "
        f"(was {was.get(key, 'not there')})"
        for key in dict.fromkeys([*was, *now])
        if was.get(key) != now.get(key)
        for check, device in [key]
    ]
