"""How a device is brought back: three rungs, which of them are left out and why, and for whom."""

import json
from pathlib import Path
from typing import Any

import pytest

from nodeagent.capture.archive import open_capture
from nodeagent.facts import bus
from nodeagent.model.pci import Holder, Sibling
from nodeagent.model.seen import Unreadable
from nodeagent.model.switching import Await, Decode, Remove, Rescan, Reset, Unbind
from nodeagent.plan.gpu import BlockedError
from nodeagent.plan.recover import Rung, attempts, demand_free
from tests.hosts import gpu_states, pci, recipes
from tests.hosts.base import genoa_ready
from tests.hosts.draft import GPU, Draft
from tests.unit.command import run
from tests.unit.looks import HOSTS, drafted
from tests.unit.test_plan_gpu import ONE, target

QEMU = Holder(4242, "qemu-system-x86", "/dev/vfio/41")
GAP = Unreadable("there", "EACCES: Permission denied")
AUDIO = Sibling("0000:41:00.1", "snd_hda_intel", ())
FREE = Sibling("0000:41:00.2", None, ())
ANSWERS = (Decode(ONE), Await(ONE))


# The rungs


@pytest.mark.parametrize("methods", ["flr bus", "bus flr", None, GAP])
def test_three_rungs_from_the_gentlest_to_the_last(methods: str | Unreadable | None) -> None:
    """A list of the kernel's resets that is absent or hidden rules none of them out."""
    found = attempts(target(driver=None, reset_method=methods), [])

    assert [(each.rung, each.steps, each.not_here) for each in found] == [
        (Rung.FLR, (Reset(ONE, "flr"), *ANSWERS), None),
        (Rung.BUS, (Reset(ONE, "bus"), *ANSWERS), None),
        (Rung.AGAIN, (Remove(ONE), Rescan(ONE), *ANSWERS), None),
    ]


def test_each_rung_begins_by_taking_the_device_from_its_driver() -> None:
    found = attempts(target(driver="vfio-pci"), [])

    assert [each.steps[0] for each in found] == [Unbind(ONE, "vfio-pci")] * 3


@pytest.mark.parametrize(
    ("methods", "left_out"),
    [
        ("flr", {Rung.BUS: "the kernel has no bus reset for it (reset_method: flr)"}),
        ("bus", {Rung.FLR: "the kernel has no flr reset for it (reset_method: bus)"}),
        (
            "",
            {
                Rung.FLR: "the kernel has no flr reset for it (reset_method: none)",
                Rung.BUS: "the kernel has no bus reset for it (reset_method: none)",
            },
        ),
        ("device_specific flr", {Rung.BUS: "(reset_method: device_specific flr)"}),
        ("flrx busy", {Rung.FLR: "has no flr reset", Rung.BUS: "has no bus reset"}),
    ],
)
def test_a_reset_that_the_kernel_has_not_is_left_out_with_its_reason(
    methods: str, left_out: dict[Rung, str]
) -> None:
    found = attempts(target(reset_method=methods), [])

    assert {each.rung for each in found if each.not_here} == left_out.keys()
    assert [each.steps for each in found if each.not_here] == [()] * len(left_out)
    for each in found:
        assert left_out.get(each.rung, "") in (each.not_here or "")


def test_a_sibling_on_the_bus_rules_its_reset_out_and_is_named() -> None:
    flr, whole_bus, again = attempts(target(reset_method="flr bus"), [AUDIO, FREE])

    assert whole_bus.not_here == "its bus has 0000:41:00.1 (snd_hda_intel), 0000:41:00.2 as well"
    assert whole_bus.steps == ()
    assert (flr.not_here, again.not_here) == (None, None)


# Who keeps it from being reset


@pytest.mark.parametrize(
    ("more", "siblings", "said", "hint"),
    [
        (
            {"holders": (QEMU,)},
            (),
            f"{ONE} is in use by qemu-system-x86 (pid 4242, /dev/vfio/41)",
            "stop what has it, then again",
        ),
        (
            {"holders": (QEMU, QEMU, QEMU)},
            (),
            f"{ONE} is in use by qemu-system-x86 (pid 4242, /dev/vfio/41) and 2 more",
            "stop what has it, then again",
        ),
        ({"holders": GAP}, (), f"will not change {ONE}: {GAP}", None),
        ({"driver": GAP}, (), f"will not change {ONE}: {GAP}", None),
        ({"override": GAP}, (), f"will not change {ONE}: {GAP}", None),
        ({"control": GAP}, (), f"will not change {ONE}: {GAP}", None),
        ({}, GAP, f"will not reset {ONE}: who shares its bus is unknown: {GAP}", None),
        (
            {},
            (FREE, AUDIO._replace(holders=(QEMU,))),
            f"0000:41:00.1, on the bus of {ONE}, is in use by {QEMU}",
            "stop what has it, then again",
        ),
        (
            {},
            (AUDIO._replace(holders=GAP),),
            f"will not reset {ONE}: 0000:41:00.1: {GAP}",
            None,
        ),
    ],
)
def test_who_has_it_or_might_have_it_open_keeps_it(
    more: dict[str, Any],
    siblings: tuple[Sibling, ...] | Unreadable,
    said: str,
    hint: str | None,
) -> None:
    with pytest.raises(BlockedError) as stop:
        demand_free(target(**more), siblings)

    assert (str(stop.value), stop.value.hint) == (said, hint)


