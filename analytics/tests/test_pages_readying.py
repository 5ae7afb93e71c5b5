"""Overviews that were looked at are ready again once figures are counted."""

from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone
from redis.exceptions import ConnectionError as RedisAway

from accounts.models import User
from accounts.tests.factories import make_user
from analytics import rollups
from analytics.pages import readying
from analytics.pages.keeping import KEPT_SECONDS
from analytics.tasks import refresh_rollups
from analytics.tests.history import make_history
from personas.tests.factories import make_persona

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def nothing_noted() -> Iterator[None]:
    cache.delete(readying.KEY)
    yield
    cache.delete(readying.KEY)


@pytest.fixture
def browser(moderator: User) -> Client:
    people = [make_user() for _number in range(12)]
    make_history(3, people, [make_persona(), make_persona()], timezone.now() - timedelta(days=6), 5, size=60)
    rollups.rebuild()
    client = Client(headers={"Accept": "text/html"})
    client.force_login(moderator)
    return client


def look(browser: Client, query: str = "range=30") -> str:
    answer = browser.get(f"/analytics/?{query}")
    assert answer.status_code == 200
    return answer.content.decode()


def made(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """The parts that are kept from now on, which are those that were not there."""
    parts: list[tuple[object, ...]] = []
    keep = cache.set

    def noting(key: str, *args: object, **kwargs: object) -> object:
        if key.startswith("analytics:part:"):
            parts.append((key, *args))
        return keep(key, *args, **kwargs)

    monkeypatch.setattr(cache, "set", noting)
    return parts


def test_the_next_to_look_after_a_count_finds_all_parts_made(browser: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    look(browser)
    parts = made(monkeypatch)
    refresh_rollups()
    assert parts
    assert {seconds for _key, _html, seconds in parts} == {KEPT_SECONDS}
    before = len(parts)
    look(browser)
    assert len(parts) == before


def test_without_anybody_looking_nothing_is_made(browser: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = made(monkeypatch)
    refresh_rollups()
    assert parts == []


def test_the_last_few_are_made_ready_and_one_asked_twice_once(browser: Client) -> None:
    for days in range(3, 3 + readying.MOST_READY + 2):
        first = timezone.now().date() - timedelta(days=days)
        look(browser, f"from={first}&to={timezone.now().date()}")
    look(browser, f"from={first}&to={timezone.now().date()}")
    assert readying.make_ready() == readying.MOST_READY


def test_who_looked_is_not_noted(browser: Client, moderator: User) -> None:
    look(browser)
    noted = repr(cache.get(readying.KEY))
    assert "range=30" in noted
    assert moderator.email not in noted
    assert str(moderator.pk) not in noted


def test_a_persona_that_is_gone_is_passed_over(browser: Client) -> None:
    look(browser)
    ((query, prices, language, at),) = cache.get(readying.KEY)
    cache.set(readying.KEY, [(query, prices, language, at), (f"persona={uuid4()}", prices, language, at)])
    assert readying.make_ready() == 1


def test_where_the_cache_is_away_the_page_is_made_all_the_same(
    browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*args: object, **kwargs: object) -> None:
        raise RedisAway

    monkeypatch.setattr(cache, "get", away)
    assert "Counted until" in look(browser)
    assert readying.make_ready() == 0
