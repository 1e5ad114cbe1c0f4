"""What somebody else may change under us, and what of it changed from one look to the next."""

from collections.abc import Mapping

from nodeagent.model.facts import Facts
from nodeagent.model.findings import Judgement, Outcome
from nodeagent.model.pci import Gpu
from nodeagent.model.seen import Unreadable
from nodeagent.model.text import printable
from nodeagent.model.words import CcMode, Level

Watched = Mapping[str, Mapping[str, str]]
"""Of each thing, such as a device by its address, the words that matter."""

_HOST = "this host"


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
    online = facts.cpus.online
    return {
        "SNP": judgement.levels[Level.ENABLED].verdict.value,
        "CPUs online": str(len(online)) if isinstance(online, tuple) else "?",
    }


def _device(device: Gpu, standing: CcMode | Outcome | None) -> Mapping[str, str]:
    code = standing.code if isinstance(standing, Outcome) else None
    return {
        "mode": standing.value if isinstance(standing, CcMode) else code or "?",
        "driver": _word(device.pci.driver),
        "IOMMU group": _word(device.pci.group),
    }


def _word(seen: object) -> str:
    if isinstance(seen, Unreadable):
        return "?"
    return "none" if seen is None else printable(str(seen), 32)


def drifts(before: Watched, now: Watched) -> list[str]:
    """A line for each thing that changed; what could not be read is no change."""
    told = [f"{thing} is gone" for thing in sorted(before.keys() - now.keys())]
    told += [f"{thing} is here" for thing in sorted(now.keys() - before.keys())]
    for thing in sorted(before.keys() & now.keys()):
        changed = [
            f"{name} {word} (was {before[thing][name]})"
            for name, word in now[thing].items()
            if word != before[thing].get(name, word) and "?" not in {word, before[thing][name]}
        ]
        told += [f"{thing}: {', '.join(changed)}"] if changed else []
    return told
