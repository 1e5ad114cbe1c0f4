"""Reading single inputs: the shapes a kernel gives them, and what is made of odd ones."""

from pathlib import Path

import pytest

from nodeagent.capture.archive import open_capture
from nodeagent.checks.judge import judge
from nodeagent.checks.options import truth
from nodeagent.facts import holders
from nodeagent.facts.kernel import max_pfn, tokens
from nodeagent.facts.look import look
from nodeagent.facts.parse import cpu_list, number, parsed
from nodeagent.model.host import PspFailure, parse_version
from nodeagent.model.pci import Asleep, Devices
from nodeagent.model.seen import Seen, Unreadable
from nodeagent.model.words import Level, Profile, Verdict
from nodeagent.seams import FILE_LIMIT
from tests.hosts import base
from tests.hosts.inspector import inspect_as
from tests.unit.looks import Veiled, VeiledFiles, facts_of, judged

ZONES = [
    "Node 0, zone DMA\n  spanned 4095\n  start_pfn: 1\n",
    "Node 0, zone Normal\n  spanned 133693440\n  start_pfn: 1048576\n",
    "Node 1, zone Movable\n  spanned 0\n  start_pfn: 0\n",
]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_the_highest_zone_decides_whatever_their_order(order: tuple[int, ...]) -> None:
    assert max_pfn("".join(ZONES[zone] for zone in order)) == 0x8080000


def test_memory_on_devices_is_none_that_the_rmp_must_cover() -> None:
    device = "Node 1, zone   Device\n  spanned 33554432\n  start_pfn: 1073741824\n"

    assert max_pfn("".join(ZONES) + device) == 0x8080000
    assert max_pfn(device + "".join(ZONES)) == 0x8080000


def test_the_command_line_keeps_quoted_blanks() -> None:
    assert tokens('ro dyndbg="file a.c +p" iommu=pt') == ("ro", "dyndbg=file a.c +p", "iommu=pt")


@pytest.mark.parametrize(
    ("value", "means"),
    [
        ("1", True), ("y", True), ("Yes", True), ("on", True), ("true", True),
        ("0", False), ("N", False), ("no", False), ("off", False), ("false", False),
        ("", None), ("o", None), ("2", None),
    ],
)  # fmt: skip
def test_a_truth_value_is_read_as_the_kernel_reads_it(value: str, means: bool | None) -> None:
    assert truth(value) is means


@pytest.mark.parametrize(
    ("text", "cpus"), [("0-3", (0, 1, 2, 3)), ("0,2-3", (0, 2, 3)), ("", ()), ("7", (7,))]
)
def test_a_cpu_list_is_the_kernels(text: str, cpus: tuple[int, ...]) -> None:
    assert cpu_list(text) == cpus


@pytest.mark.parametrize("text", ["3-1", "x", "0-99999999", "1_0", "-1", "٣", "0x"])
def test_an_odd_number_or_list_is_no_value(text: str) -> None:
    assert isinstance(parsed("x", text, cpu_list), Unreadable)
    assert isinstance(parsed("x", text, number), Unreadable)


@pytest.mark.parametrize(
    ("release", "version"),
    [
        ("6.17.0-8-generic", (6, 17)),
        ("7.1-rc1", (7, 1)),
        ("5.14.0-503.el9", (5, 14)),
        ("strange", None),
    ],
)
def test_a_kernel_release_is_compared_by_number(
    release: str, version: tuple[int, int] | None
) -> None:
    assert parse_version(release) == version


class _GoesToSleep(VeiledFiles):
    """A GPU that runtime power management suspends while it is being looked at."""

    def read(self, path: str, limit: int = FILE_LIMIT) -> Seen[str]:
        again = path.endswith("0000:41:00.0/power_state") and path in self.asked
        return "D3hot" if again else super().read(path, limit)


def test_a_gpu_that_falls_asleep_meanwhile_is_not_believed(hosts: Path) -> None:
    with open_capture(str(hosts / "genoa-ready")) as machine:
        host = Veiled(machine)
        host.files = _GoesToSleep(machine.files, lambda _: False, {}, None)
        facts = look(host)

    assert isinstance(facts.devices, Devices)
    [gpu] = facts.devices.gpus
    assert gpu.status == Asleep("went to D3hot while it was read")


def test_without_any_sign_of_asids_a_pod_cannot_tell(hosts: Path, tmp_path: Path) -> None:
    inspect_as(hosts / "genoa-ready", tmp_path / "seen")
    with open_capture(str(tmp_path / "seen")) as machine:
        facts = look(Veiled(machine, hidden=lambda path: "misc.capacity" in path))

    judgement = judge(facts, profile=Profile.SNP_GPU, want=None)

    assert judgement.levels[Level.ENABLED].verdict is Verdict.UNKNOWN


def test_every_cpu_is_asked_and_one_that_is_closed_is_no_agreement(tmp_path: Path) -> None:
    from tests.unit.looks import drafted  # noqa: PLC0415 - only here

    draft = base.genoa_ready()
    for register in list(draft.msr):
        draft.wrmsr(register, "EIO", cpu=191)

    judgement = judged(drafted(draft, tmp_path / "host"))

    agree = next(each for each in judgement.findings if each.check == "snp.cpus_agree")
    assert agree.verdict is Verdict.UNKNOWN
    assert judgement.ready.exit_code == 0


@pytest.mark.parametrize("name", ["genoa-ready", "genoa-iommu-pt"])
def test_two_looks_at_an_unchanged_host_are_equal(hosts: Path, name: str) -> None:
    assert facts_of(hosts / name) == facts_of(hosts / name)


class _ClosedLinks(VeiledFiles):
    """What uid 0 without capabilities sees of root's processes: names of fds, not their links."""

    def link(self, path: str) -> Seen[str]:
        if path.startswith("/proc/"):
            return Unreadable(path, "EACCES: Permission denied")
        return super().link(path)


def test_descriptors_that_cannot_be_followed_are_not_nobody(hosts: Path) -> None:
    with open_capture(str(hosts / "genoa-gpu-held")) as machine:
        held = holders.read(_ClosedLinks(machine.files, lambda _: False, {}, None))

    assert held.by_node == {}
    assert isinstance(held.closed, Unreadable)


@pytest.mark.parametrize("failure", [PspFailure("EIO", 0x15), PspFailure("EIO", 0x13)])
@pytest.mark.parametrize("name", ["genoa-ready", "genoa-ready-6.11"])
def test_a_psp_that_fails_outweighs_what_the_log_said(
    hosts: Path, name: str, failure: PspFailure
) -> None:
    facts = facts_of(hosts / name)

    judgement = judge(
        facts._replace(psp=facts.psp._replace(snp=failure)), profile=Profile.SNP_GPU, want=None
    )

    assert judgement.levels[Level.ENABLED].verdict is Verdict.UNKNOWN
