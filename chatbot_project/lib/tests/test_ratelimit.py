import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from django.conf import settings as django_settings

from chatbot_project.lib import ratelimit
from chatbot_project.lib.errors import ApplicationError
from chatbot_project.lib.ratelimit import Budget, RateLimited, take, take_async
from chatbot_project.lib.redis import CONNECTIONS, blocking_redis, make_redis

REDIS_URL = django_settings.REDIS_URL
HOUR = 3600


@pytest.fixture(autouse=True)
def nothing_taken() -> Iterator[None]:
    yield
    with redis.Redis.from_url(REDIS_URL) as client:
        client.flushdb()


def taken(*budgets: Budget) -> bool:
    try:
        take(budgets, closed=True)
    except RateLimited:
        return False
    return True


def age(budget: Budget, seconds: float) -> None:
    """Make what was taken from ``budget`` that much older."""
    client = blocking_redis()
    moments = [int(moment) for moment in client.lrange(f"rate:{budget.key}", 0, -1)]
    client.delete(f"rate:{budget.key}")
    client.rpush(f"rate:{budget.key}", *(moment - int(seconds * 1e6) for moment in moments))


@pytest.mark.parametrize("limit", [1, 10, 60])
def test_of_a_hundred_at_once_exactly_the_limit_gets_through(limit: int) -> None:
    budget = Budget("test", ((limit, HOUR),))
    with ThreadPoolExecutor(25) as threads:
        results = list(threads.map(lambda _: taken(budget), range(100)))
    assert results.count(True) == limit


def test_every_window_holds_by_itself() -> None:
    budget = Budget("test", ((3, 60), (5, HOUR)))
    assert [taken(budget) for _ in range(4)] == [True] * 3 + [False]
    age(budget, 61)
    assert [taken(budget) for _ in range(3)] == [True] * 2 + [False]
    age(budget, 61)
    assert not taken(budget)
    age(budget, HOUR)
    assert taken(budget)


def test_the_window_slides_instead_of_starting_anew() -> None:
    budget = Budget("test", ((2, 60),))
    assert taken(budget)
    age(budget, 50)
    assert taken(budget)
    assert not taken(budget)
    age(budget, 11)  # the first is out, the second is not
    assert taken(budget)
    assert not taken(budget)


def test_a_refusal_takes_from_no_budget_and_does_not_prolong_itself() -> None:
    full, other = Budget("full", ((1, 60),)), Budget("other", ((1, 60),))
    assert taken(full)
    assert not any(taken(full, other) for _ in range(5))
    assert taken(other)
    age(full, 60)
    assert taken(full)


def test_it_says_how_it_stands_and_when_to_come_back() -> None:
    budget = Budget("test", ((3, 60), (4, HOUR)))
    first = take([budget], closed=True)
    assert (first.limit, first.remaining) == (3, 2)
    age(budget, 20)
    take([budget], closed=True)
    third = take([budget], closed=True)
    assert (third.remaining, third.headers()["RateLimit-Remaining"]) == (0, "0")
    assert 30 <= third.reset <= 40
    with pytest.raises(RateLimited) as refusal:
        take([budget], closed=True)
    assert 30 <= refusal.value.retry_after <= 40
    assert (refusal.value.code, refusal.value.status) == ("rate_limited", 429)
    assert refusal.value.standing.remaining == 0


def test_a_thousand_an_hour_is_counted_to_the_last() -> None:
    budget = Budget("test", ((1000, HOUR),))
    client = blocking_redis()
    take([budget], closed=True)
    now = int(client.lindex("rate:test", 0))
    client.rpush("rate:test", *(now - number * 1000 for number in range(1, 999)))
    assert take([budget], closed=True).remaining == 0
    assert not taken(budget)
    assert client.memory_usage("rate:test") < 20_000


def test_what_was_taken_is_forgotten_with_its_longest_window() -> None:
    take([Budget("test", ((3, 60), (4, 600)))], closed=True)
    assert 590_000 <= blocking_redis().pttl("rate:test") <= 600_000


