"""Before any test: captured hosts that the repository does not keep are made."""

import signal
from pathlib import Path

import pytest

from tests.hosts.make import write_stale

HOSTS = Path(__file__).parent / "hosts"


def pytest_sessionstart(session: pytest.Session) -> None:  # noqa: ARG001 - pytest's signature
    write_stale(kept=False)
    # A shell's background job ignores Ctrl-C, and so would every program that a test starts.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What needs a real GPU runs where it is asked for, and is counted as deselected elsewhere."""
    if config.option.markexpr:
        return
    real = [item for item in items if item.get_closest_marker("hardware")]
    if real:
        items[:] = [item for item in items if item not in real]
        config.hook.pytest_deselected(items=real)


@pytest.fixture(scope="session")
def hosts() -> Path:
    """The folder of captured hosts, one folder each."""
    return HOSTS
