"""What the systemd unit asks of a host, read as a file."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[2] / "systemd" / "nodeagent.service"


def test_the_agent_keeps_only_the_capabilities_that_looking_takes() -> None:
    kept = " ".join(_settings()["CapabilityBoundingSet"]).split()

    assert set(kept) == {
        "CAP_DAC_READ_SEARCH",
        "CAP_SYSLOG",
        "CAP_SYS_ADMIN",
        "CAP_SYS_PTRACE",
        "CAP_SYS_RAWIO",
    }


def test_no_device_may_be_written() -> None:
    settings = _settings()

    assert settings["DevicePolicy"] == ["closed"]
    assert {rule.split()[1] for rule in settings["DeviceAllow"]} == {"r"}


@pytest.mark.parametrize(
    "hides",
    ["PrivateDevices", "ProtectKernelLogs", "ProtectKernelModules", "ProtectProc", "PrivateUsers"],
)
def test_nothing_hides_what_the_agent_is_here_to_see(hides: str) -> None:
    assert hides not in _settings()


@pytest.mark.parametrize("hides", ["InaccessiblePaths", "TemporaryFileSystem", "RootDirectory"])
def test_the_files_of_kubelet_and_containerd_stay_in_sight(hides: str) -> None:
    assert hides not in _settings()
    assert _settings()["ProtectSystem"] == ["strict"], "read-only, and all there"


def test_what_is_owed_outlives_a_restart_and_not_a_reboot() -> None:
    settings = _settings()

    assert settings["RuntimeDirectory"] == ["nodeagent"]
    assert settings["RuntimeDirectoryPreserve"] == ["yes"]


def test_systemd_waits_for_the_first_look_and_restarts_one_that_hangs() -> None:
    settings = _settings()

    assert settings["Type"] == ["notify"]
    assert settings["WatchdogSec"] == ["3min"]
    assert settings["Restart"] == ["always"]


def test_a_wrong_configuration_is_not_tried_again() -> None:
    """2 is what every command says to a usage error."""
    assert _settings()["RestartPreventExitStatus"] == ["2"]


def _settings() -> dict[str, list[str]]:
    """Every value of each key; configparser would refuse a key that comes twice."""
    found = defaultdict(list)
    for line in UNIT.read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found[key].append(value)
    return dict(found)
