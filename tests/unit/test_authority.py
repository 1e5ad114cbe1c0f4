"""Who switches a node: what its labels and its pods say."""

import os
from pathlib import Path

import pytest

from nodeagent.agent.authority import claimed, maintained, stands_down
from nodeagent.errors import ClusterError
from nodeagent.model.cluster import Pod, Pods

KEY = "nvidia.com/gpu.deploy.cc-manager"
RUNS = {KEY: (Pod("nvidia-cc-manager-x", "1", True),)}


@pytest.mark.parametrize(
    ("labels", "pods", "says"),
    [
        ({}, {}, ""),
        ({KEY: "false"}, RUNS, ""),
        ({KEY: "paused-for-driver-upgrade"}, RUNS, ""),
        ({KEY: "true"}, RUNS, "NVIDIA's cc-manager (nvidia-cc-manager-x) switches here"),
        ({KEY: "true"}, {KEY: ()}, "its pod is missing"),
        ({KEY: "true"}, {}, "no DaemonSet of it is deployed"),
    ],
)
def test_ccmanager_is_the_authority_unless_it_was_taken_off(
    labels: dict[str, str], pods: Pods, says: str
) -> None:
    found = stands_down(labels, lambda: pods)

    assert says in found
    assert bool(found) is bool(says)


def test_where_its_pods_cannot_be_seen_we_stand_down() -> None:
    def forbidden() -> Pods:
        raise ClusterError("forbidden")

    assert "cannot be told: forbidden" in stands_down({KEY: "true"}, forbidden)
    assert stands_down({}, forbidden) == ""


@pytest.mark.parametrize(
    ("labels", "annotations", "says"),
    [
        ({}, {}, ""),
        ({"nvidia.com/gpu-driver-upgrade-state": "upgrade-done"}, {}, ""),
        ({"nvidia.com/gpu-driver-upgrade-state": "drain-required"}, {}, "driver upgrade"),
        ({"nvidia.com/mig.config.state": "success"}, {}, ""),
        ({"nvidia.com/mig.config.state": "pending"}, {}, "MIG"),
        ({}, {"weave.works/kured-reboot-in-progress": "x"}, "kured"),
    ],
)
def test_whoever_works_on_the_node_already_is_respected(
    labels: dict[str, str], annotations: dict[str, str], says: str
) -> None:
    found = maintained(labels, annotations)

    assert says in found
    assert bool(found) is bool(says)


def test_one_of_two_has_the_claim_until_it_ends(tmp_path: Path) -> None:
    with claimed(tmp_path) as second:
        with claimed(tmp_path) as first:
            assert first.other == ""
            assert f"pid {os.getpid()}" in second.other
            assert first.other == ""
        assert second.other == ""
