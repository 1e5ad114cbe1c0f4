"""The PCIe tree: on a terminal, as data and as a picture, of every host there is."""

import json
import struct
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import yaml

from nodeagent.capture.archive import open_capture
from nodeagent.cli import topology as command
from nodeagent.facts.look import look
from nodeagent.model.facts import Facts
from nodeagent.report.canvas import Box, fit, width_of
from nodeagent.report.svg import layout, svg
from nodeagent.report.topology import Topology, topology
from nodeagent.report.topology_document import document
from nodeagent.report.topology_text import text
from tests.hosts import hgx, pci, recipes
from tests.hosts.draft import GPU, Draft
from tests.hosts.expected import TABLE, Expect
from tests.hosts.inspector import inspect_as
from tests.unit.command import run
from tests.unit.looks import Veiled, drafted, facts_of

SVG = "{http://www.w3.org/2000/svg}"
MOST_BYTES = 100_000
GPUS = [f"0000:{bus}:00.0" for bus in ("23", "24", "63", "64", "a3", "a4", "e3", "e4")]
SWITCHES = [f"0000:{bus}:00.0" for bus in ("c3", "c4", "c5", "c6")]


def _seen(facts: Facts) -> Topology:
    return topology(facts, command.standings(facts))


def _of(host: Path) -> Topology:
    return _seen(facts_of(host))


def _parsed(picture: str) -> ET.Element:
    assert len(picture.encode()) < MOST_BYTES
    return ET.fromstring(picture)  # noqa: S314 - our own


def _overlaps(seen: Topology) -> list[tuple[str, str]]:
    words = layout(seen).sheet.words
    return [(a.text, b.text) for a, b in combinations(words, 2) if a.box.overlaps(b.box)]


def _outside(seen: Topology) -> list[str]:
    made = layout(seen)
    page = Box(0, 0, made.width, made.height)
    return [word.text for word in made.sheet.words if not page.holds(word.box)]


@pytest.mark.parametrize("expect", TABLE, ids=lambda each: each.name)
def test_every_host_has_a_picture_in_which_nothing_overlaps(
    expect: Expect, hosts: Path, tmp_path: Path
) -> None:
    inspect_as(hosts / expect.name, tmp_path / "seen")

    for host in (hosts / expect.name, tmp_path / "seen"):
        seen = _of(host)
        _parsed(svg(seen))
        assert _overlaps(seen) == []
        assert _outside(seen) == []


@pytest.mark.parametrize("expect", TABLE, ids=lambda each: each.name)
def test_every_host_fits_80_columns_and_names_each_device(
    expect: Expect, hosts: Path, tmp_path: Path
) -> None:
    inspect_as(hosts / expect.name, tmp_path / "seen")

    for host in (hosts / expect.name, tmp_path / "seen"):
        seen = _of(host)
        said = text(seen)
        assert max(map(len, said.split("\n"))) <= 80
        assert [leaf.bdf for leaf in seen.leaves if leaf.bdf not in said] == []


@pytest.mark.parametrize("expect", TABLE, ids=lambda each: each.name)
def test_every_host_is_a_document_of_plain_values(expect: Expect, hosts: Path) -> None:
    facts = facts_of(hosts / expect.name)
    found = document(_seen(facts), facts)

    assert json.loads(json.dumps(found)) == found
    assert found["version"] == 1


def test_an_hgx_shows_twelve_devices_with_their_modes(hosts: Path) -> None:
    seen = _of(hosts / "genoa-hgx-h100")
    root = _parsed(svg(seen))
    shown = [group for group in root.iter(f"{SVG}g") if _title(group).split(" ")[0] in KINDS]

    assert sorted(_title(group) for group in shown) == sorted(
        [f"GPU {bdf}: ppcie" for bdf in GPUS] + [f"NVSwitch {bdf}: ppcie" for bdf in SWITCHES]
    )
    for group in shown:
        words = [word.text for word in group.iter(f"{SVG}text")]
        assert words[0] == _title(group).split(" ")[1].rstrip(":")
        assert words[1:3] in (["H100", "ppcie"], ["NVSwitch", "ppcie"])
        assert any(each.get("class") == "ppcie" for each in group)


