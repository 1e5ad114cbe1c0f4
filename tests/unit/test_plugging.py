"""How GPUs are plugged in: what is a warning, what is the cause of another code, what is none."""

from pathlib import Path

import pytest

from nodeagent.model.codes import Code
from nodeagent.model.findings import Finding
from nodeagent.model.words import CcMode, Profile, Verdict
from nodeagent.report.text import report
from tests.hosts import base, gpu_states, hgx, pci, plugging, recipes
from tests.hosts.draft import GPU, Delta, Draft
from tests.hosts.inspector import inspect_as
from tests.unit.looks import drafted, facts_of, judged

CHECKS = {"pci.acs", "pci.links", "gpu.d3cold", "vfio.iommufd", "gpu.bars", "iommu.isolation"}


def _findings(host: Path, *, want: CcMode | None = None) -> list[Finding]:
    return [each for each in judged(host, want=want).findings if each.check in CHECKS]


def _warned(host: Path) -> list[tuple[str, str]]:
    return [
        (each.code.value if each.code else "", each.outcome.seen)
        for each in _findings(host)
        if each.verdict is Verdict.WARN
    ]


@pytest.mark.parametrize(
    ("name", "warnings"),
    [
        ("genoa-ready", []),
        ("genoa-hgx-h100", []),
        ("genoa-no-gpu", []),
        ("genoa-gpu-slow-at-idle", []),
        ("genoa-gpu-x8", [("LINK_DEGRADED", "0000:41:00.0 runs at x8 of x16")]),
        (
            "genoa-acs-off",
            [
                (
                    "ACS_MISSING",
                    "0000:40:01.1 has ACS SV RR CR UF off; the groups isolate all the same",
                )
            ],
        ),
        (
            "genoa-acs-none",
            [("ACS_MISSING", "0000:40:01.1 has no ACS; the groups isolate all the same")],
        ),
        ("genoa-no-iommufd", [("IOMMUFD_MISSING", "there is no /dev/iommu")]),
        (
            "genoa-d3cold-allowed",
            [
                (
                    "D3COLD_HAZARD",
                    "disable_idle_d3 is N, and D3cold is allowed to 0000:41:00.0",
                )
            ],
        ),
        # Where the group does not hold, ACS is the cause and no warning beside it.
        ("genoa-gpu-shares-group", []),
    ],
)
def test_a_host_is_warned_of(name: str, warnings: list[tuple[str, str]], hosts: Path) -> None:
    assert _warned(hosts / name) == warnings


@pytest.mark.parametrize("name", ["genoa-ready", "genoa-acs-off", "genoa-hgx-h100"])
def test_who_may_not_look_at_acs_is_told_so_and_not_warned(
    name: str, hosts: Path, tmp_path: Path
) -> None:
    inspect_as(hosts / name, tmp_path / "seen")
    [acs] = [each for each in _findings(tmp_path / "seen") if each.check == "pci.acs"]

    assert acs.verdict is Verdict.SKIP
    assert "is shown only before 0x" in acs.outcome.seen


def test_links_are_judged_without_privileges_too(hosts: Path, tmp_path: Path) -> None:
    inspect_as(hosts / "genoa-gpu-x8", tmp_path / "seen")

    assert _warned(tmp_path / "seen") == [("LINK_DEGRADED", "0000:41:00.0 runs at x8 of x16")]


def _baseboard(*deltas: Delta) -> Draft:
    draft = recipes.draft("genoa-hgx-h100")
    for delta in deltas:
        delta(draft)
    return draft


def _train(bdf: str, width: int, speed: int, *, most: int = 16) -> Delta:
    return lambda draft: pci.train(draft, bdf, pci.Link(width, speed, most, 5))


@pytest.mark.parametrize(
    ("deltas", "seen"),
    [
        # Between bridges nothing slows down to save power.
        ((_train("0000:21:00.0", 16, 3),), "0000:21:00.0 runs at 8 of 32 GT/s"),
        ((_train("0000:21:00.0", 8, 5),), "0000:21:00.0 runs at x8 of x16"),
        (
            (_train(hgx.FIRST_GPU, 8, 5), _train("0000:22:00.0", 8, 5, most=8)),
            "0000:23:00.0 runs at x8 of x16: its slot has no more",
        ),
        # A switch whose port is narrow is wired so.
        ((_train(hgx.LAST_SWITCH, 2, 5), _train("0000:c2:03.0", 2, 5, most=2)), None),
        ((_train(hgx.LAST_SWITCH, 2, 5),), "0000:c6:00.0 runs at x2 of x16"),
        (
            tuple(_train(bdf, 8, 5) for bdf in ("0000:23:00.0", "0000:24:00.0", "0000:63:00.0")),
            "0000:23:00.0 runs at x8 of x16, 0000:24:00.0 runs at x8 of x16 and 1 more",
        ),
    ],
)
def test_a_link_is_degraded_where_something_proves_it(
    deltas: tuple[Delta, ...], seen: str | None, tmp_path: Path
) -> None:
    host = drafted(_baseboard(*deltas), tmp_path / "host")

    assert _warned(host) == ([("LINK_DEGRADED", seen)] if seen else [])


def _ports_off(draft: Draft) -> None:
    for bus in (0x22, 0x62, 0xA2, 0xE2):
        for slot in (0, 1):
            pci.poke(draft, f"0000:{bus:02x}:{slot:02x}.0", 0x106, bytes(2))


