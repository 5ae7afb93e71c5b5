"""Browsers of the people who may, may only look, and may not."""

from collections.abc import Callable

import pytest
from django.test import Client

from accounts.models import User
from accounts.tests.factories import make_admin, make_guest, make_moderator, make_user


@pytest.fixture
def admin_user(db: None) -> User:
    return make_admin(username="root")


@pytest.fixture
def browser() -> Callable[[User | None], Client]:
    """A browser in which somebody, or with ``None`` nobody, is signed in."""

    def open_for(person: User | None) -> Client:
        client = Client()
        if person:
            client.force_login(person)
        return client

    return open_for


@pytest.fixture
def as_admin(browser: Callable[..., Client], admin_user: User) -> Client:
    return browser(admin_user)


@pytest.fixture
def as_moderator(db: None, browser: Callable[..., Client]) -> Client:
    return browser(make_moderator())


@pytest.fixture(params=[make_user, make_guest, lambda: None], ids=["user", "guest", "anonymous"])
def as_outsider(request: pytest.FixtureRequest, db: None, browser: Callable[..., Client]) -> Client:
    return browser(request.param())
