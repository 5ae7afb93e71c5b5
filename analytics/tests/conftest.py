"""The people of this app's tests."""

import pytest

from accounts.models import User
from accounts.tests.factories import make_admin, make_guest, make_moderator, make_user
from faqs.tests.browser import module_server, open_page, server  # noqa: F401  fixtures


@pytest.fixture
def owner(db: None) -> User:
    return make_user()


@pytest.fixture
def other(db: None) -> User:
    return make_user()


@pytest.fixture
def moderator(db: None) -> User:
    return make_moderator()


@pytest.fixture
def admin(db: None) -> User:
    return make_admin()


@pytest.fixture
def guest(db: None) -> User:
    return make_guest()
