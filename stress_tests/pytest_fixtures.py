"""Fixtures over the fake model server; the root conftest loads them with ``pytest_plugins``."""

from collections.abc import Iterator

import pytest

from .fake_model import FakeModelServer


@pytest.fixture(scope="session")
def fake_model_session() -> Iterator[FakeModelServer]:
    """One server for the whole run."""
    server = FakeModelServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def fake_model(fake_model_session: FakeModelServer) -> Iterator[FakeModelServer]:
    """The server with no script, request or count left over from another test."""
    fake_model_session.restore()
    yield fake_model_session
    fake_model_session.restore()