def test_eight_gpus_are_warned_of_once(tmp_path: Path) -> None:
    narrow = [_train(f"0000:{bus:02x}:00.0", 8, 5) for bus in (0x23, 0x24, 0x63, 0x64, 0xA3)]
    draft = _baseboard(_ports_off, plugging.may_lose_power, plugging.no_iommufd, *narrow)
    host = drafted(draft, tmp_path / "host")
    said = report(judged(host), facts_of(host).source, verbose=False).split("\n")

    start = said.index("Warnings, which do not gate:")
    assert sum(line.startswith("  - ") for line in said[start:]) == 4
    assert len(said) - start < 16


def test_an_upstream_port_is_not_expected_to_have_acs(hosts: Path) -> None:
    acs = next(each for each in _findings(hosts / "genoa-hgx-h100") if each.check == "pci.acs")
    assert (acs.verdict, acs.outcome.seen) == (Verdict.PASS, "17 ports above the GPUs isolate")


def test_a_shared_group_names_the_port_that_lets_it_happen(hosts: Path) -> None:
    [shared] = [
        each for each in _findings(hosts / "genoa-gpu-shares-group") if each.verdict is Verdict.FAIL
    ]

    assert shared.outcome.cause == "ACS_MISSING"
    assert "0000:40:01.1 has ACS SV RR CR UF off" in shared.outcome.seen


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("genoa-gpu-bar-unassigned", "resource2 without address"),
        (
            "genoa-gpu-window-small",
            "resource2 does not fit: 129 GiB below 0000:40:01.1, whose window has 512 MiB",
        ),
        (
            "genoa-gpu-outside-window",
            "resource0 and resource2 and resource4 outside the window of 0000:40:01.1",
        ),
    ],
)
def test_a_bar_without_a_place_says_why(name: str, seen: str, hosts: Path) -> None:
    [bars] = [each for each in _findings(hosts / name) if each.check == "gpu.bars"]

    assert bars.outcome.seen == f"{GPU}: {seen}"


def test_a_closed_window_above_an_assigned_bar_lets_nothing_through(tmp_path: Path) -> None:
    draft = base.genoa_ready()
    pci.close_windows(draft, plugging.PORT)

    [bars] = [
        each for each in _findings(drafted(draft, tmp_path / "h")) if each.check == "gpu.bars"
    ]
    assert bars.code == "BAR_WINDOW_TOO_SMALL"


def test_without_a_bridges_lines_the_kernels_word_on_bars_stands(tmp_path: Path) -> None:
    draft = base.genoa_ready()
    pci.close_windows(draft, plugging.PORT)
    draft.remove(f"{pci.home(draft, plugging.PORT)}/resource")

    [bars] = [
        each for each in _findings(drafted(draft, tmp_path / "h")) if each.check == "gpu.bars"
    ]
    assert bars.verdict is Verdict.PASS


def test_without_an_iommu_ports_are_not_blamed(tmp_path: Path) -> None:
    """The kernel switches ACS on only for an IOMMU that asks for it."""
    draft = recipes.draft("genoa-iommu-off")
    plugging.acs_off(draft)

    assert _warned(drafted(draft, tmp_path / "host")) == []


def test_a_gpu_of_a_grace_cpu_is_no_gpu_in_the_wrong_mode(hosts: Path) -> None:
    root = judged(hosts / "gh200", profile=Profile.GPU).root

    assert root
    assert root.code == "GPU_C2C"
    assert root.outcome.seen == f"{GPU}: GH200 is tied to a Grace CPU: it has no mode but off"


def test_a_gpu_that_the_host_uses_is_not_warned_of_d3cold(tmp_path: Path) -> None:
    draft = base.genoa_ready()
    plugging.may_lose_power(draft)
    pci.unbind(draft, GPU)

    assert _warned(drafted(draft, tmp_path / "host")) == []


@pytest.mark.parametrize(
    ("driver", "code"),
    [
        (None, None),
        ("vfio-pci", None),
        ("pci-stub", None),
        ("amd64_edac", Code.IOMMU_GROUP_SHARED),
        ("EACCES", Code.NO_ACCESS),
    ],
)
def test_a_host_bridge_counts_by_its_driver_alone(
    driver: str | None, code: Code | None, tmp_path: Path
) -> None:
    host = base.genoa_ready()
    gpu_states.host_bridge_in_group(host)
    if driver == "EACCES":
        host.denied[f"/sys/bus/pci/devices/{gpu_states.HOST_BRIDGE}/driver"] = driver
    elif driver:
        pci.bind(host, gpu_states.HOST_BRIDGE, driver)

    found = [each for each in judged(drafted(host, tmp_path)).findings if each.code]

    assert [each.code for each in found if each.check == "iommu.isolation"] == (
        [code] if code else []
    )


def test_no_other_device_is_let_pass_for_having_no_driver(tmp_path: Path) -> None:
    """Kata hands over all of a group but its bridges, and could not hand this over."""
    host = base.genoa_ready()
    pci.leave_group(host, base.NIC, 43)
    pci.join_group(host, base.NIC, 41)
    host.links.pop(f"{pci.home(host, base.NIC)}/driver", None)

    judgement = judged(drafted(host, tmp_path))

    [found] = [each for each in judgement.findings if each.check == "iommu.isolation"]
    assert found.code is Code.IOMMU_GROUP_SHARED
