"""Before any test: captured hosts that the repository does not keep are made."""

from pathlib import Path

import pytest

from tests.hosts.make import write_stale

HOSTS = Path(__file__).parent / "hosts"


def pytest_sessionstart(session: pytest.Session) -> None:  # noqa: ARG001 - pytest's signature
    write_stale(kept=False)


@pytest.fixture(scope="session")
def hosts() -> Path:
    """The folder of captured hosts, one folder each."""
    return HOSTS
