"""Stores on both databases: the same tests for each."""

import pytest

from reports.history.store import open_store
from tests.support import postgres


@pytest.fixture(scope="session")
def server():
    """A real PostgreSQL."""
    if reason := postgres.missing():
        pytest.skip(reason)
    with postgres.server() as found:
        yield found


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    """Of an empty store."""
    if request.param == "sqlite":
        return str(tmp_path / "history.db")
    return request.getfixturevalue("server").url()


@pytest.fixture
def store(url):
    return open_store(url, create=True)


@pytest.fixture
def file_store(tmp_path):
    return open_store(str(tmp_path / "history.db"), create=True)