@pytest.mark.parametrize(
    "more",
    [{"awake": False}, {"awake": GAP}, {"decodes": GAP}, {"configured": GAP}, {"booted": GAP}],
)
def test_a_device_that_does_not_answer_is_free_all_the_same(more: dict[str, Any]) -> None:
    assert demand_free(target(**more), (AUDIO, FREE)) == (AUDIO, FREE)


# Who else is on the bus


def siblings_of(host: Path) -> tuple[Sibling, ...] | Unreadable:
    with open_capture(str(host)) as machine:
        return bus.siblings(machine, GPU)


def test_a_gpu_alone_on_its_bus_has_no_siblings() -> None:
    assert siblings_of(HOSTS / "genoa-ready") == ()


def test_a_sibling_is_named_with_its_driver() -> None:
    found = siblings_of(HOSTS / "genoa-rtx-pro-6000-audio")

    assert found == (Sibling(gpu_states.AUDIO, "snd_hda_intel", ()),)


def test_who_holds_the_group_holds_the_sibling_too(tmp_path: Path) -> None:
    draft = recipes.draft("genoa-rtx-pro-6000")
    gpu_states.held_by_group(draft)
    found = siblings_of(drafted(draft, tmp_path / "host"))

    assert found == (Sibling(gpu_states.AUDIO, "vfio-pci", (QEMU,)),)


def test_where_the_bus_cannot_be_listed_nobody_is_said_to_be_alone(tmp_path: Path) -> None:
    draft = genoa_ready()
    draft.denied["/sys/bus/pci/devices"] = "EACCES"

    assert isinstance(siblings_of(drafted(draft, tmp_path / "host")), Unreadable)


# The command line


@pytest.mark.parametrize(
    ("host", "said", "hint"),
    [
        ("genoa-ready", f"{GPU} answers well: there is nothing to recover", None),
        ("genoa-gpu-invalid", f"{GPU} answers well: there is nothing to recover", None),
        ("genoa-gpu-held", f"{GPU} is in use by qemu-system-x86 (pid 4242", "stop what has it"),
        (
            "genoa-gpu-security-fault",
            f"{GPU}: its security fault register reads 0x1: FUSE_POD",
            "no reset clears a security fault: power cycle the node",
        ),
        (
            "genoa-gpu-recovery",
            f"{GPU}: its firmware is in recovery mode",
            "its firmware must be flashed anew, with its vendor's tool",
        ),
    ],
)
def test_where_no_reset_helps_it_is_said_what_does(
    host: str, said: str, hint: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("plan", "--recover", "41:00.0", "--capture", HOSTS / host) == 3

    captured = capsys.readouterr()
    line, *way_out = captured.err.rstrip().split("\n")
    assert line.startswith(f"nodeagent: {said}")
    assert [each.startswith(f"  try: {hint}") for each in way_out] == ([True] if hint else [])
    assert captured.out == ""


def _dark_with_audio(draft: Draft) -> None:
    gpu_states.rtx_pro_6000(draft)
    gpu_states.audio_on_host(draft)
    gpu_states.gone(draft)
    draft.put(f"{pci.home(draft, GPU)}/reset_method", "bus")


def test_a_plan_names_what_it_leaves_out_and_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draft = genoa_ready()
    _dark_with_audio(draft)
    host = drafted(draft, tmp_path / "host")

    assert run("plan", "--recover", GPU, "-o", "json", "--capture", host) == 0
    flr, whole_bus, again = json.loads(capsys.readouterr().out)["rungs"]
    run("plan", "--recover", GPU, "--capture", host)
    said = " ".join(capsys.readouterr().out.split())

    assert flr["not_here"] == "the kernel has no flr reset for it (reset_method: bus)"
    assert whole_bus["not_here"] == "its bus has 0000:41:00.1 (snd_hda_intel) as well"
    assert again["steps"][1:3] == [
        f"take {GPU} out of the kernel's tree",
        f"let the kernel look for {GPU} anew",
    ]
    assert f"2. bus reset: not here: {whole_bus['not_here']}" in said
    assert said.endswith("4. else: power cycle the node")
