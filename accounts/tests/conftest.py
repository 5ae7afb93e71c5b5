"""The people of this app's tests, and its pages without the apps that build on it."""

import re
from collections.abc import Callable, Iterator

import pytest
import redis
from django.conf import settings as django_settings
from django.contrib.auth.hashers import MD5PasswordHasher
from django.core import mail as django_mail
from django.test import Client

from accounts import tasks
from accounts.models import User
from accounts.tests.authenticator import clock, enrol  # noqa: F401  fixtures
from accounts.tests.factories import PASSWORD, make_admin, make_guest, make_moderator, make_user

REDIS_URL = django_settings.REDIS_URL  # as it is before a test changes it


class CountedHasher(MD5PasswordHasher):
    """Cheap, and counts how often a password was hashed."""

    algorithm = "counted"
    runs = 0

    def encode(self, password: str, salt: str) -> str:
        type(self).runs += 1
        return super().encode(password, salt)


@pytest.fixture(autouse=True)
def _app_alone(settings) -> None:
    settings.ROOT_URLCONF = "accounts.tests.urls"
    settings.PASSWORD_HASHERS = ["accounts.tests.conftest.CountedHasher"]
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"


@pytest.fixture(autouse=True)
def _no_tries_used_up() -> Iterator[None]:
    yield
    with redis.Redis.from_url(REDIS_URL) as client:
        client.flushdb()


@pytest.fixture
def hash_runs() -> Callable[[Callable[[], object]], int]:
    """How many times a call hashes a password."""

    def count(call: Callable[[], object]) -> int:
        before = CountedHasher.runs
        call()
        return CountedHasher.runs - before

    return count


@pytest.fixture
def owner(db) -> User:
    return make_user("owner@example.org", PASSWORD, username="owner")


@pytest.fixture
def other(db) -> User:
    return make_user("other@example.org", PASSWORD, username="other")


@pytest.fixture
def moderator(db) -> User:
    return make_moderator()


@pytest.fixture
def admin(db) -> User:
    return make_admin()


@pytest.fixture
def guest(db) -> User:
    return make_guest()


@pytest.fixture
def browser(client: Client) -> Callable[[User], Client]:
    """A browser in which somebody is signed in."""

    def open_for(person: User) -> Client:
        fresh = Client()
        fresh.force_login(person)
        return fresh

    return open_for


@pytest.fixture
def sign_in() -> Callable[..., Client]:
    """Post the sign-in form; returns the browser, with the answer as ``.answer``."""

    def post(email: str, password: str = PASSWORD, browser: Client | None = None, **extra: str) -> Client:
        browser = browser or Client()
        browser.answer = browser.post("/accounts/sign-in/", {"email": email, "password": password}, **extra)
        return browser

    return post


@pytest.fixture
def delivered(db) -> Callable[[], list]:
    """Send what waits and return it, oldest first."""

    def deliver() -> list:
        django_mail.outbox = []
        tasks.send_waiting_mail()
        return django_mail.outbox

    return deliver


@pytest.fixture
def mailed_link(delivered) -> Callable[[], str]:
    """Send what waits, and return the path of the one link in it."""

    def path() -> str:
        (message,) = delivered()
        (link,) = set(re.findall(r"http://127\.0\.0\.1:\d+(/accounts/link/\S+)", message.body))
        return link

    return path


def signed_in_person(browser: Client) -> str | None:
    """The id of whom the site takes the browser for, asked of the site itself."""
    return browser.get("/whoami/").json()["id"]
