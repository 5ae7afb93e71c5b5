"""Endpoints that use the API's shared parts, and somebody who calls them."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from accounts.tests.factories import make_user
from chatbot_project.lib.redis import blocking_redis
from chatbot_project.tests import api_urls


@pytest.fixture
def endpoints(settings: Any) -> Iterator[None]:
    redis_url = settings.REDIS_URL
    settings.ROOT_URLCONF = "chatbot_project.tests.api_urls"
    api_urls.effects.clear()
    blocking_redis().flushdb()  # of what others asked for from this address
    yield
    settings.REDIS_URL = redis_url
    blocking_redis().flushdb()


@pytest.fixture
def owner(db: None) -> User:
    return make_user()


@pytest.fixture
def api(client: Client, owner: User) -> Client:
    client.force_login(owner)
    return client
