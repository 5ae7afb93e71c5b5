"""A worker looks for replies that nobody streams any more, and settles them."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from time import monotonic
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest
from django.db import OperationalError
from django.utils import timezone
from redis.exceptions import ConnectionError as RedisConnectionError

from accounts.models import User
from chatbot_project.lib.db import run_db
from chatbot_project.lib.loops import cancel_until_done
from chatbot_project.lib.redis import make_redis
from conversations.models import Message
from conversations.replies import heartbeat, queue, reaping
from conversations.replies.reaping import Reaper
from conversations.replies.sending import Sender
from personas.models import Persona

from .factories import ask


@pytest.fixture
async def reaper() -> AsyncIterator[Reaper]:
    """That of a worker which streams nothing itself."""
    client = make_redis()
    yield Reaper(client, Sender(client, {}, on_lost=AsyncMock()), set(), on_queued=Mock())
    await client.aclose()


async def test_a_worker_looks_for_what_waits_for_somebody_who_is_paused(reaper: Reaper, monkeypatch: Any) -> None:
    looks: list[object] = []

    async def look(work: Any, *_arguments: Any) -> Any:
        looks.append(work)
        return []

    monkeypatch.setattr(reaping, "REAP_SECONDS", 0.01)
    monkeypatch.setattr(reaping, "run_db", look)
    running = asyncio.create_task(reaper.run())
    async with asyncio.timeout(5):
        while queue.stop_paused not in looks:
            await asyncio.sleep(0.01)
    await cancel_until_done([running])


async def test_after_the_database_failed_it_a_worker_ends_nobodys_replies_for_as_long_as_a_lease(
    reaper: Reaper, monkeypatch: Any, settings: Any
) -> None:
    """Others could not renew theirs either, and the database itself may never have been away: a standby took over."""
    looks: list[object] = []
    failing = [True]

    async def look(work: Any, *_arguments: Any) -> Any:
        looks.append(work)
        if failing:
            failing.clear()
            raise OperationalError("another server takes over")
        return []

    settings.REPLY_LEASE_SECONDS = 2
    monkeypatch.setattr(reaping, "REAP_SECONDS", 0.01)
    monkeypatch.setattr(reaping, "run_db", look)
    began = monotonic()
    running = asyncio.create_task(reaper.run())
    async with asyncio.timeout(5):
        while looks.count(queue.orphans) < 2:
            await asyncio.sleep(0.01)
    await cancel_until_done([running])
    assert monotonic() - began >= 2
    assert looks.index(queue.depth) == 1


async def test_nor_after_its_machine_stood_still(reaper: Reaper, monkeypatch: Any) -> None:
    """All leases are over then, as nobody could renew any."""
    looks: list[object] = []

    async def look(work: Any, *_arguments: Any) -> Any:
        looks.append(work)
        return []

    async def rest(_seconds: float) -> float:
        await asyncio.sleep(0.01)
        return 0.0 if looks else 3.0

    monkeypatch.setattr(reaping, "_rest", rest)
    monkeypatch.setattr(reaping, "run_db", look)
    running = asyncio.create_task(reaper.run())
    async with asyncio.timeout(5):
        while len(looks) < 5:
            await asyncio.sleep(0.01)
    await cancel_until_done([running])
    assert set(looks) == {queue.depth}


async def test_a_rest_that_took_much_longer_is_found_out(monkeypatch: Any) -> None:
    monkeypatch.setattr(reaping, "time", Mock(time=Mock(side_effect=[100.0, 107.0])))
    assert await reaping._rest(0.01) == pytest.approx(6.99)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("epoch", "expired_for", "stop_requested", "redis_is_away", "status"),
    [
        (1, 1.0, False, False, "streaming"),
        (2, 1.0, False, False, "interrupted"),  # of another try
        (None, 1.0, False, False, "interrupted"),
        (1, reaping.HELD_SECONDS + 1, False, False, "interrupted"),
        (1, 1.0, True, False, "interrupted"),
        (1, 1.0, False, True, "interrupted"),
    ],
)
async def test_a_reply_whose_worker_only_redis_hears_is_left_to_it_for_a_while(
    reaper: Reaper,
    owner: User,
    persona: Persona,
    monkeypatch: Any,
    epoch: int | None,
    expired_for: float,
    stop_requested: bool,
    redis_is_away: bool,
    status: str,
) -> None:
    row = (await run_db(ask, owner)).reply
    past = timezone.now() - timedelta(seconds=expired_for)
    await run_db(Message.objects.filter(pk=row.pk).update, status="streaming", epoch=1, lease_expires_at=past)
    orphan = queue.Orphan(row.pk, row.conversation_id, 1, "Half", None, expired_for, stop_requested)
    monkeypatch.setattr(queue, "orphans", lambda but_for: [] if row.pk in but_for else [orphan])
    if epoch is not None:
        await heartbeat.hold(reaper._redis, {row.pk: epoch}, 5)
    if redis_is_away:
        monkeypatch.setattr(reaper._redis, "mget", AsyncMock(side_effect=RedisConnectionError))
    async with asyncio.timeout(5):
        await reaper.reap()
    assert (await run_db(Message.objects.get, pk=row.pk)).status == status
