"""Fixtures for conversations: three people, and the product's processes on the session's services."""

from collections.abc import Iterator

import pytest

from accounts.models import User
from accounts.tests.factories import make_user
from chatbot_project.embedded.paths import VarPaths, default_redis_url
from chatbot_project.embedded.redis import EmbeddedRedis
from conversations.tests.fault_stack import FaultStack
from personas.models import Persona
from stress_tests.fake_model import FakeModelServer

from .browser import chromium, open_tab  # noqa: F401  fixtures
from .factories import make_persona


@pytest.fixture
def owner(db: None) -> User:
    return make_user()


@pytest.fixture
def other(db: None) -> User:
    return make_user()


@pytest.fixture
def persona(db: None) -> Persona:
    return make_persona()


@pytest.fixture(scope="session")
def fault_stack(
    django_db_setup: None, fake_model_session: FakeModelServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FaultStack]:
    """The processes of the fault tests, which have a Redis of their own."""
    directory = tmp_path_factory.mktemp("faults")
    redis = EmbeddedRedis(VarPaths(directory), dies_with_parent=True)
    redis.start()
    with FaultStack(fake_model_session.base_url, redis, default_redis_url(directory)) as stack:
        yield stack
    redis.stop()


@pytest.fixture
def stack(transactional_db: None, fake_model: FakeModelServer, persona: Persona, fault_stack: FaultStack) -> FaultStack:
    """Two web processes and two workers, whole again, an empty database, and a persona to ask."""
    fault_stack.resume_workers()
    fault_stack.whole()
    return fault_stack
