"""What somebody changed under us: from one look to the next, and not what is hidden meanwhile."""

from collections.abc import Callable

import pytest

from nodeagent.capture.archive import open_capture
from nodeagent.checks.judge import judge
from nodeagent.cli.drifting import follow
from nodeagent.cli.switching import standings
from nodeagent.facts.look import look
from nodeagent.model.facts import Facts
from nodeagent.model.pci import Devices, Gpu
from nodeagent.model.seen import Unreadable
from nodeagent.model.words import Profile
from nodeagent.report.drift import Watched, drifts, last_known, watched
from nodeagent.report.gpus import Row
from tests.hosts.draft import GPU
from tests.unit.looks import HOSTS, Veiled, facts_of

GAP = Unreadable("there", "EACCES: Permission denied")


def seen(facts: Facts) -> Watched:
    judgement = judge(facts, profile=Profile.SNP_GPU, want=None)
    known = {} if isinstance(facts.devices, Unreadable) else standings(facts)
    return watched(facts, judgement, known)


def host(name: str = "genoa-ready") -> Watched:
    return seen(facts_of(HOSTS / name))


def changed(change: Callable[[Gpu], Gpu], name: str = "genoa-ready") -> Watched:
    """The host with its first GPU changed."""
    facts = facts_of(HOSTS / name)
    assert isinstance(facts.devices, Devices)
    first, *others = facts.devices.gpus
    return seen(facts._replace(devices=facts.devices._replace(gpus=(change(first), *others))))


def on_driver(name: str | Unreadable | None) -> Callable[[Gpu], Gpu]:
    return lambda gpu: gpu._replace(pci=gpu.pci._replace(driver=name))


def in_group(number: int | Unreadable | None) -> Callable[[Gpu], Gpu]:
    return lambda gpu: gpu._replace(pci=gpu.pci._replace(group=number))


def with_online(cpus: tuple[int, ...] | Unreadable) -> Watched:
    facts = facts_of(HOSTS / "genoa-ready")
    return seen(facts._replace(cpus=facts.cpus._replace(online=cpus)))


def with_hidden(*parts: str) -> Watched:
    """The host where whatever has one of these in its name cannot be read."""
    with open_capture(str(HOSTS / "genoa-ready")) as machine:
        return seen(look(Veiled(machine, hidden=lambda name: any(each in name for each in parts))))


READY = host()


@pytest.mark.parametrize(
    ("now", "lines"),
    [
        (host(), []),
        (host("genoa-gpu-off"), [f"{GPU}: mode off (was on)"]),
        (host("genoa-gpu-recovery"), [f"{GPU}: mode GPU_RECOVERY (was on)"]),
        (host("genoa-gpu-gone"), [f"{GPU}: mode GPU_GONE (was on)"]),
        (changed(on_driver("nvidia")), [f"{GPU}: driver nvidia (was vfio-pci)"]),
        (changed(on_driver(None)), [f"{GPU}: driver none (was vfio-pci)"]),
        (changed(in_group(40)), [f"{GPU}: IOMMU group 40 (was 41)"]),
        (changed(in_group(None)), [f"{GPU}: IOMMU group none (was 41)"]),
        (with_online(tuple(range(190))), ["this host: CPUs online 190 (was 192)"]),
        (host("genoa-kvm-snp-disabled"), ["this host: SNP fail (was pass)"]),
    ],
)
def test_a_change_is_one_line_with_what_was_before(now: Watched, lines: list[str]) -> None:
    assert drifts(READY, now) == lines


def test_two_changes_of_one_device_share_a_line() -> None:
    now = changed(lambda gpu: in_group(7)(on_driver(None)(gpu)))

    assert drifts(READY, now) == [f"{GPU}: driver none (was vfio-pci), IOMMU group 7 (was 41)"]


def test_a_device_that_goes_and_comes_back_is_told_of_twice() -> None:
    gone = host("genoa-no-gpu")

    assert drifts(READY, gone) == [f"{GPU} is gone"]
    assert drifts(gone, READY) == [f"{GPU} is here"]


@pytest.mark.parametrize(
    "now",
    [
        host("genoa-gpu-d3hot"),
        host("genoa-gpu-held"),
        host("genoa-gpu-boot-incomplete"),
        host("genoa-lockdown-integrity"),
        changed(lambda gpu: gpu._replace(status=GAP)),
        changed(on_driver(GAP)),
        changed(in_group(GAP)),
        with_online(GAP),
        host("genoa-no-privileges"),
        with_hidden("kvm", "probe:", "cpuinfo"),
        with_hidden(""),
        seen(facts_of(HOSTS / "genoa-ready")._replace(devices=GAP)),
    ],
)
def test_what_turns_unreadable_is_no_drift_and_neither_is_its_return(now: Watched) -> None:
    assert drifts(READY, now) == []
    assert drifts(now, READY) == []
    assert drifts(last_known(READY, now), READY) == []


@pytest.mark.parametrize(
    "between",
    [host("genoa-gpu-d3hot"), seen(facts_of(HOSTS / "genoa-ready")._replace(devices=GAP))],
)
def test_what_changed_while_it_could_not_be_read_is_told_after(between: Watched) -> None:
    before = last_known(READY, between)

    assert drifts(before, host("genoa-gpu-off")) == [f"{GPU}: mode off (was on)"]
    assert drifts(before, host("genoa-no-gpu")) == [f"{GPU} is gone"]


def test_snp_that_cannot_be_told_is_said_so() -> None:
    assert with_hidden("kvm", "probe:", "cpuinfo")["this host"]["SNP"] == "?"


def test_a_device_that_is_gone_is_not_kept_in_mind() -> None:
    gone = last_known(READY, host("genoa-no-gpu"))

    assert drifts(gone, READY) == [f"{GPU} is here"]


def test_a_drivers_name_obeys_no_terminal() -> None:
    [line] = drifts(READY, changed(on_driver("\x1b[31m" + "x" * 99)))

    assert line.isprintable()
    assert len(line) < 80


def test_watching_compares_with_the_last_word_that_was_known(
    capsys: pytest.CaptureFixture[str],
) -> None:
    looks = iter([READY, host("genoa-gpu-d3hot"), host("genoa-gpu-off")])

    def look() -> tuple[list[Row], Watched]:
        try:
            return [], next(looks)
        except StopIteration:
            raise KeyboardInterrupt from None

    assert follow(look, 0.0, live=False) == 0
    [_, change] = capsys.readouterr().out.rstrip().split("\n")
    assert change.endswith(f"  {GPU}: mode off (was on)")
