"""Before any test: the captured hosts are what their recipes make."""

from pathlib import Path

import pytest

from tests.hosts.make import write_stale

HOSTS = Path(__file__).parent / "hosts"


def pytest_sessionstart(session: pytest.Session) -> None:  # noqa: ARG001 - pytest's signature
    write_stale()


@pytest.fixture(scope="session")
def hosts() -> Path:
    """The folder of captured hosts, one folder each."""
    return HOSTS
