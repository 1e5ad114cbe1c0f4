"""The PCIe tree as data: flat lists, joined by address."""

from typing import Any

from nodeagent.model.fabric import ACS_NAMES, Acs, Aperture, Bridge, Link
from nodeagent.model.facts import Facts
from nodeagent.model.pci import GpuStatus
from nodeagent.model.seen import Seen, Unreadable, known
from nodeagent.report.topology import PORTS, Leaf, Topology, functions_of, ids, member

VERSION = 1


def document(seen: Topology, facts: Facts) -> dict[str, Any]:
    """Plain values. What could not be read is null, and named under `unreadable`."""
    gaps: dict[str, str] = {}
    devices = facts.devices
    bridges = {} if isinstance(devices, Unreadable) else devices.bridges
    return {
        "version": VERSION,
        "source": {
            "where": _safe(seen.source.where),
            "simulated": seen.source.simulated,
            "note": _safe(seen.source.note),
        },
        "devices": [_device(leaf, gaps) for leaf in seen.leaves],
        "bridges": [_bridge(bdf, bridge, gaps) for bdf, bridge in bridges.items()],
        "groups": _groups(seen, facts),
        "unreadable": {
            **({"devices": _safe(str(seen.gap))} if seen.gap else {}),
            **dict(sorted(gaps.items())),
        },
    }


def _device(leaf: Leaf, gaps: dict[str, str]) -> dict[str, Any]:
    gpu, standing = leaf.gpu, leaf.standing
    pci, slot, chip = gpu.pci, gpu.slot, gpu.chip
    status = gpu.status if isinstance(gpu.status, GpuStatus) else None
    value = _Values(leaf.bdf, gaps)
    path = value("path", slot.path)
    fsp = value("fsp", status.fsp) if status else None
    return {
        "bdf": leaf.bdf,
        "kind": leaf.kind.lower(),
        "name": leaf.name,
        "chip": chip.name if chip else None,
        "vendor": f"{pci.vendor:#06x}",
        "device": f"{pci.device:#06x}",
        "subsystem": ids(*pci.subsystem) if pci.subsystem else None,
        "mode": standing.mode.value if standing.mode else None,
        "mode_says": _safe(standing.says),
        "code": standing.code.value if standing.code else None,
        "driver": _text(value("driver", pci.driver)),
        "group": value("group", pci.group),
        "numa_node": value("numa_node", slot.numa),
        "link": _link(value, slot.link),
        "path": list(path) if path is not None else None,
        "ats": value("ats", slot.ats),
        "d3cold_allowed": value("d3cold_allowed", slot.d3cold),
        "power_state": _text(value("power_state", pci.power_state)),
        "fsp": f"{fsp[0]}.{fsp[1]}" if fsp else None,
    }


def _bridge(bdf: str, bridge: Bridge | Unreadable, gaps: dict[str, str]) -> dict[str, Any]:
    value = _Values(bdf, gaps)
    if isinstance(bridge, Unreadable):
        value("config", bridge)
        return {"bdf": bdf}
    acs: Acs | None = value("acs", bridge.acs)
    windows: tuple[Aperture, ...] | None = value("windows", bridge.windows)
    return {
        "bdf": bdf,
        "port": PORTS.get(value("port", bridge.port) or 0),
        "vendor": f"{bridge.vendor:#06x}",
        "device": f"{bridge.device:#06x}",
        "buses": list(bridge.buses),
        "group": value("group", bridge.group),
        "link": _link(value, bridge.link),
        "acs": {"can": acs_names(acs.can), "on": acs_names(acs.on)} if acs else None,
        "isolates": None if acs is None else not acs.missing,
        "windows": None
        if windows is None
        else [
            {"start": hex(each.start), "end": hex(each.end), "prefetchable": each.prefetchable}
            for each in windows
        ],
    }


def acs_names(bits: int) -> list[str]:
    return [name for bit, name in ACS_NAMES.items() if bits & bit]


def _groups(seen: Topology, facts: Facts) -> list[dict[str, Any]]:
    groups = known(facts.iommu.groups) or {}
    functions = functions_of(facts)
    numbers = {leaf.gpu.pci.group for leaf in seen.leaves}
    return [
        {
            "number": number,
            "type": _text(known(group.type)),
            "members": [
                _safe(member(bdf, functions.get(bdf))) for bdf in known(group.members) or ()
            ],
        }
        for number, group in groups.items()
        if number in numbers
    ]


def _link(value: "_Values", link: Link) -> dict[str, Any]:
    return {name: value(f"link.{name}", each) for name, each in link._asdict().items()}


class _Values:
    """Takes what is known, and notes down what could not be read."""

    def __init__(self, bdf: str, gaps: dict[str, str]) -> None:
        self._bdf = bdf
        self._gaps = gaps

    def __call__(self, name: str, seen: Seen[Any]) -> Any:  # noqa: ANN401 - as it came
        if isinstance(seen, Unreadable):
            self._gaps[f"{self._bdf} {name}"] = _safe(str(seen))
            return None
        return seen


def _text(value: str | None) -> str | None:
    return None if value is None else _safe(value)


def _safe(text: str) -> str:
    """Valid Unicode: host files need not be UTF-8, and JSON must be."""
    return text.encode("utf-8", "backslashreplace").decode()