def test_without_redis_it_is_closed_or_open_as_asked(settings) -> None:
    settings.REDIS_URL = "unix:///nowhere/at-all.sock"
    budget = Budget("test", ((1, 60),))
    with pytest.raises(ApplicationError) as refusal:
        take([budget], closed=True)
    assert (refusal.value.code, refusal.value.status) == ("unavailable", 503)
    assert take([budget], closed=False) is None


def test_the_longer_redis_is_away_the_later_it_is_to_be_tried_again(settings, monkeypatch) -> None:
    now = 100.0
    monkeypatch.setattr(ratelimit, "_absence", ratelimit._Absence(lambda: now))
    budget = Budget("test", ((9, 60),))

    def told() -> int | None:
        with pytest.raises(ApplicationError) as refusal:
            take([budget], closed=True)
        return refusal.value.retry_after

    settings.REDIS_URL = "unix:///nowhere/at-all.sock"
    waits = []
    for seconds in (0, 4, 8, 100):
        now += seconds
        waits.append(told())
    assert waits == [1, 1, 3, 5]
    settings.REDIS_URL = REDIS_URL
    take([budget], closed=True)
    settings.REDIS_URL = "unix:///nowhere/at-all.sock"
    assert told() == 1, "the next absence begins anew"


def test_a_budget_without_windows_is_no_limit(settings) -> None:
    settings.REDIS_URL = "unix:///nowhere/at-all.sock"
    assert take([Budget("test", ())], closed=True) is None


async def test_both_ways_of_asking_take_from_the_same_budget() -> None:
    budget = Budget("test", ((2, 60),))
    client = make_redis()
    try:
        assert (await take_async(client, [budget], closed=True)).remaining == 1
        take([budget], closed=True)
        with pytest.raises(RateLimited):
            await take_async(client, [budget], closed=True)
    finally:
        await client.aclose()


async def test_many_more_at_once_than_there_are_connections_are_all_counted() -> None:
    budget, crowd = Budget("test", ((5000, 60),)), 1000
    client = make_redis()
    try:
        before = len(await client.client_list())
        standings = await asyncio.gather(*(take_async(client, [budget], closed=True) for _ in range(crowd)))
        assert sorted(standing.remaining for standing in standings) == list(range(5000 - crowd, 5000))
        assert len(await client.client_list()) - before < CONNECTIONS
    finally:
        await client.aclose()


async def test_an_emptied_redis_learns_the_script_again() -> None:
    blocking_redis().script_flush()
    assert taken(Budget("test", ((1, 60),)))
    blocking_redis().script_flush()
    client = make_redis()
    try:
        assert await take_async(client, [Budget("other", ((1, 60),))], closed=True)
    finally:
        await client.aclose()


class Refusing:
    """A client of the real Redis whose first ``times`` connections are refused."""

    def __init__(self, times: int) -> None:
        self.client, self.left = make_redis(), times

    async def evalsha(self, *command: object) -> object:
        if self.left:
            self.left -= 1
            raise redis.ConnectionError
        return await self.client.evalsha(*command)

    async def eval(self, *command: object) -> object:
        return await self.client.eval(*command)


@pytest.mark.parametrize(("times", "admitted"), [(1, True), (2, False)])
async def test_a_connection_that_is_refused_once_is_not_redis_away(times: int, admitted: bool) -> None:
    client = Refusing(times)
    budget = Budget("test", ((2, 60),))
    try:
        if admitted:
            assert (await take_async(client, [budget], closed=True)).remaining == 1, "it was counted, and once"
        else:
            with pytest.raises(ApplicationError) as refused:
                await take_async(client, [budget], closed=True)
            assert refused.value.code == "unavailable"
    finally:
        await client.client.aclose()


def test_a_request_takes_one_call_of_redis_however_many_were_counted() -> None:
    budget = Budget("test", ((60, 60), (1000, HOUR)))
    client = blocking_redis()
    take([budget], closed=True)
    now = int(client.lindex("rate:test", 0))
    client.rpush("rate:test", *(now - 61_000_000 - number for number in range(900)))
    client.config_resetstat()
    for _ in range(50):
        take([budget], closed=True)
    stats = client.info("commandstats")["cmdstat_evalsha"]
    assert stats["calls"] == 50
