"""What a monitoring system reads: names, values, and what leaves with the thing it was about."""

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from nodeagent import __version__
from nodeagent.capture.archive import open_capture
from nodeagent.cli.counting import Counts
from nodeagent.cli.looking import look
from nodeagent.errors import HostError
from nodeagent.model.findings import Judgement
from nodeagent.model.words import CcMode, Profile
from nodeagent.publish import metrics
from nodeagent.publish.metrics import Metrics, Seen

HOSTS = Path(__file__).parents[1] / "hosts"
GPU = "0000:41:00.0"


def judged(host: str, want: CcMode | None = None) -> Judgement:
    with open_capture(str(HOSTS / host)) as machine:
        return look(machine, profile=Profile.SNP_GPU, want=want)[1]


def read(counted: Metrics) -> dict[tuple[str, tuple[str, ...]], float]:
    families = text_string_to_metric_families(counted.text().decode())
    return {
        (sample.name, tuple(sorted(sample.labels.values()))): sample.value
        for family in families
        for sample in family.samples
    }


@pytest.fixture
def counted() -> Metrics:
    return Metrics()


def test_a_ready_host_is_told(counted: Metrics) -> None:
    judgement = judged("genoa-ready", CcMode.ON)
    counted.saw(Seen(judgement, True, [GPU], judgement.proven, asids_used=3))

    found = read(counted)

    assert found["nodeagent_ready", ()] == 1
    assert found["nodeagent_gpu_cc_mode_info", (GPU, "on")] == 1
    assert found["nodeagent_gpu_mode_matches_request", (GPU,)] == 1
    assert found["nodeagent_snp_asids", ("total",)] == 99
    assert found["nodeagent_snp_asids", ("used",)] == 3
    assert found["nodeagent_reboot_required", ()] == 0
    assert found["nodeagent_check_state", ("snp.kvm",)] == 1
    assert found["nodeagent_check_state", ("tcb.snp",)] == 0, "below a floor that gates nothing"


def test_a_check_that_fails_says_zero_and_one_that_cannot_tell_minus_one(counted: Metrics) -> None:
    counted.saw(Seen(judged("genoa-iommu-pt")))
    broken = read(counted)
    counted.saw(Seen(judged("genoa-no-privileges")))
    blind = read(counted)

    assert 0 in {value for key, value in broken.items() if key[0] == "nodeagent_check_state"}
    assert -1 in {value for key, value in blind.items() if key[0] == "nodeagent_check_state"}
    assert broken["nodeagent_reboot_required", ()] == 1


@pytest.mark.parametrize("want", [None, CcMode.ON, CcMode.PPCIE])
def test_a_mode_matches_only_what_was_asked_for(counted: Metrics, want: CcMode | None) -> None:
    counted.saw(Seen(judged("genoa-ready", want), gpus=[GPU], modes={GPU: CcMode.ON}))

    told = read(counted).get(("nodeagent_gpu_mode_matches_request", (GPU,)))

    assert told == (None if want is None else int(want is CcMode.ON))


def test_a_mode_that_nobody_knows_is_said_to_be_unknown(counted: Metrics) -> None:
    counted.saw(Seen(judged("genoa-ready", CcMode.ON), gpus=[GPU]))

    found = read(counted)

    assert found["nodeagent_gpu_cc_mode_info", (GPU, "unknown")] == 1
    assert found["nodeagent_gpu_mode_matches_request", (GPU,)] == 0


def test_what_is_gone_leaves_nothing_behind(counted: Metrics) -> None:
    judgement = judged("genoa-ready")
    counted.saw(Seen(judgement, True, [GPU], judgement.proven))
    counted.saw(Seen())

    found = read(counted)

    assert found["nodeagent_ready", ()] == 0
    assert not [key for key in found if GPU in key[1] or key[0] == "nodeagent_check_state"]


def test_requests_switches_and_cycles_are_counted(counted: Metrics) -> None:
    counted.answered("PATCH", 200)
    counted.answered("PATCH", 200)
    counted.answered("GET", None)
    counted.switched("done", 42)
    counted.switched("blocked", 1800)
    counted.cycled(0.02)

    found = read(counted)

    assert found["nodeagent_api_requests_total", ("200", "PATCH")] == 2
    assert found["nodeagent_api_requests_total", ("GET", "error")] == 1
    assert found["nodeagent_switch_total", ("ok",)] == 1
    assert found["nodeagent_switch_total", ("failed",)] == 0
    assert found["nodeagent_switch_duration_seconds_count", ()] == 2
    assert found["nodeagent_switch_duration_seconds_bucket", ("60.0",)] == 1
    assert found["nodeagent_cycle_duration_seconds_count", ()] == 1
    assert found["nodeagent_last_cycle_timestamp_seconds", ()] > 1e9
    assert found["nodeagent_build_info", (__version__, "unknown")] == 1


def test_every_name_is_ours_and_said_once(counted: Metrics) -> None:
    judgement = judged("genoa-ready", CcMode.ON)
    counted.saw(Seen(judgement, True, [GPU], judgement.proven, 1))
    families = list(text_string_to_metric_families(counted.text().decode()))

    assert all(family.name.startswith("nodeagent_") and family.documentation for family in families)
    assert len({family.name for family in families}) == len(families) == 12


def test_the_text_file_is_replaced_whole_and_for_everybody(tmp_path: Path) -> None:
    path = tmp_path / "nodeagent.prom"
    metrics.write(str(path), b"old")
    before = path.stat().st_ino

    metrics.write(str(path), b"new")

    assert path.read_bytes() == b"new"
    assert path.stat().st_ino != before
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_be_written_is_said_and_no_more(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="cannot write metrics"):
        metrics.write(str(tmp_path / "none" / "nodeagent.prom"), b"")


def test_the_counts_of_a_look_that_failed_still_say_not_ready() -> None:
    counts = Counts("")
    counts.told(None, {}, False)

    assert b"nodeagent_ready 0.0" in counts.text()[0]
