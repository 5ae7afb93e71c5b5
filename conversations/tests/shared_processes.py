"""Fixtures of the product's own processes for tests of any app; the root conftest loads them with ``pytest_plugins``. A
module that imported them would get processes of its own."""

from collections.abc import Iterator

import pytest

from stress_tests.fake_model import FakeModelServer

from .stack import Stack


@pytest.fixture(scope="session")
def shared_stack(django_db_setup: None, fake_model_session: FakeModelServer) -> Iterator[Stack]:
    """One web process and one worker for all tests that leave them alone."""
    with Stack(fake_model_session.base_url) as stack:
        yield stack


@pytest.fixture
def live_stack(transactional_db: None, fake_model: FakeModelServer, shared_stack: Stack) -> Iterator[Stack]:
    """The shared processes, with an empty database and an idle fake model."""
    shared_stack.resume_workers()
    yield shared_stack
    shared_stack.print_logs()
