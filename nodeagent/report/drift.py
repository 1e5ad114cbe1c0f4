"""What somebody else may change under us, and what of it changed from one look to the next."""

from collections.abc import Mapping

from nodeagent.model.facts import Facts
from nodeagent.model.findings import Judgement, Outcome
from nodeagent.model.pci import Gpu
from nodeagent.model.seen import Unreadable
from nodeagent.model.text import printable
from nodeagent.model.words import CcMode, Level, Verdict

Watched = Mapping[str, Mapping[str, str]]
"""Of each thing, such as a device by its address, the words that matter."""

_HOST = "this host"
_BUS = "PCI devices"
_UNREAD = "?"


def watched(
    facts: Facts, judgement: Judgement, standings: Mapping[str, CcMode | Outcome]
) -> Watched:
    """Modes, drivers, IOMMU groups and devices there; whether SNP runs, and the CPUs online."""
    found: dict[str, Mapping[str, str]] = {_HOST: _host(facts, judgement)}
    devices = facts.devices
    if not isinstance(devices, Unreadable):
        for each in (*devices.gpus, *devices.switches):
            found[each.bdf] = _device(each, standings.get(each.bdf))
    return found


def _host(facts: Facts, judgement: Judgement) -> Mapping[str, str]:
    online, snp = facts.cpus.online, judgement.levels[Level.ENABLED].verdict
    return {
        "SNP": _UNREAD if snp is Verdict.UNKNOWN else snp.value,
        "CPUs online": str(len(online)) if isinstance(online, tuple) else _UNREAD,
        _BUS: _UNREAD if isinstance(facts.devices, Unreadable) else "read",
    }


def _device(device: Gpu, standing: CcMode | Outcome | None) -> Mapping[str, str]:
    return {
        "mode": _mode(standing),
        "driver": _word(device.pci.driver),
        "IOMMU group": _word(device.pci.group),
    }


def _mode(standing: CcMode | Outcome | None) -> str:
    """A device that sleeps, boots or is held has a mode all the same, which nobody can read."""
    if isinstance(standing, CcMode):
        return standing.value
    if standing is None or standing.verdict is Verdict.UNKNOWN:
        return _UNREAD
    return standing.code or _UNREAD


def _word(seen: object) -> str:
    if isinstance(seen, Unreadable):
        return _UNREAD
    return "none" if seen is None else printable(str(seen), 32)


def drifts(before: Watched, now: Watched) -> list[str]:
    """A line for each thing that changed; what could not be read is no change."""
    told = []
    if _UNREAD not in {each.get(_HOST, {}).get(_BUS) for each in (before, now)}:
        told += [f"{thing} is gone" for thing in sorted(before.keys() - now.keys())]
        told += [f"{thing} is here" for thing in sorted(now.keys() - before.keys())]
    for thing in sorted(before.keys() & now.keys()):
        changed = [
            f"{name} {word} (was {before[thing][name]})"
            for name, word in now[thing].items()
            if word != before[thing].get(name, word) and _UNREAD not in {word, before[thing][name]}
        ]
        told += [f"{thing}: {', '.join(changed)}"] if changed else []
    return told


def last_known(before: Watched, now: Watched) -> Watched:
    """`now`, and for what cannot be read any more the word that it had: to compare with later."""
    blind = now.get(_HOST, {}).get(_BUS) == _UNREAD
    things = {**before, **now} if blind else now
    return {
        thing: {
            name: before.get(thing, {}).get(name, word) if word == _UNREAD else word
            for name, word in words.items()
        }
        for thing, words in things.items()
    }