KINDS = {"GPU", "NVSwitch"}


def _title(group: ET.Element) -> str:
    found = group.find(f"{SVG}title")
    return (found.text or "") if found is not None else ""


def test_an_hgx_is_two_panels_of_trees_four_deep(hosts: Path) -> None:
    said = text(_of(hosts / "genoa-hgx-h100")).split("\n")

    assert said[0] == "8 × H100: ppcie, 4 × NVSwitch: ppcie  [simulated]"
    assert [line for line in said if line.startswith("NUMA")][1] == "NUMA node 1"
    first = said.index(next(line for line in said if line.startswith("0000:20:01.1")))
    assert [line.split("  ")[0] for line in said[first : first + 2]] == [
        "0000:20:01.1",
        "└ 0000:21:00.0",
    ]
    assert said[first + 2].startswith("  ├ 0000:22:00.0    port 1000:c030    ACS on")
    assert said[first + 3].startswith("  │ └ 0000:23:00.0  H100              ppcie   vfio-pci")
    assert said[first + 5].startswith("    └ 0000:24:00.0  H100              ppcie   vfio-pci")


def test_the_document_joins_devices_bridges_and_groups(hosts: Path) -> None:
    facts = facts_of(hosts / "genoa-gpu-shares-group")
    found = document(_seen(facts), facts)

    [device] = found["devices"]
    [bridge] = found["bridges"]
    [group] = found["groups"]
    assert device["bdf"] == GPU
    assert (device["kind"], device["name"], device["mode"]) == ("gpu", "H100", "on")
    assert device["path"] == [bridge["bdf"]] == ["0000:40:01.1"]
    assert device["link"] == {"width": 16, "max_width": 16, "speed": 32.0, "max_speed": 32.0}
    assert device["group"] == group["number"] == 41
    assert device["fsp"] == "2.16"
    assert (bridge["port"], bridge["isolates"]) == ("root port", False)
    assert bridge["acs"] == {"can": ["SV", "TB", "RR", "CR", "UF", "DT"], "on": []}
    assert bridge["windows"] == [
        {"start": "0x26000000000", "end": "0x28042ffffff", "prefetchable": True}
    ]
    assert "0000:42:00.0 (network, mlx5_core)" in group["members"]
    assert found["unreadable"] == {}


def test_what_a_pod_may_not_read_is_null_and_named(hosts: Path) -> None:
    facts = facts_of(hosts / "genoa-no-privileges")
    found = document(_seen(facts), facts)

    assert found["bridges"][0]["acs"] is None
    assert "is shown only before 0x58" in found["unreadable"]["0000:40:01.1 acs"]
    assert "ACS ?" in text(_seen(facts))


