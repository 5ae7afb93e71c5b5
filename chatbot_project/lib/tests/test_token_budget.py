import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from chatbot_project.lib.errors import ApplicationError
from chatbot_project.lib.redis import make_redis
from chatbot_project.lib.tests.counting import refusals
from chatbot_project.lib.token_budget import TokenBudget, TokenBudgetSpent

PERSON = UUID(int=7)


@pytest.fixture
async def client() -> AsyncIterator[Any]:
    client = make_redis()
    yield client
    await client.flushdb()
    await client.aclose()


@pytest.fixture
def budget(client: Any) -> TokenBudget:
    return TokenBudget(client, 1000)


async def spend(budget: TokenBudget, tokens: int, used: int, reply: UUID | None = None) -> None:
    async with budget.reserved(person=PERSON, reply=reply or uuid4(), tokens=tokens) as spending:
        spending.used = used


async def fits(budget: TokenBudget, tokens: int) -> bool:
    try:
        await spend(budget, tokens, 0)
    except TokenBudgetSpent:
        return False
    return True


async def test_what_was_not_used_is_given_back(budget: TokenBudget) -> None:
    before = refusals("tokens")
    await spend(budget, 900, 300)
    assert await fits(budget, 700)
    assert not await fits(budget, 701)
    assert refusals("tokens") == before + 1


async def test_more_than_was_reserved_counts_too(budget: TokenBudget) -> None:
    await spend(budget, 100, 995)
    assert not await fits(budget, 6)
    assert await fits(budget, 5)


async def test_of_many_at_once_only_those_run_that_fit_together(budget: TokenBudget) -> None:
    all_in = asyncio.Event()
    running = 0

    async def one() -> bool:
        nonlocal running
        try:
            async with budget.reserved(person=PERSON, reply=uuid4(), tokens=100):
                running += 1
                await all_in.wait()
        except TokenBudgetSpent:
            return False
        return True

    tasks = [asyncio.create_task(one()) for _ in range(50)]
    while sum(task.done() for task in tasks) < 40:
        await asyncio.sleep(0.001)
    assert running == 10
    all_in.set()
    assert (await asyncio.gather(*tasks)).count(True) == 10
    assert await fits(budget, 1000)


async def test_a_reply_that_begins_again_holds_only_once(budget: TokenBudget) -> None:
    reply = uuid4()
    killed = budget.reserved(person=PERSON, reply=reply, tokens=800)
    await killed.__aenter__()
    await spend(budget, 900, 50, reply)  # its next worker
    assert await fits(budget, 950)


async def test_a_reply_that_breaks_uses_what_it_said_it_used(budget: TokenBudget) -> None:
    async def broken() -> None:
        async with budget.reserved(person=PERSON, reply=uuid4(), tokens=800) as spending:
            spending.used = 500
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await broken()
    assert await fits(budget, 500)
    assert not await fits(budget, 501)


async def test_everybody_has_their_own(budget: TokenBudget) -> None:
    await spend(budget, 1000, 1000)
    async with budget.reserved(person=uuid4(), reply=uuid4(), tokens=1000):
        pass


async def test_the_refusal_says_when_the_next_day_begins(budget: TokenBudget) -> None:
    with pytest.raises(TokenBudgetSpent) as refusal:
        await spend(budget, 1001, 0)
    now = datetime.now(UTC)
    left = 24 * 3600 - (now.hour * 3600 + now.minute * 60 + now.second)
    assert (refusal.value.code, refusal.value.status) == ("token_budget_spent", 429)
    assert abs(refusal.value.retry_after - left) <= 5


async def test_what_was_used_is_forgotten_after_the_next_day(budget: TokenBudget, client: Any) -> None:
    await spend(budget, 10, 10)
    (key,) = [key async for key in client.scan_iter("tokens:*")]
    assert 24 * 3600 < await client.ttl(key) <= 48 * 3600


async def test_without_redis_no_model_is_asked_uncounted_and_without_a_limit_all_are(settings: Any) -> None:
    settings.REDIS_URL = "unix:///nowhere/at-all.sock"
    away = make_redis()
    with pytest.raises(ApplicationError) as refusal:
        await spend(TokenBudget(away, 1000), 1, 1)
    assert (refusal.value.code, refusal.value.status) == ("unavailable", 503)
    await spend(TokenBudget(away, 0), 1, 1)
    await away.aclose()