@pytest.mark.parametrize("name", ["genoa-ready", "genoa-hgx-h100"])
def test_no_output_has_a_units_own_number(
    name: str, hosts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """0x820344 holds a serial number, and is not even read."""
    probes = json.loads((hosts / name / "probes.json").read_text())
    serials = {
        gpu["bar0"]["0x820344"] for gpu in probes["gpu"].values() if "0x820344" in gpu["bar0"]
    }
    assert serials

    for output in ("table", "json", "yaml", "svg"):
        assert run("topology", "--capture", hosts / name, "-o", output) == 0
        said = capsys.readouterr().out
        assert [serial for serial in serials if serial[2:] in said] == []


@pytest.mark.parametrize(
    "name", ["genoa-ready", "genoa-no-gpu", "dev-machine", "genoa-gpu-gone", "genoa-iommu-off"]
)
def test_the_command_answers_whatever_the_host_is(name: str, hosts: Path) -> None:
    assert run("topology", "--capture", hosts / name) == 0


def test_json_and_yaml_say_the_same(hosts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("topology", "--capture", hosts / "genoa-hgx-h100", "-o")
    run(*words, "json")
    as_json = json.loads(capsys.readouterr().out)
    run(*words, "yaml")

    assert yaml.safe_load(capsys.readouterr().out) == as_json
    assert len(as_json["devices"]) == 12


def test_an_unknown_output_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("topology", "-o", "svgg") == 2
    assert "did you mean svg?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "word", "style"),
    [
        ("genoa-gpu-off", "off", "off"),
        ("genoa-gpu-devtools", "devtools", "devtools"),
        ("genoa-gpu-d3cold", "asleep", "unknown"),
        ("genoa-gpu-held", "in use", "unknown"),
        ("genoa-gpu-held-seen", "on", "on"),
        ("genoa-gpu-gone", "gone", "broken"),
        ("genoa-gpu-security-fault", "locked", "broken"),
        ("genoa-gpu-recovery", "recovery", "broken"),
        ("genoa-gpu-invalid", "invalid", "broken"),
        ("genoa-gpu-virtual", "virtual", "broken"),
        ("genoa-gpu-boot-incomplete", "booting", "unknown"),
        ("genoa-l40s", "no CC", "broken"),
    ],
)
def test_a_state_has_its_word_and_its_colour(name: str, word: str, style: str, hosts: Path) -> None:
    seen = _of(hosts / name)
    [card] = [group for group in _parsed(svg(seen)).iter(f"{SVG}g") if GPU in _title(group)]

    assert word in [each.text for each in card.iter(f"{SVG}text")]
    assert any(each.get("class") == style for each in card)
    assert f" {word} " in next(line for line in text(seen).split("\n") if GPU in line)


@pytest.mark.parametrize("ats", [True, False])
def test_a_card_tells_the_group_and_whether_ats_is_on(ats: bool, tmp_path: Path) -> None:
    draft = recipes.draft("genoa-ready")
    config = bytearray(draft.files[f"{pci.home(draft, GPU)}/config"])
    struct.pack_into("<H", config, pci.ATS + 6, ats << 15)  # its control register: enable
    draft.put(f"{pci.home(draft, GPU)}/config", bytes(config))
    seen = _of(drafted(draft, tmp_path / "host"))

    [card] = [group for group in _parsed(svg(seen)).iter(f"{SVG}g") if GPU in _title(group)]
    about = [each.text for each in card.iter(f"{SVG}text")][3]
    assert about == "vfio-pci · group 41 · x16 32 GT/s" + " · ATS" * ats


def test_a_switch_outside_protected_mode_is_no_alarm(hosts: Path) -> None:
    picture = _parsed(svg(_of(hosts / "genoa-hgx-h100-cc")))
    cards = [group for group in picture.iter(f"{SVG}g") if "NVSwitch" in _title(group)]
    alarmed = _parsed(svg(_of(hosts / "genoa-hgx-h100-switch-off")))

    assert len(cards) == 4
    assert not any(each.get("class") == "off" for card in cards for each in card)
    assert any(each.get("class") == "off" for group in alarmed.iter(f"{SVG}g") for each in group)


def test_a_narrow_link_is_drawn_otherwise(hosts: Path) -> None:
    lines = _parsed(svg(_of(hosts / "genoa-gpu-x8"))).iter(f"{SVG}path")

    assert next(lines).get("class") == "narrow"
    assert "x8/16 32 GT/s" in text(_of(hosts / "genoa-gpu-x8"))


HOSTILE = '<b onload="x">&\'' + "W" * 200


def _hostile(draft: Draft) -> None:
    home = pci.home(draft, GPU)
    draft.link(f"{home}/driver", f"/sys/bus/pci/drivers/{HOSTILE}")
    draft.put(f"{home}/power_state", b"D3<cold>&\xff\xfe\x00\x1b[31m'\"" + b"z" * 50)
    draft.put(f"{home}/numa_node", "99999999")
    for number in range(40):
        draft.put(f"/sys/kernel/iommu_groups/41/devices/<i>&{number}\udcff", b"")


def test_a_strangers_text_stays_text(tmp_path: Path) -> None:
    draft = recipes.draft("genoa-two-gpus")
    _hostile(draft)
    facts = facts_of(drafted(draft, tmp_path / "host"))
    seen = _seen(facts)
    picture = svg(seen)

    assert {each.tag for each in _parsed(picture).iter()} <= {
        f"{SVG}{tag}"
        for tag in ("svg", "g", "title", "desc", "style", "rect", "path", "circle", "text")
    }
    assert _overlaps(seen) == []
    assert _outside(seen) == []
    assert picture.replace("\n", "").isprintable()
    assert max(map(len, text(seen).split("\n"))) <= 80
    assert text(seen).replace("\n", "").isprintable()
    json.dumps(document(seen, facts)).encode()


def test_hundreds_of_gpus_are_named_and_not_all_drawn(tmp_path: Path) -> None:
    draft = recipes.draft("genoa-ready")
    for number in range(70):
        bus = 0x50 + number
        parent = pci.plug_port(draft, f"0000:{bus:02x}:01.0", bus=bus, group=200 + 2 * number)
        bdf = f"0001:{bus:02x}:00.0"
        pci.plug_h100(draft, bdf, parent, group=201 + 2 * number, vfio=9 + number, offset=0)
    seen = _of(drafted(draft, tmp_path / "host"))

    picture = svg(seen)
    _parsed(picture)
    assert "and 7 more, which are not drawn" in picture
    assert text(seen).count("H100 ") == 71


@pytest.mark.parametrize("name", ["genoa-ready", "genoa-gpu-shares-group"])
def test_hiding_any_one_input_leaves_an_answer(name: str, hosts: Path) -> None:
    with open_capture(str(hosts / name)) as machine:
        veiled = Veiled(machine)
        look(veiled)
        for path in veiled.asked:
            facts = look(Veiled(machine, hidden=path.__eq__))
            seen = _seen(facts)
            _parsed(svg(seen))
            assert text(seen)
            json.dumps(document(seen, facts))


def test_a_device_whose_path_is_hidden_stands_by_itself(hosts: Path) -> None:
    with open_capture(str(hosts / "genoa-ready")) as machine:
        link = f"/sys/bus/pci/devices/{GPU}"
        seen = _seen(look(Veiled(machine, hidden=link.__eq__)))

    assert [tree.bdf for tree in seen.panels[0].trees] == [GPU]


def test_a_root_port_belongs_to_the_numa_node_of_what_is_below_it(hosts: Path) -> None:
    seen = _of(hosts / "genoa-hgx-h100")

    assert [(panel.numa, [tree.bdf for tree in panel.trees]) for panel in seen.panels] == [
        (0, ["0000:20:01.1", "0000:60:01.1"]),
        (1, ["0000:a0:01.1", "0000:c0:01.1", "0000:e0:01.1"]),
    ]


def test_where_the_firmware_tells_no_node_it_is_said(tmp_path: Path) -> None:
    draft = recipes.draft("genoa-two-gpus")
    draft.put(f"{pci.home(draft, GPU)}/numa_node", "-1")

    titles = [panel.title for panel in _of(drafted(draft, tmp_path / "host")).panels]
    assert titles == ["NUMA node 0", "NUMA node not told"]


@pytest.mark.parametrize("letter", ["W", "i", "é", "漢", "-"])
def test_a_text_is_cut_to_its_room(letter: str) -> None:
    cut = fit(letter * 300, 12, 200)

    assert width_of(cut, 12) <= 200
    assert cut.endswith("…")
    assert fit("short", 12, 200) == "short"


def test_one_fallen_gpu_does_not_hide_the_others(hosts: Path) -> None:
    said = text(_of(hosts / "genoa-hgx-h100-gpu-gone"))

    assert said.startswith("1 × H100: gone, 7 × H100: ppcie, 4 × NVSwitch: ppcie")
    assert f"GPU_GONE: {hgx.FIRST_GPU}" in said


def test_where_nothing_can_be_looked_at_nothing_is_claimed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("topology", "--root", str(tmp_path)) == 4
    assert "cannot be read" in capsys.readouterr().out
